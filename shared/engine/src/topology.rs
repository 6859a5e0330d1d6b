//! Who needs whom, and whose fault it is.
//!
//! A probe that asks a target for its service also fails when something behind that target is broken. So before such a
//! symptom is acted on, everything that the target depends on must be known to be well, on evidence that is newer than
//! the symptom's onset, and the symptom must have been seen again after that: what was seen before may be the last trace
//! of a fault behind it that is over.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::host::Dependency;
use prunella_model::incident::SharedAttribute;
use prunella_model::observation::{Finding, Status};
use prunella_model::{GroupName, IncidentId, ServiceName, TargetRef, Timestamp};

use crate::Engine;
use crate::blame::Culprit;
use crate::correlate::census::Sharers;
use crate::groups::Members;
use crate::host::Link;
use crate::key::{Key, at};
use crate::target::Life;

/// How far blame is followed. Chains of services are short; this bounds the work in a dense graph.
const REACH_MAX: usize = 64;

/// What something is needed as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needed {
    /// One target.
    Target(TargetRef),
    /// Any healthy member of a service.
    Service(ServiceName),
}

/// Services and dependents, kept as reports come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    /// Members of each service.
    pub(crate) services: BTreeMap<ServiceName, BTreeSet<Key>>,
    /// Who needs it.
    pub(crate) dependents: BTreeMap<Needed, BTreeSet<Key>>,
    /// Members of each group.
    pub(crate) groups: BTreeMap<GroupName, Members>,
    /// Who has what in common with others.
    pub(crate) sharing: BTreeMap<SharedAttribute, Sharers>,
}

impl Topology {
    /// Takes a target out.
    pub(crate) fn remove(&mut self, key: Key, service: Option<&ServiceName>, needs: &[Needed]) {
        if let Some(members) = service.and_then(|service| self.services.get_mut(service)) {
            members.remove(&key);
        }
        for needed in needs {
            if let Some(dependents) = self.dependents.get_mut(needed) {
                dependents.remove(&key);
                if dependents.is_empty() {
                    self.dependents.remove(needed);
                }
            }
        }
    }

    /// Forgets what a target or host has in common with others.
    pub(crate) fn part(&mut self, key: Key, attributes: &[SharedAttribute]) {
        for attribute in attributes {
            if self.sharing.get_mut(attribute).is_some_and(|sharers| sharers.remove(key)) {
                self.sharing.remove(attribute);
            }
        }
    }

    /// Notes what a target or host has in common with others.
    pub(crate) fn share(&mut self, key: Key, attributes: Vec<SharedAttribute>) {
        for attribute in attributes {
            self.sharing.entry(attribute).or_default().insert(key);
        }
    }

    /// Puts a target in.
    pub(crate) fn insert(&mut self, key: Key, service: Option<&ServiceName>, needs: Vec<Needed>) {
        if let Some(service) = service {
            self.services.entry(service.clone()).or_default().insert(key);
        }
        for needed in needs {
            self.dependents.entry(needed).or_default().insert(key);
        }
    }
}

/// What one dependency resolves to.
#[derive(Debug, Clone)]
pub(crate) enum Need {
    /// This target must work.
    One(Key),
    /// One of these must work.
    Any(Vec<Key>),
    /// Nothing in the fleet has that name.
    Missing(String),
}

/// What is known of the things that a target depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upstream {
    /// The broken ones that explain the rest, best candidate first.
    pub(crate) culprits: Vec<Culprit>,
    /// Those of which there is no evidence that is new enough.
    pub(crate) unknown: Vec<Key>,
    /// Those that are known to be well.
    pub(crate) well: Vec<Key>,
    /// Names that nothing in the fleet has.
    pub(crate) missing: Vec<String>,
}

/// What the probes of one target say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Well,
    Ailing,
    Unknown,
}

impl Engine {
    /// What a target needs: what its host declares and what the policy adds for its service.
    pub(crate) fn declared_needs(&self, key: Key) -> Vec<Needed> {
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        let added = target.report.service.as_ref().and_then(|service| self.policy.services.get(service));
        let all = target.report.depends_on.iter().chain(added.into_iter().flat_map(|it| &it.depends_on));
        all.map(|dependency| match dependency {
            Dependency::Local(name) => Needed::Target(TargetRef::new(host.id.clone(), name.clone())),
            Dependency::Target(target) => Needed::Target(target.clone()),
            Dependency::Service(service) => Needed::Service(service.clone()),
        })
        .collect()
    }

