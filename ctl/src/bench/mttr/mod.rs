//! From SIGKILL to the first act of the new process, through pidfd, TLS, engine, store, signature, ward and ledger; and
//! how long others take, killed in turn in the same run.

mod host;
mod private;
mod rounds;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio::task::LocalSet;

use self::rounds::{Measured, Rounds};
use self::subject::Subject;
use super::Scratch;
use super::figures::{Machine, Spread};
use super::peers::Shelf;
use crate::Common;
use crate::lab::{Lab, Plan};

const EXAMPLE: &str = "\
Examples:
  prunella bench mttr
  prunella bench mttr --runs 1000 --json
  prunella bench mttr --peers --runs 30       beside the supervisors that are installed, in turn
  prunella bench mttr --peers ./unpacked      the same with Debian packages unpacked there by dpkg -x

Each run kills a healthy service and waits until its incident is closed, which takes a second of probation. With peers a
run takes ten seconds and more: monit looks once a second, and each is left alone between two kills for longer than it
takes a start for a failed one. systemd is measured on a private host in namespaces of its own, which needs root.";

/// Arguments of `prunella bench mttr`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct MttrArgs {
    /// How many times a service is killed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Beside monit, supervisord, s6, runit and systemd, from PATH or from DIR.
    #[arg(long, value_name = "DIR")]
    #[expect(clippy::option_option, reason = "not given, given alone, given with a directory")]
    peers: Option<Option<PathBuf>>,
    /// How many times each is killed again 100 ms after it came back; with --peers.
    #[arg(long, default_value_t = 3, value_name = "N", requires = "peers",
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    again: u32,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    first_line: Spread,
    /// SIGKILL to the news that verification saw it healthy.
    verified: Spread,
    /// Only with `--peers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Row>>,
    machine: Machine,
}

/// One of those who were killed in turn.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    title: Title,
    /// Why there are no figures; null when there are.
    missing: Option<String>,
    /// SIGKILL to the new process's first act.
    first_line: Option<Spread>,
    /// Its median divided by this program's.
    times_ours: Option<f64>,
    /// The same for a kill 100 ms after it came back.
    again: Option<Spread>,
    again_times_ours: Option<f64>,
}

/// Who starts it again.
#[derive(Debug, Clone, Serialize)]
struct Title {
    name: &'static str,
    /// The Debian package; null for this program.
    package: Option<&'static str>,
    /// That of the installed package; null when it is none.
    version: Option<String>,
}

/// This program, in the first row of all.
const OWN: &str = "prunella";

impl Title {
    const fn own(name: &'static str) -> Self {
        Self { name, package: None, version: None }
    }
}

/// What takes part: ready to be killed, or the reason why not.
struct Entry<'a> {
    title: Title,
    subject: Result<Subject<'a>, String>,
    measured: Measured,
}

impl MttrArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let (own, peers) = crate::block_on(async {
            let local = LocalSet::new();
            tokio::select! {
                found = local.run_until(self.measure()) => found,
                () = prunella_server::serve::signalled() => Err(anyhow::anyhow!("interrupted")),
            }
        })?;
        let figures = Figures {
            first_line: Spread::of(own.first_line).context("nothing was measured")?,
            verified: Spread::of(own.verified).context("nothing was measured")?,
            peers,
            machine,
        };
        if let Some(format) = common.format(self.json) {
            format.print(&figures)?;
        } else {
            figures.print();
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self) -> anyhow::Result<(Measured, Option<Vec<Row>>)> {
        let scratch = Scratch::new()?;
        let mut lab = Lab::start(&scratch.0, Plan::new(std::env::current_exe()?)).await?;
        lab.records.follow(|_| {}).await?;
        let shelf = self.peers.as_ref().map(|dir| Shelf::new(dir.as_deref())).transpose()?;
        let private = match &shelf {
            Some(shelf) => Some(private::Private::start(shelf, &mut lab, &scratch.0.join("private")).await?),
            None => None,
        };
        let service = lab.services.first().context("no service")?;
        let own = Subject::own(service, &lab.records, false);
        let mut entries = vec![Entry { title: Title::own(OWN), subject: Ok(own), measured: Measured::default() }];
        if let (Some(shelf), Some(private)) = (&shelf, &private) {
            entries.extend(rounds::peers(shelf, &scratch.0.join("peers"))?);
            entries.extend(private.entries(&lab.records));
        }
        let rounds = Rounds { runs: self.runs, again: if shelf.is_some() { self.again } else { 0 } };
        rounds.play(&mut entries).await?;
        let rows = shelf.is_some().then(|| rows(&entries));
        let own = entries.into_iter().next().context("nothing was measured")?.measured;
        Ok((own, rows))
    }
}

fn rows(entries: &[Entry<'_>]) -> Vec<Row> {
    let median = |times: &[Duration]| Spread::of(times.to_vec()).map(|it| it.p50_ms);
    let ours = entries.first().map(|it| &it.measured);
    let times = |of: Option<f64>, ours: Option<f64>| {
        let times = of? / ours.filter(|it| *it > 0.0)?;
        Some((times * 100.0).round() / 100.0)
    };
    let row = |it: &Entry<'_>| Row {
        title: it.title.clone(),
        missing: it.measured.failed.clone().or_else(|| it.subject.as_ref().err().cloned()),
        first_line: Spread::of(it.measured.first_line.clone()),
        times_ours: times(median(&it.measured.first_line), ours.and_then(|it| median(&it.first_line))),
        again: Spread::of(it.measured.again.clone()),
        again_times_ours: times(median(&it.measured.again), ours.and_then(|it| median(&it.again))),
    };
    entries.iter().map(row).collect()
}

impl Figures {
    fn print(&self) {
        let line = |what: &str, it: &Spread| {
            println!(
                "{what:<32} p50 {:>8.3} ms   p95 {:>8.3} ms   p99 {:>8.3} ms   ({} runs)",
                it.p50_ms, it.p95_ms, it.p99_ms, it.runs
            );
        };
        line("SIGKILL to the new process", &self.first_line);
        line("SIGKILL to verified healthy", &self.verified);
        if let Some(rows) = &self.peers {
            println!("\nKilled in turn; SIGKILL to the new process, and killed again 100 ms after it:");
            println!("{:<28} {:>12} {:>12} {:>8} {:>12} {:>8}", "", "p50 ms", "p99 ms", "times", "again ms", "times");
            rows.iter().for_each(Row::print);
            println!();
        }
        println!("{}", self.machine.line());
    }
}

impl Row {
    fn print(&self) {
        let name = self.title.name;
        let number = |it: Option<f64>, digits: usize| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.digits$}"));
        if let Some(first) = &self.first_line {
            let again = self.again.as_ref().map(|it| it.p50_ms);
            println!(
                "{name:<28} {:>12.3} {:>12.3} {:>8} {:>12} {:>8}   {}",
                first.p50_ms,
                first.p99_ms,
                number(self.times_ours, 1),
                number(again, 3),
                number(self.again_times_ours, 1),
                self.missing.as_deref().or(self.title.version.as_deref()).unwrap_or_default()
            );
        } else {
            println!("{name:<28} {}", self.missing.as_deref().unwrap_or("not measured"));
        }
    }
}

#[cfg(test)]
mod tests;
