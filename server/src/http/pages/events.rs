//! What happened lately.

use std::collections::BTreeMap;

use axum::extract::Query;
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{ago, id};

/// Events on the page, before they are narrowed to an incident.
const PAGE: i32 = 1000;

pub(super) async fn page(visit: Visit, Query(query): Query<BTreeMap<String, String>>) -> Result<Markup, Failure> {
    let wanted = pb::ListEventsRequest { page_size: PAGE, ..Default::default() };
    let mut events = visit.events().list_events(visit.ask(wanted)).await.or_page(&visit)?.events;
    let incident = query.get("incident").filter(|it| !it.is_empty());
    if let Some(incident) = incident {
        events.retain(|it| it.incident.as_deref().is_some_and(|it| id(it) == incident));
    }
    let body = html! {
        h1 { "Events" @if let Some(incident) = incident { " of incident " a href={ "/ui/incidents/" (incident) } { (incident) } } }
        (table(&visit, &events))
    };
    Ok(layout::page(&visit, "Events", "/ui/events", &body))
}

/// Events as rows, newest first.
pub(super) fn table(visit: &Visit, events: &[pb::Event]) -> Markup {
    if events.is_empty() {
        return html! { p .none { "None yet." } };
    }
    let mut newest: Vec<&pb::Event> = events.iter().collect();
    newest.sort_by_key(|it| std::cmp::Reverse(it.time.as_ref().map(|it| (it.seconds, it.nanos))));
    html! {
        div .scroll { table {
            thead { tr { th { "When" } th { "What" } th { "Where" } th { "Incident" } th { "" } } }
            tbody { @for it in newest { tr {
                td { (ago(visit.now, it.time.as_ref())) }
                td { code { (it.kind) } }
                td { (it.target.as_deref().or(it.host.as_deref()).map(super::widgets::short).unwrap_or_default()) }
                td { @if let Some(name) = &it.incident { a href={ "/ui/incidents/" (id(name)) } { (id(name)) } } }
                td { (it.message) }
            } } }
        } }
    }
}