    /// The same, resolved. A target never needs itself.
    pub(crate) fn needs(&self, key: Key) -> Vec<Need> {
        let resolve = |needed: Needed| match needed {
            Needed::Target(target) => match self.find(&target) {
                Some(found) => Need::One(found),
                None => Need::Missing(target.to_string()),
            },
            Needed::Service(service) => {
                let members = self.topology.services.get(&service);
                let members: Vec<Key> = members.into_iter().flatten().copied().filter(|it| *it != key).collect();
                if members.is_empty() { Need::Missing(format!("services/{service}")) } else { Need::Any(members) }
            }
        };
        let needs = self.declared_needs(key).into_iter().map(resolve);
        needs.filter(|need| !matches!(need, Need::One(other) if *other == key)).collect()
    }

    /// The targets that need this one directly.
    pub(crate) fn dependents(&self, key: Key) -> BTreeSet<Key> {
        let target = self.target_at(key);
        let by_name = self.topology.dependents.get(&Needed::Target(self.reference(key)));
        let service = target.report.service.clone().map(Needed::Service);
        let by_service = service.and_then(|service| self.topology.dependents.get(&service));
        by_name.into_iter().flatten().chain(by_service.into_iter().flatten()).copied().filter(|it| *it != key).collect()
    }

    /// Whether a target is broken as its users see it, on fresh evidence, or out of reach, or just being repaired.
    pub(crate) fn ailing(&self, key: Key) -> bool {
        let host = &self.hosts[at(key.host)];
        if host.link == Link::Silent {
            return true;
        }
        let incident = host.targets[at(key.target)].incident.and_then(|id| self.cases.get(&id));
        if incident.is_some_and(|case| case.under_repair()) {
            return true;
        }
        self.proof(key, Timestamp::ZERO) == Proof::Ailing
    }

    /// What the probes of a target that were made at or after `since`, by the server's clock, say of it.
    fn proof(&self, key: Key, since: Timestamp) -> Proof {
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        let mut proof = Proof::Well;
        for probe in &target.probes {
            if !probe.report.kind.speaks_for_users() {
                continue;
            }
            let fresh = probe.fresh(self.now, host.contact(), self.policy.verification.fresh);
            match fresh.map(|seen| (seen.status, seen.at >= since)) {
                Some((Status::Down, _)) => return Proof::Ailing,
                Some((Status::Up, true)) => {}
                Some((Status::Up, false) | (Status::Unknown, _)) | None => proof = Proof::Unknown,
            }
        }
        if !host.online() { Proof::Unknown } else { proof }
    }

    /// Whether a target is known to be well, on evidence from `since` on, by the server's clock.
    pub(crate) fn is_well(&self, key: Key, since: Timestamp) -> bool {
        self.proof(key, since) == Proof::Well
    }

    /// When a target that is well was first seen to be so at or after `since`, by the server's clock.
    pub(crate) fn proven_at(&self, key: Key, since: Timestamp) -> Option<Timestamp> {
        let probes = self.target_at(key).probes.iter().filter(|probe| probe.report.kind.speaks_for_users());
        probes.filter_map(|probe| probe.recent.iter().map(|seen| seen.at).filter(|at| *at >= since).min()).max()
    }

    /// The broken targets that `key` depends on directly.
    fn broken_needs(&self, key: Key) -> Vec<Key> {
        let mut broken = Vec::new();
        for need in self.needs(key) {
            match need {
                Need::One(other) => broken.extend((self.ailing(other) && self.may_blame(key, other)).then_some(other)),
                Need::Any(members) => {
                    if members.iter().all(|member| self.ailing(*member)) {
                        broken.extend(members.into_iter().filter(|member| self.may_blame(key, *member)));
                    }
                }
                Need::Missing(_) => {}
            }
        }
        broken
    }

    /// Whether blame may follow an edge. In a cycle what gives no answer is blamed by what answers, though wrongly, and never
    /// the other way round; where that does not tell them apart, a softened edge leads only to what is dead by its own
    /// evidence.
    fn may_blame(&self, from: Key, to: Key) -> bool {
        if self.dead(to) || !self.in_one_cycle(from, to) {
            return true;
        }
        match (self.is_silent(from), self.is_silent(to)) {
            (false, true) => true,
            (true, false) => false,
            (true, true) | (false, false) => !self.is_soft(from, to),
        }
    }

