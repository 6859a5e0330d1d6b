//! What changed lately: deploys, edits and repairs are evidence for whoever looks for a cause.
//!
//! Only what the fleet itself saw to change is remembered, bounded for each target, and stored with its host. That a change
//! came before a fault proves nothing by itself, so it is named in the diagnosis, and only becomes the cause when a
//! restart did not mend the fault or when those who share the change share the fault.

use std::collections::VecDeque;
use std::time::Duration;

use prunella_model::change::{ChangeSeen, Changed};
use prunella_model::host::HostReport;
use prunella_model::incident::Evidence;
use prunella_model::observation::{Finding, Observation, Sha256};
use prunella_model::part::PartReport;
use prunella_model::{TargetName, Timestamp};

use crate::Engine;
use crate::key::{Key, at};
use crate::target::Target;
use crate::text;

/// How many changes of one target are remembered.
const CHANGES: usize = 8;

/// How long before a fault a change still counts as recent.
pub(crate) const RECENT: Duration = Duration::from_secs(1_800);

/// A change may be seen so much later than the failure that it led to.
const NOTICED: Duration = Duration::from_secs(1);

/// How many changes one diagnosis names.
const NAMED: usize = 3;

/// The label that says which version of a thing runs.
pub(crate) const VERSION: &str = "version";

/// A change that was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// When, by the server's clock.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) what: Changed,
}

impl Target {
    /// Its changes as they are stored.
    pub(crate) fn changes_seen(&self) -> impl Iterator<Item = ChangeSeen> {
        let name = self.report.name.clone();
        self.changes.iter().map(move |it| ChangeSeen { at: it.at, target: name.clone(), what: it.what.clone() })
    }

    /// Returns the oldest one, if there is no more room for it.
    fn remember_change(&mut self, change: Change) -> Option<Change> {
        let oldest = if self.changes.len() == CHANGES { self.changes.pop_front() } else { None };
        self.changes.push_back(change);
        oldest
    }
}

/// The change that a look at a file shows against the look before. What was there at the first look is no change.
pub(crate) fn file_change(before: Option<&Finding>, seen: &Observation) -> Option<Changed> {
    let (old, new) = (FileSeen::of(before?)?.content, FileSeen::of(&seen.finding)?.content);
    (old != new).then(|| Changed::File { file: seen.probe.clone(), to: new })
}

/// What a look at a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSeen {
    /// The digest of its content; null when it is missing.
    pub(crate) content: Option<Sha256>,
    /// The digest of its known-good snapshot; null before the first.
    pub(crate) known_good: Option<Sha256>,
}

impl FileSeen {
    /// Null when the finding is of no file.
    pub(crate) fn of(finding: &Finding) -> Option<Self> {
        match finding {
            Finding::FileAsKnown { sha256 } => Some(Self { content: Some(*sha256), known_good: Some(*sha256) }),
            Finding::FileChanged { sha256, known_good } => Some(Self { content: *sha256, known_good: *known_good }),
            Finding::Running { .. }
            | Finding::Exited { .. }
            | Finding::NotRunning
            | Finding::StoppedOnPurpose
            | Finding::Answered { .. }
            | Finding::BadAnswer { .. }
            | Finding::NoAnswer { .. }
            | Finding::Unreachable { .. }
            | Finding::DirectoryUse { .. }
            | Finding::LinesMatched { .. }
            | Finding::HostRead
            | Finding::Checked { .. }
            | Finding::ProbeBroken { .. } => None,
        }
    }
}

/// The releases that are other ones now. That there is none, or no more, is no deploy.
fn releases<'p>(old: &'p [PartReport], new: &'p [PartReport]) -> impl Iterator<Item = Changed> + use<'p> {
    new.iter().filter_map(|it| {
        let before = old.iter().find(|old| old.kind == it.kind && old.name == it.name)?.current.as_ref()?;
        let now = it.current.as_ref().filter(|now| *now != before)?;
        Some(Changed::Version { from: Some(before.to_string()), to: Some(now.to_string()) })
    })
}

impl Engine {
    /// Remembers a change.
    pub(crate) fn note_change(&mut self, key: Key, when: Timestamp, what: Changed) {
        self.remember_change(key, Change { at: when, what });
        self.out.hosts.insert(key.host);
        self.compare_anew(key.host);
    }

    fn remember_change(&mut self, key: Key, change: Change) {
        self.note_shared_change(key, &change);
        if let Some(oldest) = self.target_mut(key).remember_change(change) {
            self.forget_shared_change(key, &oldest);
        }
    }

