//! `prunella incidents`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::incident_view::IncidentView;
use super::{now, pages, show};
use crate::client::{Client, Connection, Failure, run};
use crate::output::{self, Paint, Rows, Time, count};
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet incidents                 open incidents
  prunella --dir ./fleet incidents --all           closed ones too, newest first
  prunella --dir ./fleet incidents --target web-1 -o json

JSON: {\"incidents\": [{id, state, fault, diagnosis, attempts, holds, …}]}, as `prunella explain -o json` says each."
);

/// Arguments of `prunella incidents`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct IncidentsArgs {
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
    /// Lists incidents.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let target = self.target.unwrap_or_default();
            let client = Client::connect(common, &self.connection).await?;
            let view = View { incidents: list(&client, !self.all, &target, self.limit).await? };
            let full = view.incidents.len() == self.limit;
            show(common, &view, |paint| table(&view, self.all, full, now(), paint))?;
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
            let request = pb::ListIncidentsRequest { page_size: pages::PAGE, page_token, open_only, target };
            let page = service.list_incidents(request).await?.into_inner();
            Ok((page.incidents, page.next_page_token))
        }
    })
    .await?;
    Ok(found.into_iter().map(IncidentView::of).collect())
}

fn table(view: &View, all: bool, full: bool, now: Time, paint: Paint) -> String {
    if view.incidents.is_empty() {
        return if all { "No incident yet.\n".to_owned() } else { "No open incident. Closed ones: --all\n".to_owned() };
    }
    let mut text = rows(&view.incidents, now, paint);
    if full {
        text += &format!("The first {} of them; more with --limit.\n", view.incidents.len());
    }
    text + &format!("\n{}. The whole story of one: prunella explain ID\n", count_of(&view.incidents))
}

fn count_of(incidents: &[IncidentView]) -> String {
    count(incidents.len() as u64, "incident", "incidents")
}

/// One line for each incident.
pub(super) fn rows(incidents: &[IncidentView], now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&["ID", "TARGET", "FAULT", "STATE", "OPENED", "CAUSE", "REPAIR", "DETAIL"]);
    for it in incidents {
        rows.push(
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
        );
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn incidents_are_one_line_each() {
        let view = View { incidents: sample::incidents().into_iter().map(IncidentView::of).collect() };
        expect![[r#"
            ID           TARGET  FAULT         STATE       OPENED     CAUSE                     REPAIR                    DETAIL
            6740e3a0-20  h1/web  http_failing  diagnosing  1 s ago    —                         —                         more evidence is needed before a cause can be named
            6740e3a0-19  h2/api  http_failing  upstream    119 s ago  dependency_down on h3/db  —                         left alone: the cause lies upstream, in incident 6740e3a0-17
            6740e3a0-17  h3/db   process_down  closed      119 s ago  process_killed            start_service: recovered  repaired

            3 incidents. The whole story of one: prunella explain ID
        "#]].assert_eq(&table(&view, true, false, sample::now(), Paint(false)));
        let none = View { incidents: Vec::new() };
        expect![[r#"
            No open incident. Closed ones: --all
        "#]]
        .assert_eq(&table(&none, false, false, sample::now(), Paint(false)));
    }
}