    /// Whether the service of a target gives no answer at all, as far as was seen last.
    fn is_silent(&self, key: Key) -> bool {
        let mut probes = self.target_at(key).probes.iter().filter(|probe| probe.report.kind.sees_through());
        probes.any(|probe| {
            let down = probe.last().is_some_and(|seen| seen.status == Status::Down);
            down && matches!(probe.finding, Some(Finding::NoAnswer { .. } | Finding::Unreachable { .. }))
        })
    }

    /// Everything broken that `key` depends on, directly or not. Contains `key` itself only in a cycle.
    pub(crate) fn reach(&self, key: Key) -> BTreeSet<Key> {
        let mut reached = BTreeSet::new();
        let mut open = vec![key];
        while let Some(next) = open.pop() {
            for other in self.broken_needs(next) {
                if reached.len() < REACH_MAX && reached.insert(other) {
                    open.push(other);
                }
            }
        }
        reached
    }

    /// The order in which broken targets of one cycle are blamed: a dead process first, then the first by place.
    pub(crate) fn blame_order(&self, key: Key) -> (bool, Key) {
        let dead = self.target_at(key).process.life == Life::Ended;
        (!dead, key)
    }

    /// What is known of everything that `key` depends on. `since` is when its symptom began, by the server's clock.
    pub(crate) fn upstream(&self, key: Key, since: Timestamp) -> Upstream {
        let mut found = Upstream::default();
        let reached = self.reach(key);
        if !reached.is_empty() {
            let reaches: BTreeMap<Key, BTreeSet<Key>> = reached.iter().map(|it| (*it, self.reach(*it))).collect();
            let is_sink = |it: &&Key| {
                let below = &reaches[*it];
                below.iter().all(|other| reaches.get(other).is_some_and(|back| back.contains(*it)))
            };
            let mut culprits: Vec<Key> = reached.iter().filter(is_sink).copied().collect();
            culprits.sort_by_key(|it| self.blame_order(*it));
            // In a cycle of broken targets one must be the first to be repaired, or none ever is.
            if culprits.first() == Some(&key) {
                culprits.clear();
            }
            let cycle = culprits.contains(&key);
            culprits.retain(|it| *it != key);
            let mut broken: BTreeMap<Key, Vec<Key>> = reached.iter().map(|it| (*it, self.broken_needs(*it))).collect();
            broken.entry(key).or_insert_with(|| self.broken_needs(key));
            found.culprits = self.rank_culprits(key, &culprits, &broken);
            if cycle {
                // All members of a cycle must blame the same one, so there the order does not depend on who looks.
                found.culprits.sort_by_key(|it| self.blame_order(it.key));
            }
        }
        let mut visited = BTreeSet::from([key]);
        self.prove(key, since, &mut visited, &mut found);
        found
    }

    fn prove(&self, key: Key, since: Timestamp, visited: &mut BTreeSet<Key>, found: &mut Upstream) {
        for need in self.needs(key) {
            match need {
                Need::Missing(name) => found.missing.push(name),
                Need::One(other) if self.is_soft(key, other) => {}
                Need::One(other) => self.prove_one(other, since, visited, found),
                Need::Any(mut members) => {
                    members.retain(|member| !self.is_soft(key, *member));
                    let well = members.iter().find(|member| self.proof(**member, since) == Proof::Well);
                    match well {
                        Some(member) => self.prove_one(*member, since, visited, found),
                        None => members.iter().for_each(|member| self.prove_one(*member, since, visited, found)),
                    }
                }
            }
        }
    }

    fn prove_one(&self, key: Key, since: Timestamp, visited: &mut BTreeSet<Key>, found: &mut Upstream) {
        if visited.len() > REACH_MAX || !visited.insert(key) {
            return;
        }
        match self.proof(key, since) {
            Proof::Ailing => {}
            Proof::Unknown => found.unknown.push(key),
            Proof::Well => {
                found.well.push(key);
                let answers = self.target_at(key).probes.iter().any(|probe| probe.report.kind.sees_through());
                if !answers {
                    self.prove(key, since, visited, found);
                }
            }
        }
    }

    /// Open incidents that blame `key`.
    pub(crate) fn victims(&self, key: Key) -> Vec<(IncidentId, Key)> {
        let watchers = &self.target_at(key).watchers;
        let cases = watchers.iter().filter_map(|id| self.cases.get(id).map(|case| (*id, case)));
        cases.filter(|(_, case)| case.blames == Some(key)).map(|(id, case)| (id, case.key)).collect()
    }
}
