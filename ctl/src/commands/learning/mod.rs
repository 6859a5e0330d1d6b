//! `prunella learning`.

mod exchange;
mod show;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;

use super::{now, show as print};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names;
use view::{HealthOutlook, Insights, Predictions, Recommendations};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet learning insights            which faults recur, and what helps
  prunella --dir ./fleet learning recommendations     what you might do about it
  prunella --dir ./fleet learning export > knowledge.json"
);

const INSIGHTS_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet learning insights            the most frequent first
  prunella --dir ./fleet learning insights -o json

HELPS says how likely a repair is to help, from and to with 90 %, and on how many trials that stands.
JSON: {\"insights\": [{id, fingerprint, subject: {rule, kind, class, symptom, cause}, incidents, incidents_elsewhere, escalated,
  last_time, every_ms, self_recovery: {incidents, low, high, chance, within_ms, known}, helps: [{repair, after, chance, low,
  high, healed, failed, censored, trials_elsewhere, mean_ms, mean_failure_ms, last_time, shadow}]}]}."
);

const HEALTH_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet learning health web-1/web    how well it is, what is known of its faults, and what is expected

JSON: {name, score, level, risk, reasons, insights, predictions}, the latter two as their own commands print them."
);

const PREDICTIONS_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet learning predictions         soonest first; nothing without enough evidence
  prunella --dir ./fleet learning predictions web-1   of one host and its targets

JSON: {\"predictions\": [{kind, name, subject, expect_time, earliest_time, latest_time, confidence, summary, evidence}]}."
);

const RECOMMENDATIONS_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet learning recommendations     what bears on most incidents first

Nothing of it is done unasked.
JSON: {\"recommendations\": [{kind, target, subject, rule, text, evidence, incidents}]}."
);

const EXPORT_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet learning export > knowledge.json
  prunella --dir ./fleet learning export --to knowledge.json

The document names rules, services, causes and repairs, but no hosts. It is the same with -o table and -o json."
);

const IMPORT_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet learning import knowledge.json --dry-run    check it, take nothing in
  prunella --dir ./fleet learning import knowledge.json              the same twice changes nothing
  prunella --dir ./other learning export | prunella --dir ./fleet learning import -

What other fleets learned is a hint, and one's own experience decides. Needs the role admin.
JSON: {new_records, restored_records, known_records}."
);

/// Arguments of `prunella learning`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LearningArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Which faults recur, and what helps against them.
    Insights(InsightsArgs),
    /// One target: how well it is, what is known of its faults, and what is expected.
    Health(HealthArgs),
    /// What is expected to happen.
    Predictions(PredictionsArgs),
    /// What a person might do, and why.
    Recommendations(RecommendationsArgs),
    /// Everything that was learned, as a JSON document.
    Export(ExportArgs),
    /// Take in what another fleet exported.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = INSIGHTS_HELP)]
struct InsightsArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = HEALTH_HELP)]
struct HealthArgs {
    /// The target.
    #[arg(value_name = "HOST/TARGET", value_parser = names::target)]
    target: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = PREDICTIONS_HELP)]
struct PredictionsArgs {
    /// Only of this host or target.
    #[arg(value_name = "HOST[/TARGET]", value_parser = names::host_or_target)]
    name: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = RECOMMENDATIONS_HELP)]
struct RecommendationsArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
struct ExportArgs {
    /// Write it to this file, which must not exist, instead of stdout.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
struct ImportArgs {
    /// The document; - for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check it, take nothing in.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

impl LearningArgs {
    /// Shows what was learned, or exchanges it with other fleets.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::Insights(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let view = insights(&client).await?;
                    print(common, &view, |paint| show::insights(&view, now(), paint))?;
                }
                Verb::Health(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let request = pb::GetTargetHealthRequest { name: args.target };
                    let found = client.learning().get_target_health(request).await?.into_inner();
                    let view = HealthOutlook::of(found);
                    print(common, &view, |paint| show::outlook(&view, now(), paint))?;
                }
                Verb::Predictions(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let request = pb::ListPredictionsRequest { name: args.name.unwrap_or_default() };
                    let found = client.learning().list_predictions(request).await?.into_inner();
                    let view = Predictions::of(found.predictions);
                    print(common, &view, |paint| show::predictions(&view, now(), paint))?;
                }
                Verb::Recommendations(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let view = recommendations(&client).await?;
                    print(common, &view, |paint| show::recommendations(&view, paint))?;
                }
                Verb::Export(args) => exchange::export(common, &args).await?,
                Verb::Import(args) => exchange::import(common, &args).await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The most that one page asks for.
const PAGE: i32 = 500;

async fn insights(client: &Client) -> Result<Insights, Failure> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListInsightsRequest { page_size: PAGE, page_token };
        let page = client.learning().list_insights(request).await?.into_inner();
        all.extend(page.insights);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(Insights::of(all));
        }
    }
}

async fn recommendations(client: &Client) -> Result<Recommendations, Failure> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListRecommendationsRequest { page_size: PAGE, page_token };
        let page = client.learning().list_recommendations(request).await?.into_inner();
        all.extend(page.recommendations);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(Recommendations::of(all));
        }
    }
}
