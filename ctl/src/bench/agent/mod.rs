//! What an agent costs at rest, and what others cost that watch the same services in the same minute.

mod cost;
mod floor;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use prunella_model::policy::Profile;
use serde::Serialize;

use self::cost::{Cost, Counters, count, round};
use super::Scratch;
use super::figures::Machine;
use super::peers::{Shelf, Watcher, install, must_be_plain};
use crate::Common;
use crate::chain::monotonic;
use crate::lab::{Lab, Plan, Service};

const EXAMPLE: &str = "\
Examples:
  prunella bench agent
  prunella bench agent --targets 50 --probes process
  prunella bench agent --targets 50 --peers     beside monit, node-exporter and netdata, where installed
  prunella bench agent --seconds 10 --json

Each HTTP look makes a connection of its own, and most of what it costs is the kernel's: `floor_percent` is what the same
number of bare connections a second costs on this machine.

Measures the slim prunella-agent where it lies beside this program, otherwise this program as an agent.";

/// How long everybody is left alone before being measured: start and enrolment are over, caches are warm.
const SETTLE: Duration = Duration::from_secs(5);

/// Arguments of `prunella bench agent`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct AgentArgs {
    /// How long is measured.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many services are watched.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    targets: u16,
    /// What looks at each target every second.
    #[arg(long, value_enum, default_value_t = Probes::Both)]
    probes: Probes,
    /// The agent's program, instead of the one beside this.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Beside monit, prometheus-node-exporter and netdata, from PATH or from DIR.
    #[arg(long, value_name = "DIR")]
    #[expect(clippy::option_option, reason = "not given, given alone, given with a directory")]
    peers: Option<Option<PathBuf>>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

/// What looks at each target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Probes {
    /// Its process: how much it uses, and by pidfd whether it lives.
    Process,
    /// Its process, and an HTTP request.
    Both,
}

#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    cost: Cost,
    /// Of TLS to the server and back, without what TCP and IP add.
    sent_bytes_per_second: f64,
    received_bytes_per_second: f64,
    /// What the bare connections of the HTTP looks cost by themselves; null without such looks.
    floor_percent: Option<f64>,
    /// Only with `--peers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Row>>,
    probes: Probes,
    targets: u16,
    seconds: u64,
    program: String,
    machine: Machine,
}

/// One of the others.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    package: &'static str,
    version: Option<String>,
    /// Why there are no figures; null when there are.
    missing: Option<String>,
    cost: Option<Cost>,
}

/// What was measured, before it is shown.
struct Found {
    cost: Cost,
    sent: f64,
    received: f64,
    peers: Option<Vec<Row>>,
}

impl AgentArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let slim = self.program.clone().or_else(slim_agent);
        let program = slim.clone().map_or_else(std::env::current_exe, Ok)?.display().to_string();
        let Found { cost, sent, received, peers } = crate::block_on(async {
            tokio::select! {
                found = self.measure(slim) => found,
                () = prunella_server::serve::signalled() => Err(anyhow::anyhow!("interrupted")),
            }
        })?;
        let floor_percent = match self.probes {
            Probes::Process => None,
            Probes::Both => Some(floor::floor(usize::from(self.targets))?),
        };
        let figures = Figures {
            cost,
            sent_bytes_per_second: sent,
            received_bytes_per_second: received,
            floor_percent,
            peers,
            probes: self.probes,
            targets: self.targets,
            seconds: self.seconds,
            program,
            machine,
        };
        if let Some(format) = common.format(self.json) {
            format.print(&figures)?;
        } else {
            figures.print();
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, slim: Option<PathBuf>) -> anyhow::Result<Found> {
        let scratch = Scratch::new()?;
        let (http, services) = (self.probes == Probes::Both, usize::from(self.targets));
        let program = std::env::current_exe()?;
        let plan = Plan { services, interval: "1s", http, agent: slim, metered: true, ..Plan::new(program) };
        let plan = Plan { profile: Profile::Standard, ..plan };
        let mut lab = Lab::start(&scratch.0, plan).await?;
        let shelf = self.peers.as_ref().map(|dir| Shelf::new(dir.as_deref())).transpose()?;
        let others = match &shelf {
            Some(shelf) => start_others(shelf, &scratch.0.join("peers"), &lab.services)?,
            None => Vec::new(),
        };
        tokio::time::sleep(SETTLE).await;
        let meter = lab.meter.clone().context("the stream is not metered")?;
        let pid = lab.fleet.agents().first().context("no agent")?.pid();
        let before_others: Vec<_> = others.iter().map(Other::counters).collect();
        let (began, said, before) = (monotonic(), meter.bytes(), Counters::alone(pid));
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        lab.fleet.must_run()?;
        let cost = Counters::alone(pid).since(&before).context("the agent has ended")?;
        let (now, lasted) = (meter.bytes(), monotonic().saturating_sub(began).as_secs_f64());
        let rate = |now: u64, then: u64| round(count(now.saturating_sub(then)) / lasted, 10.0);
        let (sent, received) = (rate(now.0, said.0), rate(now.1, said.1));
        let rows = others.into_iter().zip(before_others).map(|(it, before)| it.row(before)).collect();
        Ok(Found { cost, sent, received, peers: shelf.is_some().then_some(rows) })
    }
}

