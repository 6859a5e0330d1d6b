//! What does a fault add to an incident that is open already?

use std::cmp::Reverse;

use prunella_model::IncidentId;
use prunella_model::event::EventKind;
use prunella_model::incident::{Fault, IncidentState, Severity};

use super::REPORTED;
use crate::Engine;
use crate::diagnosis::priority;
use crate::rules::{self, Symptom};

/// The most faults that one incident names beside its first.
const ALSO_MAX: usize = 8;

impl Engine {
    /// Adds faults to an incident that is open already, where they bear on it.
    pub(super) fn join(&mut self, id: IncidentId, present: Vec<(usize, Symptom)>) {
        let Some(case) = self.cases.get(&id) else { return };
        let listens = match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Probation { .. } => case.it.optimisation.is_none(),
            // What a repair in progress stirs up is judged by verification.
            IncidentState::Repairing { .. } | IncidentState::Verifying { .. } | IncidentState::Closed(_) => false,
        };
        if !listens {
            return;
        }
        let key = case.key;
        for (rule, symptom) in present {
            let name = self.rule_name(rule);
            let Some(case) = self.cases.get(&id) else { return };
            if case.it.faults().any(|it| it.rule.as_str() == name) || case.it.also.len() >= ALSO_MAX {
                continue;
            }
            let (before, agents) = (case.severity(), case.only_agent());
            let fault = self.fault(key, rule, symptom);
            let summary = fault.summary.clone();
            let first = agents && !rules::RULES.get(rule).is_some_and(|rule| rule.about_agent());
            if let Some(case) = self.cases.get_mut(&id) {
                // What the agent watches matters more than how well it does so, whichever was found first.
                let other = if first { std::mem::replace(&mut case.it.fault, fault) } else { fault };
                case.it.also.push(other);
            }
            self.set_response(id);
            if first {
                self.enter_state(id, IncidentState::Diagnosing);
            }
            self.audit("fault_joined", key, Some(id), summary.clone());
            self.announce(EventKind::FaultJoined, Some(key), Some(id), summary.clone());
            self.touched(id);
            self.raise(id, before, &summary);
        }
    }

    /// Adds what a person has seen. A second report speaks of the same fault, so only a worse one says anything new.
    pub(crate) fn join_reported(&mut self, id: IncidentId, fault: Fault) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let before = case.severity();
        let summary = fault.summary.clone();
        let known = std::iter::once(&mut case.it.fault).chain(&mut case.it.also);
        match known.into_iter().find(|it| it.rule.as_str() == REPORTED) {
            Some(known) if known.severity < fault.severity => {
                (known.severity, known.summary) = (fault.severity, fault.summary);
            }
            Some(_) => {}
            None => case.it.also.push(fault),
        }
        self.set_response(id);
        self.touched(id);
        self.raise(id, before, &summary);
    }

    /// An incident that stands for several is as grave as the worst of them.
    pub(crate) fn as_grave_as(&mut self, id: IncidentId, victim: IncidentId) {
        let Some(worst) = self.cases.get(&victim) else { return };
        let (severity, summary) = (worst.severity(), worst.it.fault.summary.clone());
        let Some(case) = self.cases.get_mut(&id) else { return };
        let before = case.severity();
        if severity > before {
            case.it.fault.severity = severity;
            self.set_response(id);
            self.touched(id);
            self.raise(id, before, &summary);
        }
    }

    /// What follows when an incident is graver than it was: its place in the queue, its priority, what its host counts
    /// for, and that it is told. Until when somebody must respond is [`Engine::set_response`]'s.
    fn raise(&mut self, id: IncidentId, before: Severity, why: &str) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let (key, severity, state) = (case.key, case.severity(), case.it.state.clone());
        if severity <= before {
            return;
        }
        if let Some(diagnosis) = &mut case.it.diagnosis {
            diagnosis.priority = priority(severity);
        }
        if case.queued {
            let place = self.queue.iter().find(|(_, queued)| *queued == id).copied();
            if let Some(place) = place.filter(|(Reverse(old), _)| *old < severity) {
                self.queue.remove(&place);
                self.queue.insert((Reverse(severity), id));
                self.freed = true;
            }
        }
        // Whether it counts for the breaker follows from how grave it is.
        self.enter_state(id, state);
        self.woken.insert(id);
        let line = format!("{} instead of {}: {why}", severity.as_str(), before.as_str());
        self.audit("severity_raised", key, Some(id), line.clone());
        self.announce(EventKind::SeverityRaised, Some(key), Some(id), line);
    }
}
