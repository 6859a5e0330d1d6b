//! What becomes of commands: accepted, reported, refused, lost.

use prunella_model::change::Changed;
use prunella_model::event::EventKind;
use prunella_model::incident::{IncidentState, Stage};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::{CommandId, HostId, IncidentId, Timestamp};

use crate::Engine;
use crate::event::Decision;
use crate::key::{Key, at};
use crate::plan;
use crate::timers::Timer;

/// Refusals in a row after which a person is asked.
const REFUSALS_MAX: usize = 5;

/// What to do about a refusal.
enum After {
    /// What the decision stood on has changed: look again.
    Afresh,
    /// It may pass by itself: ask again later.
    Later,
    /// Only a person can change that.
    Person,
}

fn after(refusal: &Refusal) -> After {
    match refusal {
        Refusal::Precondition { .. } => After::Afresh,
        Refusal::NoDelegation { .. }
        | Refusal::WrongChallenge
        | Refusal::Expired { .. }
        | Refusal::StaleGeneration { .. }
        | Refusal::Replayed { .. }
        | Refusal::AlreadyKnown
        | Refusal::WrongEnrolment { .. }
        | Refusal::Paused { .. }
        | Refusal::OverBudget { .. }
        | Refusal::ObserveOnly { .. } => After::Later,
        Refusal::Oversized { .. }
        | Refusal::BadSignature { .. }
        | Refusal::WrongType { .. }
        | Refusal::Undecodable { .. }
        | Refusal::NewerSchema { .. }
        | Refusal::WrongFleet { .. }
        | Refusal::WrongHost { .. }
        | Refusal::OutsideDelegation { .. }
        | Refusal::NotApproved { .. }
        | Refusal::Dangerous
        | Refusal::Understated { .. }
        | Refusal::StepCount { .. }
        | Refusal::NotNamed { .. }
        | Refusal::OutOfBounds { .. }
        | Refusal::NotPermitted { .. }
        | Refusal::Other { .. } => After::Person,
    }
}

/// An outcome in a few words.
pub(super) fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Refused(refusal) => format!("refused ({}): {refusal}", refusal.code()),
        Outcome::Failed { step, why } => format!("failed at step {}: {why}", u64::from(*step) + 1),
        Outcome::Unknown { why } => format!("unknown whether it was done: {why}"),
        Outcome::Cancelled { done } => format!("cancelled after {done} steps"),
        Outcome::Lost => "lost: no report before its deadline".to_owned(),
    }
}

impl Engine {
    /// An agent has a command on its disk.
    pub(crate) fn accepted(&mut self, host: &HostId, command: CommandId) {
        if let Some(record) = self.commands.get_mut(&command)
            && record.intent.host == *host
            && !record.accepted
        {
            record.accepted = true;
            self.out.commands.insert(command);
        }
    }

    /// An agent reported what became of a command.
    pub(crate) fn outcome(&mut self, host: u32, report: OutcomeReport) {
        let command = report.command;
        let id = self.hosts[at(host)].id.clone();
        if report.outcome == Outcome::Refused(Refusal::AlreadyKnown) {
            // It was delivered twice. What became of the first delivery is what counts.
            return;
        }
        self.out.acknowledgements.push(Decision::Acknowledge { host: id.clone(), command });
        if let Some(run) = report.by_order.clone() {
            self.order_carried_out(host, run, &report, &text(&report.outcome));
            return;
        }
        let Some(record) = self.commands.get_mut(&command).filter(|record| record.intent.host == id) else {
            let subject = format!("hosts/{id}");
            let detail = format!("command {command}, of which nothing is known here: {}", text(&report.outcome));
            self.audit_as(format!("agent/{id}"), "outcome_unknown_command", subject, None, detail.clone());
            self.announce_host(EventKind::GovernanceFault, host, format!("{id} reports {detail}"));
            return;
        };
        let known = match &record.report {
            None => false,
            // What counted as lost may still turn up.
            Some(earlier) => earlier.outcome != Outcome::Lost || report.outcome == Outcome::Lost,
        };
        if known {
            return;
        }
        let incident = record.intent.incident;
        let target = record.intent.steps.first().map(|step| step.target.clone());
        let key = target.and_then(|name| Some(Key { host, target: *self.hosts[at(host)].names.get(&name)? }));
        record.accepted = true;
        record.report = Some(report.clone());
        self.out.commands.insert(command);
        self.timers.clear(&Timer::Command(command));
        if let Some(key) = key.filter(|_| report.outcome == Outcome::Done) {
            let repair = record.intent.repair.clone();
            self.note_change(key, self.now, Changed::Repaired { repair });
        }
        let line = format!("command {command} {}", text(&report.outcome));
        self.tally.outcome(&report.outcome);
        let subject = key.map_or_else(|| format!("hosts/{id}"), |key| self.subject(key));
        self.audit_as(format!("agent/{id}"), "outcome", subject, Some(incident), line.clone());
        self.announce(EventKind::RepairEnded, key, Some(incident), line);
        self.note_restored(key, incident, command);
        self.agent_answered(host, &report.outcome);
        self.settle(command, incident, &report, report.ended_at);
    }

