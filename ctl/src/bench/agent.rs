//! What an agent costs at rest.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::Scratch;
use super::figures::Machine;
use crate::chain::monotonic;
use crate::lab::{Lab, Plan};
use crate::{Common, Output};

const EXAMPLE: &str = "\
Examples:
  prunella bench agent
  prunella bench agent --seconds 10 --json

Measures the slim prunella-agent where it lies beside this program, otherwise this program as an agent.";

/// How many services are watched.
const TARGETS: usize = 10;

/// How long the agent is left alone before it is measured: start and enrolment are over, caches are warm.
const SETTLE: Duration = Duration::from_secs(5);

/// Arguments of `prunella bench agent`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct AgentArgs {
    /// How long is measured.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    rss_mib: f64,
    anonymous_mib: f64,
    cpu_percent: f64,
    targets: usize,
    seconds: u64,
    program: String,
    machine: Machine,
}

impl AgentArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let slim = slim_agent();
        let program = slim.clone().map_or_else(std::env::current_exe, Ok)?.display().to_string();
        let (rss_mib, anonymous_mib, cpu_percent) = crate::block_on(async {
            tokio::select! {
                found = self.measure(slim) => found,
                () = prunella_server::serve::signalled() => Err(anyhow::anyhow!("interrupted")),
            }
        })?;
        let seconds = self.seconds;
        let it = Figures { rss_mib, anonymous_mib, cpu_percent, targets: TARGETS, seconds, program, machine };
        if self.json || common.output == Output::Json {
            println!("{}", serde_json::to_string(&it)?);
        } else {
            println!(
                "An agent at rest with {TARGETS} targets, each probed by process and HTTP every second, over {seconds} s:"
            );
            println!("  resident   {:>7.2} MiB", it.rss_mib);
            println!("  anonymous  {:>7.2} MiB", it.anonymous_mib);
            println!("  processor  {:>7.3} % of a core", it.cpu_percent);
            println!("{}: {}", it.program, it.machine.line());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, slim: Option<PathBuf>) -> anyhow::Result<(f64, f64, f64)> {
        let scratch = Scratch::new()?;
        let plan = Plan { services: TARGETS, interval: "1s", agent: slim, ..Plan::new(std::env::current_exe()?) };
        let mut lab = Lab::start(&scratch.0, plan).await?;
        tokio::time::sleep(SETTLE).await;
        let pid = lab.fleet.agents().first().context("no agent")?.pid();
        let (began, spent) = (monotonic(), processor_time(pid)?);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        lab.fleet.must_run()?;
        let (lasted, spent) = (monotonic().saturating_sub(began), processor_time(pid)?.saturating_sub(spent));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading the agent's memory")?;
        let percent = spent.as_secs_f64() / lasted.as_secs_f64() * 100.0;
        Ok((mib(&status, "VmRSS:")?, mib(&status, "RssAnon:")?, (percent * 1e4).round() / 1e4))
    }
}

/// The slim agent beside this program, if it was built.
fn slim_agent() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("prunella-agent");
    path.is_file().then_some(path)
}

/// The processor time of all threads, to the nanosecond; `stat` would say hundredths of a second.
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).context("reading the agent's threads")?;
    let mut total = 0;
    for task in tasks {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).context("reading a thread's time")?;
        let spent: u64 = text.split(' ').next().unwrap_or_default().parse().context("schedstat is not as expected")?;
        total += spent;
    }
    Ok(Duration::from_nanos(total))
}

fn mib(status: &str, key: &str) -> anyhow::Result<f64> {
    let line = status.lines().find(|it| it.starts_with(key)).with_context(|| format!("no {key}"))?;
    let kib: u32 = line.split_whitespace().nth(1).unwrap_or_default().parse().with_context(|| format!("bad {key}"))?;
    Ok((f64::from(kib) / 1024.0 * 100.0).round() / 100.0)
}
