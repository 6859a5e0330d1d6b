//! `prunella bench`: measures this program on this machine, along its real path (separate processes, TLS, a disk), and
//! judges its verdicts on public labelled data.

mod agent;
mod cause;
mod detect;
mod engine;
mod figures;
mod learn;
mod mttr;
mod peers;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::Common;
use crate::demo::fresh_directory;

const EXAMPLES: &str = "\
Examples:
  prunella bench mttr --runs 100          how soon a killed service runs again
  prunella bench mttr --peers --runs 30   the same beside monit, supervisord, s6, runit and systemd
  prunella bench agent --targets 50 --peers  what an agent costs at rest, beside monit, node-exporter and netdata
  prunella bench cause ./petshop          how often the true cause of a failure is named
  prunella bench detect ./data            how well anomalies are found on labelled data
  prunella bench learn                    how well repairs are chosen, in generated worlds
  prunella bench engine                   what a sample and an event cost the engine
  prunella bench mttr --json              for programs

Build with --release first: a debug build measures the compiler.";

/// Arguments of `prunella bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How soon a killed service runs again: from SIGKILL to the first act of the new process.
    Mttr(mttr::MttrArgs),
    /// What an agent costs at rest: memory, processor, wake-ups and bytes to the server.
    Agent(agent::AgentArgs),
    /// How often the true root cause is named first, or among the first three, on labelled failures.
    Cause(cause::CauseArgs),
    /// How well anomalies are found on labelled data: event-F1, delay, false incidents a day, with and without labels.
    Detect(detect::DetectArgs),
    /// How well repairs are chosen: against other ways of choosing and an oracle, in generated worlds.
    Learn(learn::LearnArgs),
    /// What a sample and an event cost the engine, in a fleet of 10,000 hosts.
    Engine(engine::EngineArgs),
}

impl BenchArgs {
    /// Measures.
    ///
    /// # Errors
    /// When the fleet does not start or a service does not come back.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Mttr(it) => it.run(common),
            What::Agent(it) => it.run(common),
            What::Cause(it) => it.run(common),
            What::Detect(it) => it.run(common),
            What::Learn(it) => it.run(common),
            What::Engine(it) => it.run(common),
        }
    }
}

/// A directory that is removed with everything in it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        fresh_directory("prunella-bench").map(Self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
