//! Sweeps: what every probe said when it was asked at once.

use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout::{self, form_token, may_act};
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::ago;

const PAGE: i32 = 24;

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    let wanted = pb::ListDiagnosticsRequest { page_size: PAGE, ..Default::default() };
    let all = visit.diagnostics().list_diagnostics(visit.ask(wanted)).await.or_page(&visit)?.diagnostics;
    let body = html! {
        h1 { "Diagnostics" }
        @if may_act(&visit) {
            form method="post" action="/ui/act/diagnose" { (form_token(&visit)) button type="submit" { "Have every probe look now" } }
        }
        @if all.is_empty() { p .none { "No sweep yet." } }
        div .scroll { table {
            thead { tr { th { "Sweep" } th { "Of" } th { "Asked by" } th { "Began" } th { "Hosts" } th { "Well" } th { "Broken" } th { "Unknown" } th { "Unreachable" } th { "The control plane itself" } } }
            tbody { @for it in &all { (row(&visit, it)) } }
        } }
    };
    Ok(layout::page(&visit, "Diagnostics", "/ui/diagnostics", &body))
}

fn row(visit: &Visit, it: &pb::Diagnostics) -> Markup {
    let tally = it.targets.unwrap_or_default();
    html! {
        tr {
            td { code { (it.name.strip_prefix("diagnostics/").unwrap_or(&it.name)) } }
            td { (it.scope) } td { (it.by.as_deref().unwrap_or("the schedule")) } td { (ago(visit.now, it.start_time.as_ref())) }
            td { (it.hosts_done) " of " (it.hosts) }
            td { (tally.ok) } td { (tally.broken) } td { (tally.unknown) } td { (tally.unreachable) }
            td { @for layer in &it.layers { (layer.layer) ": " (layer.found) " " } }
        }
    }
}
