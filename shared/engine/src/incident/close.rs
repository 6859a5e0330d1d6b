//! Closing incidents, and handing them to a person.

use prunella_model::IncidentId;
use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Gain, IncidentState, Stage};
use prunella_model::record::Change;

use crate::Engine;
use crate::key::{Key, at};
use crate::timers::Timer;

impl Engine {
    /// Hands an incident to a person.
    pub(crate) fn escalate(&mut self, id: IncidentId, why: String) {
        if self.withdraw_optimisation(id, &why) || self.waits_for_a_person(id, &why) {
            return;
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        if matches!(&case.it.state, IncidentState::NeedsHuman { why: known } if *known == why) {
            return;
        }
        let key = case.key;
        (case.forced, case.again) = (None, None);
        case.person.get_or_insert(self.now);
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.leave(self.now, health, &why);
        }
        self.hold(id, Vec::new());
        self.unqueue(id);
        self.enter_state(id, IncidentState::NeedsHuman { why: why.clone() });
        self.tally(key.host, |it| it.bad += 1);
        self.audit("escalated", key, Some(id), why.clone());
        self.announce(EventKind::Escalated, Some(key), Some(id), format!("needs a person: {why}"));
    }

    /// Closes an incident.
    pub(crate) fn close(&mut self, id: IncidentId, closing: Closing) {
        if let Some(IncidentState::Repairing { command }) = self.cases.get(&id).map(|case| &case.it.state) {
            self.cancel_command(*command);
        }
        self.chain_closing(id, &closing);
        self.watch(id, Vec::new());
        self.unqueue(id);
        self.hold(id, Vec::new());
        self.enter_state(id, IncidentState::Closed(closing.clone()));
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let (health, text) = (self.health(key), closing_text(&closing));
        let shared_closing = closing.clone();
        let Some(mut case) = self.cases.remove(&id) else { return };
        case.leave(self.now, health, "");
        case.pass(Stage::Report, self.now, health, &text);
        case.it.closed_at = Some(self.now);
        self.timers.clear(&Timer::Incident(id));
        self.timers.clear(&Timer::Response(id));
        self.out.incidents.remove(&id);
        self.hosts[at(key.host)].incidents.remove(&id);
        let target = self.target_mut(key);
        if target.incident == Some(id) {
            target.incident = None;
        }
        self.learn_pattern(&case, &closing);
        for attempt in &case.it.attempts {
            self.drop_command(attempt.command);
        }
        if matches!(closing, Closing::Repaired { .. }) {
            self.repaired += 1;
            let recovered = case.it.recovered_at.unwrap_or(self.now);
            self.repair_time += recovered.since(case.it.opened_at);
        }
        self.audit("incident_closed", key, Some(id), text.clone());
        match closing {
            Closing::SelfRecovered | Closing::UpstreamRecovered { .. } => {
                self.announce(EventKind::FaultCleared, Some(key), Some(id), text.clone());
            }
            Closing::Repaired { .. }
            | Closing::Cancelled { .. }
            | Closing::TargetGone
            | Closing::Disproved { .. }
            | Closing::Optimised { .. } => {}
        }
        self.announce(EventKind::IncidentClosed, Some(key), Some(id), text);
        self.shared_after(&case, &shared_closing);
        self.out.closed.push(case.it);
        self.wake_watchers(key);
        self.tell_dependents(key);
        self.freed = true;
    }

    /// Drops a command that is over and belongs to a closed incident.
    fn drop_command(&mut self, command: prunella_model::CommandId) {
        let over = self.commands.get(&command).is_some_and(|record| record.report.is_some());
        if over {
            self.commands.remove(&command);
            self.out.commands.remove(&command);
            self.timers.clear(&Timer::Command(command));
            self.out.changes.push(Change::DropCommand(command));
        }
    }

    /// Victims of a target look again when its incident is over.
    fn tell_dependents(&mut self, key: Key) {
        let victims: Vec<IncidentId> = self.victims(key).into_iter().map(|(id, _)| id).collect();
        self.woken.extend(victims);
    }
}

fn closing_text(closing: &Closing) -> String {
    match closing {
        Closing::Repaired { repair } => format!("healed by {repair}"),
        Closing::SelfRecovered => "it recovered by itself".to_owned(),
        Closing::UpstreamRecovered { incident: Some(incident) } => {
            format!("it recovered when its cause was healed (incident {incident})")
        }
        Closing::UpstreamRecovered { incident: None } => "it recovered when its cause was gone".to_owned(),
        Closing::Cancelled { by } => format!("cancelled by {by}"),
        Closing::Optimised { gain: Gain::Helped, .. } => "the optimisation helped".to_owned(),
        Closing::Optimised { gain: Gain::NotHelped, .. } => "the optimisation did not help".to_owned(),
        Closing::Optimised { gain: Gain::Inconclusive, .. } => {
            "whether the optimisation helped is not known".to_owned()
        }
        Closing::Optimised { gain: Gain::Withdrawn, .. } => "the optimisation was not done".to_owned(),
        Closing::TargetGone => "its target is no longer part of the fleet".to_owned(),
        Closing::Disproved { by: Some(by) } => format!("not what held its victims back: {by} was repaired by itself"),
        Closing::Disproved { by: None } => "the policy no longer looks for shared causes".to_owned(),
    }
}
