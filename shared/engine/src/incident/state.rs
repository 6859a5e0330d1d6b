//! What an incident's state entails: counters, holds, its place in the queue, and what it watches.

use std::cmp::Reverse;

use prunella_model::IncidentId;
use prunella_model::event::EventKind;
use prunella_model::incident::{Hold, IncidentState, Severity};

use crate::Engine;
use crate::key::{Key, at};

impl Engine {
    /// Moves an incident to another state and keeps the counters that follow from it.
    pub(crate) fn enter_state(&mut self, id: IncidentId, state: IncidentState) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let changed = case.it.state != state;
        let before = case.under_repair();
        case.it.state = state;
        let troubles = match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. }
            | IncidentState::NeedsHuman { .. } => {
                // What stands for several hosts is on none of them.
                case.severity() >= Severity::High && !self.faults.is_fleet(key.host)
            }
            IncidentState::Upstream { .. } | IncidentState::Probation { .. } | IncidentState::Closed(_) => false,
        };
        let counted = std::mem::replace(&mut case.troubles, troubles);
        let after = case.under_repair();
        match (counted, troubles) {
            (false, true) => {
                let host = &mut self.hosts[at(key.host)];
                host.troubles += 1;
                self.troubled += u32::from(host.troubles == 1);
            }
            (true, false) => {
                let host = &mut self.hosts[at(key.host)];
                host.troubles = host.troubles.saturating_sub(1);
                self.troubled = self.troubled.saturating_sub(u32::from(host.troubles == 0));
                self.freed = true;
            }
            (true, true) | (false, false) => {}
        }
        if changed {
            self.touched(id);
            self.link_moved(id);
        }
        if before != after {
            self.group_work(key, after);
            self.wake_watchers(key);
        }
    }

    /// Replaces what holds an incident back. What is over is kept as released.
    pub(crate) fn hold(&mut self, id: IncidentId, holds: Vec<Hold>) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let same = case.it.holds.len() == holds.len()
            && case.it.holds.iter().zip(&holds).all(|(old, new)| old.brake == new.brake && old.release == new.release);
        if same {
            return;
        }
        let over: Vec<Hold> =
            case.it.holds.iter().filter(|old| holds.iter().all(|new| new.brake != old.brake)).cloned().collect();
        let fresh: Vec<Hold> =
            holds.iter().filter(|new| case.it.holds.iter().all(|old| old.brake != new.brake)).cloned().collect();
        // Only the latest release of each brake is kept, or a long queue would fill the record.
        case.it.released.retain(|(old, _)| over.iter().all(|new| new.brake != old.brake));
        case.it.released.extend(over.iter().cloned().map(|hold| (hold, now)));
        case.it.holds = holds;
        self.touched(id);
        for hold in over {
            self.audit("released", key, Some(id), format!("{} holds no longer", hold.brake));
        }
        for hold in fresh {
            self.count_hold(hold.brake.as_str());
            let line = format!("held back by {}: {}", hold.brake, hold.why);
            self.audit("held", key, Some(id), line.clone());
            self.announce(EventKind::RepairHeld, Some(key), Some(id), line);
        }
    }

    /// Takes an incident out of the fleet's queue.
    pub(crate) fn unqueue(&mut self, id: IncidentId) {
        if let Some(case) = self.cases.get_mut(&id)
            && std::mem::take(&mut case.queued)
        {
            let place = (Reverse(case.severity()), id);
            if !self.queue.remove(&place) {
                // A fault that joined may have changed the severity meanwhile.
                self.queue.retain(|(_, queued)| *queued != id);
            }
        }
    }

    /// Replaces what an incident watches.
    pub(crate) fn watch(&mut self, id: IncidentId, keys: Vec<Key>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let old = std::mem::replace(&mut case.watches, keys.clone());
        for key in old.iter().filter(|key| !keys.contains(key)) {
            self.target_mut(*key).watchers.remove(&id);
        }
        for key in keys {
            self.target_mut(key).watchers.insert(id);
        }
    }
}
