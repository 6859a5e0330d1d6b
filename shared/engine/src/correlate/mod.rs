//! One cause for many: faults on several hosts that share something are taken for one, and its victims are left alone.
//!
//! At least three hosts that fail alike within five minutes, share a dependency, a version, a change or a group, and fail at
//! least three times as often as the others do, make one upstream incident. It needs a person; its victims wait for it. It
//! may be wrong, so it is put to the test: by the repairs of those that were the first, and after a while by that of one
//! victim, then another. Where such a repair is verified the others follow, in growing steps; when it holds, the cause is
//! disproved and all are released, as fast as the other brakes let them.

mod attribute;
mod canary;
pub(crate) mod census;
mod chance;
mod contrast;
mod recent;
mod trial;

use std::collections::BTreeSet;

use prunella_model::event::EventKind;
use prunella_model::incident::{Diagnosis, Evidence, Fault, IncidentState, SharedAttribute, SharedCause, SharedKind};
use prunella_model::{HostId, IncidentId, RuleName, TargetName, Timestamp};

use crate::Engine;
use crate::cause::Cause;
use crate::diagnosis::priority;
use crate::host::Host;
use crate::incident::Case;
use crate::key::{Key, at, next};
use crate::knowledge::fingerprint;
use crate::text;

/// The rule's name in incidents that stand for several hosts.
pub(crate) const SHARED: &str = "shared_cause";

/// The name of the host under which such incidents are kept. It is no host; a real one of that name stays apart from it.
pub(crate) const FLEET: &str = "fleet";

/// By accident no oftener than this, or it is taken for one.
const ACCIDENT: f64 = 0.1;

/// The most victims that an incident names as evidence.
const NAMED: usize = 8;

/// Recent faults of the fleet, for comparison.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    recent: recent::Recent,
    /// Changes that hosts share.
    changed: census::Changed,
    /// The host's place under which shared incidents are kept, once there was one.
    fleet: Option<u32>,
    /// The shared incidents that are open.
    pub(crate) open: BTreeSet<IncidentId>,
}

impl Faults {
    /// Whether that is the place of shared incidents, and no host.
    pub(crate) fn is_fleet(&self, host: u32) -> bool {
        self.fleet == Some(host)
    }
}

/// What an incident that stands for several hosts needs beside its record.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// What its victims share.
    attribute: SharedAttribute,
    /// What each of them has.
    cause: Cause,
    /// When the next victim is tried.
    due: Timestamp,
    /// The victims that were tried.
    trials: BTreeSet<IncidentId>,
    /// Whether anybody has been left alone because of it yet.
    any: bool,
    /// How many repairs of faults that share it were verified while it was open, or shortly before.
    well: usize,
    /// Whether such a repair did not help, or did not last.
    in_vain: bool,
    /// Until when a person is not called because a repair that is under way may tell more.
    patience: Timestamp,
}

impl Common {
    const fn new(attribute: SharedAttribute, cause: Cause, due: Timestamp, patience: Timestamp) -> Self {
        Self { attribute, cause, due, trials: BTreeSet::new(), any: false, well: 0, in_vain: false, patience }
    }
}

impl Engine {
    /// The open incident that stands for this fault too, if there is one, or if this fault makes one.
    pub(crate) fn shared_with(&mut self, id: IncidentId, cause: Cause) -> Option<IncidentId> {
        let case = self.cases.get_mut(&id)?;
        if case.released || case.forced.is_some() || !self.policy.shared_cause.enabled {
            return None;
        }
        let (key, opened) = (case.key, case.it.opened_at);
        let news = case.noted.replace(cause) != Some(cause);
        if let Some(shared) = self.stands_for(id).first() {
            return Some(*shared);
        }
        if !news {
            return None;
        }
        if self.is_known(key.host) {
            let has = self.all_shared(key, opened);
            self.faults.recent.note(key, cause, opened, has);
        }
        self.faults.recent.expire(self.now, self.policy.shared_cause.window);
        let found = self.correlate(key, cause, opened)?;
        self.open_shared(id, found)
    }

    /// Whether that is the place of a host of the fleet, and not of one that was forgotten.
    fn is_known(&self, host: u32) -> bool {
        self.names.get(&self.hosts[at(host)].id) == Some(&host)
    }

    /// What the recent faults of a host share with others may be something else now.
    pub(crate) fn compare_anew(&mut self, host: u32) {
        for (number, key, opened) in self.faults.recent.of_host(host) {
            let has = self.all_shared(key, opened);
            self.faults.recent.amend(number, has);
        }
    }

    /// A host is no part of the fleet any more.
    pub(crate) fn compare_no_more(&mut self, host: u32) {
        self.faults.recent.forget_host(host);
        for target in 0..next(self.hosts[at(host)].targets.len()) {
            let key = Key { host, target };
            for change in self.target_at(key).changes.clone() {
                self.forget_shared_change(key, &change);
            }
        }
    }

