//! `prunella incidents`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::incident_view::IncidentView;
use super::{near, now, pages, repair, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{self, ABSENT, Paint, Rows, Time, count};
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet incidents                 open incidents
  prunella --dir ./fleet incidents --all           closed ones too, newest first
  prunella --dir ./fleet incidents --target web-1 -o json
  prunella --dir ./fleet incidents report web-1/web \"users see old prices\"

JSON: {\"incidents\": [{id, state, fault, diagnosis, attempts, holds, …}]}, as `prunella explain -o json` says each."
);

const REPORT_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet incidents report web-1/web \"users see old prices\"
  prunella --dir ./fleet incidents report web-1/web \"checkout fails\" --severity critical
  prunella --dir ./fleet incidents report web-1/web \"old prices\" --id shop-7     saying it again is saying the same

For a fault that no rule sees: it gets an incident like any other, with a diagnosis and repairs as far as its probes show
something. While they are well nothing is repaired unasked; `prunella repair run` asks. JSON: {incident, message}."
);

const WITHDRAW_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet incidents withdraw web-1/web \"prices are right again\"
  prunella --dir ./fleet incidents withdraw web-1/web \"fixed\" --id shop-7

Takes back what you reported. That is evidence and verifies no repair: the incident closes when the target's own probes are
well, and stays with a person when none can say. JSON: {incident, message}."
);

/// Arguments of `prunella incidents`.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct IncidentsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report a fault that no rule sees.
    Report(ReportArgs),
    /// Say that what you reported is gone.
    Withdraw(WithdrawArgs),
}

#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
struct ReportArgs {
    /// The target.
    #[arg(value_name = "HOST/TARGET", value_parser = names::target)]
    target: String,
    /// What is wrong, in a line.
    #[arg(value_name = "SUMMARY")]
    summary: String,
    /// How bad it is.
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = ["info", "low", "medium", "high", "critical"])]
    severity: String,
    /// A name for the report: saying it again is saying the same.
    #[arg(long, value_name = "ID", default_value = "")]
    id: String,
    /// Check everything, do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = WITHDRAW_HELP)]
struct WithdrawArgs {
    /// The target.
    #[arg(value_name = "HOST/TARGET", value_parser = names::target)]
    target: String,
    /// Why, in a line.
    #[arg(value_name = "WHY")]
    why: String,
    /// The report; without it all of yours about the target.
    #[arg(long, value_name = "ID", default_value = "")]
    id: String,
    /// Check everything, do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Closed incidents too.
    #[arg(long)]
    all: bool,
    /// Only those of this host or target.
    #[arg(long, value_name = "HOST[/TARGET]", value_parser = names::host_or_target)]
    target: Option<String>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    incidents: Vec<IncidentView>,
}

impl IncidentsArgs {
    /// Lists incidents, or reports one.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.verb {
            Some(Verb::Report(report)) => report.run(common),
            Some(Verb::Withdraw(withdraw)) => withdraw.run(common),
            None => self.list.run(common),
        }
    }
}

