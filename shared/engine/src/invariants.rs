//! What must hold after every step. Written once; asserted by the simulator, by replay and by the server itself.

use std::cmp::Reverse;

use prunella_model::event::EventKind;
use prunella_model::incident::{Incident, IncidentState};
use prunella_model::outcome::Outcome;

use crate::Engine;
use crate::incident::Case;
use crate::key::at;
use crate::plan::counts;

type Broken = Vec<(&'static str, String)>;

impl Engine {
    /// Names of invariants that do not hold, each with what is wrong. Empty unless the engine has a defect.
    #[must_use]
    pub fn check_invariants(&self) -> Vec<(&'static str, String)> {
        let mut broken = Broken::new();
        for case in self.cases.values() {
            self.check_case(case, &mut broken);
        }
        self.check_commands(&mut broken);
        self.check_counters(&mut broken);
        broken
    }

    /// Says which invariants do not hold, each once. They are checked now and then, for they go through the whole fleet.
    pub(crate) fn watch_itself(&mut self) {
        for (name, what) in self.check_invariants() {
            if self.defects.insert(name) {
                let line = format!("{name}: {what}; this is a defect of the program, please report it");
                self.audit_as("engine".to_owned(), "invariant_broken", "fleet".to_owned(), None, line.clone());
                self.announce(EventKind::InvariantBroken, None, None, line);
            }
        }
    }

    fn check_case(&self, case: &Case, broken: &mut Broken) {
        let it = &case.it;
        let id = it.id;
        match &it.state {
            IncidentState::Held => {
                if it.holds.is_empty() {
                    broken.push(("held_says_why", format!("{id} is held by nothing")));
                }
            }
            IncidentState::Repairing { command } => {
                if self.in_flight.get(&case.key) != Some(command) {
                    broken.push((
                        "repairing_has_command",
                        format!("{id} is repaired by {command}, which is not under way"),
                    ));
                }
            }
            IncidentState::Upstream { .. } => {
                if case.blames.is_none() && case.it.diagnosis.is_none() {
                    broken.push(("upstream_names_cause", format!("{id} blames nothing")));
                }
            }
            IncidentState::Closed(_) => broken.push(("closed_is_gone", format!("{id} is closed and still open"))),
            IncidentState::Diagnosing
            | IncidentState::Verifying { .. }
            | IncidentState::Probation { .. }
            | IncidentState::NeedsHuman { .. } => {}
        }
        if it.state != IncidentState::Held && !it.holds.is_empty() {
            broken.push(("holds_only_when_held", format!("{id} has holds in state {:?}", it.state)));
        }
        if case.queued != self.queue.iter().any(|(_, queued)| *queued == id) {
            broken.push(("queue_matches", format!("{id} and the queue do not agree")));
        }
        if self.target_at(case.key).incident != Some(id) {
            broken.push(("one_incident_per_target", format!("{id} is not the incident of {}", it.fault.target)));
        }
        self.check_attempts(it, broken);
        check_stages(it, broken);
    }

    fn check_attempts(&self, it: &Incident, broken: &mut Broken) {
        let id = it.id;
        let counted =
            it.attempts.iter().filter(|attempt| counts(attempt) && !attempt.because.starts_with("asked for by"));
        let limit = self.policy.limits.attempts_per_incident;
        if counted.clone().count() > at(limit) && self.policy.version <= 1 {
            broken.push((
                "attempts_within_limit",
                format!("{id} was tried {} times, {limit} are allowed", counted.count()),
            ));
        }
        let numbered = it.attempts.iter().zip(1_u32..).all(|(attempt, number)| attempt.number == number);
        if !numbered {
            broken.push(("attempts_numbered", format!("the attempts of {id} are not numbered from 1")));
        }
        let open = it.attempts.iter().filter(|attempt| attempt.outcome.is_none()).count();
        let repairing = matches!(it.state, IncidentState::Repairing { .. });
        if open != usize::from(repairing) {
            broken.push((
                "one_attempt_open",
                format!("{id} has {open} attempts without an outcome in state {:?}", it.state),
            ));
        }
        for attempt in &it.attempts {
            if attempt.verdict.is_some() && matches!(attempt.outcome, None | Some(Outcome::Refused(_))) {
                broken.push((
                    "verdict_after_outcome",
                    format!("attempt {} of {id} was judged without being done", attempt.number),
                ));
            }
        }
    }

    fn check_commands(&self, broken: &mut Broken) {
        for (key, command) in &self.in_flight {
            let Some(record) = self.commands.get(command) else {
                broken.push(("in_flight_is_known", format!("{command} is under way and not known")));
                continue;
            };
            let open = self.cases.contains_key(&record.intent.incident);
            if !open && !record.cancelled {
                broken.push(("in_flight_has_incident", format!("{command} belongs to no open incident")));
            }
            if record.intent.steps.is_empty() {
                broken.push(("command_has_steps", format!("{command} does nothing")));
            }
            if self.hosts[at(key.host)].id != record.intent.host {
                broken.push(("command_has_one_host", format!("{command} is under way on another host")));
            }
        }
        let open = self.commands.values().filter(|record| record.report.is_none()).count();
        if open != self.in_flight.len() {
            broken.push((
                "in_flight_counted",
                format!("{open} commands have no outcome, {} are under way", self.in_flight.len()),
            ));
        }
        for record in self.commands.values().filter(|record| record.report.is_none() && !record.cancelled) {
            let pause =
                self.cases.get(&record.intent.incident).and_then(|case| crate::brakes::pause_of(self, case.key));
            if pause.is_some_and(|pause| record.decided_at > pause.since) {
                broken.push(("no_command_while_paused", format!("{} was decided during a pause", record.intent.id)));
            }
        }
    }

    fn check_counters(&self, broken: &mut Broken) {
        let troubled = self.hosts.iter().filter(|host| host.troubles > 0).count();
        if troubled != at(self.troubled) {
            broken.push(("troubled_counted", format!("{troubled} hosts are troubled, {} are counted", self.troubled)));
        }
        for (Reverse(_), id) in &self.queue {
            if !self.cases.contains_key(id) {
                broken.push(("queue_is_open", format!("{id} waits in the queue and is not open")));
            }
        }
        for host in &self.hosts {
            if host.incidents.iter().any(|id| !self.cases.contains_key(id)) {
                broken.push(("host_incidents_open", format!("{} lists an incident that is not open", host.id)));
            }
        }
    }
}

fn check_stages(it: &Incident, broken: &mut Broken) {
    let id = it.id;
    for pair in it.stages.windows(2) {
        if pair[0].ended_at.is_none() {
            broken
                .push(("stages_in_turn", format!("{id} entered {:?} while {:?} lasted", pair[1].stage, pair[0].stage)));
        }
        if pair[1].started_at < pair[0].started_at {
            broken.push(("stages_in_order", format!("{id} entered {:?} before {:?}", pair[1].stage, pair[0].stage)));
        }
    }
    if it.stages.iter().any(|stage| stage.ended_at.is_some_and(|ended| ended < stage.started_at)) {
        broken.push(("stages_end_after_start", format!("a stage of {id} ended before it began")));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prunella_model::record::Stored;
    use prunella_model::{FleetName, Timestamp};

    use super::*;
    use crate::{Decision, Event};

    #[test]
    fn a_broken_invariant_is_announced_once() {
        let start = Timestamp::from_secs(1_000);
        let fleet = FleetName::of("test");
        let mut engine = Engine::new(fleet, 1, start, Stored::default());
        engine.troubled = 3;
        let said: Vec<EventKind> = (1..=3)
            .flat_map(|n| engine.step(start.after(Duration::from_secs(400 * n)), Event::Tick))
            .filter_map(|it| if let Decision::Announce(event) = it { Some(event.kind) } else { None })
            .filter(|kind| *kind == EventKind::InvariantBroken)
            .collect();
        assert_eq!(said, [EventKind::InvariantBroken]);
    }
}
