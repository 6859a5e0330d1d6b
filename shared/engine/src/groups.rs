//! Groups: targets that are repaired with regard to each other, so that a repair never takes away more of what they do
//! together than it may.
//!
//! A group is counted in hosts, because that is what fails and what is repaired: a host is under repair while anything
//! is done to one of its members, or has just been done and is not verified yet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use prunella_model::incident::{IncidentState, Severity};
use prunella_model::policy::{GroupPolicy, Mode, Scope};
use prunella_model::{GroupName, IncidentId};

use crate::Engine;
use crate::detect::peers;
use crate::key::{Key, at, next};

/// The label by which hosts and targets say to which group they belong.
const LABEL: &str = "group";

/// The share of a group's hosts that may be under repair at the same time when the policy does not say, in percent.
const CONCURRENT_PERCENT: u32 = 5;

/// The members of one group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    /// Its targets, by host.
    pub(crate) hosts: BTreeMap<u32, BTreeSet<u32>>,
    /// How many members of a host are under repair, for each host with any.
    pub(crate) busy: BTreeMap<u32, u32>,
}

impl Members {
    /// How many hosts it has.
    pub(crate) fn len(&self) -> u32 {
        next(self.hosts.len())
    }

    fn busier(&mut self, host: u32) {
        *self.busy.entry(host).or_default() += 1;
    }

    fn idler(&mut self, host: u32) {
        if let Some(count) = self.busy.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.busy.remove(&host);
            }
        }
    }
}

