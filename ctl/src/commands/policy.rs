//! `prunella policy`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{Flow, Time, clean};

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

JSON: {version, etag, toml, validated_only: null, rolling_out: false, warnings}."
);

const SET_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet policy set policy.toml --dry-run   only check it
  prunella --dir ./fleet policy set policy.toml             put it in force, in stages (see policy rollout)
  prunella --dir ./fleet policy set policy.toml --now       put it in force for all hosts at once

Fails when somebody else has changed the policy since --etag, or without one since this command began.
JSON: {version, etag, toml, validated_only, rolling_out, warnings}."
);

const PREVIEW_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet policy preview new.toml

The server goes through the newest part of its journal with the other policy, and says where that would have decided
something else. What follows there stands on answers to commands that were never sent. Nothing is changed.
JSON: {events, since, commands, other_commands, incidents, different, differences: [{target, at, recorded, other}], warnings}."
);

const ROLLOUT_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet policy rollout                       how far a changed policy has come
  prunella --dir ./fleet policy rollout --stop \"a typo\"      give it up

Stages: shadow (it decides for nobody, and is compared), one host, 5 % of the hosts, 25 %, all. After each its hosts are
looked at; worse, or no verdict, ends it by itself. How long they last: [canary] in the policy in force.
JSON: {active, version, by, stage, since, until, hosts, compared, different, examples, last}; with --stop {message}."
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
    /// Replace the policy, in stages.
    Set(SetArgs),
    /// What another policy would have done with what happened.
    Preview(PreviewArgs),
    /// How a changed policy is rolled out, or give it up.
    Rollout(RolloutArgs),
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
    /// Put it in force for all hosts at once, without stages. The audit log says so.
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,
    /// The etag of the policy that the new one was made from (`policy show -o json`).
    #[arg(long, value_name = "ETAG")]
    etag: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = PREVIEW_HELP)]
struct PreviewArgs {
    /// The other policy, TOML.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = ROLLOUT_HELP)]
struct RolloutArgs {
    /// Give it up, for this reason; the policy in force stays.
    #[arg(long, value_name = "WHY")]
    stop: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    version: u64,
    etag: String,
    toml: String,
    validated_only: Option<bool>,
    rolling_out: bool,
    warnings: Vec<String>,
}

impl View {
    fn of(it: pb::Policy, validated_only: Option<bool>) -> Self {
        Self {
            version: it.version,
            etag: it.etag,
            toml: it.toml,
            validated_only,
            rolling_out: it.rolling_out,
            warnings: it.warnings,
        }
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
                Verb::Preview(args) => {
                    args.ask(common).await?;
                    return Ok(ExitCode::SUCCESS);
                }
                Verb::Rollout(args) => {
                    args.ask(common).await?;
                    return Ok(ExitCode::SUCCESS);
                }
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
        let request = pb::UpdatePolicyRequest { toml, etag, validate_only: self.dry_run, at_once: self.now };
        let policy = client.admin().update_policy(request).await?.into_inner();
        Ok(View::of(policy, Some(self.dry_run)))
    }
}

#[derive(Debug, Serialize)]
struct PreviewView {
    events: u64,
    since: Time,
    commands: u64,
    other_commands: u64,
    incidents: u64,
    different: u64,
    differences: Vec<DifferenceView>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DifferenceView {
    target: String,
    at: Time,
    recorded: Vec<String>,
    other: Vec<String>,
}

impl PreviewArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let toml = fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let client = Client::connect(common, &self.connection).await?;
        let answer = client.admin().preview_policy(pb::PreviewPolicyRequest { toml }).await?.into_inner();
        let view = PreviewView::of(answer);
        Ok(show(common, &view, |_| preview(&view, now()))?)
    }
}

impl PreviewView {
    fn of(it: pb::PreviewPolicyResponse) -> Self {
        let difference = |it: pb::preview_policy_response::Difference| DifferenceView {
            target: short(&it.target),
            at: it.time.into(),
            recorded: it.recorded,
            other: it.other,
        };
        Self {
            events: it.events,
            since: it.since_time.into(),
            commands: it.commands,
            other_commands: it.other_commands,
            incidents: it.incidents,
            different: it.different,
            differences: it.differences.into_iter().map(difference).collect(),
            warnings: it.warnings,
        }
    }
}

