//! From a plan that the brakes let through to a command.

use std::collections::VecDeque;
use std::time::Duration;

use prunella_model::command::{Intent, LIFETIME_MAX, SCHEMA};
use prunella_model::event::EventKind;
use prunella_model::host::TargetReport;
use prunella_model::incident::{Attempt, IncidentState, Stage};
use prunella_model::record::CommandRecord;
use prunella_model::step::{Risk, Step};
use prunella_model::{CommandId, Generation, Id, IncidentId, Timestamp};

use super::Case;
use crate::Engine;
use crate::brakes::Ask;
use crate::cause::Cause;
use crate::event::Decision;
use crate::harmless;
use crate::key::at;
use crate::plan::{Plan, on, plain, weigh};
use crate::timers::Timer;

/// How long each step may take beyond the grace that it grants: a service manager may be slow under load.
const STEP_TIME: Duration = Duration::from_secs(20);

/// How long after that a report may take to arrive before the command counts as lost.
const REPORT_TIME: Duration = Duration::from_secs(30);

/// How many repairs are remembered for the fleet's pacing: above every sensible limit of an hour.
const DECIDED_MAX: usize = 20_000;

/// How many repairs of one host are remembered.
const HOST_REPAIRS_MAX: usize = 256;

impl Engine {
    /// Commits to a plan: makes the command, and asks for it to be stored and sent.
    pub(crate) fn dispatch(&mut self, id: IncidentId, cause: Cause, plan: Plan) {
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        if let Some(why) = self.would_harm(case, cause, &plan) {
            self.escalate(id, why);
            return;
        }
        let command = self.next_command();
        let Some(case) = self.cases.get(&id) else { return };
        let number = crate::key::next(case.it.attempts.len()).saturating_add(1);
        let (risk, effect) = weigh(&plan.steps);
        let report = &self.target_at(key).report;
        let max_run: Duration = plan.steps.iter().map(|it| grace(report, &it.step) + STEP_TIME).sum();
        let host = &self.hosts[at(key.host)];
        let target = host.targets[at(key.target)].report.name.clone();
        let intent = Intent {
            schema: SCHEMA,
            fleet: self.fleet.clone(),
            host: host.id.clone(),
            enrolment: host.enrolment,
            id: command,
            incident: id,
            attempt: number,
            repair: plan.repair.clone(),
            steps: plan.steps.clone(),
            risk,
            effect,
            preconditions: self.preconditions(case),
            verify: self.verifying(key, case),
            policy_version: self.policy.version,
            policy_hash: self.policy_hash,
            approvals_required: 0,
            dry_run: false,
            max_run,
            expires_at: self.now.after(LIFETIME_MAX),
        };
        let deadline = self.now.after(max_run).after(REPORT_TIME);
        self.prepare_stages(id, &plan);
        self.note_repair(id, cause, &plan);
        let generation = self.generation();
        if let Some(case) = self.cases.get_mut(&id) {
            // The next in the queue may have waited for this one.
            self.freed |= case.queue_since.take().is_some();
            case.it.attempts.push(Attempt {
                number,
                repair: plan.repair.clone(),
                command,
                steps: plan.steps,
                because: plan.because.clone(),
                alternatives: plan.alternatives,
                decided_at: self.now,
                outcome: None,
                outcome_at: None,
                verdict: None,
                verdict_at: None,
                verdict_evidence: Vec::new(),
                undoes: plan.undoes,
                undo: plan.undo.map(|steps| on(&target, steps)).unwrap_or_default(),
                propensity: plan.propensity,
            });
        }
        let record = CommandRecord {
            intent: intent.clone(),
            generation,
            decided_at: self.now,
            deadline,
            accepted: false,
            cancelled: false,
            report: None,
        };
        self.commands.insert(command, record);
        self.out.commands.insert(command);
        self.in_flight.insert(key, command);
        self.timers.set(Timer::Command(command), deadline, self.now);
        self.timers.clear(&Timer::Incident(id));
        self.enter_state(id, IncidentState::Repairing { command });
        self.responded(id);
        self.touched(id);
        self.out.acts.push(Decision::Dispatch { intent: Box::new(intent), generation });
        let line = format!("{}: {}", plan.repair, plan.because);
        self.audit("command_decided", key, Some(id), format!("command {command}, {line}"));
        self.announce(EventKind::RepairSelected, Some(key), Some(id), line);
        let started = format!("{} sent as command {command}", plan.repair);
        self.announce(EventKind::RepairStarted, Some(key), Some(id), started);
    }