impl ReportArgs {
    fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::ReportIncidentRequest {
                target: self.target.clone(),
                severity: self.severity,
                summary: self.summary,
                report_id: self.id,
                validate_only: self.dry_run,
                request_id: String::new(),
            };
            let answer = near::found(&client, &self.target, client.incidents().report_incident(request).await).await?;
            let view = repair::View { incident: short(&answer.incident), message: answer.message, rehearsal: None };
            show(common, &view, |_| repair::table(&view))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl WithdrawArgs {
    fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::WithdrawReportRequest {
                target: self.target,
                report_id: self.id,
                why: self.why,
                validate_only: self.dry_run,
                request_id: String::new(),
            };
            let answer = client.incidents().withdraw_report(request).await?.into_inner();
            let view = repair::View { incident: short(&answer.incident), message: answer.message, rehearsal: None };
            show(common, &view, |_| repair::table(&view))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ListArgs {
    fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let target = self.target.unwrap_or_default();
            let client = Client::connect(common, &self.connection).await?;
            let view = View { incidents: list(&client, !self.all, &target, self.limit).await? };
            let full = view.incidents.len() == self.limit;
            show(common, &view, |paint| {
                table(&view, Shown { all: self.all, full, wide: common.wide() }, now(), paint)
            })?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Incidents from the server, open ones first.
pub(super) async fn list(
    client: &Client,
    open_only: bool,
    target: &str,
    limit: usize,
) -> Result<Vec<IncidentView>, Failure> {
    let found = pages::all(limit, |page_token| {
        let mut service = client.incidents();
        let target = target.to_owned();
        async move {
            let request = pb::ListIncidentsRequest {
                page_size: pages::PAGE,
                page_token,
                open_only,
                target,
                ..Default::default()
            };
            let page = service.list_incidents(request).await?.into_inner();
            Ok((page.incidents, page.next_page_token))
        }
    })
    .await?;
    Ok(found.into_iter().map(IncidentView::of).collect())
}

/// How a listing is shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// Closed ones too.
    all: bool,
    /// There may be more.
    full: bool,
    /// With additional columns.
    wide: bool,
}

fn table(view: &View, shown: Shown, now: Time, paint: Paint) -> String {
    if view.incidents.is_empty() {
        return if shown.all {
            "No incident yet.\n".to_owned()
        } else {
            "No open incident. Closed ones: --all\n".to_owned()
        };
    }
    let mut text = rows(&view.incidents, shown.wide, now, paint);
    if shown.full {
        text += &format!("The first {} of them; more with --limit.\n", view.incidents.len());
    }
    text + &format!("\n{}. The whole story of one: prunella explain ID\n", count_of(&view.incidents))
}

fn count_of(incidents: &[IncidentView]) -> String {
    count(incidents.len() as u64, "incident", "incidents")
}

/// One line for each incident.
pub(super) fn rows(incidents: &[IncidentView], wide: bool, now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&["ID", "TARGET", "FAULT", "STATE", "OPENED", "CAUSE", "REPAIR", "DETAIL"])
        .wide(wide, &["SEVERITY", "CATEGORY", "SURE", "PRIORITY", "HELD BY"]);
    for it in incidents {
        let diagnosis = it.diagnosis.as_ref();
        let held: Vec<&str> = it.holds.iter().map(|it| it.brake.as_str()).collect();
        rows.push_wide(
            it.tone(),
            [
                it.id.clone(),
                it.fault.target.clone(),
                it.fault.rule.clone(),
                it.state.replace('_', " "),
                it.opened.relative(now),
                output::optional(it.cause().as_deref()),
                output::optional(it.latest_attempt().as_deref()),
                output::optional(Some(&it.state_detail)),
            ],
            [
                it.fault.severity.clone(),
                output::optional(diagnosis.map(|it| it.category.as_str())),
                diagnosis.map_or_else(|| ABSENT.to_owned(), |it| format!("{:.0} %", it.confidence * 100.0)),
                output::optional(diagnosis.map(|it| it.priority.as_str())),
                output::optional(Some(&held.join(" "))),
            ],
        );
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    const ALL: Shown = Shown { all: true, full: false, wide: false };

    #[test]
    fn incidents_are_one_line_each() {
        let view = View { incidents: sample::incidents().into_iter().map(IncidentView::of).collect() };
        expect![[r#"
            ID           TARGET  FAULT         STATE       OPENED     CAUSE                     REPAIR                    DETAIL
            6740e3a0-20  h1/web  http_failing  diagnosing  1 s ago    —                         —                         more evidence is needed before a cause can be named
            6740e3a0-19  h2/api  http_failing  upstream    119 s ago  dependency_down on h3/db  —                         left alone: the cause lies upstream, in incident 6740e3a0-17
            6740e3a0-17  h3/db   process_down  closed      119 s ago  process_killed            start_service: recovered  repaired

            3 incidents. The whole story of one: prunella explain ID
        "#]].assert_eq(&table(&view, ALL, sample::now(), Paint(false)));
        let none = View { incidents: Vec::new() };
        expect![[r#"
            No open incident. Closed ones: --all
        "#]]
        .assert_eq(&table(&none, Shown { all: false, ..ALL }, sample::now(), Paint(false)));
    }
}