impl Engine {
    /// The groups that a target belongs to by its labels and by the policy.
    fn groups_named(&self, key: Key) -> Vec<GroupName> {
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)].report;
        let label = |name: &str| {
            target.labels.get(name).or_else(|| host.report.as_ref().and_then(|report| report.labels.get(name)))
        };
        let own = label(LABEL).and_then(|name| GroupName::new(name).ok());
        let named = |it: &GroupPolicy| {
            it.hosts.contains(&host.id)
                || target.service.as_ref().is_some_and(|service| it.services.contains(service))
                || (!it.labels.is_empty() && it.labels.iter().all(|(name, value)| label(name) == Some(value)))
        };
        let by_policy = self.policy.groups.iter().filter(|(_, it)| named(it)).map(|(name, _)| name.clone());
        own.into_iter().chain(by_policy).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Puts a target into its groups.
    pub(crate) fn join_groups(&mut self, key: Key) {
        let groups = self.groups_named(key);
        let busy = self.busy(key);
        for group in &groups {
            let members = self.topology.groups.entry(group.clone()).or_default();
            members.hosts.entry(key.host).or_default().insert(key.target);
            if busy {
                members.busier(key.host);
            }
        }
        if groups.iter().any(|it| self.topology.groups.get(it).is_some_and(|it| it.hosts.len() >= peers::LEAST)) {
            self.watch_peers();
        }
        self.target_mut(key).groups = groups;
    }

    /// Takes a target out of its groups.
    pub(crate) fn leave_groups(&mut self, key: Key) {
        let busy = self.busy(key);
        for group in std::mem::take(&mut self.target_mut(key).groups) {
            let Some(members) = self.topology.groups.get_mut(&group) else { continue };
            if busy {
                members.idler(key.host);
            }
            if let Some(targets) = members.hosts.get_mut(&key.host) {
                targets.remove(&key.target);
                if targets.is_empty() {
                    members.hosts.remove(&key.host);
                }
            }
            if members.hosts.is_empty() {
                self.topology.groups.remove(&group);
            }
        }
    }

    fn busy(&self, key: Key) -> bool {
        let case = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        case.is_some_and(|case| case.under_repair())
    }

    /// A target came under repair, or its repair is over.
    pub(crate) fn group_work(&mut self, key: Key, begun: bool) {
        for group in self.target_at(key).groups.clone() {
            let Some(members) = self.topology.groups.get_mut(&group) else { continue };
            if begun {
                members.busier(key.host);
            } else {
                members.idler(key.host);
                self.wake_group(&group);
            }
        }
    }

    /// A place in a group is free, or one more of it is healthy: its worst and oldest held incidents may have it. The rest would only be held again.
    pub(crate) fn wake_group(&mut self, group: &GroupName) {
        let Some(members) = self.topology.groups.get(group) else { return };
        let mut held: Vec<(Reverse<Severity>, IncidentId)> = Vec::new();
        for id in members.hosts.keys().flat_map(|host| &self.hosts[at(*host)].incidents) {
            if let Some(case) = self.cases.get(id).filter(|case| matches!(case.it.state, IncidentState::Held)) {
                held.push((Reverse(case.severity()), *id));
            }
        }
        held.sort_unstable();
        let places = at(self.group_limit(group));
        self.woken.extend(held.into_iter().take(places).map(|(_, id)| id));
    }

    /// Whether there is such a group, be it without members.
    pub(crate) fn has_group(&self, group: &GroupName) -> bool {
        self.topology.groups.contains_key(group) || self.policy.groups.contains_key(group)
    }

    /// How many hosts of a group may be under repair at the same time.
    pub(crate) fn group_limit(&self, group: &GroupName) -> u32 {
        let hosts = self.topology.groups.get(group).map_or(0, Members::len);
        let policy = self.policy.groups.get(group).and_then(|it| it.concurrent);
        policy.unwrap_or(hosts.saturating_mul(CONCURRENT_PERCENT) / 100).max(1)
    }

    /// How many hosts of a group must remain healthy while one that serves is repaired.
    pub(crate) fn group_minimum(&self, group: &GroupName) -> u32 {
        let hosts = self.topology.groups.get(group).map_or(0, Members::len);
        let Some(policy) = self.policy.groups.get(group) else { return 1 };
        let quorum = if policy.quorum { hosts / 2 + 1 } else { 1 };
        policy.minimum_healthy.unwrap_or(1).max(quorum)
    }

    /// The hosts of a group on which every member is well, and at least one is seen to serve.
    pub(crate) fn group_healthy(&self, group: &GroupName) -> BTreeSet<u32> {
        let Some(members) = self.topology.groups.get(group) else { return BTreeSet::new() };
        let well = |(host, targets): (&u32, &BTreeSet<u32>)| {
            let keys = || targets.iter().map(|target| Key { host: *host, target: *target });
            let well = self.hosts[at(*host)].online()
                && keys().all(|key| !self.ailing(key))
                && keys().any(|key| self.serves(key));
            well.then_some(*host)
        };
        members.hosts.iter().filter_map(well).collect()
    }

    /// Whether a scope covers a target.
    pub(crate) fn covers(&self, scope: &Scope, key: Key) -> bool {
        let host = &self.hosts[at(key.host)];
        match scope {
            Scope::Fleet => true,
            Scope::Group(group) => host.targets[at(key.target)].groups.contains(group),
            Scope::Host(id) => host.id == *id,
            Scope::Target(id, target) => host.id == *id && host.targets[at(key.target)].report.name == *target,
            Scope::Operator(_) => false,
        }
    }

    /// The fleet's mode: what a person set, or the policy's.
    pub(crate) fn fleet_mode(&self) -> Mode {
        self.modes.get(&Scope::Fleet).map_or(self.policy.mode, |it| it.mode)
    }

    /// A group's own mode, what a person set before the policy's; null when it has none.
    pub(crate) fn group_mode(&self, group: &GroupName) -> Option<Mode> {
        let set = self.modes.get(&Scope::Group(group.clone())).map(|it| it.mode);
        set.or_else(|| self.policy.groups.get(group).and_then(|it| it.mode))
    }

    /// The mode in which a target is repaired, and the scope that it comes from.
    ///
    /// A group's mode takes the place of the fleet's; of several groups the most careful one counts. A fleet that is
    /// disabled is so everywhere.
    pub(crate) fn mode_of(&self, key: Key) -> (Mode, Scope) {
        let fleet = (self.fleet_mode(), Scope::Fleet);
        if fleet.0 == Mode::Disabled {
            return fleet;
        }
        let own = self.target_at(key).groups.iter();
        let own = own.filter_map(|group| Some((self.group_mode(group)?, Scope::Group(group.clone()))));
        own.max_by_key(|it| it.0).unwrap_or(fleet)
    }
}