    /// Compares what an agent now says of versions with what it said before. A first report is no change.
    pub(crate) fn note_versions(&mut self, index: u32, report: &HostReport) {
        let now = self.now;
        let host = &self.hosts[at(index)];
        let Some(before) = &host.report else { return };
        let mut changed: Vec<(TargetName, Changed)> = Vec::new();
        let version = |from: Option<&String>, to: Option<&String>| {
            (from != to).then(|| Changed::Version { from: from.cloned(), to: to.cloned() })
        };
        let own = version(before.labels.get(VERSION), report.labels.get(VERSION));
        changed.extend(own.map(|it| (TargetName::host(), it)));
        if before.agent_version != report.agent_version {
            let (from, to) = (before.agent_version.clone(), report.agent_version.clone());
            changed.push((TargetName::host(), Changed::Agent { from, to }));
        }
        for target in &report.targets {
            let old = host.names.get(&target.name).map(|place| &host.targets[at(*place)]).filter(|it| !it.gone);
            let change = old.and_then(|old| version(old.report.labels.get(VERSION), target.labels.get(VERSION)));
            changed.extend(change.map(|it| (target.name.clone(), it)));
            let parts = old.into_iter().flat_map(|old| releases(&old.report.parts, &target.parts));
            changed.extend(parts.map(|it| (target.name.clone(), it)));
        }
        for (name, what) in changed {
            let target = self.hosts[at(index)].ensure(&name);
            self.note_change(Key { host: index, target }, now, what);
        }
    }

    /// Takes the changes of a stored host over.
    pub(crate) fn restore_changes(&mut self, index: u32, changes: Vec<ChangeSeen>) {
        for change in changes {
            let target = self.hosts[at(index)].ensure(&change.target);
            self.remember_change(Key { host: index, target }, Change { at: change.at, what: change.what });
        }
    }

    /// The changes of a target that were seen within a while before `onset`, by the server's clock, newest first.
    pub(crate) fn changes_before(&self, key: Key, onset: Timestamp) -> impl Iterator<Item = &Change> {
        let changes: &VecDeque<Change> = &self.target_at(key).changes;
        changes.iter().rev().filter(move |it| {
            let before = match it.what {
                Changed::Version { .. } | Changed::Agent { .. } | Changed::File { .. } => it.at <= onset.after(NOTICED),
                // Its time is exact; what came after the fault was meant to mend it.
                Changed::Repaired { .. } => it.at < onset,
            };
            before && onset.since(it.at) <= RECENT
        })
    }

    /// The latest change of the target's version within a while before `onset`.
    pub(crate) fn deployed_before(&self, key: Key, onset: Timestamp) -> Option<&Change> {
        self.changes_before(key, onset).find(|it| match it.what {
            Changed::Version { .. } => true,
            Changed::Agent { .. } | Changed::File { .. } | Changed::Repaired { .. } => false,
        })
    }

    /// The latest changes of a target and of its host before a fault that began at `onset`, as evidence.
    pub(crate) fn change_evidence(&self, key: Key, onset: Timestamp) -> Vec<Evidence> {
        let clock = &self.hosts[at(key.host)].clock;
        let host =
            self.hosts[at(key.host)].names.get(&TargetName::host()).map(|it| Key { host: key.host, target: *it });
        let places = [Some(key), host.filter(|host| *host != key)];
        let changes = places.into_iter().flatten().flat_map(|place| {
            self.changes_before(place, onset).map(move |change| Evidence {
                at: clock.to_host(change.at),
                target: self.reference(place),
                probe: None,
                status: None,
                text: format!("changed {} before: {}", text::span(onset.since(change.at)), change.what),
            })
        });
        let mut changes: Vec<Evidence> = changes.collect();
        changes.sort_by_key(|it| std::cmp::Reverse(it.at));
        changes.truncate(NAMED);
        changes
    }

    /// The latest change of the policy before a fault that began at `onset`, as evidence. It only bears on what is measured
    /// against thresholds.
    pub(crate) fn policy_evidence(&self, key: Key, onset: Timestamp) -> Option<Evidence> {
        let at = self.policy_since.filter(|at| *at <= onset && onset.since(*at) <= RECENT)?;
        Some(Evidence {
            at: self.hosts[crate::key::at(key.host)].clock.to_host(at),
            target: self.reference(key),
            probe: None,
            status: None,
            text: format!("changed {} before: policy version {}", text::span(onset.since(at)), self.policy.version),
        })
    }

    /// When the fault of an incident began, by the server's clock.
    pub(crate) fn onset(&self, case: &crate::incident::Case) -> Timestamp {
        self.hosts[at(case.key.host)].clock.to_server(case.it.fault.since, self.now)
    }
}
