//! The `prunella-agent` program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use prunella_agent::{HelperArgs, RunArgs};

/// Watches the targets that agent.toml names, reports what it sees, and carries out signed repairs that agent.toml
/// permits.
#[derive(Debug, Parser)]
#[command(
    name = "prunella-agent",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        prunella-agent --config /etc/prunella/agent.toml --join TOKEN   join the fleet, then run\n  \
        prunella-agent --config /etc/prunella/agent.toml                run as a member\n  \
        prunella-agent check                                            what could this agent do here, and what not?\n\n\
        `prunella token create` prints the first line with a token in it."
)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// What exists on this host, and what may be done to it.
    #[arg(long, value_name = "FILE", default_value = "/etc/prunella/agent.toml")]
    config: PathBuf,
    /// A one-use token that makes this host a member of the fleet; needed at the first start only.
    #[arg(long, value_name = "TOKEN", env = "PRUNELLA_JOIN_TOKEN", hide_env_values = true)]
    join: Option<String>,
    /// Logs as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
    /// Stop in good order when this process, the parent, ends.
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The privileged half: judges and acts, and has no network. agent.toml names its socket (`helper` in `[agent]`).
    #[command(after_help = "Example:\n  prunella-agent helper --user prunella-agent")]
    Helper {
        #[command(flatten)]
        run: Run,
        /// The user of the other half: its name, or its number.
        #[arg(long, value_name = "USER", default_value = "prunella-agent")]
        user: String,
        /// Where the helper keeps the ledger and whom it trusts; only its own user may write there.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/prunella-agent-helper")]
        state_dir: PathBuf,
    },
    /// Says what this agent could do on this host as the user that asks, and what it could not; starts nothing.
    #[command(after_help = "Example:\n  prunella-agent check --config /etc/prunella/agent.toml")]
    Check {
        /// What exists on this host, and what may be done to it.
        #[arg(long, value_name = "FILE", default_value = "/etc/prunella/agent.toml")]
        config: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.part {
        None => run(args.run),
        Some(Part::Helper { run, user, state_dir }) => {
            prunella_agent::start_logging(run.log_json);
            let Run { config, join, with_parent, log_json: _ } = run;
            prunella_agent::run_helper(HelperArgs { config, state_dir, user, join_token: join, with_parent })
        }
        Some(Part::Check { config, json }) => return check(&config, json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn run(args: Run) -> anyhow::Result<()> {
    prunella_agent::start_logging(args.log_json);
    prunella_agent::run(RunArgs { config: args.config, join_token: args.join, with_parent: args.with_parent })
}

/// Exits with 0 when everything that agent.toml permits could be done, otherwise with 1.
fn check(config: &std::path::Path, json: bool) -> ExitCode {
    match prunella_agent::check::check(config) {
        Ok(found) => {
            print!("{}", if json { found.to_json() } else { found.to_string() });
            if found.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(&error.into()),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("prunella-agent: {error:#}");
    ExitCode::FAILURE
}
