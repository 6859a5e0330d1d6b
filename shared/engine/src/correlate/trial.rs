//! A shared cause is put to the test: its victims are released one by one, or all when it is over.

use prunella_model::IncidentId;
use prunella_model::incident::{Closing, IncidentState};

use super::waits;
use crate::Engine;
use crate::incident::Case;
use crate::key::Key;

impl Engine {
    /// Looks at an incident that stands for several hosts.
    pub(crate) fn review_shared(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(common) = case.common.clone() else { return };
        let key = case.key;
        if !self.policy.shared_cause.enabled {
            self.close(id, Closing::Disproved { by: None });
            return;
        }
        let victims = self.waiting_for(key);
        let tried = common.trials.iter().any(|trial| self.under_trial(*trial));
        let due = self.now >= common.due;
        if victims.is_empty() && !tried && (common.any || due) {
            self.close(id, Closing::SelfRecovered);
            return;
        }
        self.plead(id);
        let hold = self.policy.shared_cause.hold;
        let released = self.released_by_canaries(&common);
        // A trial that takes longer than a hold must not keep the others waiting.
        let next: Vec<IncidentId> = victims.into_iter().take(released.max(usize::from(due))).collect();
        if let Some(common) = self.cases.get_mut(&id).and_then(|case| case.common.as_mut()) {
            if due {
                common.due = self.now.after(hold);
            }
            common.trials.extend(&next);
        }
        let pleads = if self.now < common.patience { common.patience } else { common.due };
        let again = if due { hold } else { pleads.min(common.due).since(self.now) };
        self.look_again(id, again);
        for victim in next {
            self.try_victim(id, key, victim, released > 0);
        }
    }

    /// Lets one victim be repaired by itself.
    fn try_victim(&mut self, id: IncidentId, key: Key, victim: IncidentId, others_well: bool) {
        self.release(victim);
        let Some(case) = self.cases.get_mut(&victim) else { return };
        (case.blames, case.upstream_well) = (None, None);
        let place = case.key;
        let name = self.reference(place);
        self.watch(victim, Vec::new());
        let why = if others_well {
            "repairs of others that share it were verified"
        } else {
            "to see whether they really share a cause"
        };
        self.tell_shared(id, key, format!("{name} is tried by itself: {why}"));
        self.afresh(victim);
    }

    /// A victim is no longer anybody's.
    fn release(&mut self, victim: IncidentId) {
        if let Some(case) = self.cases.get_mut(&victim) {
            case.released = true;
        }
    }

    /// Incidents that are left alone because of what is at `key`, oldest first.
    fn waiting_for(&self, key: Key) -> Vec<IncidentId> {
        let waiting = |id: &IncidentId| self.cases.get(id).is_some_and(|case| waits(&case.it.state));
        let mut victims: Vec<IncidentId> = self.victims(key).into_iter().map(|(id, _)| id).filter(waiting).collect();
        victims.sort_unstable();
        victims
    }

    /// Whether a victim's trial is not decided yet.
    fn under_trial(&self, trial: IncidentId) -> bool {
        let state = self.cases.get(&trial).map(|case| &case.it.state);
        state.is_some_and(|state| !matches!(state, IncidentState::NeedsHuman { .. }))
    }

    /// An incident was closed: a shared one releases its victims; a victim that was repaired by itself disproves it.
    pub(crate) fn shared_after(&mut self, closed: &Case, closing: &Closing) {
        let id = closed.it.id;
        if closed.common.is_some() {
            self.faults.open.remove(&id);
            for victim in self.waiting_for(closed.key) {
                self.release(victim);
            }
            return;
        }
        let repaired = matches!(closing, Closing::Repaired { .. });
        let tried = self.faults.open.iter().find(|shared| {
            let common = self.cases.get(shared).and_then(|case| case.common.as_ref());
            common.is_some_and(|it| it.trials.contains(&id))
        });
        match tried.copied() {
            Some(shared) if repaired => self.close(shared, Closing::Disproved { by: Some(id) }),
            Some(_) | None => self.woken.extend(self.faults.open.iter().copied()),
        }
    }
}
