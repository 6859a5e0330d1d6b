//! The shape of the fleet, for people to read.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::{TargetRef, Timestamp};

use crate::Engine;
use crate::graph;
use crate::key::{Key, at};
use crate::topology::Need;
use crate::view::{CycleView, DeadlockView, EdgeKind, EdgeView, SaturatedView, TopologyView};

/// How far an edge's end is looked for along other edges.
const REDUNDANT_REACH: usize = 64;

impl Engine {
    /// What needs what and what waits for what, with everything that is amiss in it.
    #[must_use]
    pub fn topology(&self, now: Timestamp) -> TopologyView {
        let nodes = self.known_targets();
        let mut edges = Vec::new();
        let mut missing = Vec::new();
        for key in &nodes {
            for need in self.needs(*key) {
                match need {
                    Need::One(other) => edges.push((*key, other, EdgeKind::Needs)),
                    Need::Any(members) => edges.extend(
                        members.into_iter().take(super::MEMBERS_MAX).map(|it| (*key, it, EdgeKind::NeedsOneOf)),
                    ),
                    Need::Missing(name) => missing.push((self.reference(*key), name)),
                }
            }
        }
        let redundant = self.redundant(&nodes, &edges);
        let waiting = self.waiting();
        let waits = waiting.keys().map(|(from, to)| (*from, *to, EdgeKind::WaitsFor));
        let view = |(from, to, kind): (Key, Key, EdgeKind)| EdgeView {
            from: self.reference(from),
            to: self.reference(to),
            kind,
            softened: kind != EdgeKind::WaitsFor && self.is_soft(from, to),
            redundant: kind == EdgeKind::Needs && redundant.contains(&(from, to)),
            what: waiting.get(&(from, to)).filter(|_| kind == EdgeKind::WaitsFor).map(|it| (*it).to_owned()),
        };
        TopologyView {
            at: now,
            targets: nodes.iter().map(|key| self.reference(*key)).collect(),
            edges: edges.into_iter().chain(waits).map(view).collect(),
            missing,
            cycles: self.structure.cycles.iter().map(|cycle| self.cycle_view(cycle)).collect(),
            deadlocks: self.structure.deadlocks.iter().map(|it| self.deadlock_view(it)).collect(),
            saturated: self.saturated(&nodes),
        }
    }

    fn known_targets(&self) -> Vec<Key> {
        let of = |index: u32| {
            let targets = self.hosts[at(index)].targets.iter().zip(0_u32..);
            targets.filter(|(it, _)| !it.gone).map(move |(_, target)| Key { host: index, target })
        };
        self.names.values().flat_map(|index| of(*index)).collect()
    }

    /// Edges to one target whose end is needed through others anyway. Softened ones do not count.
    fn redundant(&self, nodes: &[Key], edges: &[(Key, Key, EdgeKind)]) -> BTreeSet<(Key, Key)> {
        let places: BTreeMap<Key, usize> = nodes.iter().zip(0..).map(|(key, place)| (*key, place)).collect();
        let mut graph = vec![Vec::new(); nodes.len()];
        for (from, to, kind) in edges {
            if *kind == EdgeKind::Needs
                && !self.is_soft(*from, *to)
                && let (Some(from), Some(to)) = (places.get(from), places.get(to))
            {
                graph[*from].push(*to);
            }
        }
        let found = graph::redundant(&graph, REDUNDANT_REACH);
        found.into_iter().filter_map(|(from, to)| Some((*nodes.get(from)?, *nodes.get(to)?))).collect()
    }

    fn cycle_view(&self, cycle: &super::Cycle) -> CycleView {
        CycleView {
            members: cycle.members.iter().map(|key| self.reference(*key)).collect(),
            softened: cycle.softened.iter().map(|(from, to)| self.edge_name(*from, *to)).collect(),
        }
    }

    fn deadlock_view(&self, it: &super::deadlock::Deadlock) -> DeadlockView {
        DeadlockView {
            members: it.members.iter().map(|key| self.reference(*key)).collect(),
            victim: self.reference(it.victim),
            since: it.since,
            text: it.text.clone(),
            incident: self.target_at(it.victim).incident,
        }
    }

    /// Targets that are saturated and explain others that fail, with those.
    fn saturated(&self, nodes: &[Key]) -> Vec<SaturatedView> {
        let mut all: BTreeMap<Key, BTreeSet<TargetRef>> = BTreeMap::new();
        for key in nodes {
            let Some(incident) = self.target_at(*key).incident.and_then(|id| self.cases.get(&id)) else { continue };
            if let Some(culprit) = incident.blames.filter(|it| self.is_saturated(*it)) {
                all.entry(culprit).or_default().insert(self.reference(*key));
            }
        }
        let view = |(key, explains): (Key, BTreeSet<TargetRef>)| SaturatedView {
            target: self.reference(key),
            incident: self.target_at(key).incident,
            explains: explains.into_iter().collect(),
        };
        all.into_iter().map(view).collect()
    }
}
