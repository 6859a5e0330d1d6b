//! The `prunella-agent` program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use prunella_agent::RunArgs;

/// Watches the targets that agent.toml names, reports what it sees, and carries out signed repairs that agent.toml
/// permits.
#[derive(Debug, Parser)]
#[command(
    name = "prunella-agent",
    version,
    after_help = "Examples:\n  \
        prunella-agent --config /etc/prunella/agent.toml --join TOKEN   join the fleet, then run\n  \
        prunella-agent --config /etc/prunella/agent.toml                run as a member\n\n\
        `prunella token create` prints the first line with a token in it."
)]
struct Args {
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

fn main() -> ExitCode {
    let args = Args::parse();
    prunella_agent::start_logging(args.log_json);
    match prunella_agent::run(RunArgs { config: args.config, join_token: args.join, with_parent: args.with_parent }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prunella-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
