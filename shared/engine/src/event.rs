//! What goes into the engine and what comes out.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::Intent;
use prunella_model::event::FleetEvent;
use prunella_model::host::HostReport;
use prunella_model::incident::Severity;
use prunella_model::knowledge::Lore;
use prunella_model::observation::{Frame, ProbeKind, Sha256};
use prunella_model::outcome::OutcomeReport;
use prunella_model::policy::{FleetPolicy, Mode, Scope};
use prunella_model::record::{AuditEntry, Change};
use prunella_model::standing::StandingOrders;
use prunella_model::step::TargetStep;
use prunella_model::{
    CommandId, Generation, HostId, IncidentId, MaintenanceName, OperatorName, PartName, RepairName, TargetName,
    TargetRef, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Something that happened. Everything the engine learns, it learns from one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The server begins to decide with this engine.
    Started {
        /// The program's version.
        version: String,
    },
    /// The server may sign under a delegation, from now on.
    Authorised {
        /// The delegation's version.
        version: u64,
        /// Until when it is good.
        not_after: Timestamp,
    },
    /// Operators changed the policy. Takes effect at once.
    Policy(Arc<FleetPolicy>),
    /// Operators want the policy changed. It is rolled out in stages, except where nothing could be harmed.
    Proposed {
        /// The policy.
        policy: Arc<FleetPolicy>,
        /// Who wants it.
        by: OperatorName,
    },
    /// An agent's stream began with its first full report.
    Connected {
        /// The host, from the peer's certificate.
        host: HostId,
        /// Its enrolment, from the peer's certificate.
        enrolment: u64,
        /// Everything it said.
        report: Box<HostReport>,
    },
    /// An agent said everything again.
    Reported {
        /// The host.
        host: HostId,
        /// Everything it said.
        report: Box<HostReport>,
    },
    /// An agent's stream ended.
    Disconnected {
        /// The host.
        host: HostId,
        /// Whether the agent said goodbye.
        orderly: bool,
    },
    /// An agent saw something.
    Frame {
        /// The host.
        host: HostId,
        /// What it saw.
        frame: Frame,
    },
    /// An agent lives, and nothing changed.
    Heartbeat {
        /// The host.
        host: HostId,
    },
    /// An agent has a command on its disk.
    Accepted {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// An agent reported what became of a command, or of what it did by a standing order.
    Outcome {
        /// The host.
        host: HostId,
        /// Its report.
        report: OutcomeReport,
    },
    /// A command could not be given to its agent's stream. Nothing was sent.
    Undelivered {
        /// The command.
        command: CommandId,
        /// Why.
        why: String,
    },
    /// Somebody asked for something.
    Request {
        /// Chosen by the caller, to match the [`Decision::Reply`].
        token: u64,
        /// Who asked, as authenticated.
        by: OperatorName,
        /// What.
        request: Request,
    },
    /// A host was removed from the fleet.
    Forget {
        /// The host.
        host: HostId,
        /// Who removed it.
        by: OperatorName,
    },
    /// Time passed.
    Tick,
}

/// What an operator may ask of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Stop repairing.
    Pause {
        /// What.
        scope: Scope,
        /// Why.
        why: String,
        /// Until when; null means until it is lifted.
        until: Option<Timestamp>,
    },
    /// Lift a pause.
    Resume {
        /// What.
        scope: Scope,
    },
    /// Set a mode at run time.
    SetMode {
        /// What: the fleet or a group.
        scope: Scope,
        /// The mode; null goes back to the policy's.
        mode: Option<Mode>,
        /// Why.
        why: String,
    },
    /// Keep repairs away for a while.
    Maintain {
        /// Its name; unique in the fleet.
        name: MaintenanceName,
        /// What.
        scope: Scope,
        /// Why.
        why: String,
        /// From when; a time that has passed means now.
        from: Timestamp,
        /// Until when; null means until it is ended.
        until: Option<Timestamp>,
    },
    /// End a maintenance, begun or not.
    EndMaintenance {
        /// Its name.
        name: MaintenanceName,
    },
    /// Give a changed policy up that is on its way.
    StopRollout {
        /// Why.
        why: String,
    },
    /// Try a repair now. Brakes of pacing do not apply; rules that prevent harm do.
    Repair {
        /// The target.
        target: TargetRef,
        /// The repair; null lets the engine choose.
        repair: Option<RepairName>,
        /// Why.
        why: String,
        /// Decide and check everything, do nothing.
        dry_run: bool,
        /// First repair everything broken that the target needs, what is needed first.
        #[serde(default)]
        chain: bool,
    },
    /// Give an incident up: cancel what is under way and close it.
    Cancel {
        /// The incident.
        incident: IncidentId,
        /// Why.
        why: String,
    },
    /// Take an opportunity. Brakes of pacing do not apply; rules that prevent harm do.
    Optimise {
        /// Its id, as [`crate::view::Opportunity::id`] says.
        opportunity: String,
        /// Why.
        why: String,
        /// Decide and check everything, do nothing.
        dry_run: bool,
    },
    /// Put a file back to a content that its agent holds. Brakes of pacing do not apply; rules that prevent harm do.
    Restore {
        /// The target.
        target: TargetRef,
        /// The file.
        file: PartName,
        /// The digest of the content.
        snapshot: Sha256,
        /// Why.
        why: String,
        /// Decide and check everything, do nothing.
        dry_run: bool,
    },
    /// Have every probe look at once, and keep what is found.
    Diagnose {
        /// What: the fleet, a group or a host.
        scope: Scope,
    },
    /// File a fault that no rule sees.
    Report {
        /// The target.
        target: TargetRef,
        /// How the reporter knows it again, so that saying it again is saying the same; empty for none.
        id: String,
        /// How bad.
        severity: Severity,
        /// What is wrong, in a line.
        summary: String,
        /// Check everything, do nothing.
        dry_run: bool,
    },
    /// Say that what was reported is gone. That is evidence by whoever reported it, and verifies no repair.
    Withdraw {
        /// The target.
        target: TargetRef,
        /// The report, as its reporter named it; empty for all of theirs.
        id: String,
        /// Why, in a line.
        why: String,
        /// Check everything, do nothing.
        dry_run: bool,
    },
    /// Take in what another fleet has learned, or what this one had.
    Import {
        /// What [`crate::Engine::lore`] gave there.
        lore: Box<Lore>,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done, or on its way.
    Done {
        /// The incident that shows how it goes on, if there is one.
        incident: Option<IncidentId>,
        /// What was done, in a line.
        message: String,
    },
    /// Knowledge was taken in.
    Learned {
        /// Records of other fleets that are new, or newer than what was known.
        new: usize,
        /// Records of this fleet that it had lost.
        restored: usize,
        /// Records that change nothing.
        known: usize,
    },
    /// It was only rehearsed: nothing was done. What the host says of the steps, only its agent knows.
    Rehearsed {
        /// The incident that is open, if there is one.
        incident: Option<IncidentId>,
        /// What would be done, and what would hold it, in a line.
        message: String,
        /// Where.
        host: HostId,
        /// The steps, in their order.
        steps: Vec<TargetStep>,
    },
    /// A sweep has begun.
    Begun {
        /// Its id.
        run: prunella_model::Id,
        /// What was done, in a line.
        message: String,
    },
    /// There is no such thing.
    NotFound {
        /// What was not found.
        what: String,
    },
    /// It would be wrong to do it now.
    Refused {
        /// A stable code, in capitals.
        reason: String,
        /// Why, and what to do.
        message: String,
    },
}

/// Something to do. The driver stores all changes of a step first, in one commit, and only then does the rest, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// Change what is stored.
    Store(Change),
    /// Append to the audit log.
    Audit(AuditEntry),
    /// Sign this and send it. What was stored and not sent goes out again after a restart.
    Dispatch {
        /// What shall be done.
        intent: Box<Intent>,
        /// The decider's generation.
        generation: Generation,
    },
    /// Sign these standing orders and give them to their host's stream, if it has one.
    Order {
        /// What the host may do alone.
        orders: Box<StandingOrders>,
        /// Who decides.
        generation: Generation,
    },
    /// Tell an agent to stop a command before its next step.
    Cancel {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// Ask an agent to look at a target now.
    Probe {
        /// The host.
        host: HostId,
        /// The target; null means all of them.
        target: Option<TargetName>,
    },
    /// Tell an agent how often its probes shall look, within the bounds that it has named.
    Intervals {
        /// The host.
        host: HostId,
        /// By kind; others as the host's administrator says.
        intervals: Vec<(ProbeKind, Duration)>,
    },
    /// Ask an agent to say everything again.
    ReportFully {
        /// The host.
        host: HostId,
    },
    /// Ask an agent to end its stream and begin a new one.
    Reconnect {
        /// The host.
        host: HostId,
        /// How long it shall wait at least.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// Tell those who follow along.
    Announce(FleetEvent),
    /// Answer a request.
    Reply {
        /// The request's token.
        token: u64,
        /// The answer.
        reply: Reply,
    },
    /// Tell an agent that its outcome is stored.
    Acknowledge {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
}

/// What one step decided, in the order in which it shall take effect.
pub type Decisions = Vec<Decision>;
