//! Every limit on acting, and what it holds back.

use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{NONE, ago, id};

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    let brakes = visit.fleet().list_brakes(visit.ask(pb::ListBrakesRequest {})).await.or_page(&visit)?.brakes;
    let holding: Vec<&pb::Brake> = brakes.iter().filter(|it| !it.holding.is_empty()).collect();
    let body = html! {
        h1 { "Brakes" }
        section { h2 { "Holding back now" }
            @if holding.is_empty() { p .calm { "Nothing." } }
            @for brake in holding {
                h3 { (brake.name) }
                ul { @for it in &brake.holding { li {
                    a href={ "/ui/incidents/" (id(&it.incident)) } { (id(&it.incident)) } ": " (it.why) ", since " (ago(visit.now, it.since.as_ref()))
                    @if let Some(time) = &it.release_time { "; released " (ago(visit.now, Some(time))) }
                    @if let Some(when) = &it.release_when { "; released " (when) }
                } } }
            }
        }
        section { h2 { "Waiting for approval" }
            p .none { "Nothing can wait here yet: dangerous steps are refused outright until operators can sign approvals. Then they are listed here, with who may approve them." }
        }
        section { h2 { "All" }
            div .scroll { table {
                thead { tr { th { "Brake" } th { "Counts" } th { "Now" } th { "Limit" } th { "Holds, ever" } } }
                tbody { @for it in &brakes { tr {
                    td { (it.name) " " span .small { (it.class) } } td { (it.counts) } td { (number(it.current)) } td { (number(it.limit)) } td { (it.held) }
                } } }
            } }
        }
    };
    Ok(layout::page(&visit, "Brakes", "/ui/brakes", &body))
}

fn number(it: Option<f64>) -> String {
    it.map_or_else(|| NONE.to_owned(), |it| if it.fract() == 0.0 { format!("{it:.0}") } else { format!("{it:.1}") })
}
