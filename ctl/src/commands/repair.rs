//! `prunella repair`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{explain, near, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::clean;
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet repair run web-1/web --why \"users report errors\"
  prunella --dir ./fleet repair cancel 17"
);

const RUN_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet repair run web-1/web                            the engine chooses the repair
  prunella --dir ./fleet repair run web-1/web restart_service --dry-run  decide and check everything, do nothing
  prunella --dir ./fleet repair run web-1/web --chain                    first what it needs, then itself

Brakes and the host's own policy hold for repairs by hand, too. With --dry-run the host's agent says what each step would do
there now (files, bytes, processes), or what it would refuse and why; nothing is done or written down for it. An agent that
is away is said so at once, one that is stuck after 20 s. JSON: {incident, message}, and with --dry-run
{incident, message, rehearsal: {host, unanswered, refused, steps: [{step, possible, text}]}}."
);

const CANCEL_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet repair cancel 17 --why \"fixed by hand\"

What is under way stops before its next step, and the incident is closed. JSON: {incident, message}."
);

/// Arguments of `prunella repair`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RepairArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Try a repair now.
    Run(RunArgs),
    /// Give an incident up.
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
struct RunArgs {
    /// The target.
    #[arg(value_name = "HOST/TARGET", value_parser = names::target)]
    target: String,
    /// The repair; without it the engine chooses.
    #[arg(value_name = "REPAIR")]
    repair: Option<String>,
    /// First repair everything broken that it needs, what is needed first; stop at the first that is not healed.
    #[arg(long)]
    chain: bool,
    /// Decide and check everything, and ask the agent what it would do; do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "asked for by an operator")]
    why: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = CANCEL_HELP)]
struct CancelArgs {
    /// The incident: 6740e3a0-17, 17, or latest.
    #[arg(value_name = "INCIDENT", value_parser = names::incident)]
    incident: names::IncidentKey,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "asked for by an operator")]
    why: String,
    #[command(flatten)]
    connection: Connection,
}

/// What became of a request, and the incident that shows how it goes on.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) incident: String,
    pub(super) message: String,
    /// Only of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rehearsal: Option<RehearsalView>,
}

/// What the host's agent says of a dry run.
#[derive(Debug, Serialize)]
pub(super) struct RehearsalView {
    host: String,
    /// Why it did not say.
    unanswered: Option<String>,
    /// Why the host would refuse.
    refused: Option<String>,
    steps: Vec<StepView>,
}

/// What one step would do.
#[derive(Debug, Serialize)]
struct StepView {
    step: String,
    possible: bool,
    text: String,
}

impl RehearsalView {
    fn new(it: pb::Rehearsal) -> Self {
        let step = |it: pb::RehearsedStep| StepView { step: it.step, possible: it.possible, text: it.text };
        let steps = it.steps.into_iter().map(step).collect();
        Self { host: short(&it.host), unanswered: it.unanswered, refused: it.refused, steps }
    }

    fn lines(&self) -> String {
        let host = clean(&self.host);
        if let Some(why) = &self.unanswered {
            return format!("The agent of {host} did not say what it would do: {}\n", clean(why));
        }
        if let Some(why) = &self.refused {
            return format!("The agent of {host} would refuse: {}\n", clean(why));
        }
        let line = |it: &StepView| {
            let sign = if it.possible { "" } else { "could not: " };
            format!("  {}: {sign}{}\n", clean(&it.step), clean(&it.text))
        };
        self.steps.iter().fold(format!("The agent of {host} says:\n"), |text, it| text + &line(it))
    }
}

impl RepairArgs {
    /// Runs or cancels a repair.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let view = match self.verb {
                Verb::Run(args) => args.ask(common).await?,
                Verb::Cancel(args) => args.ask(common).await?,
            };
            show(common, &view, |_| table(&view))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl RunArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let target = self.target;
        let request = pb::RunRepairRequest {
            target: target.clone(),
            repair: self.repair,
            why: self.why,
            validate_only: self.dry_run,
            request_id: request_id()?,
            chain: self.chain,
        };
        let answer = near::found(&client, &target, client.incidents().run_repair(request).await).await?;
        let rehearsal = answer.rehearsal.map(RehearsalView::new);
        Ok(View { incident: short(&answer.incident), message: answer.message, rehearsal })
    }
}

impl CancelArgs {
    async fn ask(self, common: &Common) -> Result<View, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let id = explain::find(&client, self.incident).await?;
        let request = pb::CancelIncidentRequest { name: format!("incidents/{id}"), why: self.why };
        let answer = client.incidents().cancel_incident(request).await?.into_inner();
        Ok(View { incident: id.to_string(), message: answer.message, rehearsal: None })
    }
}

pub(super) fn table(view: &View) -> String {
    let mut message = clean(&view.message) + "\n";
    message += &view.rehearsal.as_ref().map(RehearsalView::lines).unwrap_or_default();
    if view.incident.is_empty() {
        return message;
    }
    format!("{message}Follow it: prunella explain {}\n", view.incident)
}

/// A new random name for this request, so that a repeated delivery of it is known as the same.
pub(super) fn request_id() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
