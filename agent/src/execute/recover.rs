//! After a crash: what the ledger says was begun and not ended is decided, never guessed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use prunella_model::command::{BootId, Intent, LIFETIME_MAX, Precondition};
use prunella_model::observation::{Instance, Status};
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::step::{Effect, Step, TargetStep};
use prunella_model::{ProbeName, TargetName};
use tokio::time::Instant;

use super::body::run_meant;
use super::course::Course;
use super::{Body, Oath};
use crate::clock;
use crate::driver::causes;
use crate::ledger::{Ledger, LedgerError, Unfinished};
use crate::pause::PauseFiles;
use crate::senses::Facts;
use crate::state_dir::StateDir;

/// How long to wait for the first look of the probes that preconditions name, after a start.
const SETTLE_MAX: Duration = Duration::from_secs(3);

/// How often to ask for it.
const SETTLE_LOOK: Duration = Duration::from_millis(20);

/// Opens the ledger of this enrolment, or says why nothing may be done. From then on there must always be one.
pub(super) fn open_ledger(state: &StateDir, oath: &mut dyn Oath) -> Result<Ledger, String> {
    let ledger = open(state, oath).map_err(|error| causes(&error))?;
    if !oath.ledger_begun() {
        oath.begin_ledger().map_err(|error| causes(&error))?;
    }
    Ok(ledger)
}

/// Whether only a new enrolment can let this host act again: what was done before is not known any more.
pub(super) fn is_lost(state: &StateDir, oath: &dyn Oath) -> bool {
    matches!(open(state, oath), Err(LedgerError::Lost { .. } | LedgerError::Damaged { .. }))
}

fn open(state: &StateDir, oath: &dyn Oath) -> Result<Ledger, LedgerError> {
    let own = oath.own();
    let log = format!("{}/{}/{}", own.fleet, own.host, own.enrolment);
    // Each enrolment has its own file, so that a damaged one is kept for whoever looks into it.
    Ledger::open(&state.path(&format!("ledger-{}", own.enrolment)), &log, oath.ledger_begun())
}

/// Whether the host has been up ever since a command was accepted.
pub(super) fn is_same_boot(left: &Unfinished, boot: &BootId) -> bool {
    let named = left.intent.preconditions.iter().find_map(|it| match it {
        Precondition::Boot(boot) => Some(boot),
        Precondition::Instance { .. } | Precondition::Observed { .. } => None,
    });
    // Without a boot to compare with, the clocks must do: was it accepted after this boot began?
    named.map_or_else(|| left.at > clock::wall_now().before(clock::boot_now()), |it| it == boot)
}

/// Decides what becomes of an interrupted command, and sees it through.
pub(super) async fn take_up(
    left: Unfinished,
    same_boot: bool,
    mut course: Course,
    body: &Rc<Body>,
    ledger: &RefCell<Result<Ledger, String>>,
    pause: &PauseFiles,
) -> OutcomeReport {
    let facts = body.facts();
    settle(&left.intent, &facts).await;
    let age = clock::wall_now().since(left.at);
    let fate = fate(&Left { intent: &left.intent, begun: left.begun, same_boot, age }, &facts);
    course.started_at = left.begun.map(|_| left.at);
    match fate {
        Fate::GoOn(from, note) => {
            course.from = from;
            course.notes.push(note);
            course.run(body, ledger, pause).await
        }
        Fate::Over(outcome, note) => {
            course.notes.push(note);
            course.end(outcome, None, ledger)
        }
    }
}

/// Waits until every probe that the preconditions name has looked, within bounds.
async fn settle(intent: &Intent, facts: &Facts) {
    let silent = || {
        intent.preconditions.iter().any(|it| match it {
            Precondition::Observed { target, probe, .. } => facts.status(target, probe).is_none(),
            Precondition::Boot(_) | Precondition::Instance { .. } => false,
        })
    };
    let patience = Instant::now() + SETTLE_MAX;
    while silent() && Instant::now() < patience {
        tokio::time::sleep(SETTLE_LOOK).await;
    }
}

/// What is known of a command that an earlier life of the agent did not end.
pub(super) struct Left<'a> {
    /// The command.
    pub(super) intent: &'a Intent,
    /// The step that had begun last, if one had.
    pub(super) begun: Option<u32>,
    /// Whether the host has been up ever since.
    pub(super) same_boot: bool,
    /// How long ago its intent was written.
    pub(super) age: Duration,
}

/// What the host looks like now.
pub(super) trait Now {
    /// The target's latest run.
    fn instance(&self, target: &TargetName) -> Option<Instance>;
    /// The latest verdict of a probe.
    fn status(&self, target: &TargetName, probe: &ProbeName) -> Option<Status>;
}

