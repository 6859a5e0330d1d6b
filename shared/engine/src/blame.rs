//! Several broken dependencies explain one fault: which of them is the most suspect?
//!
//! Ranked as suspects are on a call graph (see [`crate::suspects`]), by what is known of live targets: where a walk along
//! what is needed and broken ends, how deep they lie, whose fault began first, and what changed shortly before. A dead
//! process, or a host out of reach, is a fault of its own and outranks what merely does not answer.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::change::Changed;
use prunella_model::observation::Status;
use prunella_model::{TargetName, Timestamp};

use crate::Engine;
use crate::host::Link;
use crate::key::{Key, at};
use crate::suspects::{DECISIVE, fuse, walk};
use crate::target::Life;
use crate::text;

/// How many suspects a diagnosis names.
pub(crate) const SUSPECTS: usize = 3;

/// A saturated target is a bottleneck when at least so many of those that need it do not answer.
const EXPLAINS: usize = 2;

/// The rules that say that something is at its limit.
const SATURATES: [&str; 5] =
    ["cpu_saturated", "memory_low", "disk_low", crate::rules::MEMORY_LEAK, crate::rules::DIRECTORY_FULL];

/// A broken dependency, with what speaks against it.
#[derive(Debug, Clone)]
pub(crate) struct Culprit {
    /// Which.
    pub(crate) key: Key,
    /// Its rank value; larger is more suspect.
    score: f64,
    dead: bool,
    onset: Timestamp,
    changed: bool,
}

impl Culprit {
    /// Why it ranks where it does, against the one that ranks first.
    pub(crate) fn against(&self, first: &Self) -> String {
        let mut why = Vec::new();
        if first.dead && !self.dead {
            why.push("it is not dead by itself".to_owned());
        }
        if self.onset > first.onset {
            why.push(format!("its fault began {} later", text::span(self.onset.since(first.onset))));
        }
        if first.changed && !self.changed {
            why.push("nothing changed on it shortly before".to_owned());
        }
        if why.is_empty() { "nothing tells them apart but their place".to_owned() } else { why.join(", ") }
    }
}

impl Engine {
    /// Orders broken targets that `victim` depends on, the most suspect first.
    ///
    /// `broken` has, for every broken target that `victim` reaches, those that it needs and that are broken.
    pub(crate) fn rank_culprits(
        &self,
        victim: Key,
        culprits: &[Key],
        broken: &BTreeMap<Key, Vec<Key>>,
    ) -> Vec<Culprit> {
        let keys: Vec<Key> = broken.keys().copied().collect();
        let place = |key: &Key| keys.binary_search(key).ok();
        let calls = |from: usize| broken[&keys[from]].iter().filter_map(place).collect::<Vec<_>>().into_iter();
        let among: BTreeSet<usize> = (0..keys.len()).collect();
        let Some(start) = place(&victim) else { return Vec::new() };
        let visits = walk::pagerank(keys.len(), &among, start, calls, |_| 1.0);
        let depths = walk::depths(&among, start, calls);
        let mut ranked: Vec<Culprit> = culprits
            .iter()
            .map(|key| {
                let onset = self.began(*key);
                let changed = self.changes_before(*key, onset).any(|change| match change.what {
                    Changed::Version { .. } | Changed::Agent { .. } | Changed::File { .. } => true,
                    Changed::Repaired { .. } => false,
                });
                Culprit { key: *key, score: 0.0, dead: self.dead(*key), onset, changed }
            })
            .collect();
        let by = |value: &dyn Fn(&Culprit) -> f64| -> Vec<(usize, f64)> {
            ranked.iter().enumerate().map(|(at, it)| (at, value(it))).collect()
        };
        let visited = |it: &Culprit| place(&it.key).and_then(|at| visits.get(at)).map_or(0.0, |it| it.1);
        let depth = |it: &Culprit| place(&it.key).and_then(|at| depths.get(&at)).copied().unwrap_or(0.0);
        let latest = ranked.iter().map(|it| it.onset).max().unwrap_or(Timestamp::ZERO);
        let fused = fuse(&[
            by(&|it| visited(it)),
            by(&|it| depth(it)),
            by(&|it| latest.since(it.onset).as_secs_f64()),
            by(&|it| if it.changed { 1.0 } else { 0.0 }),
        ]);
        for (at, score) in fused {
            if let Some(it) = ranked.get_mut(at) {
                it.score = score + if it.dead { DECISIVE } else { 0.0 };
            }
        }
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        ranked
    }

    /// Whether a target is down by its own evidence.
    pub(crate) fn dead(&self, key: Key) -> bool {
        self.target_at(key).process.life == Life::Ended || self.hosts[at(key.host)].link == Link::Silent
    }

    /// Whether a target has an open fault of a resource: it works, but at its limit.
    pub(crate) fn is_saturated(&self, key: Key) -> bool {
        let case = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        case.is_some_and(|case| {
            std::iter::once(&case.it.fault).chain(&case.it.also).any(|fault| SATURATES.contains(&fault.rule.as_str()))
        })
    }

    /// What is saturated and explains why a target, and others that need the same, do not answer: something that it needs,
    /// or the host of that. Null when it is the only one that suffers.
    pub(crate) fn bottleneck(&self, victim: Key) -> Option<Key> {
        let needed = self.upstream_watches(victim).into_iter().filter(|key| !self.is_soft(victim, *key));
        let mut found = needed.filter_map(|key| {
            let host = self.hosts[at(key.host)].names.get(&TargetName::host());
            let host = host.map(|target| Key { host: key.host, target: *target });
            let saturated = [Some(key), host].into_iter().flatten().find(|it| self.is_saturated(*it))?;
            // Whoever runs on the saturated host itself suffers for that reason, not for what it needs.
            let others = self.dependents(key).into_iter().filter(|it| self.ailing(*it) && it.host != saturated.host);
            (others.count() >= EXPLAINS && victim.host != saturated.host).then_some(saturated)
        });
        found.next()
    }

    /// When a broken target was first seen to be so, by the server's clock.
    fn began(&self, key: Key) -> Timestamp {
        let down = self
            .target_at(key)
            .probes
            .iter()
            .filter(|probe| probe.last().is_some_and(|seen| seen.status == Status::Down));
        down.map(|probe| probe.since_at).min().unwrap_or(self.now)
    }
}
