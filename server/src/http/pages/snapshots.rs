//! Contents that a host keeps so that they can be put back. The host itself is asked, so it must be connected.

use std::collections::BTreeMap;

use axum::extract::Query;
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{ago, id, pill, place, short};

const HOSTS: i32 = 500;

/// How much of a digest is shown; the whole is its tooltip.
const DIGEST_SHOWN: usize = 12;

/// Without a host, the hosts to choose from; with one, what it keeps.
pub(super) async fn page(visit: Visit, Query(query): Query<BTreeMap<String, String>>) -> Result<Markup, Failure> {
    let Some(host) = query.get("host").filter(|it| !it.is_empty()) else { return hosts(&visit).await };
    let name = format!("hosts/{host}");
    let verify = query.contains_key("verify");
    let found = if verify {
        let wanted = pb::VerifySnapshotsRequest { name };
        visit.snapshots().verify_snapshots(visit.ask(wanted)).await.or_page(&visit)?.snapshots
    } else {
        let wanted = pb::ListSnapshotsRequest { parent: name, kind: String::new() };
        visit.snapshots().list_snapshots(visit.ask(wanted)).await.or_page(&visit)?.snapshots
    };
    let body = html! {
        h1 { "Snapshots of " (host) }
        p {
            @if verify { (verdict(&found)) " " a href={ "/ui/snapshots?host=" (host) } { "The list" } }
            @else { a href={ "/ui/snapshots?verify=1&host=" (host) } { "Have the host read every content again" } }
            " · " a href="/ui/snapshots" { "Other hosts" }
        }
        @if found.is_empty() { p .none { "It keeps none." } } @else { (table(&visit, &found)) }
        p .small { "To put one back: " code { "prunella snapshots restore " (host) " NUMBER --why TEXT" } ", a signed command through every brake." }
    };
    let title = format!("Snapshots of {host}");
    // A page that is kept current would have the host read its whole store again and again.
    let page = if verify { layout::still } else { layout::page };
    Ok(page(&visit, &title, "/ui/snapshots", &body))
}

async fn hosts(visit: &Visit) -> Result<Markup, Failure> {
    let wanted = pb::ListHostsRequest { page_size: HOSTS, ..Default::default() };
    let found = visit.fleet().list_hosts(visit.ask(wanted)).await.or_page(visit)?;
    let online: Vec<&pb::Host> = found.hosts.iter().filter(|it| it.state() == pb::host::State::Online).collect();
    let body = html! {
        h1 { "Snapshots" }
        p { "Contents of declared files that each host keeps so that they can be put back. A host is asked when you choose it." }
        @if online.is_empty() { p .none { "No host is connected." } }
        ul { @for it in &online { li { a href={ "/ui/snapshots?host=" (short(&it.name)) } { (short(&it.name)) } } } }
        @if !found.next_page_token.is_empty() {
            p .small { "The first " (HOSTS) " hosts are looked through; of others: " code { "/ui/snapshots?host=HOST" } }
        }
    };
    Ok(layout::page(visit, "Snapshots", "/ui/snapshots", &body))
}

fn verdict(all: &[pb::Snapshot]) -> Markup {
    let damaged = all.iter().filter(|it| it.intact == Some(false)).count();
    let unseen = all.iter().filter(|it| it.intact.is_none()).count();
    html! {
        @if damaged > 0 { (pill("bad", "damaged")) " " (damaged) " of " (all.len()) " have another content than their digest says." }
        @else if unseen > 0 { (pill("warn", "unknown")) " " (unseen) " of " (all.len()) " were not looked at." }
        @else { (pill("good", "intact")) " " (all.len()) " read, each as its digest says." }
    }
}

fn table(visit: &Visit, all: &[pb::Snapshot]) -> Markup {
    html! {
        div .scroll { table {
            thead { tr { th { "No." } th { "Target" } th { "File" } th { "Kind" } th { "Taken" } th { "Bytes" } th { "SHA-256" } th { "Kept" } th { "Content" } } }
            tbody { @for it in all.iter().rev() { tr {
                td { (id(&it.name)) } td { (place(&it.target)) } td { (it.part) } td { (it.kind) }
                td { (ago(visit.now, it.take_time.as_ref())) } td { (it.size_bytes) }
                td { code title=(it.sha256) { (it.sha256.get(..DIGEST_SHOWN).unwrap_or(&it.sha256)) } }
                td { @if it.held { "for certain" } @else { "while there is room" } }
                td { @match it.intact { Some(true) => (pill("good", "intact")), Some(false) => (pill("bad", "damaged")), None => span .none { "not looked at" } } }
            } } }
        } }
    }
}
