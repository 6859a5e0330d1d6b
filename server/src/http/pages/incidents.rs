//! The list of incidents.

use std::collections::BTreeMap;

use axum::extract::Query;
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{ago, id, place, severity, state};

/// Incidents on one page.
const PAGE: i32 = 50;

pub(super) async fn page(visit: Visit, Query(query): Query<BTreeMap<String, String>>) -> Result<Markup, Failure> {
    let open_only = !query.contains_key("all");
    let wanted = pb::ListIncidentsRequest {
        page_size: PAGE,
        page_token: query.get("after").cloned().unwrap_or_default(),
        open_only,
        target: query.get("target").cloned().unwrap_or_default(),
        severities: query.get("severity").filter(|it| !it.is_empty()).cloned().into_iter().collect(),
        ..Default::default()
    };
    let found = visit.incidents().list_incidents(visit.ask(wanted)).await.or_page(&visit)?;
    let chosen = query.get("severity").map(String::as_str).unwrap_or_default();
    let body = html! {
        h1 { "Incidents" }
        form .filter method="get" action="/ui/incidents" {
            label { input type="checkbox" name="all" value="1" checked[!open_only]; " closed ones too" }
            label { "Severity " select name="severity" {
                @for it in ["", "critical", "high", "medium", "low", "info"] {
                    option value=(it) selected[it == chosen] { (if it.is_empty() { "any" } else { it }) }
                }
            } }
            button type="submit" { "Show" }
        }
        (table(&visit, &found.incidents, "None that fits."))
        @if !found.next_page_token.is_empty() {
            p { a rel="next" href={ "/ui/incidents?after=" (found.next_page_token) (if open_only { "" } else { "&all=1" }) "&severity=" (chosen) } { "Older ones" } }
        }
    };
    Ok(layout::page(&visit, "Incidents", "/ui/incidents", &body))
}

/// Incidents as rows; `none` is what to say when there is none.
pub(super) fn table(visit: &Visit, incidents: &[pb::Incident], none: &str) -> Markup {
    if incidents.is_empty() {
        return html! { p .calm { (none) } };
    }
    html! {
        div .scroll { table {
            thead { tr { th { "Incident" } th { "Severity" } th { "Target" } th { "What" } th { "State" } th { "Cause" } th { "Opened" } } }
            tbody {
                @for it in incidents {
                    @let fault = it.fault.clone().unwrap_or_default();
                    tr {
                        td { a href={ "/ui/incidents/" (id(&it.name)) } { (id(&it.name)) } }
                        td { (severity(&it.severity)) }
                        td { (place(&fault.target)) }
                        td { (fault.summary) }
                        td { (state(it)) }
                        td { (cause(it)) }
                        td { (ago(visit.now, it.open_time.as_ref())) }
                    }
                }
            }
        } }
    }
}

fn cause(it: &pb::Incident) -> Markup {
    match &it.diagnosis {
        None => html! { span .none { "not known yet" } },
        Some(diagnosis) => html! {
            (diagnosis.cause) " " span .small { (format!("{:.0} %", diagnosis.confidence * 100.0)) }
            @if it.fault.as_ref().is_none_or(|fault| fault.target != diagnosis.cause_target) && !diagnosis.cause_target.is_empty() {
                " on " (place(&diagnosis.cause_target))
            }
        },
    }
}
