//! Carries commands out: opened, judged, written to the ledger, done step by step, reported.
//!
//! Nothing has an effect before its intent is on the disk. Each command is in the ledger under its id, so that it is
//! carried out at most once, whatever is delivered and whenever the agent dies.

mod body;
mod course;
mod facts;
mod orders;
mod recover;
mod rehearse;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use prunella_model::command::{BootId, Intent, SignedCommand};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::step::TargetStep;
use prunella_model::{CommandId, Generation, TargetName};
use prunella_proto::wire;
use prunella_seal::{Opened, Trust};
use prunella_ward::{LocalPolicy, Moment, Own, Ward};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::Instrument as _;

pub use body::Body;

use crate::clock;
use crate::config::AgentConfig;
use crate::driver::causes;
use crate::ledger::{Ledger, State};
use crate::pause::PauseFiles;
use crate::state_dir::{StateDir, StateError};
use crate::uplink::Fresh;
use course::Course;
use facts::HostFacts;

/// The most commands under way at the same time. Each target has one at most, so this only matters on a host with more
/// targets; beyond it the disk and the processor are what a repair would wait for.
pub const RUNNING_MAX: usize = 32;

/// What a received command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Receipt {
    /// It is on the disk, and on its way.
    Accepted(CommandId),
    /// It was refused, and nothing was done.
    Refused(OutcomeReport),
    /// It was refused, but it has been here before: how far it has come is said again, never something new.
    Known {
        /// The command.
        command: CommandId,
        /// Why this delivery was refused.
        refusal: Refusal,
        /// How far it has come.
        state: State,
    },
    /// It was refused, and its id is not readable, so that nothing can be said of it.
    Unnamed(Refusal),
}

/// The ledger, for all commands under way; why there is none, when there is none.
type SharedLedger = Rc<RefCell<Result<Ledger, String>>>;

/// A command under way.
struct Running {
    targets: BTreeSet<TargetName>,
    cancelled: Rc<Cell<bool>>,
}

/// Whose commands are obeyed: one enrolment of one host.
pub trait Oath {
    /// Who this host is.
    fn own(&self) -> Own;
    /// Whether there has been a ledger. If it is gone although there was one, what was done is not known any more.
    fn ledger_begun(&self) -> bool;
    /// Remembers that there is a ledger from now on.
    ///
    /// # Errors
    /// [`StateError`] when that cannot be stored.
    fn begin_ledger(&mut self) -> Result<(), StateError>;
}

/// What an [`Executor`] is made of.
pub struct ExecutorParts<'a> {
    /// `agent.toml`.
    pub config: Arc<AgentConfig>,
    /// Where the ledger lies.
    pub state: StateDir,
    /// The current boot.
    pub boot: BootId,
    /// Who this host is; remembers that there is a ledger.
    pub oath: &'a mut dyn Oath,
    /// What carries steps out.
    pub body: Body,
    /// What pauses this host.
    pub pause: PauseFiles,
}

/// Judges commands and carries them out, one at a time for each target.
pub struct Executor {
    ward: Ward,
    boot: BootId,
    body: Rc<Body>,
    pause: Rc<PauseFiles>,
    /// Why there is none, when there is none: then nothing may be done.
    ledger: SharedLedger,
    running: BTreeMap<CommandId, Running>,
    ends: mpsc::Sender<OutcomeReport>,
}

impl Executor {
    /// Opens the ledger and takes up what an earlier life of the agent left unfinished. Must be called in a `LocalSet`.
    ///
    /// The outcomes of commands come by the receiver. Without a ledger there is an executor all the same; it refuses
    /// everything and says why.
    #[must_use]
    pub fn open(parts: ExecutorParts<'_>) -> (Self, mpsc::Receiver<OutcomeReport>) {
        let ExecutorParts { config, state, boot, oath, body, pause } = parts;
        let ledger = recover::open_ledger(&state, oath);
        if let Err(why) = &ledger {
            tracing::error!(target: "prunella::ledger", %why, "only observing");
        }
        let own = oath.own();
        let reports = body.targets();
        let policy = LocalPolicy::of_targets(&reports, config.limits.observe_only, config.limits.repairs_per_hour);
        let mark = ledger.as_ref().map(Ledger::mark).unwrap_or_default();
        let (ends, receiver) = mpsc::channel(RUNNING_MAX);
        let mut executor = Self {
            ward: Ward::new(own, policy, mark),
            boot,
            body: Rc::new(body),
            pause: Rc::new(pause),
            ledger: Rc::new(RefCell::new(ledger)),
            running: BTreeMap::new(),
            ends,
        };
        executor.take_up();
        (executor, receiver)
    }

