//! From SIGKILL to the first act of the new process, through pidfd, TLS, engine, store, signature, ward and ledger.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::task::LocalSet;

use super::Scratch;
use super::figures::{Machine, Spread};
use crate::chain::monotonic;
use crate::lab::{Lab, Plan, Service};
use crate::{Common, Output};

const EXAMPLE: &str = "\
Examples:
  prunella bench mttr
  prunella bench mttr --runs 1000 --json

Each run kills a healthy service and waits until its incident is closed, which takes a second of probation.";

/// How long one repair may take before the benchmark gives up.
const RUN_TIME: Duration = Duration::from_secs(30);

/// How often it is looked for the new process. It writes down the time itself, so this adds no error.
const LOOK: Duration = Duration::from_millis(1);

/// Repairs before the first one that counts: file caches and branch predictors fill, as in any service that lives.
const WARM_UP: usize = 2;

/// Arguments of `prunella bench mttr`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct MttrArgs {
    /// How many times a service is killed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
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
    machine: Machine,
}

/// One repair.
struct Run {
    first_line: Duration,
    verified: Duration,
}

impl MttrArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let runs = crate::block_on(async {
            let local = LocalSet::new();
            tokio::select! {
                runs = local.run_until(self.measure()) => runs,
                () = prunella_server::serve::signalled() => Err(anyhow::anyhow!("interrupted")),
            }
        })?;
        let spread = |times: Vec<Duration>| Spread::of(times).context("nothing was measured");
        let figures = Figures {
            first_line: spread(runs.iter().map(|it| it.first_line).collect())?,
            verified: spread(runs.iter().map(|it| it.verified).collect())?,
            machine,
        };
        if self.json || common.output == Output::Json {
            println!("{}", serde_json::to_string(&figures)?);
        } else {
            let line = |what: &str, it: &Spread| {
                println!(
                    "{what:<32} p50 {:>8.3} ms   p95 {:>8.3} ms   p99 {:>8.3} ms   ({} runs)",
                    it.p50_ms, it.p95_ms, it.p99_ms, it.runs
                );
            };
            line("SIGKILL to the new process", &figures.first_line);
            line("SIGKILL to verified healthy", &figures.verified);
            println!("{}", figures.machine.line());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self) -> anyhow::Result<Vec<Run>> {
        let scratch = Scratch::new()?;
        let lab = Lab::start(&scratch.0, Plan::new(std::env::current_exe()?)).await?;
        lab.records.follow(|_| {}).await?;
        let service = lab.services.first().context("no service")?;
        let mut runs = Vec::new();
        for number in 0..self.runs as usize + WARM_UP {
            let run = kill_once(&lab, service).await?;
            if number >= WARM_UP {
                runs.push(run);
            }
        }
        Ok(runs)
    }
}

async fn kill_once(lab: &Lab, service: &Service) -> anyhow::Result<Run> {
    let before = service.runs().len();
    let pid = service.run().and_then(|it| Pid::from_raw(it.pid)).context("the service does not run")?;
    lab.records.forget();
    let killed = monotonic();
    kill_process(pid, Signal::KILL).context("killing the service")?;
    let born = wait(|| service.runs().get(before).map(|it| it.at), killed, "start again").await?;
    let verified = wait(|| lab.records.first("repair_verified"), killed, "be verified").await?;
    wait(|| lab.records.first("incident_closed"), killed, "have its incident closed").await?;
    Ok(Run { first_line: born.saturating_sub(killed), verified: verified.saturating_sub(killed) })
}

async fn wait(look: impl Fn() -> Option<Duration>, since: Duration, what: &str) -> anyhow::Result<Duration> {
    loop {
        if let Some(at) = look() {
            return Ok(at);
        }
        anyhow::ensure!(monotonic() < since + RUN_TIME, "the service did not {what} within {RUN_TIME:?}");
        tokio::time::sleep(LOOK).await;
    }
}
