//! Who was seen to wait for whom, and the circles in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use prunella_model::Timestamp;
use prunella_model::observation::Wait;

use crate::Engine;
use crate::graph;
use crate::key::{Key, at};

/// What the targets of one host were last seen to wait for.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// When, by the server's clock.
    at: Timestamp,
    /// Who waits for whom, and for what.
    edges: Vec<(Key, Key, String)>,
}

/// A circle of targets that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deadlock {
    /// Who, by place.
    pub(crate) members: Vec<Key>,
    /// The cheapest of them to end.
    pub(crate) victim: Key,
    /// When it was first seen, by the server's clock.
    pub(crate) since: Timestamp,
    /// Who waits for what, for a person.
    pub(crate) text: String,
}

/// What the rule is told of a deadlock's victim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// When the circle was first seen, by the server's clock.
    pub(crate) since: Timestamp,
    /// Who waits for what, for a person.
    pub(crate) text: String,
}

impl Engine {
    /// Takes over what a host's targets were seen to wait for: all of it, as of `seen_at` by the server's clock.
    ///
    /// Returns the targets that must be judged again.
    pub(crate) fn take_waits(&mut self, index: u32, seen_at: Timestamp, waits: &[Wait]) -> BTreeSet<Key> {
        let host = &self.hosts[at(index)];
        let edge = |wait: &Wait| {
            let waiter = Key { host: index, target: *host.names.get(&wait.waiter)? };
            let on = self.find(&wait.on)?;
            Some((waiter, on, wait.what.clone()))
        };
        let edges: Vec<(Key, Key, String)> = waits.iter().filter_map(edge).collect();
        self.structure.waits.insert(index, Waits { at: seen_at, edges });
        self.look_for_deadlocks()
    }

    /// What a host's targets wait for is not known any more.
    pub(crate) fn drop_waits(&mut self, index: u32) {
        if self.structure.waits.remove(&index).is_some() {
            self.look_for_deadlocks();
        }
    }

    /// Everything that is known to wait for something, on fresh evidence.
    pub(crate) fn waiting(&self) -> BTreeMap<(Key, Key), &str> {
        let fresh = |(index, waits): &(&u32, &Waits)| {
            self.hosts[at(**index)].online() && self.now.since(waits.at) <= self.policy.verification.fresh
        };
        let hosts = self.structure.waits.iter().filter(fresh);
        hosts.flat_map(|(_, waits)| waits.edges.iter().map(|(from, to, what)| ((*from, *to), what.as_str()))).collect()
    }

    fn look_for_deadlocks(&mut self) -> BTreeSet<Key> {
        let waiting = self.waiting();
        let keys: BTreeSet<Key> = waiting.keys().flat_map(|(from, to)| [*from, *to]).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let place = |key: &Key| keys.binary_search(key).ok();
        let mut edges = vec![Vec::new(); keys.len()];
        for (from, to) in waiting.keys() {
            if let (Some(from), Some(to)) = (place(from), place(to)) {
                edges[from].push(to);
            }
        }
        let mut found: Vec<Deadlock> = Vec::new();
        for group in graph::cycles(&edges) {
            let members: Vec<Key> = group.into_iter().map(|at| keys[at]).collect();
            let before = self.structure.deadlocks.iter().find(|old| old.members == members);
            let Some(victim) = before.map(|old| old.victim).or_else(|| self.cheapest(&members)) else { continue };
            let since = before.map_or(self.now, |old| old.since);
            let inner = waiting.iter().filter(|((from, to), _)| members.contains(from) && members.contains(to));
            let each = inner.map(|((from, to), what)| {
                format!("{} waits for {} ({what})", self.reference(*from), self.reference(*to))
            });
            let text = each.collect::<Vec<_>>().join(", ");
            found.push(Deadlock { members, victim, since, text });
        }
        let before = std::mem::replace(&mut self.structure.deadlocks, found);
        let mut touched: BTreeSet<Key> = before.iter().flat_map(|it| it.members.iter().copied()).collect();
        for old in &before {
            self.target_mut(old.victim).stuck = None;
        }
        for new in self.structure.deadlocks.clone() {
            touched.extend(&new.members);
            self.target_mut(new.victim).stuck = Some(Stuck { since: new.since, text: new.text });
        }
        touched
    }

    /// The member of a circle that costs least to end: nothing critical, needed by few, and with the least work lost.
    fn cheapest(&self, members: &[Key]) -> Option<Key> {
        let cost = |key: &&Key| {
            let target = self.target_at(**key);
            let began = Reverse(target.process.began.unwrap_or(Timestamp::ZERO));
            (target.report.critical, self.dependents(**key).len(), began, **key)
        };
        members.iter().min_by_key(cost).copied()
    }

    /// What a target was seen to wait for.
    pub(crate) fn waited_for(&self, key: Key) -> impl Iterator<Item = Key> {
        let edges = self.structure.waits.get(&key.host).into_iter().flat_map(|waits| &waits.edges);
        edges.filter(move |(from, ..)| *from == key).map(|(_, to, _)| *to)
    }

    /// Whether a target's agent has said since then what its targets wait for, or cannot be asked.
    pub(crate) fn heard_waits(&self, key: Key, since: Timestamp) -> bool {
        let known = self.structure.waits.get(&key.host);
        !self.hosts[at(key.host)].online() || known.is_some_and(|waits| waits.at >= since)
    }

    /// The victim of the deadlock that a target is caught in, if it is another one.
    pub(crate) fn caught_with(&self, key: Key) -> Option<Key> {
        let caught = self.structure.deadlocks.iter().find(|it| it.members.contains(&key))?;
        (caught.victim != key).then_some(caught.victim)
    }
}