    /// What a fault shares with others that fail far oftener than the rest, if anything.
    fn correlate(&mut self, key: Key, cause: Cause, opened: Timestamp) -> Option<SharedCause> {
        let policy = &self.policy.shared_cause;
        let (alike, known) = (self.faults.recent.alike(cause), next(self.names.len()));
        if known < policy.known_hosts || alike < policy.hosts {
            return None;
        }
        let mut found: Vec<SharedCause> = Vec::new();
        for attribute in self.attributes(key, cause, opened) {
            let failing = self.faults.recent.failing(cause, &attribute);
            if failing < self.policy.shared_cause.hosts {
                continue;
            }
            let all = contrast::Compared { known, alike };
            let Some(contrast::Compared { known, alike }) = self.compared(key, (cause, opened), &attribute, all) else {
                continue;
            };
            // A host may fail and report itself in the same breath: those that fail are among those that share.
            let (known, alike) = (known.max(failing), alike.max(failing));
            let sharing = self.sharing(&attribute).clamp(failing, known);
            let (others, others_failing) = (known - sharing, alike - failing);
            let (rate, base_rate) = chance::rates(failing, sharing, others_failing, others);
            let chance = chance::by_accident(known, sharing, alike, failing);
            if rate >= base_rate * f64::from(self.policy.shared_cause.times) && chance <= ACCIDENT {
                let cause = cause.name();
                found.push(SharedCause {
                    attribute,
                    cause,
                    failing,
                    sharing,
                    others_failing,
                    others,
                    rate,
                    base_rate,
                    chance,
                });
            }
        }
        let excess = |it: &SharedCause| it.rate / it.base_rate;
        found.sort_by(|a, b| excess(b).total_cmp(&excess(a)).then(a.attribute.cmp(&b.attribute)));
        found.into_iter().next()
    }

    /// Opens the incident that stands for several. Null when there is no place for it.
    fn open_shared(&mut self, first: IncidentId, shared: SharedCause) -> Option<IncidentId> {
        let key = self.shared_place(&shared.attribute);
        if self.target_at(key).incident.is_some() {
            return None;
        }
        let cause = Cause::of(&shared.cause);
        let members = self.members(cause, &shared.attribute);
        let severity = members.iter().filter_map(|id| Some(self.cases.get(id)?.severity())).max();
        let case = self.cases.get(&first)?;
        let kind = format!("{:?}", shared.attribute.kind);
        let summary = summary(&shared, cause, text::span(self.policy.shared_cause.window));
        let fault = Fault {
            rule: RuleName::of(SHARED),
            target: self.reference(key),
            symptom: None,
            severity: severity.unwrap_or(case.severity()),
            fingerprint: fingerprint(SHARED, &kind, Some(&shared.attribute.value)),
            since: members.iter().filter_map(|id| Some(self.cases.get(id)?.it.opened_at)).min().unwrap_or(self.now),
            summary: summary.clone(),
        };
        let attribute = shared.attribute.clone();
        let diagnosis = self.shared_diagnosis(key, &fault, &shared, &members);
        let id = self.open(key, fault, Vec::new());
        let due = self.now.after(self.policy.shared_cause.hold);
        self.faults.open.insert(id);
        if let Some(case) = self.cases.get_mut(&id) {
            case.common = Some(Common::new(attribute, cause, due, self.now.after(self.policy.verification.deadline)));
            case.it.shared = Some(shared);
        }
        self.first_canaries(id, &members);
        let named = Cause::of(&diagnosis.cause);
        self.classify(id, named, diagnosis);
        self.plead(id);
        self.woken.extend(members);
        self.woken.insert(id);
        Some(id)
    }

    /// Calls a person to a shared cause, unless repairs of the first victims helped, or may yet be seen to.
    fn plead(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(common) = &case.common else { return };
        let patient = common.well > 0 || (self.now < common.patience && self.canaries_under_way(common));
        if matches!(case.it.state, IncidentState::NeedsHuman { .. }) || (common.heeds_canaries() && patient) {
            return;
        }
        let (summary, hold) = (&case.it.fault.summary, text::span(self.policy.shared_cause.hold));
        let why = format!("{summary}. They are left alone until that is mended; one of them is tried every {hold}");
        self.escalate(id, why);
    }

    /// Open incidents of that cause that share the attribute.
    fn members(&self, cause: Cause, attribute: &SharedAttribute) -> Vec<IncidentId> {
        let is_member = |case: &Case| case.noted == Some(cause) && self.shares(case.key, case.it.opened_at, attribute);
        self.cases.iter().filter(|(_, case)| is_member(case)).map(|(id, _)| *id).collect()
    }

