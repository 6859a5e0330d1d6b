//! Who did what to whom and why.

use std::collections::BTreeMap;

use axum::extract::Query;
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{id, pill};

const PAGE: i32 = 100;

pub(super) async fn page(visit: Visit, Query(query): Query<BTreeMap<String, String>>) -> Result<Markup, Failure> {
    let page_token = query.get("after").cloned().unwrap_or_default();
    let wanted = pb::ListAuditEntriesRequest { page_size: PAGE, page_token };
    let found = visit.admin().list_audit_entries(visit.ask(wanted)).await.or_page(&visit)?;
    let checked = match query.contains_key("verify") {
        true => Some(visit.admin().verify_audit(visit.ask(pb::VerifyAuditRequest {})).await.or_page(&visit)?),
        false => None,
    };
    let body = html! {
        h1 { "Audit" }
        @match &checked {
            None => p { a href="/ui/audit?verify=1" { "Check that the record is intact" } },
            Some(it) if it.intact => p { (pill("good", "intact")) " " (it.entries) " entries, head " code { (it.head) } },
            Some(it) => div .alarm role="alert" { "The record is damaged:" ul { @for it in &it.findings { li { (it) } } } },
        }
        div .scroll { table {
            thead { tr { th { "No." } th { "When" } th { "Who" } th { "What" } th { "To what" } th { "Incident" } th { "Detail" } } }
            tbody { @for it in &found.entries { tr {
                td { (it.sequence) }
                td { @if let Some(time) = &it.time { time datetime=(time) { (time) } } }
                td { (it.actor) } td { code { (it.action) } } td { (it.subject) }
                td { @if let Some(name) = &it.incident { a href={ "/ui/incidents/" (id(name)) } { (id(name)) } } }
                td { (it.detail) }
            } } }
        } }
        @if !found.next_page_token.is_empty() { p { a rel="next" href={ "/ui/audit?after=" (found.next_page_token) } { "Older ones" } } }
    };
    Ok(layout::page(&visit, "Audit", "/ui/audit", &body))
}
