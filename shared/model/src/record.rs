//! What the server stores, and how the engine asks for it to be changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::Intent;
use crate::host::HostReport;
use crate::incident::{Fingerprint, Incident};
use crate::outcome::OutcomeReport;
use crate::policy::{FleetPolicy, Scope};
use crate::{Generation, HostId, OperatorName, RepairName, Timestamp};

/// A command from the decision to its acknowledged outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// What was decided.
    pub intent: Intent,
    /// The decider's generation at that time.
    pub generation: Generation,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When the outcome counts as lost.
    pub deadline: Timestamp,
    /// Whether the agent has confirmed that it is on its disk.
    pub accepted: bool,
    /// Whether it has been cancelled.
    pub cancelled: bool,
    /// What became of it.
    pub report: Option<OutcomeReport>,
}

/// What is known of one repair for one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeRecord {
    /// The fault.
    pub fingerprint: Fingerprint,
    /// The repair.
    pub repair: RepairName,
    /// Verified recoveries, each weighed by how likely the repair was their cause.
    pub healed: f64,
    /// Verified failures.
    pub failed: f64,
    /// Attempts without a verdict; they count neither way.
    pub censored: u64,
    /// The mean time from decision to recovery.
    pub mean_time: Option<Duration>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What is known of a host beyond its latest report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The host.
    pub host: HostId,
    /// Its enrolment.
    pub enrolment: u64,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen, as of the last change worth storing.
    pub last_seen: Timestamp,
    /// Its latest full report, without observations and outcomes; null before the first.
    pub report: Option<Box<HostReport>>,
    /// When its recent repairs were decided, newest last; those of the last day.
    pub repairs: Vec<(Timestamp, crate::TargetName)>,
    /// When its recent rollbacks were decided; those of the last day.
    pub rollbacks: Vec<Timestamp>,
}

/// A pause that a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRecord {
    /// What it covers.
    pub scope: Scope,
    /// Who asked.
    pub by: OperatorName,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; null means until it is lifted.
    pub until: Option<Timestamp>,
}

/// One change of what is stored. All changes of one step are committed together, before any effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Store an open incident.
    PutIncident(Box<Incident>),
    /// Move an incident to the history: it is closed.
    CloseIncident(Box<Incident>),
    /// Store a command.
    PutCommand(Box<CommandRecord>),
    /// Drop a command that has been acknowledged and belongs to a closed incident.
    DropCommand(crate::CommandId),
    /// Store knowledge.
    PutKnowledge(KnowledgeRecord),
    /// Store a host.
    PutHost(Box<HostRecord>),
    /// Forget a host.
    DropHost(HostId),
    /// Store a pause.
    PutPause(PauseRecord),
    /// Lift a pause.
    DropPause(Scope),
    /// Store the policy.
    PutPolicy(Box<FleetPolicy>),
}

/// Everything that a decider starts from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stored {
    /// Open incidents.
    pub incidents: Vec<Incident>,
    /// Commands that are not dropped.
    pub commands: Vec<CommandRecord>,
    /// Knowledge.
    pub knowledge: Vec<KnowledgeRecord>,
    /// Hosts.
    pub hosts: Vec<HostRecord>,
    /// Pauses.
    pub pauses: Vec<PauseRecord>,
    /// The policy; null before the first.
    pub policy: Option<FleetPolicy>,
}

/// One line of the audit log: who did what to whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// Who: `engine`, `agent/{host}`, or `operator/{name}`.
    pub actor: String,
    /// What, in one stable word: `command_decided`, `command_refused`, `paused`, `enrolled`, ….
    pub action: String,
    /// To whom: a resource name such as `hosts/h1/targets/web`.
    pub subject: String,
    /// The incident it belongs to, if any.
    pub incident: Option<crate::IncidentId>,
    /// Why, in a line.
    pub detail: String,
}