    /// A command's deadline has passed without a report.
    pub(crate) fn lost(&mut self, command: CommandId) {
        let Some(record) = self.commands.get_mut(&command).filter(|record| record.report.is_none()) else { return };
        let incident = record.intent.incident;
        let host = record.intent.host.clone();
        let ended_at = match self.names.get(&host) {
            Some(index) => self.hosts[at(*index)].clock.to_host(self.now),
            None => self.now,
        };
        let report = OutcomeReport {
            command,
            outcome: Outcome::Lost,
            started_at: None,
            ended_at,
            notes: Vec::new(),
            confirmed_by: None,
            by_order: None,
        };
        record.report = Some(report.clone());
        self.out.commands.insert(command);
        // Whatever is left of it must not happen later.
        self.out.acts.push(Decision::Cancel { host: host.clone(), command });
        let line = format!("command {command} {}", text(&Outcome::Lost));
        self.audit_as("engine".to_owned(), "outcome", format!("hosts/{host}"), Some(incident), line.clone());
        let key = self.cases.get(&incident).map(|case| case.key);
        self.announce(EventKind::RepairEnded, key, Some(incident), line);
        self.settle(command, incident, &report, ended_at);
    }

    /// A command never left the server.
    pub(crate) fn undelivered(&mut self, command: CommandId, why: &str) {
        let Some(record) = self.commands.get_mut(&command).filter(|it| it.report.is_none() && !it.accepted) else {
            return;
        };
        let incident = record.intent.incident;
        let host = record.intent.host.clone();
        let report = OutcomeReport {
            command,
            outcome: Outcome::Cancelled { done: 0 },
            started_at: None,
            ended_at: self.now,
            notes: vec![format!("never sent: {why}")],
            confirmed_by: None,
            by_order: None,
        };
        record.report = Some(report.clone());
        self.out.commands.insert(command);
        self.timers.clear(&Timer::Command(command));
        let line = format!("command {command} was never sent: {why}");
        self.audit_as("engine".to_owned(), "undelivered", format!("hosts/{host}"), Some(incident), line);
        self.settle(command, incident, &report, self.now);
    }

    /// Goes on from a command's outcome.
    fn settle(&mut self, command: CommandId, id: IncidentId, report: &OutcomeReport, ended: Timestamp) {
        self.in_flight.retain(|_, under_way| *under_way != command);
        self.freed = true;
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else {
            // Its incident is over: nothing refers to it any more.
            self.commands.remove(&command);
            self.out.commands.remove(&command);
            self.out.changes.push(prunella_model::record::Change::DropCommand(command));
            return;
        };
        let key = case.key;
        let current = case.it.attempts.last().is_some_and(|it| it.command == command);
        let undoes = case.it.attempts.iter().find(|it| it.command == command).and_then(|it| it.undoes);
        if let Some(attempt) = case.it.attempts.iter_mut().find(|it| it.command == command) {
            attempt.outcome = Some(report.outcome.clone());
            attempt.outcome_at = Some(now);
            if !plan::counts(attempt) && attempt.undoes.is_none() {
                // It was taken for lost and judged; now it is known that nothing was done.
                (attempt.verdict, attempt.verdict_at) = (None, None);
                attempt.verdict_evidence.clear();
            }
        }
        self.touched(id);
        let Some(case) = self.cases.get(&id) else { return };
        let repairing = case.it.state == IncidentState::Repairing { command };
        let verifying = matches!(case.it.state, IncidentState::Verifying { .. });
        if current && undoes.is_some() && report.outcome == Outcome::Done && !repairing {
            // A report that was given up turned up after all: it was put back, and the incident goes on.
            self.undo_ended(id, key);
            return;
        }
        if !current || !(repairing || verifying) {
            return;
        }
        if verifying {
            let nothing_done = case.it.attempts.last().is_some_and(|it| !plan::counts(it));
            if nothing_done && undoes.is_none() {
                self.afresh(id);
                return;
            }
            // A report that was given up turned up after all: judge by when it really ended.
            if let Some(case) = self.cases.get_mut(&id) {
                case.since = Some(ended);
            }
            self.woken.insert(id);
            return;
        }
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.leave(now, health, &text(&report.outcome));
        }
        match &report.outcome {
            Outcome::Refused(refusal) => self.refused(id, refusal),
            Outcome::Cancelled { done: 0 } => {
                self.enter_state(id, IncidentState::Diagnosing);
                self.woken.insert(id);
            }
            Outcome::Done
            | Outcome::Failed { .. }
            | Outcome::Unknown { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Lost => {
                if undoes.is_some() {
                    self.undo_ended(id, key);
                    return;
                }
                self.begin_verification(id, ended);
            }
        }
    }

    /// Judges an incident on what is seen from now on.
    pub(crate) fn afresh(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        case.afresh = now;
        case.since = None;
        self.enter_state(id, IncidentState::Diagnosing);
        self.probe_now(key);
        self.look_again(id, self.tick(key));
    }

    fn refused(&mut self, id: IncidentId, refusal: &Refusal) {
        let Some(case) = self.cases.get(&id) else { return };
        let in_a_row =
            case.it.attempts.iter().rev().take_while(|it| matches!(it.outcome, Some(Outcome::Refused(_)))).count();
        let line = format!("the agent refused ({}): {refusal}", refusal.code());
        if in_a_row >= REFUSALS_MAX {
            self.escalate(id, format!("{line}; {in_a_row} times in a row"));
            return;
        }
        match after(refusal) {
            After::Afresh => self.afresh(id),
            After::Later => {
                self.enter_state(id, IncidentState::Diagnosing);
                self.woken.insert(id);
            }
            After::Person => self.escalate(id, line),
        }
    }

    fn begin_verification(&mut self, id: IncidentId, ended: Timestamp) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        let (key, wait) = match case.it.optimisation {
            None => (case.key, self.policy.verification.deadline),
            Some(_) => (case.key, self.policy.optimise.settle),
        };
        let until = now.after(wait);
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.since = Some(ended);
            case.enter(Stage::Verify, now, health, "looking at the original symptom again");
        }
        self.enter_state(id, IncidentState::Verifying { until });
        self.probe_now(key);
        self.woken.insert(id);
    }
}