/// A peer, started or the reason why not.
struct Other {
    watcher: Watcher,
    version: Option<String>,
    running: Result<super::peers::Watching, String>,
}

fn start_others(shelf: &Shelf, at: &std::path::Path, services: &[Service]) -> anyhow::Result<Vec<Other>> {
    must_be_plain(at)?;
    let registers: Vec<i32> = services.iter().filter_map(|it| it.run()).map(|it| it.pid).collect();
    let start = |(number, watcher): (usize, Watcher)| -> anyhow::Result<Other> {
        let Some(found) = shelf.find(watcher.program()) else {
            return Ok(Other { watcher, version: None, running: Err(install(watcher.package())) });
        };
        let at = at.join(format!("watcher-{number}"));
        std::fs::create_dir_all(&at)?;
        let running = watcher.start(&found, &at, &registers).map_err(|why| format!("{why:#}"));
        Ok(Other { watcher, version: found.version(watcher.package()), running })
    };
    Watcher::ALL.into_iter().enumerate().map(start).collect()
}

impl Other {
    fn counters(&self) -> Option<Counters> {
        self.running.as_ref().ok().map(|it| Counters::of(it.pid()))
    }

    fn row(self, before: Option<Counters>) -> Row {
        let cost = self.counters().zip(before).and_then(|(now, before)| now.since(&before));
        let ended = || cost.is_none().then(|| "it has ended: perhaps its configuration does not suit it".to_owned());
        Row {
            name: self.watcher.name(),
            package: self.watcher.package(),
            version: self.version,
            missing: self.running.as_ref().err().cloned().or_else(ended),
            cost,
        }
    }
}

impl Figures {
    fn print(&self) {
        let by = match self.probes {
            Probes::Process => "process",
            Probes::Both => "process and HTTP",
        };
        let (it, targets) = (&self.cost, self.targets);
        println!("An agent at rest with {targets} targets, each probed by {by} every second, over {} s:", self.seconds);
        println!("  resident   {:>8.2} MiB", it.rss_mib);
        println!("  anonymous  {:>8.2} MiB", it.anonymous_mib);
        println!("  PSS        {:>8.2} MiB", it.pss_mib);
        println!("  processor  {:>8.3} % of a core", it.cpu_percent);
        if let Some(floor) = self.floor_percent {
            println!("  of which   {floor:>8.3} % would be the bare connections of {targets} HTTP looks a second");
        }
        println!("  wake-ups   {:>8.1} a second", it.wakeups_per_second);
        println!(
            "  sent       {:>8.1} bytes a second, {:.1} received",
            self.sent_bytes_per_second, self.received_bytes_per_second
        );
        if let Some(rows) = &self.peers {
            println!(
                "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "Beside it", "RSS MiB", "anon", "PSS", "CPU %", "wakes/s"
            );
            rows.iter().for_each(Row::print);
            println!();
        }
        println!("{}: {}", self.program, self.machine.line());
    }
}

impl Row {
    fn print(&self) {
        match &self.cost {
            Some(it) => println!(
                "{:<34} {:>9.2} {:>9.2} {:>9.2} {:>9.3} {:>9.1}   {}",
                self.name,
                it.rss_mib,
                it.anonymous_mib,
                it.pss_mib,
                it.cpu_percent,
                it.wakeups_per_second,
                self.version.as_deref().unwrap_or_default()
            ),
            None => println!("{:<34} {}", self.name, self.missing.as_deref().unwrap_or("not measured")),
        }
    }
}

/// The slim agent beside this program, if it was built.
fn slim_agent() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("prunella-agent");
    path.is_file().then_some(path)
}