    /// Takes up what an earlier life of the agent left unfinished.
    fn take_up(&mut self) {
        let (recent, unfinished) = match &*self.ledger.borrow() {
            Ok(ledger) => (ledger.recent(clock::wall_now()), ledger.unfinished()),
            Err(_) => return,
        };
        for (age, steps) in recent {
            self.ward.remember(clock::boot_now().saturating_sub(age), &steps);
        }
        for left in unfinished {
            tracing::warn!(target: "prunella::repair", incident = %left.intent.incident, command = %left.intent.id, begun = ?left.begun, "a command was interrupted");
            let course = Course::new(left.intent.clone());
            self.take_hold(&course);
            let same_boot = recover::is_same_boot(&left, &self.boot);
            let (body, ledger, pause) = (Rc::clone(&self.body), Rc::clone(&self.ledger), Rc::clone(&self.pause));
            let ends = self.ends.clone();
            let span = span_of(&left.intent);
            let taken_up = async move {
                let report = recover::take_up(left, same_boot, course, &body, &ledger, &pause).await;
                tracing::info!(target: "prunella::repair", outcome = ?report.outcome, "a command has ended");
                let _ = ends.send(report).await;
            };
            tokio::task::spawn_local(taken_up.instrument(span));
        }
    }

    /// Whether only a new enrolment can let this host act again.
    #[must_use]
    pub fn has_lost_its_ledger(state: &StateDir, oath: &dyn Oath) -> bool {
        recover::is_lost(state, oath)
    }

    /// Why nothing may be done; none when it may.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        objection_of(&self.ledger.borrow())
    }

    /// The highest generation that this host has accepted.
    #[must_use]
    pub fn mark(&self) -> Generation {
        self.ward.mark()
    }

    /// Outcomes that no server has acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<OutcomeReport> {
        self.ledger.borrow().as_ref().map(Ledger::unacknowledged).unwrap_or_default()
    }

    /// Whether a command is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// A new stream was opened: deliveries of earlier ones are worthless.
    pub fn open_stream(&mut self, fresh: Fresh) {
        self.ward.open_stream(fresh.challenge, fresh.made_at);
    }

    /// The stream ended.
    pub fn close_stream(&mut self) {
        self.ward.close_stream();
    }

    /// Judges a command and, when it is accepted, begins to carry it out. `objection` is why the agent only observes.
    pub fn receive(&mut self, command: &SignedCommand, trust: Option<&Trust>, objection: Option<String>) -> Receipt {
        match self.admit(command, trust, objection) {
            Ok(opened) => {
                let id = opened.intent.id;
                self.begin(Course::new(opened.intent));
                Receipt::Accepted(id)
            }
            Err(refusal) => self.refused(command, trust, refusal),
        }
    }

    /// Everything up to the ledger: after this the command may act.
    fn admit(
        &mut self,
        command: &SignedCommand,
        trust: Option<&Trust>,
        objection: Option<String>,
    ) -> Result<Opened, Refusal> {
        let Some(trust) = trust else {
            return Err(Refusal::NoDelegation {
                why: "the server has not shown where its authority comes from".into(),
            });
        };
        let opened = trust.open_command(command, wire::decode_delivery, wire::decode_intent)?;
        let now = Moment { wall: clock::wall_now(), boot: clock::boot_now() };
        let mut slot = self.ledger.borrow_mut();
        let facts = HostFacts {
            boot: &self.boot,
            senses: self.body.facts(),
            ledger: slot.as_ref().ok(),
            paused: self.pause.reason(),
            observe_only: objection.or_else(|| objection_of(&slot)),
        };
        // Before the ward, whose marks and budgets move when it accepts.
        busy(&self.running, &opened.intent)?;
        let accepted = self.ward.judge(&opened, trust.delegation(), now, &facts)?;
        if let Some(late) = accepted.lapsed {
            tracing::warn!(target: "prunella::repair", incident = %opened.intent.incident, command = %accepted.command, ?late, "the intent has lapsed by this clock");
        }
        let written = match slot.as_mut() {
            Ok(ledger) => ledger.intend(&opened, now.wall).map_err(|error| causes(&error)),
            Err(why) => Err(why.clone()),
        };
        // What is not surely on the disk is not done.
        written.map_err(|why| Refusal::ObserveOnly { why })?;
        Ok(opened)
    }

    fn begin(&mut self, course: Course) {
        self.take_hold(&course);
        let (body, ledger, pause) = (Rc::clone(&self.body), Rc::clone(&self.ledger), Rc::clone(&self.pause));
        let ends = self.ends.clone();
        let span = span_of(&course.intent);
        let run = async move {
            tracing::info!(target: "prunella::repair", steps = course.intent.steps.len(), "a command has begun");
            let report = course.run(&body, &ledger, &pause).await;
            tracing::info!(target: "prunella::repair", outcome = ?report.outcome, "a command has ended");
            // Without a receiver the agent is ending; the ledger has the outcome.
            let _ = ends.send(report).await;
        };
        tokio::task::spawn_local(run.instrument(span));
    }

    /// Keeps other commands away from its targets.
    fn take_hold(&mut self, course: &Course) {
        let targets = course.intent.steps.iter().map(|it| it.target.clone()).collect();
        let running = Running { targets, cancelled: Rc::clone(&course.cancelled) };
        self.running.insert(course.intent.id, running);
    }

    fn refused(&mut self, command: &SignedCommand, trust: Option<&Trust>, refusal: Refusal) -> Receipt {
        let code = refusal.code();
        let Some(id) = named_id(command) else {
            tracing::warn!(target: "prunella::repair", code, %refusal, "refused a command without a readable id");
            return Receipt::Unnamed(refusal);
        };
        tracing::warn!(target: "prunella::repair", command = %id, code, %refusal, "refused a command");
        let mut slot = self.ledger.borrow_mut();
        if let Some(state) = slot.as_ref().ok().and_then(|ledger| ledger.knows(id)) {
            // A second delivery must never look like the end of the first.
            return Receipt::Known { command: id, refusal, state };
        }
        let report = OutcomeReport {
            command: id,
            outcome: Outcome::Refused(refusal),
            started_at: None,
            ended_at: clock::wall_now(),
            notes: Vec::new(),
            confirmed_by: None,
            by_order: None,
        };
        // Only what is signed: anybody else could fill the ledger, and use up the ids of commands to come.
        let signed =
            trust.is_some_and(|it| it.open_command(command, wire::decode_delivery, wire::decode_intent).is_ok());
        if let (true, Ok(ledger)) = (signed, slot.as_mut()) {
            course::log_failure(ledger.finished(&report));
        }
        Receipt::Refused(report)
    }

    /// Makes a command end before its next step.
    pub fn cancel(&mut self, command: CommandId) {
        if let Some(running) = self.running.get(&command) {
            running.cancelled.set(true);
        }
    }

    /// Makes all commands end before their next step.
    pub fn cancel_all(&mut self) {
        self.running.values().for_each(|it| it.cancelled.set(true));
    }

    /// Takes note that a command has ended.
    pub fn ended(&mut self, report: &OutcomeReport) {
        self.running.remove(&report.command);
    }

    /// Takes note that a server has stored these outcomes.
    pub fn acknowledged(&mut self, outcomes: &[CommandId]) {
        if let Ok(ledger) = self.ledger.borrow_mut().as_mut() {
            outcomes.iter().for_each(|id| course::log_failure(ledger.acknowledged(*id)));
        }
    }
}

