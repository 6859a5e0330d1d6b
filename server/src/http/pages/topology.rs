//! What needs what, as a picture, with the blamed in red.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{ago, id, pill, place, short};

/// A picture of more edges than this helps nobody; then there are only lists.
const EDGES_MAX: usize = 400;

/// Sizes of the picture, in its own units.
const WIDTH: usize = 170;
const HEIGHT: usize = 26;
const GAP_X: usize = 70;
const GAP_Y: usize = 14;

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    let it = visit.fleet().get_topology(visit.ask(pb::GetTopologyRequest { edges: true })).await.or_page(&visit)?;
    let wanted = pb::ListIncidentsRequest { page_size: 1000, open_only: true, ..Default::default() };
    let open = visit.incidents().list_incidents(visit.ask(wanted)).await.or_page(&visit)?.incidents;
    let sick = Sick::of(&open);
    let body = html! {
        h1 { "Topology" }
        p .small { (it.targets) " targets, " (it.edges_total) " edges, " (it.softened_total) " softened, " (it.redundant_total) " redundant" }
        @if it.edges.is_empty() { p .none { "No target names what it needs; see depends_on in agent.toml." } }
        @else if it.edges.len() > EDGES_MAX { p .note { "There are too many edges for a picture." } }
        @else { (picture(&it.edges, &sick)) }
        section { h2 { "What is amiss in it" }
            @if it.findings.is_empty() { p .calm { "Nothing." } }
            @for it in &it.findings { (finding(&visit, it)) }
        }
        section { h2 { "Edges" } (edges(&it.edges)) }
    };
    Ok(layout::page(&visit, "Topology", "/ui/topology", &body))
}

/// Who is blamed by an open incident, and who suffers.
struct Sick {
    blamed: BTreeSet<String>,
    suffering: BTreeSet<String>,
}

impl Sick {
    fn of(open: &[pb::Incident]) -> Self {
        let blamed: BTreeSet<String> =
            open.iter().filter_map(|it| it.diagnosis.as_ref()).map(|it| it.cause_target.clone()).collect();
        let suffering = open.iter().filter_map(|it| it.fault.as_ref()).map(|it| it.target.clone());
        let suffering = suffering.filter(|it| !blamed.contains(it)).collect();
        Self { blamed, suffering }
    }

    fn class(&self, name: &str) -> &'static str {
        match (self.blamed.contains(name), self.suffering.contains(name)) {
            (true, _) => "node bad",
            (false, true) => "node warn",
            (false, false) => "node",
        }
    }
}

/// In which column each target stands: to the right of everything that needs it. Cycles end the counting.
fn columns(edges: &[pb::TopologyEdge]) -> BTreeMap<&str, usize> {
    let mut column: BTreeMap<&str, usize> = BTreeMap::new();
    for it in edges {
        column.insert(&it.from, 0);
        column.insert(&it.to, 0);
    }
    // A longest path without a cycle has fewer edges than there are targets.
    for _ in 0..column.len() {
        let mut moved = false;
        for it in edges {
            let next = column.get(it.from.as_str()).copied().unwrap_or(0) + 1;
            if let Some(own) = column.get_mut(it.to.as_str()).filter(|own| **own < next && next < edges.len() + 1) {
                *own = next;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    column
}

fn picture(edges: &[pb::TopologyEdge], sick: &Sick) -> Markup {
    let column = columns(edges);
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let mut at: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (name, column) in &column {
        let row = filled.entry(*column).or_default();
        at.insert(name, (column * (WIDTH + GAP_X), *row * (HEIGHT + GAP_Y)));
        *row += 1;
    }
    let wide = filled.keys().max().map_or(0, |it| (it + 1) * (WIDTH + GAP_X));
    let high = filled.values().max().map_or(0, |it| it * (HEIGHT + GAP_Y));
    html! {
        div .scroll {
            svg .topology viewBox={ "-2 -2 " (wide) " " (high + 4) } width=(wide) height=(high + 4) role="img" aria-label="What needs what; the list below says the same" {
                @for it in edges {
                    @if let (Some((x1, y1)), Some((x2, y2))) = (at.get(it.from.as_str()), at.get(it.to.as_str())) {
                        line class=(if it.softened { "edge soft" } else { "edge" }) x1=(x1 + WIDTH) y1=(y1 + HEIGHT / 2) x2=(x2) y2=(y2 + HEIGHT / 2) {}
                    }
                }
                @for (name, (x, y)) in &at {
                    a href={ "/ui/" (name) } {
                        rect class=(sick.class(name)) x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="4" {}
                        text x=(x + 8) y=(y + 17) { (short(name)) }
                    }
                }
            }
        }
    }
}

fn finding(visit: &Visit, it: &pb::TopologyFinding) -> Markup {
    use pb::topology_finding::Kind;
    let kind = match it.kind() {
        Kind::Unspecified => "unknown",
        Kind::Deadlock => "deadlock",
        Kind::Bottleneck => "bottleneck",
        Kind::Cycle => "cycle",
        Kind::Missing => "missing need",
        Kind::Redundant => "redundant edge",
    };
    html! {
        p {
            (pill("warn", kind)) " " (it.summary) ", since " (ago(visit.now, it.since_time.as_ref())) ". "
            @for it in &it.targets { (place(it)) " " }
            @if let Some(repair) = &it.repair { "Repair: " (repair) ". " }
            @if let Some(undo) = &it.undo { "Undo: " (undo) ". " }
            @if let Some(name) = &it.incident { a href={ "/ui/incidents/" (id(name)) } { (id(name)) } }
        }
    }
}

fn edges(list: &[pb::TopologyEdge]) -> Markup {
    use pb::topology_edge::Kind;
    html! {
        div .scroll { table {
            thead { tr { th { "From" } th { "" } th { "To" } th { "" } } }
            tbody { @for it in list { tr {
                td { (place(&it.from)) }
                td { (match it.kind() { Kind::Unspecified => "?", Kind::Needs => "needs", Kind::NeedsOneOf => "needs one of", Kind::WaitsFor => "waits for" }) }
                td { (place(&it.to)) }
                td { @if it.softened { "softened " } @if it.redundant { "redundant " } (it.what.as_deref().unwrap_or_default()) }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> pb::TopologyEdge {
        pb::TopologyEdge { from: from.into(), to: to.into(), ..Default::default() }
    }

    #[test]
    fn what_is_needed_stands_to_the_right() {
        let edges = [edge("web", "api"), edge("api", "db"), edge("web", "db")];
        assert_eq!(columns(&edges), BTreeMap::from([("web", 0), ("api", 1), ("db", 2)]));
    }

    #[test]
    fn a_cycle_has_a_picture_too() {
        let edges = [edge("a", "b"), edge("b", "a")];
        assert!(columns(&edges).values().all(|it| *it <= 2));
    }
}
