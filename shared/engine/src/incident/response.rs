//! Somebody or something must respond to a fault in time: by its severity, and once is said when nobody did.

use prunella_model::event::EventKind;
use prunella_model::incident::{Hold, IncidentState, Release, Severity, Stage};
use prunella_model::{BrakeName, IncidentId, RepairName, Timestamp};

use super::{Case, Undoing};
use crate::Engine;
use crate::brakes::{self, Ask};
use crate::cause::Cause;
use crate::key::Key;
use crate::quiet::Opening;
use crate::timers::Timer;

impl Engine {
    /// Sets until when an incident must be responded to: when it is opened, when a fault joins it, after a start.
    pub(crate) fn set_response(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        let response = case.it.response;
        if case.it.optimisation.is_some() || response.begun_at.is_some() || response.missed_at.is_some() {
            return;
        }
        let within = self.policy.response.within(case.severity());
        // A fault that got worse must be responded to as if it had been so bad from now on.
        let due = within.map(|within| self.now.after(within));
        let due = match (response.due_at, due) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        if let Some(due) = due {
            self.timers.set(Timer::Response(id), due, self.now);
        }
        if due != response.due_at
            && let Some(case) = self.cases.get_mut(&id)
        {
            case.it.response.due_at = due;
            self.touched(id);
        }
    }

    /// A repair begins, an agent is told what to do, or a person acts.
    pub(crate) fn responded(&mut self, id: IncidentId) {
        let now = self.now;
        if let Some(case) = self.cases.get_mut(&id)
            && case.it.response.begun_at.is_none()
        {
            case.it.response.begun_at = Some(now);
            self.timers.clear(&Timer::Response(id));
            self.touched(id);
        }
    }

    /// The time to respond is over.
    pub(crate) fn response_due(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        if case.it.response.begun_at.is_some() || case.it.response.missed_at.is_some() {
            return;
        }
        let (key, severity) = (case.key, case.severity());
        let within = self.policy.response.within(severity).unwrap_or_default();
        let waits = match &case.it.state {
            // What is done about its cause is the response. If it turns out to have one of its own, time begins again.
            IncidentState::Upstream { .. } => {
                let due = now.after(within.max(std::time::Duration::from_secs(1)));
                self.timers.set(Timer::Response(id), due, now);
                if let Some(case) = self.cases.get_mut(&id) {
                    case.it.response.due_at = Some(due);
                }
                self.touched(id);
                return;
            }
            IncidentState::Repairing { .. } | IncidentState::Verifying { .. } | IncidentState::Probation { .. } => {
                return;
            }
            IncidentState::Closed(_) => return,
            IncidentState::Diagnosing => "its cause is not known yet".to_owned(),
            IncidentState::Held => {
                let names: Vec<&str> = case.it.holds.iter().map(|hold| hold.brake.as_str()).collect();
                format!("held back by {}", names.join(", "))
            }
            IncidentState::NeedsHuman { why } => format!("it waits for a person: {why}"),
        };
        if let Some(case) = self.cases.get_mut(&id) {
            case.it.response.missed_at = Some(now);
            // Somebody is told, so what happens from now on need not be its own doing.
            case.person.get_or_insert(now);
        }
        self.touched(id);
        let line = format!(
            "nothing was begun within {}, the time to respond to {} faults: {waits}",
            crate::text::span(within),
            severity.as_str()
        );
        self.audit("response_missed", key, Some(id), line.clone());
        self.announce(EventKind::ResponseMissed, Some(key), Some(id), line);
    }

    /// When somebody will look at faults of low severity of a target: in the next window of the policy's that covers it, or
    /// else in the next quiet hours; null while neither is known.
    pub(crate) fn next_window(&self, key: Key) -> Option<Timestamp> {
        self.configured_window(key).or_else(|| match self.quiet_opening(key) {
            Opening::Now(_) => Some(self.now),
            Opening::At(opens, _) => Some(opens),
            Opening::Unknown(_) => None,
        })
    }

    fn configured_window(&self, key: Key) -> Option<Timestamp> {
        let windows = self.policy.maintenance.values().filter(|it| self.covers(&it.scope, key));
        windows.map(|it| it.opens(self.now)).min()
    }

    /// The quiet hours that a fault of low severity waits for, where nothing that is configured goes before them.
    fn awaited_hours(&self, key: Key, severity: Severity) -> Option<String> {
        if self.policy.response.within(severity).is_some() || self.configured_window(key).is_some() {
            return None;
        }
        match self.quiet_opening(key) {
            Opening::At(_, what) => Some(format!("waits for {what}")),
            Opening::Now(_) | Opening::Unknown(_) => None,
        }
    }

    /// Lets an incident wait that only a person can do something about, when that is of no urgency. True when it waits.
    pub(super) fn waits_for_a_person(&mut self, id: IncidentId, why: &str) -> bool {
        let Some(case) = self.cases.get(&id) else { return false };
        if matches!(case.undoing(), Undoing::Uncertain(..)) || matches!(case.it.state, IncidentState::NeedsHuman { .. })
        {
            return false;
        }
        let key = case.key;
        let cause = case.it.diagnosis.as_ref().map_or(Cause::Unknown, |it| Cause::of(&it.cause));
        let repair = RepairName::of("none");
        let severity = case.severity();
        let ask = Ask { engine: self, case, key, repair: &repair, cause, severity, plan: None, rollback: false };
        let Some(release) = brakes::low_severity(&ask) else { return false };
        let brake = BrakeName::of(brakes::LOW_SEVERITY);
        let since = case.it.holds.iter().find(|hold| hold.brake == brake).map_or(self.now, |hold| hold.since);
        if let Release::At(at) = release {
            self.timers.set(Timer::Incident(id), at, self.now);
        }
        let why = match self.awaited_hours(key, severity) {
            Some(hours) => format!("{why}; {hours}"),
            None => why.to_owned(),
        };
        let health = self.health(key);
        self.unqueue(id);
        if let Some(case) = self.cases.get_mut(&id)
            && case.stage() != Some(Stage::Prepare)
        {
            case.enter(Stage::Prepare, self.now, health, "it can wait until a person has time");
        }
        self.hold(id, vec![Hold { brake, why, since, release }]);
        self.enter_state(id, IncidentState::Held);
        true
    }

    /// Whether a person who looks now and then is soon enough for a case.
    pub(crate) fn of_no_urgency(case: &Case) -> bool {
        case.severity() <= Severity::Low && case.forced.is_none() && case.it.optimisation.is_none()
    }
}
