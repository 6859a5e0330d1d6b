//! The shape of the fleet, as the control services say it.

use prunella_engine::view::{CycleView, DeadlockView, EdgeKind, EdgeView, SaturatedView, TopologyView};
use prunella_model::TargetRef;
use prunella_model::incident::Category;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::topology_finding::Kind;

use super::convert::{time, word};
use super::name::{of_incident, of_target};

/// The most redundant edges that are listed as findings, and edges in all: a message must stay below what gRPC takes.
const REDUNDANT_MAX: usize = 1_000;
const EDGES_MAX: usize = 20_000;

/// The whole answer.
pub(super) fn topology(it: &TopologyView, edges: bool) -> pb::Topology {
    let count = |is: &dyn Fn(&EdgeView) -> bool| {
        u32::try_from(it.edges.iter().filter(|edge| is(edge)).count()).unwrap_or(u32::MAX)
    };
    let mut findings: Vec<pb::TopologyFinding> = it.deadlocks.iter().map(deadlock).collect();
    findings.extend(it.saturated.iter().map(bottleneck));
    findings.extend(it.cycles.iter().map(cycle));
    findings.extend(it.missing.iter().map(|(from, name)| missing(from, name)));
    findings.extend(it.edges.iter().filter(|edge| edge.redundant).take(REDUNDANT_MAX).map(redundant));
    pb::Topology {
        time: time(it.at),
        targets: u32::try_from(it.targets.len()).unwrap_or(u32::MAX),
        edges_total: count(&|_| true),
        softened_total: count(&|edge| edge.softened),
        redundant_total: count(&|edge| edge.redundant),
        findings,
        edges: it.edges.iter().filter(|_| edges).take(EDGES_MAX).map(edge).collect(),
    }
}

fn finding(kind: Kind, targets: Vec<String>, summary: String) -> pb::TopologyFinding {
    pb::TopologyFinding {
        kind: kind.into(),
        category: word(&Category::Structural),
        targets,
        summary,
        ..pb::TopologyFinding::default()
    }
}

fn names(all: &[TargetRef]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn deadlock(it: &DeadlockView) -> pb::TopologyFinding {
    pb::TopologyFinding {
        repair: Some(format!("{} is ended, the cheapest of them, if the circle lasts", it.victim)),
        incident: it.incident.map(of_incident),
        since_time: time(it.since),
        ..finding(Kind::Deadlock, it.members.iter().map(of_target).collect(), it.text.clone())
    }
}

fn bottleneck(it: &SaturatedView) -> pb::TopologyFinding {
    let targets = std::iter::once(&it.target).chain(&it.explains).map(of_target).collect();
    let summary = format!("{} is saturated, which explains {}", it.target, names(&it.explains));
    pb::TopologyFinding {
        repair: Some("those that need it are left alone until it is well".to_owned()),
        incident: it.incident.map(of_incident),
        ..finding(Kind::Bottleneck, targets, summary)
    }
}

fn cycle(it: &CycleView) -> pb::TopologyFinding {
    let softened = it.softened.join("; ");
    let (repair, undo) = if it.softened.is_empty() {
        (None, None)
    } else {
        let quoted: Vec<String> = it.softened.iter().map(|edge| format!("{edge:?}")).collect();
        (
            Some(format!("softened, as the weakest: {softened}")),
            Some(format!("policy: [topology] keep = [{}]", quoted.join(", "))),
        )
    };
    let summary = format!("{} need each other", names(&it.members));
    pb::TopologyFinding { repair, undo, ..finding(Kind::Cycle, it.members.iter().map(of_target).collect(), summary) }
}

fn missing(from: &TargetRef, name: &str) -> pb::TopologyFinding {
    finding(
        Kind::Missing,
        vec![of_target(from)],
        format!("{from} needs {name}, and nothing in the fleet has that name"),
    )
}

fn redundant(it: &EdgeView) -> pb::TopologyFinding {
    let summary = format!("{} needs {} through others anyway", it.from, it.to);
    pb::TopologyFinding {
        repair: Some("left out of the reduced graph; blame still follows it".to_owned()),
        ..finding(Kind::Redundant, vec![of_target(&it.from), of_target(&it.to)], summary)
    }
}

fn edge(it: &EdgeView) -> pb::TopologyEdge {
    use pb::topology_edge::Kind;
    let kind = match it.kind {
        EdgeKind::Needs => Kind::Needs,
        EdgeKind::NeedsOneOf => Kind::NeedsOneOf,
        EdgeKind::WaitsFor => Kind::WaitsFor,
    };
    pb::TopologyEdge {
        from: of_target(&it.from),
        to: of_target(&it.to),
        kind: kind.into(),
        softened: it.softened,
        redundant: it.redundant,
        what: it.what.clone(),
    }
}
