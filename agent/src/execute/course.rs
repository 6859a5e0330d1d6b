//! One command from its first step to its outcome.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use prunella_model::command::Intent;
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::standing::OrderRun;
use prunella_model::step::TargetStep;
use prunella_model::{ProbeName, TargetName, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};

use super::Body;
use crate::clock;
use crate::driver::causes;
use crate::ledger::{Ledger, LedgerError};
use crate::pause::PauseFiles;

/// How long an outcome waits for a probe to confirm it. A service that starts more slowly is verified by the server.
const CONFIRM_MAX: Duration = Duration::from_secs(1);

/// A command on its way through its steps.
pub(super) struct Course {
    /// What shall be done.
    pub(super) intent: Intent,
    /// The first step to carry out; more than 0 when an earlier life of the agent did the ones before.
    pub(super) from: usize,
    /// Set when the server wants it to end before its next step.
    pub(super) cancelled: Rc<Cell<bool>>,
    /// When its first step began.
    pub(super) started_at: Option<Timestamp>,
    /// What was done so far, in a line each.
    pub(super) notes: Vec<String>,
}

impl Course {
    /// A command from its beginning.
    pub(super) fn new(intent: Intent) -> Self {
        Self { intent, from: 0, cancelled: Rc::default(), started_at: None, notes: Vec::new() }
    }

    /// Carries the steps out and writes the end into the ledger.
    pub(super) async fn run(
        mut self,
        body: &Rc<Body>,
        ledger: &RefCell<Result<Ledger, String>>,
        pause: &PauseFiles,
    ) -> OutcomeReport {
        let outcome = self.steps(body, ledger, pause).await;
        let confirmed_by = match &outcome {
            Outcome::Done if !self.intent.dry_run => self.confirm(body).await,
            Outcome::Done
            | Outcome::Refused(_)
            | Outcome::Failed { .. }
            | Outcome::Unknown { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Lost => None,
        };
        self.end(outcome, confirmed_by, ledger)
    }

    /// Writes the end into the ledger. If that fails, what happened is reported all the same.
    pub(super) fn end(
        self,
        outcome: Outcome,
        confirmed_by: Option<(TargetName, ProbeName)>,
        ledger: &RefCell<Result<Ledger, String>>,
    ) -> OutcomeReport {
        let report = OutcomeReport {
            command: self.intent.id,
            outcome,
            started_at: self.started_at,
            ended_at: clock::wall_now(),
            notes: self.notes,
            confirmed_by,
            by_order: OrderRun::of(&self.intent),
        };
        if let Ok(ledger) = ledger.borrow_mut().as_mut() {
            log_failure(ledger.finished(&report));
        }
        report
    }

    async fn steps(
        &mut self,
        body: &Rc<Body>,
        ledger: &RefCell<Result<Ledger, String>>,
        pause: &PauseFiles,
    ) -> Outcome {
        let deadline = Instant::now() + self.intent.max_run;
        for index in self.from..self.intent.steps.len() {
            let (Some(step), Ok(number)) = (self.intent.steps.get(index).cloned(), u32::try_from(index)) else { break };
            if let Some(why) = self.objection(pause) {
                self.notes.push(why);
                return Outcome::Cancelled { done: number };
            }
            if self.intent.dry_run {
                match timeout_at(deadline, body.rehearse(&step)).await {
                    Ok(Ok(note)) => self.notes.push(format!("dry run: {note}")),
                    Ok(Err(why)) => return Outcome::Failed { step: number, why: format!("dry run: {why}") },
                    Err(_) => return Outcome::Unknown { why: "the dry run had not ended in time".to_owned() },
                }
                continue;
            }
            if let Err(why) = executing(ledger, &self.intent, number) {
                return Outcome::Failed { step: number, why };
            }
            self.started_at.get_or_insert_with(clock::wall_now);
            match self.step(body, &step, deadline).await {
                Ok(Ok(note)) => self.notes.push(note),
                Ok(Err(why)) => return Outcome::Failed { step: number, why },
                Err(why) => return Outcome::Unknown { why },
            }
        }
        Outcome::Done
    }

    /// Carries one step out. When the time is over it goes on by itself, because half a step is worse than a late one;
    /// but what becomes of it is not known then.
    async fn step(
        &self,
        body: &Rc<Body>,
        step: &TargetStep,
        deadline: Instant,
    ) -> Result<Result<String, String>, String> {
        let (hands, todo) = (Rc::clone(body), step.clone());
        let doing = tokio::task::spawn_local(async move { hands.carry_out(&todo).await });
        let what = || format!("{} on {}", step.step.kind().as_str(), step.target);
        match timeout_at(deadline, doing).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(format!("{} was broken off: this is a defect of the agent, please report it", what())),
            Err(_) => Err(format!("{} had not ended when the time for the whole command was over", what())),
        }
    }

    /// Why the next step must not begin.
    fn objection(&self, pause: &PauseFiles) -> Option<String> {
        if self.cancelled.get() {
            return Some("cancelled by the server".to_owned());
        }
        pause.reason().map(|why| format!("this host was paused: {why}"))
    }

    async fn confirm(&self, body: &Body) -> Option<(TargetName, ProbeName)> {
        if self.intent.verify.is_empty() {
            return None;
        }
        timeout(CONFIRM_MAX, body.confirm(&self.intent.verify, self.intent.max_run)).await.ok().flatten()
    }
}

fn executing(ledger: &RefCell<Result<Ledger, String>>, intent: &Intent, step: u32) -> Result<(), String> {
    let mut ledger = ledger.borrow_mut();
    let ledger = ledger.as_mut().map_err(|why| why.clone())?;
    ledger.executing(intent.id, step).map_err(|error| causes(&error))
}

/// Says that something is missing in the ledger. A failure of the disk also poisons it, and then nothing is done any more.
pub(super) fn log_failure(written: Result<(), LedgerError>) {
    if let Err(error) = written {
        tracing::error!(target: "prunella::ledger", error = %causes(&error), "the ledger does not hold what it should");
    }
}
