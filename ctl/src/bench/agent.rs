//! What an agent costs at rest.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Scratch;
use super::figures::Machine;
use crate::Common;
use crate::chain::monotonic;
use crate::lab::{Lab, Plan};

const EXAMPLE: &str = "\
Examples:
  prunella bench agent
  prunella bench agent --probes process
  prunella bench agent --seconds 10 --json

Each HTTP look makes a connection of its own, and most of what it costs is the kernel's: `floor_percent` is what the same
number of bare connections a second costs on this machine.

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
    /// What looks at each target every second.
    #[arg(long, value_enum, default_value_t = Probes::Both)]
    probes: Probes,
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
    rss_mib: f64,
    anonymous_mib: f64,
    cpu_percent: f64,
    /// What the bare connections of the HTTP looks cost by themselves; null without such looks.
    floor_percent: Option<f64>,
    probes: Probes,
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
        let floor_percent = match self.probes {
            Probes::Process => None,
            Probes::Both => Some(floor(TARGETS)?),
        };
        let (seconds, probes, targets) = (self.seconds, self.probes, TARGETS);
        let it =
            Figures { rss_mib, anonymous_mib, cpu_percent, floor_percent, probes, targets, seconds, program, machine };
        if let Some(format) = common.format(self.json) {
            format.print(&it)?;
        } else {
            let by = match probes {
                Probes::Process => "process",
                Probes::Both => "process and HTTP",
            };
            println!("An agent at rest with {TARGETS} targets, each probed by {by} every second, over {seconds} s:");
            println!("  resident   {:>7.2} MiB", it.rss_mib);
            println!("  anonymous  {:>7.2} MiB", it.anonymous_mib);
            println!("  processor  {:>7.3} % of a core", it.cpu_percent);
            if let Some(floor) = it.floor_percent {
                println!("  of which   {floor:>7.3} % would be the bare connections of {TARGETS} HTTP looks a second");
            }
            println!("{}: {}", it.program, it.machine.line());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, slim: Option<PathBuf>) -> anyhow::Result<(f64, f64, f64)> {
        let scratch = Scratch::new()?;
        let http = self.probes == Probes::Both;
        let plan = Plan { services: TARGETS, interval: "1s", http, agent: slim, ..Plan::new(std::env::current_exe()?) };
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

/// How many bare looks are made to find their cost.
const FLOOR_LOOKS: u32 = 100;

/// The time between them: as much as between an agent's looks, so that caches are as cold.
const FLOOR_APART: Duration = Duration::from_millis(20);

/// What `each_second` requests over connections of their own cost the one who asks, in percent of a core, with nothing
/// around them: connect, send, receive, close.
fn floor(each_second: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port for bare looks")?;
    let address = listener.local_addr()?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let mut line = [0; 512];
        for _ in 0..FLOOR_LOOKS {
            let mut asked = listener.accept()?.0;
            let _ = asked.read(&mut line)?;
            asked.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        }
        Ok(())
    });
    let mut spent = Duration::ZERO;
    let mut line = [0; 512];
    for _ in 0..FLOOR_LOOKS {
        std::thread::sleep(FLOOR_APART);
        let before = own_time();
        let mut ask = TcpStream::connect(address).context("making a bare look")?;
        ask.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        let _ = ask.read(&mut line)?;
        drop(ask);
        spent += own_time().saturating_sub(before);
    }
    answering.join().map_err(|_| anyhow::anyhow!("the answering side of the bare looks ended early"))??;
    let each = (spent / FLOOR_LOOKS).as_secs_f64();
    let count = f64::from(u32::try_from(each_second).unwrap_or(u32::MAX));
    Ok((each * count * 1e6).round() / 1e4)
}

/// The processor time of this thread.
fn own_time() -> Duration {
    let it = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(it.tv_sec).unwrap_or(0), u32::try_from(it.tv_nsec).unwrap_or(0))
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
