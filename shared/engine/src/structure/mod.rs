//! The shape of what needs what: cycles with their weakest edge, and who waits for whom.
//!
//! In a cycle everything explains everything, and each waits for the others' proof of health. So its weakest edge is
//! *softened*: nothing waits for proof along it any more, and blame follows it only to what is dead by its own evidence. That
//! is recorded, listed, and undone by the policy (`[topology] soften` and `keep`).
//!
//! What the agents saw to wait for what at run time (locks, for example) is a graph of its own. A cycle there is a deadlock,
//! and its cheapest victim is ended.

mod deadlock;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use deadlock::{Stuck, Waits};

use crate::Engine;
use crate::graph;
use crate::key::{Key, at, next};
use crate::topology::Need;

/// How far around a host cycles are looked for. Chains of services are short; this bounds the work in a dense graph.
const AROUND_MAX: usize = 256;

/// Services with more members than this are not followed: any of the others does, so no one of them is in the way.
const MEMBERS_MAX: usize = 64;

/// Targets that need each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// Who, by place.
    pub(crate) members: Vec<Key>,
    /// Edges that were softened so that the rest has no cycle. Empty when the policy keeps them all.
    pub(crate) softened: Vec<(Key, Key)>,
}

/// The shape of the fleet, kept as reports come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Structure {
    /// Cycles of what is declared.
    pub(crate) cycles: Vec<Cycle>,
    /// All softened edges, from who needs to what is needed.
    soft: BTreeSet<(Key, Key)>,
    /// What each host's targets were seen to wait for, by host.
    pub(crate) waits: BTreeMap<u32, Waits>,
    /// Wait cycles that last.
    pub(crate) deadlocks: Vec<deadlock::Deadlock>,
}

impl Engine {
    /// Whether that edge is softened.
    pub(crate) fn is_soft(&self, from: Key, to: Key) -> bool {
        self.structure.soft.contains(&(from, to))
    }

    /// Whether two targets need each other, directly or not.
    pub(crate) fn in_one_cycle(&self, one: Key, other: Key) -> bool {
        self.structure.cycles.iter().any(|cycle| cycle.members.contains(&one) && cycle.members.contains(&other))
    }

    /// What a target needs, by place; whether one of several would do is said with it.
    fn edges(&self, key: Key) -> BTreeMap<Key, bool> {
        let mut edges = BTreeMap::new();
        for need in self.needs(key) {
            match need {
                Need::One(other) => drop(edges.insert(other, false)),
                Need::Any(members) if members.len() <= MEMBERS_MAX => {
                    for member in members {
                        edges.entry(member).or_insert(true);
                    }
                }
                Need::Any(_) | Need::Missing(_) => {}
            }
        }
        edges
    }

    /// Looks for cycles around a host again, because what it declares has changed.
    pub(crate) fn reshape(&mut self, index: u32) {
        let mut starts: BTreeSet<Key> = (0..next(self.hosts[at(index)].targets.len()))
            .map(|target| Key { host: index, target })
            .filter(|key| !self.target_at(*key).gone)
            .collect();
        let all = std::mem::take(&mut self.structure.cycles);
        let (touched, mut kept): (Vec<Cycle>, Vec<Cycle>) =
            all.into_iter().partition(|cycle| cycle.members.iter().any(|key| key.host == index));
        starts.extend(touched.iter().flat_map(|cycle| cycle.members.iter().copied()));
        let found = self.cycles_around(starts);
        kept.extend(found.iter().cloned());
        kept.sort_by(|a, b| a.members.cmp(&b.members));
        kept.dedup();
        self.structure.soft = kept.iter().flat_map(|cycle| cycle.softened.iter().copied()).collect();
        self.structure.cycles = kept;
        for cycle in touched.iter().filter(|old| !found.contains(old)) {
            self.record_edges(
                cycle,
                "edge_restored",
                "counts again: there is no cycle any more, or the policy keeps it",
            );
        }
        for cycle in found.iter().filter(|new| !touched.contains(new)) {
            self.record_edges(cycle, "edge_softened", "is softened: it closes a cycle, and is the weakest edge of it");
        }
    }

    fn record_edges(&mut self, cycle: &Cycle, action: &str, what: &str) {
        for (from, to) in &cycle.softened {
            let line = format!("{} {what}", self.edge_name(*from, *to));
            self.audit(action, *from, None, line);
        }
    }

    /// An edge as the policy names it.
    pub(crate) fn edge_name(&self, from: Key, to: Key) -> String {
        format!("{} -> {}", self.subject(from), self.subject(to))
    }

    /// The cycles that can be reached from some targets.
    fn cycles_around(&self, starts: BTreeSet<Key>) -> Vec<Cycle> {
        let mut around: BTreeMap<Key, BTreeMap<Key, bool>> = BTreeMap::new();
        let most = starts.len().saturating_add(AROUND_MAX);
        let mut open: Vec<Key> = starts.into_iter().collect();
        while let Some(key) = open.pop() {
            if around.len() >= most || around.contains_key(&key) {
                continue;
            }
            let edges = self.edges(key);
            open.extend(edges.keys().copied());
            around.insert(key, edges);
        }
        let mut found = Vec::new();
        for members in groups(&around, &BTreeSet::new()) {
            let softened = self.soften(&members, &around);
            found.push(Cycle { members, softened });
        }
        found
    }

    /// The weakest edges of a cycle, as many as it takes to break it.
    fn soften(&self, members: &[Key], around: &BTreeMap<Key, BTreeMap<Key, bool>>) -> Vec<(Key, Key)> {
        let within: BTreeMap<Key, BTreeMap<Key, bool>> =
            around.iter().filter(|(key, _)| members.contains(key)).map(|(key, edges)| (*key, edges.clone())).collect();
        let mut without = BTreeSet::new();
        if !self.policy.topology.soften {
            return Vec::new();
        }
        while let Some(group) = groups(&within, &without).into_iter().next() {
            let weakest = group
                .iter()
                .flat_map(|from| within[from].iter().map(move |(to, any)| (*from, *to, *any)))
                .filter(|(from, to, _)| group.contains(to) && !without.contains(&(*from, *to)))
                .filter(|(from, to, _)| !self.policy.topology.keep.contains(&self.edge_name(*from, *to)))
                .min_by_key(|(from, to, any)| {
                    // Where another member would do, where nothing critical is needed, and where the need crosses hosts.
                    (!*any, self.target_at(*to).report.critical, from.host == to.host, *from, *to)
                });
            let Some((from, to, _)) = weakest else { break };
            without.insert((from, to));
        }
        without.into_iter().collect()
    }
}

/// The cycles of a graph by place, some edges left out.
fn groups(around: &BTreeMap<Key, BTreeMap<Key, bool>>, without: &BTreeSet<(Key, Key)>) -> Vec<Vec<Key>> {
    let keys: Vec<Key> = around.keys().copied().collect();
    let place = |key: &Key| keys.binary_search(key).ok();
    let edges: Vec<Vec<usize>> = around
        .iter()
        .map(|(from, edges)| edges.keys().filter(|to| !without.contains(&(*from, **to))).filter_map(place).collect())
        .collect();
    graph::cycles(&edges).into_iter().map(|group| group.into_iter().map(|at| keys[at]).collect()).collect()
}