impl Now for Facts {
    fn instance(&self, target: &TargetName) -> Option<Instance> {
        Self::instance(self, target)
    }
    fn status(&self, target: &TargetName, probe: &ProbeName) -> Option<Status> {
        Self::status(self, target, probe)
    }
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is over.
    Over(Outcome, String),
    /// It goes on with this step.
    GoOn(usize, String),
}

/// Decides. Only what can be repeated goes on, only while it is fresh, and only if the decision still stands on what it
/// stood on.
pub(super) fn fate(left: &Left<'_>, now: &impl Now) -> Fate {
    let Some(begun) = left.begun else { return before_the_first_step(left, now) };
    let index = usize::try_from(begun).unwrap_or(usize::MAX);
    let Some(step) = left.intent.steps.get(index) else {
        return unknown("the ledger names a step that the command does not have");
    };
    let what = format!("{} on {}", step.step.kind().as_str(), step.target);
    if !left.same_boot {
        return unknown(&format!("the host went down during {what}"));
    }
    if is_done(left.intent, step, now) {
        let note = format!("the agent was restarted during {what}; a new run shows that it was done");
        return after(left, index + 1, note, now);
    }
    match step.step.effect() {
        Effect::AtMostOnce => unknown(&format!("the agent was restarted during {what}, which must not be repeated")),
        Effect::Idempotent => {
            after(left, index, format!("the agent was restarted during {what}, which can be repeated"), now)
        }
    }
}

fn unknown(why: &str) -> Fate {
    Fate::Over(Outcome::Unknown { why: why.to_owned() }, "nothing was repeated".to_owned())
}

/// Steps are written to the ledger before they begin, and what is written survives the agent, though not the host.
fn before_the_first_step(left: &Left<'_>, now: &impl Now) -> Fate {
    if !left.same_boot {
        return unknown("the host went down after the command was accepted");
    }
    match after(left, 0, "the agent was restarted before the first step".to_owned(), now) {
        Fate::Over(Outcome::Failed { why, .. }, _) => Fate::Over(Outcome::Cancelled { done: 0 }, why),
        fate @ (Fate::Over(..) | Fate::GoOn(..)) => fate,
    }
}

/// Goes on with step `from` if that is right, and ends otherwise.
fn after(left: &Left<'_>, from: usize, note: String, now: &impl Now) -> Fate {
    let rest = left.intent.steps.get(from..).unwrap_or_default();
    if rest.is_empty() {
        return Fate::Over(Outcome::Done, note);
    }
    let objection = if rest.iter().any(|it| it.step.effect() == Effect::AtMostOnce) {
        Some("a step that must not be repeated is left".to_owned())
    } else if left.age > LIFETIME_MAX {
        Some(format!("the command is {} s old", left.age.as_secs()))
    } else {
        changed(left.intent, from, now)
    };
    match objection {
        None => Fate::GoOn(from, note),
        Some(why) => {
            let step = u32::try_from(from).unwrap_or(u32::MAX);
            Fate::Over(Outcome::Failed { step, why: format!("{note}, and {why}") }, "nothing was repeated".to_owned())
        }
    }
}

/// Whether a new run of the target shows that the step was carried out.
fn is_done(intent: &Intent, step: &TargetStep, now: &impl Now) -> bool {
    match step.step {
        Step::StartService | Step::RestartService { .. } => match run_meant(intent, &step.target) {
            Some(old) => now.instance(&step.target).is_some_and(|it| it != *old),
            // Without a run to compare with, nothing is shown.
            None => false,
        },
        Step::StopService { .. }
        | Step::SignalProcess { .. }
        | Step::CleanDirectory { .. }
        | Step::RestoreFile { .. }
        | Step::Use { .. } => false,
    }
}

/// Which precondition does not hold any more; those about targets that earlier steps have changed are not asked.
fn changed(intent: &Intent, from: usize, now: &impl Now) -> Option<String> {
    let done = intent.steps.get(..from).unwrap_or_default();
    let touched = |target: &TargetName| done.iter().any(|it| it.target == *target);
    intent.preconditions.iter().find_map(|it| match it {
        // The same boot was checked before.
        Precondition::Boot(_) => None,
        Precondition::Instance { target, instance } => (!touched(target)
            && now.instance(target).as_ref() != Some(instance))
        .then(|| format!("{target} has another run by now")),
        Precondition::Observed { target, probe, status } => (!touched(target)
            && now.status(target, probe) != Some(*status))
        .then(|| format!("{target}/{probe} says something else by now")),
    })
}

#[cfg(test)]
mod tests;
