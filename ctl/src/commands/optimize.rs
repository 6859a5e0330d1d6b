//! `prunella optimize`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::show;
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{Paint, Rows, Time, Tone, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet optimize list
  prunella --dir ./fleet optimize apply 3f9a1c22d07be415 --dry-run"
);

const LIST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet optimize list           what could be better, best first

JSON: {\"opportunities\": [{id, kind, target, summary, priority, confidence, score, repair, metric, present_value,
  expected_value, effect, evidence: [text], safe_to_automate, not_automatic, obstacle,
  open_time, waits_for}]}. What is safe is taken unasked, where the policy wants that, once `open_time` has come."
);

const APPLY_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet optimize apply 3f9a1c22d07be415 --dry-run    decide and check everything, do nothing
  prunella --dir ./fleet optimize apply 3f9a1c22d07be415              take it, and measure what it brings

Rules that prevent harm hold here, too. JSON: {incident, message}."
);

/// Arguments of `prunella optimize`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct OptimizeArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What could be better, best first.
    List(ListArgs),
    /// Take an opportunity.
    Apply(ApplyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = APPLY_HELP)]
struct ApplyArgs {
    /// The opportunity, as listed.
    #[arg(value_name = "ID")]
    id: String,
    /// Decide and check everything, do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "asked for by an operator")]
    why: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    opportunities: Vec<OpportunityView>,
}

#[derive(Debug, Serialize)]
struct OpportunityView {
    id: String,
    kind: String,
    target: String,
    summary: String,
    priority: f64,
    confidence: f64,
    score: f64,
    repair: String,
    metric: String,
    present_value: f64,
    expected_value: f64,
    effect: String,
    evidence: Vec<String>,
    safe_to_automate: bool,
    not_automatic: Option<String>,
    obstacle: Option<String>,
    open_time: Time,
    waits_for: Option<String>,
}

#[derive(Debug, Serialize)]
struct Applied {
    /// Null when nothing was done.
    incident: Option<String>,
    message: String,
}

impl OptimizeArgs {
    /// Lists opportunities, or takes one.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::List(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let found = client.optimiser().list_opportunities(pb::ListOpportunitiesRequest {}).await?;
                    let view = View::of(found.into_inner());
                    show(common, &view, |paint| table(&view, paint))?;
                }
                Verb::Apply(args) => {
                    let view = args.ask(common).await?;
                    show(common, &view, |_| applied(&view))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ApplyArgs {
    async fn ask(self, common: &Common) -> Result<Applied, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let name = format!("opportunities/{}", self.id.trim_start_matches("opportunities/"));
        let request = pb::ApplyOpportunityRequest { name, why: self.why, validate_only: self.dry_run };
        let answer = client.optimiser().apply_opportunity(request).await?.into_inner();
        let incident = (!answer.incident.is_empty()).then(|| short(&answer.incident));
        Ok(Applied { incident, message: answer.message })
    }
}

impl View {
    fn of(it: pb::ListOpportunitiesResponse) -> Self {
        let one = |it: pb::Opportunity| OpportunityView {
            id: short(&it.name),
            kind: it.kind,
            target: short(&it.target),
            summary: it.summary,
            priority: it.priority,
            confidence: it.confidence,
            score: it.score,
            repair: it.repair,
            metric: it.metric,
            present_value: it.present_value,
            expected_value: it.expected_value,
            effect: it.effect,
            evidence: it.evidence.into_iter().map(|it| it.text).collect(),
            safe_to_automate: it.safe_to_automate,
            not_automatic: it.not_automatic,
            obstacle: it.obstacle,
            open_time: it.open_time.into(),
            waits_for: it.waits_for,
        };
        Self { opportunities: it.opportunities.into_iter().map(one).collect() }
    }
}

fn table(view: &View, paint: Paint) -> String {
    if view.opportunities.is_empty() {
        return "Nothing that could be better is known now.\n".to_owned();
    }
    let mut rows = Rows::new(&["ID", "TARGET", "KIND", "SCORE", "REPAIR", "UNASKED", "EFFECT", "WHY"]);
    for it in &view.opportunities {
        let (tone, unasked) = match (it.safe_to_automate, &it.obstacle) {
            (true, _) => (Tone::Plain, "safe"),
            (false, None) => (Tone::Plain, "no"),
            (false, Some(_)) => (Tone::Warning, "cannot"),
        };
        let row = [
            it.id.clone(),
            it.target.clone(),
            it.kind.clone(),
            format!("{:.2}", it.score),
            it.repair.clone(),
            unasked.to_owned(),
            it.effect.clone(),
            it.summary.clone(),
        ];
        rows.push(tone, row);
    }
    let whys: String = view
        .opportunities
        .iter()
        .flat_map(|it| {
            let not = it.not_automatic.as_ref().map(|why| format!("{}: not unasked: {}\n", it.id, clean(why)));
            let waits = it.waits_for.as_ref().map(|what| format!("{}: {}\n", it.id, clean(what)));
            not.into_iter().chain(waits)
        })
        .collect();
    let whys = if whys.is_empty() { whys } else { format!("\n{whys}") };
    rows.print(paint) + &whys
}

fn applied(view: &Applied) -> String {
    let message = clean(&view.message);
    match &view.incident {
        None => message + "\n",
        Some(incident) => format!("{message}\nFollow it: prunella explain {incident}\n"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn an_opportunity_says_what_it_brings_and_why_it_is_not_taken_unasked() {
        let found = pb::ListOpportunitiesResponse {
            opportunities: vec![
                pb::Opportunity {
                    name: "opportunities/3f9a1c22d07be415".to_owned(),
                    kind: "disk_cleanup".to_owned(),
                    target: "hosts/h1/targets/api".to_owned(),
                    summary: "data grows".to_owned(),
                    score: 0.42,
                    repair: "clean_directory".to_owned(),
                    effect: "directory.used_percent from 80 % to about 60 %".to_owned(),
                    not_automatic: Some("agent.toml does not permit it".to_owned()),
                    obstacle: Some("agent.toml does not permit it".to_owned()),
                    ..pb::Opportunity::default()
                },
                pb::Opportunity {
                    name: "opportunities/00000000000000aa".to_owned(),
                    kind: "memory_management".to_owned(),
                    target: "hosts/h1/targets/db".to_owned(),
                    summary: "memory grew".to_owned(),
                    score: 0.3,
                    repair: "restart_service".to_owned(),
                    effect: "less".to_owned(),
                    safe_to_automate: true,
                    waits_for: Some("waits for the quiet hours of h1: Sun 02:00–06:00 UTC, in 5 h".to_owned()),
                    ..pb::Opportunity::default()
                },
            ],
        };
        expect![[r#"
            ID                TARGET  KIND               SCORE  REPAIR           UNASKED  EFFECT                                          WHY
            3f9a1c22d07be415  h1/api  disk_cleanup       0.42   clean_directory  cannot   directory.used_percent from 80 % to about 60 %  data grows
            00000000000000aa  h1/db   memory_management  0.30   restart_service  safe     less                                            memory grew

            3f9a1c22d07be415: not unasked: agent.toml does not permit it
            00000000000000aa: waits for the quiet hours of h1: Sun 02:00–06:00 UTC, in 5 h
        "#]]
        .assert_eq(&table(&View::of(found), Paint(false)));
        let none = View { opportunities: Vec::new() };
        assert_eq!(table(&none, Paint(false)), "Nothing that could be better is known now.\n");
    }
}
