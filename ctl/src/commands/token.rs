//! `prunella token`.

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use prunella_model::{HostId, OperatorName};
use prunella_proto::control::v1 as pb;
use prunella_proto::wire::encode_span;
use serde::Serialize;

use super::{now, show, span_argument};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::output::{Time, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet token create --host web-2 --for 30m
  prunella --dir ./fleet token operator ada --role operator"
);

const CREATE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet token create                          any one host may join within 10 minutes
  prunella --dir ./fleet token create --host web-2 --for 1h    only web-2

The token holds the server's address, the pin of its authority and the fleet's root keys, so the new host can be sure
whom it joins. It is a secret and good for one host. JSON: {token, expires, command}."
);

const OPERATOR_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet token operator ada --role viewer
  prunella --dir ./fleet token operator ci --role operator --for 30d -o json

Use it with PRUNELLA_TOKEN, --server and --ca. It is a secret and is shown only once. JSON: {token, expires, command}."
);

/// Arguments of `prunella token`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a one-use token with which one host can join, and print the whole join command.
    Create(CreateArgs),
    /// Make a bearer token for an operator.
    Operator(OperatorArgs),
}

#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
struct CreateArgs {
    /// Only this host may use it.
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,
    /// How long it is good: 10m unless given, at most 1d.
    #[arg(long = "for", value_name = "SPAN", value_parser = span_argument)]
    lasting: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = OPERATOR_HELP)]
struct OperatorArgs {
    /// Whose it is.
    #[arg(value_name = "NAME")]
    name: OperatorName,
    /// What it permits.
    #[arg(long, value_parser = PossibleValuesParser::new(["viewer", "operator", "approver", "admin"]))]
    role: String,
    /// How long it is good: 12h unless given, at most 90d.
    #[arg(long = "for", value_name = "SPAN", value_parser = span_argument)]
    lasting: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    token: String,
    expires: Time,
    command: Option<String>,
}

impl TokenArgs {
    /// Makes a token.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let view = match self.verb {
                Verb::Create(args) => args.ask(common).await?,
                Verb::Operator(args) => args.ask(common).await?,
            };
            show(common, &view, |_| table(&view, now()))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl CreateArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::CreateJoinTokenRequest {
            lifetime: self.lasting.map(encode_span),
            host: self.host.map(String::from).unwrap_or_default(),
        };
        let it = client.admin().create_join_token(request).await?.into_inner();
        Ok(View { token: it.token, expires: it.expire_time.into(), command: Some(it.command) })
    }
}

impl OperatorArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::CreateOperatorTokenRequest {
            name: self.name.to_string(),
            role: self.role,
            lifetime: self.lasting.map(encode_span),
        };
        let it = client.admin().create_operator_token(request).await?.into_inner();
        Ok(View { token: it.token, expires: it.expire_time.into(), command: None })
    }
}

fn table(it: &View, now: Time) -> String {
    let expires = it.expires.relative(now);
    match &it.command {
        Some(command) => format!(
            "Run this on the new host; it is good for one host and expires {expires}:\n\n  {}\n",
            clean(command)
        ),
        None => format!(
            "{}\n\nExpires {expires}. It is shown only here and now: keep it in PRUNELLA_TOKEN.\n",
            clean(&it.token)
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn a_join_token_comes_with_the_command_to_run() {
        let view = View {
            token: "prunella-join-1.abc".to_owned(),
            expires: sample::later(600),
            command: Some("prunella agent join --token prunella-join-1.abc".to_owned()),
        };
        expect![[r#"
            Run this on the new host; it is good for one host and expires in 10 min:

              prunella agent join --token prunella-join-1.abc
        "#]]
        .assert_eq(&table(&view, sample::now()));
    }
}