fn preview(it: &PreviewView, now: Time) -> String {
    let mut text = String::new();
    for each in &it.differences {
        text += &format!("{}, {}\n", each.target, each.at.relative(now));
        let lines = |mark: &str, lines: &[String]| -> String {
            if lines.is_empty() {
                return format!("  {mark} nothing\n");
            }
            lines.iter().map(|line| format!("  {mark} {}\n", clean(line))).collect()
        };
        text += &lines("was  ", &each.recorded);
        text += &lines("would", &each.other);
    }
    text += &format!(
        "{} events since {}: {} of {} incidents would have gone another way; {} commands instead of {}\n",
        it.events,
        it.since.relative(now),
        it.different,
        it.incidents,
        it.other_commands,
        it.commands
    );
    it.warnings.iter().fold(text, |text, it| text + &format!("Warning: {}\n", clean(it)))
}

#[derive(Debug, Serialize)]
struct Stopped {
    message: String,
}

#[derive(Debug, Serialize)]
struct RolloutView {
    active: bool,
    version: Option<u64>,
    by: Option<String>,
    stage: Option<String>,
    since: Time,
    until: Time,
    hosts: Vec<String>,
    compared: u32,
    different: u32,
    examples: Vec<String>,
    last: Option<String>,
}

impl RolloutArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        if let Some(why) = self.stop {
            let request = pb::StopPolicyRolloutRequest { why };
            let message = client.admin().stop_policy_rollout(request).await?.into_inner().message;
            let view = Stopped { message };
            return Ok(show(common, &view, |_| clean(&view.message) + "\n")?);
        }
        let view =
            RolloutView::of(client.admin().get_policy_rollout(pb::GetPolicyRolloutRequest {}).await?.into_inner());
        Ok(show(common, &view, |_| rollout(&view, now()))?)
    }
}

impl RolloutView {
    fn of(it: pb::PolicyRollout) -> Self {
        Self {
            version: it.active.then_some(it.version),
            by: it.active.then_some(it.by),
            stage: it.active.then_some(it.stage),
            active: it.active,
            since: it.since.into(),
            until: it.until.into(),
            hosts: it.hosts.iter().map(|name| short(name)).collect(),
            compared: it.compared,
            different: it.different,
            examples: it.examples,
            last: it.last,
        }
    }
}

fn rollout(it: &RolloutView, now: Time) -> String {
    let last = it.last.as_ref().map_or_else(String::new, |last| format!("Before: {}\n", clean(last)));
    let (Some(version), Some(by), Some(stage)) = (it.version, &it.by, &it.stage) else {
        return format!("No policy is being rolled out.\n{last}");
    };
    let mut text =
        format!("Policy version {version} by {}: {}, verdict {}\n", clean(by), clean(stage), it.until.relative(now));
    if !it.hosts.is_empty() {
        text += &format!("It decides for {}\n", clean(&it.hosts.join(", ")));
    }
    text += &format!("{} decisions compared, {} differ\n", it.compared, it.different);
    for example in &it.examples {
        text += &format!("  {}\n", clean(example));
    }
    text + &last
}

fn table(it: &View) -> String {
    let warnings: String = it.warnings.iter().map(|it| format!("Warning: {}\n", clean(it))).collect();
    let said = match it.validated_only {
        None => it.toml.clone(),
        Some(true) => "The policy is valid. Nothing was changed.\n".to_owned(),
        Some(false) if it.rolling_out => {
            format!("Policy version {} is being rolled out, beginning in shadow: prunella policy rollout\n", it.version)
        }
        Some(false) => format!("Policy version {} is in force.\n", it.version),
    };
    // `policy show > policy.toml` must stay a policy.
    if it.validated_only.is_none() { said } else { said + &warnings }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_roll_out_says_how_far_it_is() {
        let last = Some("version 3 did worse".to_owned());
        let none = RolloutView::of(pb::PolicyRollout { last, ..pb::PolicyRollout::default() });
        let text = rollout(&none, sample::now());
        assert_eq!(text, "No policy is being rolled out.\nBefore: version 3 did worse\n");
        let it = RolloutView::of(pb::PolicyRollout {
            active: true,
            version: 4,
            by: "ada".to_owned(),
            stage: "one host".to_owned(),
            hosts: vec!["hosts/h1".to_owned()],
            compared: 7,
            different: 1,
            examples: vec!["incident 1-1: restart_service; it: held by mode".to_owned()],
            ..pb::PolicyRollout::default()
        });
        let text = rollout(&it, sample::now());
        for part in
            ["version 4 by ada: one host", "decides for h1\n", "7 decisions compared, 1 differ\n", "held by mode"]
        {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