/// What every line of a command carries in the log: the incident that it is for, and its own id.
fn span_of(intent: &Intent) -> tracing::Span {
    tracing::info_span!(target: "prunella::repair", "repair", incident = %intent.incident, command = %intent.id, repair = %intent.repair)
}

/// Refuses a command without judging it: nothing could be done with it.
pub(crate) fn refused_outright(command: &SignedCommand, why: &str) -> Receipt {
    let refusal = Refusal::ObserveOnly { why: why.to_owned() };
    match named_id(command) {
        Some(command) => Receipt::Refused(OutcomeReport {
            command,
            outcome: Outcome::Refused(refusal),
            started_at: None,
            ended_at: clock::wall_now(),
            notes: Vec::new(),
            confirmed_by: None,
            by_order: None,
        }),
        None => Receipt::Unnamed(refusal),
    }
}

/// Why a ledger permits nothing; none when it does.
fn objection_of(ledger: &Result<Ledger, String>) -> Option<String> {
    match ledger {
        Ok(ledger) => ledger.poisoned().map(|why| format!("its ledger cannot be written: {why}")),
        Err(why) => Some(why.clone()),
    }
}

/// The id that a command goes by, believed or not: good for naming it in a refusal, and for nothing else.
fn named_id(command: &SignedCommand) -> Option<CommandId> {
    let delivery = wire::decode_delivery(&command.delivery.payload).ok()?;
    wire::decode_intent(&delivery.intent).ok().map(|intent| intent.id)
}

/// Commands that touch the same target must not run at the same time.
fn busy(running: &BTreeMap<CommandId, Running>, intent: &Intent) -> Result<(), Refusal> {
    if running.contains_key(&intent.id) {
        return Err(Refusal::AlreadyKnown);
    }
    free(running, &intent.steps)
}

/// Whether a command with these steps could begin now.
fn free(running: &BTreeMap<CommandId, Running>, steps: &[TargetStep]) -> Result<(), Refusal> {
    let why = if running.len() >= RUNNING_MAX {
        format!("{RUNNING_MAX} commands are under way already")
    } else {
        let taken = |it: &&TargetName| running.values().any(|other| other.targets.contains(*it));
        match steps.iter().map(|it| &it.target).find(taken) {
            Some(target) => format!("another command for {target} is under way"),
            None => return Ok(()),
        }
    };
    Err(Refusal::Precondition { why })
}

#[cfg(test)]
mod tests;