    /// The do-no-harm rules once more, of every command, just before it is made: nothing else leads to one.
    fn would_harm(&self, case: &Case, cause: Cause, plan: &Plan) -> Option<String> {
        let (repair, severity) = (&plan.repair, case.severity());
        let (key, rollback) = (case.key, plan.undoes.is_some());
        let ask = Ask { engine: self, case, key, repair, cause, severity, plan: Some(plan), rollback };
        let answer = harmless::ask(&ask);
        let person = answer.person.map(|(rule, why)| format!("{rule}: {why}"));
        person.or_else(|| answer.holds.first().map(|(hold, _)| format!("{}: {}", hold.brake, hold.why)))
    }

    /// The decider's generation: one for each start, so that agents can tell a replaced decider.
    pub(crate) fn generation(&self) -> Generation {
        Generation(Id { epoch: self.epoch, counter: 1 })
    }

    pub(crate) fn next_command(&mut self) -> CommandId {
        self.commands_made += 1;
        CommandId(Id { epoch: self.epoch, counter: self.commands_made })
    }

    fn prepare_stages(&mut self, id: IncidentId, plan: &Plan) {
        let now = self.now;
        let Some(key) = self.cases.get(&id).map(|case| case.key) else { return };
        let health = self.health(key);
        let files = plan.steps.iter().filter(|it| matches!(it.step, Step::RestoreFile { .. })).count();
        let saved = match files {
            0 => "no file is touched; the run and its probes are noted".to_owned(),
            1 => "the agent saves 1 file before it changes it".to_owned(),
            _ => format!("the agent saves {files} files before it changes them"),
        };
        let Some(case) = self.cases.get_mut(&id) else { return };
        if plan.undoes.is_some() {
            case.enter(Stage::Rollback, now, health, &plan.because);
            return;
        }
        if case.stage() == Some(Stage::Prepare) {
            case.leave(now, health, "the brakes let it through");
        }
        case.pass(Stage::Snapshot, now, health, &saved);
        case.pass(Stage::SelectStrategy, now, health, &format!("{}: {}", plan.repair, plan.because));
        case.pass(Stage::Prepare, now, health, "no brake holds it");
        case.enter(Stage::ExecuteRepair, now, health, "under way");
    }

    fn note_repair(&mut self, id: IncidentId, cause: Cause, plan: &Plan) {
        let now = self.now;
        let Some(key) = self.cases.get(&id).map(|case| case.key) else { return };
        let host = &mut self.hosts[at(key.host)];
        let target = &mut host.targets[at(key.target)];
        let name = target.report.name.clone();
        if plan.undoes.is_some() {
            push(&mut host.rollbacks, now, HOST_REPAIRS_MAX);
        } else {
            target.remember(now, plan.repair.clone(), cause, plain(&plan.steps));
        }
        host.repairs.push_back((now, name));
        if host.repairs.len() > HOST_REPAIRS_MAX {
            host.repairs.pop_front();
        }
        let served = self.serves(key);
        let (risk, _) = weigh(&plan.steps);
        let host = &mut self.hosts[at(key.host)];
        if served {
            push(&mut host.outages, now, HOST_REPAIRS_MAX);
            push(&mut self.outages, now, DECIDED_MAX);
        }
        if risk >= Risk::High {
            push(&mut host.critical, now, HOST_REPAIRS_MAX);
        }
        push(&mut self.decided, now, DECIDED_MAX);
        self.out.hosts.insert(key.host);
    }
}

/// Remembers a time, and forgets the oldest when there are too many.
fn push(times: &mut VecDeque<Timestamp>, now: Timestamp, most: usize) {
    times.push_back(now);
    if times.len() > most {
        times.pop_front();
    }
}

/// What a step may take beyond the time that every step has.
fn grace(report: &TargetReport, step: &Step) -> Duration {
    match step {
        Step::StopService { grace } | Step::RestartService { grace } => *grace,
        Step::Use { part, act } => report.part(act.kind(), part).map_or(Duration::ZERO, |it| it.limit),
        Step::StartService | Step::SignalProcess { .. } | Step::CleanDirectory { .. } | Step::RestoreFile { .. } => {
            Duration::ZERO
        }
    }
}
