//! `prunella pause` and `prunella resume`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{show, span_argument, time_after};
use crate::client::{Client, Connection, run};
use crate::output::{Time, clean};
use crate::{Common, names};

const PAUSE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet pause --why \"migrating the database\" --for 2h      the whole fleet
  prunella --dir ./fleet pause groups/db --why \"moving the racks\"          the members of one group
  prunella --dir ./fleet pause web-1/web --why \"debugging it by hand\"       one target, until it is lifted

A pause stops repairs, the ones under way before their next step. Watching goes on.
JSON: {name, message, until}."
);

const RESUME_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet resume                    lifts the pause of the whole fleet
  prunella --dir ./fleet resume web-1/web          lifts the pause of one target
  prunella --dir ./fleet resume operators/bob      lets bob pass brakes again; somebody else must do that

JSON: {name, message, until: null}."
);

/// Arguments of `prunella pause`.
#[derive(Debug, Args)]
#[command(after_help = PAUSE_HELP)]
pub struct PauseArgs {
    /// What: fleet, groups/GROUP, HOST or HOST/TARGET.
    #[arg(value_name = "WHAT", default_value = "fleet", value_parser = names::scope)]
    what: String,
    /// Why, for whoever finds it paused.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// For how long: 30m, 2h, 1d. Without it the pause lasts until it is lifted.
    #[arg(long = "for", value_name = "SPAN", value_parser = span_argument)]
    lasting: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `prunella resume`.
#[derive(Debug, Args)]
#[command(after_help = RESUME_HELP)]
pub struct ResumeArgs {
    /// What: fleet, groups/GROUP, HOST or HOST/TARGET.
    #[arg(value_name = "WHAT", default_value = "fleet", value_parser = names::scope)]
    what: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    name: String,
    message: String,
    until: Time,
}

impl PauseArgs {
    /// Stops repairs.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let name = self.what;
            let client = Client::connect(common, &self.connection).await?;
            let until = self.lasting.map(|it| time_after(jiff::Timestamp::now(), it)).transpose()?;
            let request = pb::PauseRequest { name: name.clone(), why: self.why, expire_time: until };
            let message = client.fleet().pause(request).await?.into_inner().message;
            let view = View { name, message, until: until.into() };
            show(common, &view, |_| clean(&view.message) + "\n")?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ResumeArgs {
    /// Lifts a pause.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let name = self.what;
            let client = Client::connect(common, &self.connection).await?;
            let message = client.fleet().resume(pb::ResumeRequest { name: name.clone() }).await?.into_inner().message;
            let view = View { name, message, until: Time(None) };
            show(common, &view, |_| clean(&view.message) + "\n")?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
