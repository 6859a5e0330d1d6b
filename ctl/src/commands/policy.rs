//! `prunella policy`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::show;
use crate::Common;
use crate::client::{Client, Connection, Failure, run};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet policy show > policy.toml
  prunella --dir ./fleet policy set policy.toml --dry-run"
);

const SHOW_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet policy show

JSON: {version, etag, toml, validated_only: null}."
);

const SET_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet policy set policy.toml --dry-run   only check it
  prunella --dir ./fleet policy set policy.toml             put it in force

Fails when somebody else has changed the policy since --etag, or without one since this command began.
JSON: {version, etag, toml, validated_only}."
);

/// Arguments of `prunella policy`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct PolicyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the policy in force.
    Show(ShowArgs),
    /// Replace the policy.
    Set(SetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_HELP)]
struct ShowArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = SET_HELP)]
struct SetArgs {
    /// The new policy, TOML.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check it and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The etag of the policy that the new one was made from (`policy show -o json`).
    #[arg(long, value_name = "ETAG")]
    etag: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    version: u64,
    etag: String,
    toml: String,
    validated_only: Option<bool>,
}

impl View {
    fn of(it: pb::Policy, validated_only: Option<bool>) -> Self {
        Self { version: it.version, etag: it.etag, toml: it.toml, validated_only }
    }
}

impl PolicyArgs {
    /// Shows or replaces the policy.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let view = match self.verb {
                Verb::Show(args) => args.ask(common).await?,
                Verb::Set(args) => args.ask(common).await?,
            };
            show(common, &view, |_| table(&view))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ShowArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        Ok(View::of(client.admin().get_policy(pb::GetPolicyRequest {}).await?.into_inner(), None))
    }
}

impl SetArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let toml = fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let client = Client::connect(common, &self.connection).await?;
        let etag = match self.etag {
            Some(etag) => etag,
            None => client.admin().get_policy(pb::GetPolicyRequest {}).await?.into_inner().etag,
        };
        let request = pb::UpdatePolicyRequest { toml, etag, validate_only: self.dry_run };
        let policy = client.admin().update_policy(request).await?.into_inner();
        Ok(View::of(policy, Some(self.dry_run)))
    }
}

fn table(it: &View) -> String {
    match it.validated_only {
        None => it.toml.clone(),
        Some(true) => "The policy is valid. Nothing was changed.\n".to_owned(),
        Some(false) => format!("Policy version {} is in force.\n", it.version),
    }
}