    fn shared_diagnosis(&self, key: Key, fault: &Fault, shared: &SharedCause, members: &[IncidentId]) -> Diagnosis {
        let cases: Vec<&Case> = members.iter().filter_map(|id| self.cases.get(id)).collect();
        let mut evidence: Vec<Evidence> = Vec::new();
        for case in cases.iter().take(NAMED) {
            evidence.push(Evidence {
                at: case.it.fault.since,
                target: self.reference(case.key),
                probe: case.it.fault.symptom.clone(),
                status: None,
                text: case.it.fault.summary.clone(),
            });
            evidence.extend(self.change_evidence(case.key, self.onset(case)).into_iter().take(1));
        }
        let mut affected: Vec<_> = cases.iter().map(|case| self.reference(case.key)).collect();
        affected.sort();
        affected.dedup();
        let cause = named(shared.attribute.kind);
        Diagnosis {
            category: cause.category(),
            cause: cause.name(),
            cause_target: self.reference(key),
            confidence: (1.0 - shared.chance).clamp(0.5, 0.99),
            affected,
            evidence,
            rejected: vec![(
                shared.cause.clone(),
                format!("by accident so many would share it with a chance of {:.1} %", shared.chance * 100.0),
            )],
            recommended: Vec::new(),
            priority: priority(fault.severity),
        }
    }

    /// Leaves a victim of a shared cause alone.
    pub(crate) fn blame_shared(&mut self, id: IncidentId, shared: IncidentId, own: Diagnosis) {
        let Some(culprit) = self.cases.get_mut(&shared) else { return };
        let key = culprit.key;
        if let Some(common) = &mut culprit.common {
            common.any = true;
        }
        let (why, confidence) = match &culprit.it.diagnosis {
            Some(diagnosis) => (culprit.it.fault.summary.clone(), diagnosis.confidence),
            None => return,
        };
        let cause_target = self.reference(key);
        let mut diagnosis = Diagnosis { category: Cause::Upstream.category(), cause: Cause::Upstream.name(), ..own };
        diagnosis.rejected.push((
            own_cause(self.cases.get(&id)),
            "others that share something with it have the same, far oftener than the rest".to_owned(),
        ));
        diagnosis.evidence.push(Evidence {
            at: self.now,
            target: cause_target.clone(),
            probe: None,
            status: None,
            text: why,
        });
        (diagnosis.cause_target, diagnosis.confidence) = (cause_target, confidence);
        diagnosis.recommended.clear();
        self.blame(id, key, diagnosis);
        self.as_grave_as(shared, id);
    }

    /// The place under which the incident of an attribute is kept.
    fn shared_place(&mut self, attribute: &SharedAttribute) -> Key {
        let name = attribute::place_name(attribute);
        self.fleet_place(&name)
    }

    /// A place under the host that is none.
    pub(crate) fn fleet_place(&mut self, name: &TargetName) -> Key {
        let host = match self.faults.fleet {
            Some(host) => host,
            None => {
                let host = next(self.hosts.len());
                self.hosts.push(Host::new(HostId::of(FLEET), 0, self.now));
                *self.faults.fleet.insert(host)
            }
        };
        Key { host, target: self.hosts[at(host)].ensure(name) }
    }

    /// Goes on with a shared incident that was stored.
    pub(crate) fn restore_shared(&mut self, case: &mut Case) {
        let Some(shared) = &case.it.shared else { return };
        let due = self.now.after(self.policy.shared_cause.hold);
        let (attribute, cause) = (shared.attribute.clone(), Cause::of(&shared.cause));
        case.common = Some(Common::new(attribute, cause, due, self.now));
        self.faults.open.insert(case.it.id);
    }

    /// Says in the log and to those who follow along what becomes of a shared cause.
    fn tell_shared(&mut self, id: IncidentId, key: Key, line: String) {
        self.audit("shared_cause", key, Some(id), line.clone());
        self.announce(EventKind::CauseUpstream, Some(key), Some(id), line);
    }
}

fn own_cause(case: Option<&Case>) -> prunella_model::CauseName {
    case.and_then(|case| case.noted).unwrap_or(Cause::Unknown).name()
}

/// The cause that a shared attribute of that kind makes.
const fn named(kind: SharedKind) -> Cause {
    match kind {
        SharedKind::Change => Cause::SharedChange,
        SharedKind::Version => Cause::BadVersion,
        SharedKind::Dependency => Cause::SharedDependency,
        SharedKind::Group => Cause::SharedGroup,
    }
}

fn summary(it: &SharedCause, cause: Cause, window: String) -> String {
    format!(
        "{} of {} hosts with {} have the same fault ({}) within {window}, and {} of {} others: {:.0} % against a base rate of {:.1} %",
        it.failing,
        it.sharing,
        it.attribute,
        cause.as_str(),
        it.others_failing,
        it.others,
        it.rate * 100.0,
        it.base_rate * 100.0
    )
}

/// Whether a state is one in which a victim waits for its shared cause.
const fn waits(state: &IncidentState) -> bool {
    match state {
        IncidentState::Upstream { .. } => true,
        IncidentState::Diagnosing
        | IncidentState::Held
        | IncidentState::Repairing { .. }
        | IncidentState::Verifying { .. }
        | IncidentState::Probation { .. }
        | IncidentState::NeedsHuman { .. }
        | IncidentState::Closed(_) => false,
    }
}
