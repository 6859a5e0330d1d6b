//! Server and agent as subcommands, so that one program is enough to run everything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use prunella_model::HostId;
use prunella_server::config::HttpListen;

const SERVER_EXAMPLE: &str = "\
Example:
  prunella server --config ./fleet/server.toml

The slim binary prunella-server does the same.";

const AGENT_EXAMPLE: &str = "\
Examples:
  prunella agent --config /etc/prunella/agent.toml --join TOKEN    the first time
  prunella agent --config /etc/prunella/agent.toml
  prunella agent --config /etc/prunella/agent.toml --helper-of prunella-agent --state-dir /var/lib/prunella-agent-helper
                                                                   the half with the privilege (docs/privilege.md)

The slim binary prunella-agent does the same.";

/// Arguments of `prunella server`.
#[derive(Debug, Args)]
#[command(after_help = SERVER_EXAMPLE)]
pub struct ServerArgs {
    /// The server's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to serve JSON and the dashboard: ADDRESS:PORT, or off [default: what the file says, else 127.0.0.1:8009]
    #[arg(long, value_name = "ADDRESS", env = "PRUNELLA_HTTP")]
    http: Option<HttpListen>,
    /// End when this process ends: the demonstration must leave nothing behind, however it ends.
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<i32>,
}

/// Arguments of `prunella agent`.
#[derive(Debug, Args)]
#[command(after_help = AGENT_EXAMPLE)]
pub struct AgentArgs {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The join token, for a host that is not yet a member of the fleet.
    #[arg(long, value_name = "TOKEN", env = "PRUNELLA_JOIN_TOKEN", hide_env_values = true)]
    join: Option<String>,
    /// Run the half with the privilege and without a network, for the other half that runs as this user.
    #[arg(long, value_name = "USER", requires = "state_dir")]
    helper_of: Option<String>,
    /// Instead of the name in the file.
    #[arg(long, hide = true)]
    host: Option<HostId>,
    /// Instead of the state directory in the file.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Instead of the control address in the file.
    #[arg(long, hide = true)]
    control: Option<String>,
    /// Instead of the agents' address in the file.
    #[arg(long, hide = true)]
    agents: Option<String>,
    /// End when this process ends: the demonstration must leave nothing behind, however it ends.
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<u32>,
}

impl ServerArgs {
    /// Runs the server until it is told to end.
    ///
    /// # Errors
    /// Whatever kept the server from starting or ended it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        tie_to_parent(self.with_parent)?;
        prunella_server::run(prunella_server::ServeArgs { config: self.config, http: self.http })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl AgentArgs {
    /// Runs the agent until it is told to end.
    ///
    /// # Errors
    /// Whatever kept the agent from starting or ended it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        prunella_agent::start_logging(false);
        if let (Some(user), Some(state_dir)) = (self.helper_of, self.state_dir.clone()) {
            let (config, join_token, with_parent) = (self.config, self.join, self.with_parent);
            prunella_agent::run_helper(prunella_agent::HelperArgs {
                config,
                state_dir,
                user,
                join_token,
                with_parent,
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let args =
            prunella_agent::RunArgs { config: self.config, join_token: self.join, with_parent: self.with_parent };
        prunella_agent::run_with(args, |config| {
            config.host = self.host.unwrap_or_else(|| config.host.clone());
            if let Some(state_dir) = self.state_dir {
                config.state_dir = state_dir;
            }
            if let Some(control) = self.control {
                config.control = vec![control];
            }
            if let Some(agents) = self.agents {
                config.agents = vec![agents];
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks the kernel to end this process in an orderly way when `parent` ends, even if that one is killed.
fn tie_to_parent(parent: Option<i32>) -> anyhow::Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("asking the kernel for a signal at the end of the parent process")?;
    // The parent may have ended before the kernel knew that it matters.
    let now = rustix::process::getppid().map(|it| it.as_raw_nonzero().get());
    anyhow::ensure!(now == Some(parent), "process {parent}, which this one belongs to, has ended");
    Ok(())
}
