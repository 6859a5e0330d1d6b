//! `prunella mode`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::show;
use crate::client::{Client, Connection, run};
use crate::output::clean;
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet mode fleet disabled --why \"chasing a bug\"        decide and show, repair nothing
  prunella --dir ./fleet mode groups/db conservative --why \"the sale\"     repair only critical faults there
  prunella --dir ./fleet mode groups/db policy --why \"the sale is over\"   back to what the policy says

A mode that is set here takes the place of the policy's until it is lifted, also over a restart of the server. A group's
mode takes the place of the fleet's, but a disabled fleet is so everywhere.
JSON: {name, mode, message}."
);

/// Arguments of `prunella mode`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ModeArgs {
    /// What: fleet or groups/GROUP.
    #[arg(value_name = "WHAT", value_parser = names::fleet_or_group)]
    what: String,
    /// How eagerly it is repaired.
    #[arg(value_name = "MODE", value_enum)]
    mode: ModeArgument,
    /// Why, for whoever finds it so.
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    connection: Connection,
}

/// A mode, or the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArgument {
    /// Skip pacing, never safety.
    Aggressive,
    /// Everything, paced.
    Balanced,
    /// Repair only critical faults.
    Conservative,
    /// Decide and show, repair nothing.
    Disabled,
    /// As the policy says.
    Policy,
}

#[derive(Debug, Serialize)]
struct View {
    name: String,
    mode: Option<&'static str>,
    message: String,
}

impl ModeArgs {
    /// Sets a mode.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let (mode, text) = match self.mode {
                ModeArgument::Aggressive => (pb::Mode::Aggressive, Some("aggressive")),
                ModeArgument::Balanced => (pb::Mode::Balanced, Some("balanced")),
                ModeArgument::Conservative => (pb::Mode::Conservative, Some("conservative")),
                ModeArgument::Disabled => (pb::Mode::Disabled, Some("disabled")),
                ModeArgument::Policy => (pb::Mode::Unspecified, None),
            };
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::SetModeRequest { name: self.what.clone(), mode: mode.into(), why: self.why };
            let message = client.fleet().set_mode(request).await?.into_inner().message;
            let view = View { name: self.what, mode: text, message };
            show(common, &view, |_| clean(&view.message) + "\n")?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
