//! `prunella log-level`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show, span_argument};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::output::{Time, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet log-level debug                              everything of the server's log, for an hour
  prunella --dir ./fleet log-level prunella::sessions=trace --for 5m  one target, beside what is shown anyhow
  prunella --dir ./fleet log-level usual                              back to what PRUNELLA_LOG says, else info

It ends by itself, at the latest after a day, and with the server. Needs an admin, and is audited. JSON: {filter, until}."
);

/// What stands for no level of one's own.
const USUAL: &str = "usual";

/// Arguments of `prunella log-level`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LogLevelArgs {
    /// error, warn, info, debug or trace; or that of one target; or usual.
    #[arg(value_name = "[TARGET=]LEVEL")]
    level: String,
    /// How long.
    #[arg(long = "for", value_name = "SPAN", default_value = "1h", value_parser = span_argument)]
    lasting: Duration,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    filter: String,
    until: Time,
}

impl LogLevelArgs {
    /// Changes what is in the server's log.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let level = if self.level == USUAL { String::new() } else { self.level };
            let lifetime = prost_types::Duration::try_from(self.lasting)
                .map_err(|_| Failure::Usage("--for is longer than anybody waits".to_owned()))?;
            let request = pb::SetLogLevelRequest { level, lifetime: Some(lifetime) };
            let answer = client.admin().set_log_level(request).await?.into_inner();
            let view = View { filter: answer.filter, until: answer.expire_time.into() };
            show(common, &view, |_| table(&view, now()))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn table(view: &View, now: Time) -> String {
    let until = match view.until.0 {
        Some(_) => format!("; the usual one {}", view.until.relative(now)),
        None => ", as usual".to_owned(),
    };
    format!("The server's log shows {}{until}.\n", clean(&view.filter))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn it_says_what_is_shown_and_how_long() {
        let view = View { filter: "debug".to_owned(), until: sample::later(3_600) };
        assert_eq!(table(&view, sample::now()), "The server's log shows debug; the usual one in 60 min.\n");
        let view = View { filter: "info".to_owned(), until: Time(None) };
        assert_eq!(table(&view, sample::now()), "The server's log shows info, as usual.\n");
    }
}
