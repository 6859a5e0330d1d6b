//! The cause may lie elsewhere: victims are left alone, and nothing is done before what they need is known to be well.

use prunella_model::IncidentId;
use prunella_model::event::EventKind;
use prunella_model::incident::{Diagnosis, IncidentState};

use super::consider::LOOK_AGAIN;
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;

impl Engine {
    /// Whether a target's own incident blames another one.
    pub(super) fn is_victim(&self, key: Key) -> bool {
        let case = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        case.is_some_and(|case| matches!(case.it.state, IncidentState::Upstream { .. }))
    }

    /// Says in the incident of a cause whom it affects.
    fn note_victim(&mut self, cause: IncidentId, victim: Key) {
        let name = self.reference(victim);
        let Some(diagnosis) = self.cases.get_mut(&cause).and_then(|case| case.it.diagnosis.as_mut()) else { return };
        if let Err(place) = diagnosis.affected.binary_search(&name) {
            diagnosis.affected.insert(place, name);
            self.touched(cause);
        }
    }

    /// Leaves a victim alone.
    pub(crate) fn blame(&mut self, id: IncidentId, culprit: Key, diagnosis: Diagnosis) {
        let upstream = self.target_at(culprit).incident;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let news = case.blames != Some(culprit);
        case.blames = Some(culprit);
        (case.waiting, case.upstream_well) = (None, None);
        let mut watches = vec![culprit];
        watches.extend(self.upstream_watches(key));
        self.watch(id, watches);
        self.unqueue(id);
        self.hold(id, Vec::new());
        self.classify(id, Cause::Upstream, diagnosis);
        self.enter_state(id, IncidentState::Upstream { incident: upstream });
        self.look_again(id, LOOK_AGAIN);
        if let Some(upstream) = upstream {
            self.note_victim(upstream, key);
        }
        if news {
            self.link_moved(id);
            let (victim, name) = (self.reference(key), self.reference(culprit));
            let line = format!("{victim} is left alone: the cause lies upstream, in {name}");
            self.audit("cause_upstream", key, Some(id), line.clone());
            self.announce(EventKind::CauseUpstream, Some(key), Some(id), line);
            self.woken.extend(upstream);
        }
    }

    /// What an incident's diagnosis stands on: the direct needs of its target.
    pub(crate) fn upstream_watches(&self, key: Key) -> Vec<Key> {
        let each = |need| match need {
            crate::topology::Need::One(other) => vec![other],
            crate::topology::Need::Any(members) => members,
            crate::topology::Need::Missing(_) => Vec::new(),
        };
        self.needs(key).into_iter().flat_map(each).collect()
    }

    /// Nothing is done before it is known that what the target depends on is well.
    pub(super) fn wait_for(&mut self, id: IncidentId, keys: &[Key]) {
        let now = self.now;
        let deadline = self.policy.verification.deadline;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let since = *case.waiting.get_or_insert(now);
        let upstream = matches!(case.it.state, IncidentState::Upstream { .. });
        if !upstream && now.since(since) >= deadline {
            let names: Vec<String> = keys.iter().map(|key| self.reference(*key).to_string()).collect();
            self.escalate(id, format!("cannot tell whether {} is well: no fresh evidence of it", names.join(", ")));
            return;
        }
        let mut watches = self.upstream_watches(key);
        watches.extend_from_slice(keys);
        self.watch(id, watches);
        for other in keys {
            self.probe(*other);
        }
        if !upstream {
            self.unqueue(id);
            self.hold(id, Vec::new());
            self.enter_state(id, IncidentState::Diagnosing);
        }
        self.look_again(id, self.tick(key));
    }

    /// After the cause is healed its victims get some time to recover. False while that lasts.
    pub(super) fn upstream_grace_over(&mut self, id: IncidentId) -> bool {
        let now = self.now;
        let grace = self.grace();
        let Some(case) = self.cases.get_mut(&id) else { return false };
        let key = case.key;
        let well = *case.upstream_well.get_or_insert(now);
        let left = grace.saturating_sub(now.since(well));
        if !left.is_zero() {
            self.probe(key);
            self.look_again(id, left.min(self.tick(key)));
            return false;
        }
        if let Some(case) = self.cases.get_mut(&id) {
            // From here on it is judged on what is seen from now on.
            case.afresh = now;
            (case.upstream_well, case.blames) = (None, None);
        }
        self.enter_state(id, IncidentState::Diagnosing);
        self.probe(key);
        self.look_again(id, self.tick(key));
        false
    }
}
