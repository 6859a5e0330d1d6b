//! `prunella dashboard`.

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::output::{Time, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet dashboard                  a link to open in a browser
  prunella --dir ./fleet dashboard --role viewer    a session that may only look

The link opens one session, as whoever asks for it. It is a secret until it is opened. JSON: {url, expires}."
);

/// Arguments of `prunella dashboard`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DashboardArgs {
    /// What the session may do: at most, and unless given, what you may.
    #[arg(long, value_parser = PossibleValuesParser::new(["viewer", "operator", "approver", "admin"]))]
    role: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    url: String,
    expires: Time,
}

impl DashboardArgs {
    /// Makes a link with which to log in.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::CreateLoginLinkRequest { role: self.role.unwrap_or_default() };
            let it = client.admin().create_login_link(request).await?.into_inner();
            let view = View { url: it.url, expires: it.expire_time.into() };
            show(common, &view, |_| {
                format!(
                    "{}\n\nIt opens the dashboard once and expires {}.\n",
                    clean(&view.url),
                    view.expires.relative(now())
                )
            })?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
