//! The life of an incident: one small state machine, each state looked at when something that it waits for happened.

mod act;
mod agent;
mod close;
mod consider;
mod join;
pub(crate) mod learn;
mod open;
mod outcome;
mod probation;
mod response;
mod seek;
mod state;
mod undo;
mod upstream;
pub(crate) mod verify;

pub(crate) use undo::Undoing;

use std::time::Duration;

use prunella_model::incident::{Fault, Incident, IncidentState, Severity, Stage, StageRecord};
use prunella_model::observation::Sha256;
use prunella_model::{OperatorName, PartName, RepairName, Timestamp};

use crate::cause::Cause;
use crate::correlate::Common;
use crate::key::Key;

/// The most passages through stages that one incident records. One that is tried again and again for weeks must not grow
/// without end; its later attempts are still recorded as attempts.
const STAGES_MAX: usize = 240;

/// The name that faults carry which a person filed.
pub(crate) const REPORTED: &str = "reported";

/// After a start, incidents are looked at this soon even if no agent says anything.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// A person's request for a repair.
#[derive(Debug, Clone)]
pub(crate) struct Forced {
    /// Who.
    pub(crate) by: OperatorName,
    /// Why.
    pub(crate) why: String,
    /// Which repair; null lets the engine choose.
    pub(crate) repair: Option<RepairName>,
    /// The content that a file shall be put back to, when it is that.
    pub(crate) restore: Option<(PartName, Sha256)>,
}

/// An open incident: its record and what the engine needs beside it. The rest can be found again from the record.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The record.
    pub(crate) it: Incident,
    /// Its target.
    pub(crate) key: Key,
    /// A person's request, while it has not been carried out.
    pub(crate) forced: Option<Forced>,
    /// Symptoms must have been seen after this to be judged, by the server's clock.
    pub(crate) afresh: Timestamp,
    /// Whether it relapsed after a repair.
    pub(crate) relapsed: bool,
    /// Evidence from then on counts for verification, by the host's clock; null when nothing is verified.
    pub(crate) since: Option<Timestamp>,
    /// Whether a recurrence of an earlier fault was looked for.
    pub(crate) recurrence: bool,
    /// The target that is blamed for it, when the cause lies upstream.
    pub(crate) blames: Option<Key>,
    /// Targets whose change means that it must be judged again.
    pub(crate) watches: Vec<Key>,
    /// When the evidence of others that it waits for was first asked for.
    pub(crate) waiting: Option<Timestamp>,
    /// When what it blames was last seen to be well again.
    pub(crate) upstream_well: Option<Timestamp>,
    /// What its agent was told to do about its own fault, and when it was told last.
    pub(crate) told: Option<(u32, Timestamp)>,
    /// Whether it counts for the fleet's breaker.
    pub(crate) troubles: bool,
    /// Whether it waits in the fleet's queue.
    pub(crate) queued: bool,
    /// The cause with which it was last compared with other faults.
    pub(crate) noted: Option<Cause>,
    /// Whether it is not taken for a victim of a shared cause again.
    pub(crate) released: bool,
    /// What it needs beside its record when it stands for several hosts.
    pub(crate) common: Option<Common>,
    /// Since when it has waited there without being repaired.
    pub(crate) queue_since: Option<Timestamp>,
    /// When a person was asked, or asked for something, first.
    pub(crate) person: Option<Timestamp>,
    /// When it is tried again although a person was called, if they have not mended it by then.
    pub(crate) again: Option<Timestamp>,
    /// The credit that its repair got for the recovery.
    pub(crate) credit: f64,
    /// Whether it was noted that another repair would have been chosen, had it been permitted.
    pub(crate) wished: bool,
}

impl Case {
    /// A case of a record.
    pub(crate) fn new(it: Incident, key: Key) -> Self {
        Self {
            it,
            key,
            forced: None,
            afresh: Timestamp::ZERO,
            relapsed: false,
            again: None,
            since: None,
            recurrence: false,
            blames: None,
            watches: Vec::new(),
            waiting: None,
            upstream_well: None,
            told: None,
            troubles: false,
            queued: false,
            noted: None,
            released: false,
            common: None,
            queue_since: None,
            person: None,
            credit: 0.0,
            wished: false,
        }
    }

    /// Its faults, the first one first.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.it.faults()
    }

    /// Whether nothing but its host's agent is the trouble.
    pub(crate) fn only_agent(&self) -> bool {
        self.faults().all(|fault| crate::rules::about_agent(&fault.rule))
    }

    /// The worst severity among its faults.
    pub(crate) fn severity(&self) -> Severity {
        self.it.severity()
    }

    /// Whether something is being done to its target, or was just done.
    pub(crate) fn under_repair(&self) -> bool {
        match self.it.state {
            IncidentState::Repairing { .. } => true,
            // While an optimisation settles its target serves as ever.
            IncidentState::Verifying { .. } => self.it.optimisation.is_none(),
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::Probation { .. }
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Closed(_) => false,
        }
    }

    /// Begins a stage, ending the one before with `result` if it lasts.
    pub(crate) fn enter(&mut self, stage: Stage, now: Timestamp, health: Option<f64>, result: &str) {
        self.leave(now, health, "");
        if self.it.stages.len() < STAGES_MAX {
            self.it.stages.push(StageRecord {
                stage,
                started_at: now,
                ended_at: None,
                result: result.to_owned(),
                health_before: health,
                health_after: None,
            });
        }
    }

    /// Ends the stage that lasts. An empty `result` leaves what is there.
    pub(crate) fn leave(&mut self, now: Timestamp, health: Option<f64>, result: &str) {
        if let Some(last) = self.it.stages.last_mut().filter(|last| last.ended_at.is_none()) {
            last.ended_at = Some(now);
            last.health_after = health;
            if !result.is_empty() {
                result.clone_into(&mut last.result);
            }
        }
    }

    /// Passes through a stage at once.
    pub(crate) fn pass(&mut self, stage: Stage, now: Timestamp, health: Option<f64>, result: &str) {
        self.enter(stage, now, health, result);
        self.leave(now, health, "");
    }

    /// The stage that lasts, if one does.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.it.stages.last().filter(|last| last.ended_at.is_none()).map(|last| last.stage)
    }
}
