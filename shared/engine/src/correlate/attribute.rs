//! What a target shares with others.

use prunella_model::TargetName;
use prunella_model::Timestamp;
use prunella_model::change::Changed;
use prunella_model::host::HostReport;
use prunella_model::id::NAME_MAX;
use prunella_model::incident::{Category, SharedAttribute, SharedKind};

use crate::Engine;
use crate::cause::Cause;
use crate::changes::{Change, VERSION};
use crate::correlate::census::Sharers;
use crate::key::{Key, at};
use crate::topology::Needed;

/// The name under which the agent's own version is shared.
pub(super) const AGENT: &str = "agent";

fn of(kind: SharedKind, name: &str, value: &str) -> SharedAttribute {
    SharedAttribute { kind, name: name.to_owned(), value: value.to_owned() }
}

/// What a change is called when it is shared. A deploy is shared as its version; repairs are our own doing.
fn of_change(target: &TargetName, change: &Change) -> Option<SharedAttribute> {
    match &change.what {
        Changed::File { .. } => Some(of(SharedKind::Change, target.as_str(), &change.what.to_string())),
        Changed::Version { .. } | Changed::Agent { .. } | Changed::Repaired { .. } => None,
    }
}

/// A name for the place of an attribute's incident.
pub(super) fn place_name(attribute: &SharedAttribute) -> TargetName {
    let text = format!("{}-{}", attribute.name, attribute.value).to_lowercase();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')));
    let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
    let text: String = words.join("-").chars().take(NAME_MAX).collect();
    TargetName::new(text.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .unwrap_or_else(|_| TargetName::of("shared"))
}

impl Engine {
    /// What a host shares by its labels.
    pub(crate) fn host_attributes(&self, report: &HostReport) -> Vec<SharedAttribute> {
        let labels = self.policy.shared_cause.labels.iter();
        let mut all: Vec<SharedAttribute> =
            labels.filter_map(|label| Some(of(SharedKind::Group, label, report.labels.get(label)?))).collect();
        all.push(of(SharedKind::Version, AGENT, &report.agent_version));
        all.extend(report.labels.get(VERSION).map(|it| of(SharedKind::Version, TargetName::host().as_str(), it)));
        all
    }

    /// What a target shares by what is declared of it: its version and what it needs.
    pub(crate) fn target_attributes(&self, key: Key) -> Vec<SharedAttribute> {
        let report = &self.target_at(key).report;
        let name = report.service.as_ref().map_or(report.name.as_str(), |service| service.as_str());
        let mut all: Vec<SharedAttribute> =
            report.labels.get(VERSION).map(|it| of(SharedKind::Version, name, it)).into_iter().collect();
        all.extend(self.declared_needs(key).iter().map(of_need));
        all
    }

    /// Everything that a fault of `cause`, opened at `opened`, may share with others. What is known to be well is no cause.
    pub(super) fn attributes(&self, key: Key, cause: Cause, opened: Timestamp) -> Vec<SharedAttribute> {
        let target = self.target_at(key);
        let mut all: Vec<SharedAttribute> =
            self.changes_before(key, opened).filter_map(|it| of_change(&target.report.name, it)).collect();
        let needs = self.declared_needs(key);
        let well: Vec<SharedAttribute> = needs.iter().filter(|it| self.well(it, opened)).map(of_need).collect();
        all.extend(self.target_attributes(key).into_iter().filter(|it| !well.contains(it)));
        // The agent does not run what it watches: its version bears on its own faults only.
        let by_host = self.hosts[at(key.host)].report.iter().flat_map(|report| self.host_attributes(report));
        all.extend(by_host.filter(|it| cause.category() == Category::AgentFault || it.name != AGENT));
        all
    }

    fn well(&self, needed: &Needed, since: Timestamp) -> bool {
        match needed {
            Needed::Target(target) => self.find(target).is_some_and(|key| self.is_well(key, since)),
            Needed::Service(service) => {
                let members = self.topology.services.get(service);
                members.into_iter().flatten().any(|key| self.is_well(*key, since))
            }
        }
    }

    /// Whether a fault that was opened at `opened` has an attribute.
    pub(super) fn shares(&self, key: Key, opened: Timestamp, attribute: &SharedAttribute) -> bool {
        if attribute.kind == SharedKind::Change {
            let name = &self.target_at(key).report.name;
            return self.changes_before(key, opened).any(|it| of_change(name, it).as_ref() == Some(attribute));
        }
        let Some(sharing) = self.topology.sharing.get(attribute) else { return false };
        let host = self.hosts[at(key.host)].names.get(&TargetName::host());
        sharing.contains(key) || host.is_some_and(|target| sharing.contains(Key { host: key.host, target: *target }))
    }

    /// Everything that a fault has which was opened at `opened`, whatever its cause: all for which [`Engine::shares`] is true.
    pub(super) fn all_shared(&self, key: Key, opened: Timestamp) -> Vec<SharedAttribute> {
        let (host, target) = (&self.hosts[at(key.host)], self.target_at(key));
        let name = &target.report.name;
        let mut all: Vec<SharedAttribute> =
            self.changes_before(key, opened).filter_map(|it| of_change(name, it)).collect();
        if !target.gone {
            all.extend(self.target_attributes(key));
        }
        all.extend(host.report.iter().flat_map(|report| self.host_attributes(report)));
        // One that it has twice, by itself and by its host, is counted once.
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Counts a change among those that hosts may share.
    pub(crate) fn note_shared_change(&mut self, key: Key, change: &Change) {
        if let Some(attribute) = of_change(&self.target_at(key).report.name, change) {
            self.faults.changed.insert(attribute, change.at, key);
        }
    }

    /// Counts it no more.
    pub(crate) fn forget_shared_change(&mut self, key: Key, change: &Change) {
        if let Some(attribute) = of_change(&self.target_at(key).report.name, change) {
            self.faults.changed.remove(&attribute, change.at, key);
        }
    }

    /// How many hosts have an attribute.
    pub(super) fn sharing(&mut self, attribute: &SharedAttribute) -> u32 {
        if attribute.kind == SharedKind::Change {
            self.faults.changed.expire(attribute, self.now);
            return self.faults.changed.hosts(attribute);
        }
        self.topology.sharing.get(attribute).map_or(0, Sharers::hosts)
    }
}

fn of_need(needed: &Needed) -> SharedAttribute {
    match needed {
        Needed::Target(target) => {
            of(SharedKind::Dependency, "", &format!("hosts/{}/targets/{}", target.host, target.target))
        }
        Needed::Service(service) => of(SharedKind::Dependency, "", &format!("services/{service}")),
    }
}
