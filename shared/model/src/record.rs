//! What the server stores, and how the engine asks for it to be changed.

use serde::{Deserialize, Serialize};

use crate::change::ChangeSeen;
use crate::command::Intent;
use crate::diagnostics::DiagnosticsReport;
use crate::host::HostReport;
use crate::incident::Incident;
use crate::knowledge::{KnowledgeRecord, PatternRecord, WishRecord};
use crate::outcome::{Outcome, OutcomeReport};
use crate::policy::{FleetPolicy, Mode, RolloutStage, Scope};
use crate::week::UseRecord;
use crate::{CommandId, Generation, HostId, MaintenanceName, OperatorName, RepairName, Timestamp};

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
    /// What changed on it lately, oldest first for each target.
    #[serde(default)]
    pub changes: Vec<ChangeSeen>,
    /// When its recent repairs took something out that still served.
    #[serde(default)]
    pub outages: Vec<Timestamp>,
    /// When its recent high-risk repairs were decided; those of the last day.
    #[serde(default)]
    pub critical: Vec<Timestamp>,
    /// What its agent did lately by standing orders, newest last.
    #[serde(default)]
    pub order_runs: Vec<OrderRunRecord>,
    /// How much it was used in each hour of the week; null before that was stored first.
    #[serde(default)]
    pub usage: Option<Box<UseRecord>>,
    /// Symptoms that a person has taken over: they open no incident until they have been gone.
    #[serde(default)]
    pub muted: Vec<(crate::TargetName, crate::RuleName)>,
}

/// What an agent did by a standing order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRunRecord {
    /// The run.
    pub command: CommandId,
    /// The target.
    pub target: crate::TargetName,
    /// The repair.
    pub repair: RepairName,
    /// What became of it.
    pub outcome: Outcome,
    /// When it ended, by the server's clock.
    pub ended_at: Timestamp,
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

/// A mode that a person set at run time. It takes the place of the policy's until it is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeRecord {
    /// What it covers: the fleet or a group.
    pub scope: Scope,
    /// The mode.
    pub mode: Mode,
    /// Who set it.
    pub by: OperatorName,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// A time in which a person wants nothing to be repaired. Several may cover the same thing, each with its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRecord {
    /// Its name; unique in the fleet.
    pub name: MaintenanceName,
    /// What it covers.
    pub scope: Scope,
    /// Who made it.
    pub by: OperatorName,
    /// Why.
    pub why: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; null means until it is ended.
    pub until: Option<Timestamp>,
}

/// A changed policy on its way to being in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// The policy.
    pub policy: FleetPolicy,
    /// Who wants it.
    pub by: OperatorName,
    /// How far it has come.
    pub stage: RolloutStage,
    /// Since when it is at that stage.
    pub since: Timestamp,
    /// The hosts that it decides for.
    pub hosts: Vec<HostId>,
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
    PutKnowledge(Box<KnowledgeRecord>),
    /// Store how a fault comes and goes.
    PutPattern(Box<PatternRecord>),
    /// Store a repair that is not permitted.
    PutWish(Box<WishRecord>),
    /// Store a host.
    PutHost(Box<HostRecord>),
    /// Forget a host.
    DropHost(HostId),
    /// Store a pause.
    PutPause(PauseRecord),
    /// Lift a pause.
    DropPause(Scope),
    /// Store a mode that was set at run time.
    PutMode(ModeRecord),
    /// Go back to the policy's mode.
    DropMode(Scope),
    /// Store a maintenance.
    PutMaintenance(MaintenanceRecord),
    /// End a maintenance.
    DropMaintenance(MaintenanceName),
    /// Store how far a changed policy has come.
    PutRollout(Box<RolloutRecord>),
    /// A changed policy is in force, or given up.
    DropRollout,
    /// Store what a sweep found.
    PutDiagnostics(Box<DiagnosticsReport>),
    /// Forget what a sweep found.
    DropDiagnostics(crate::Id),
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
    #[serde(default)]
    pub knowledge: Vec<KnowledgeRecord>,
    /// How faults come and go.
    #[serde(default)]
    pub patterns: Vec<PatternRecord>,
    /// Repairs that are not permitted.
    #[serde(default)]
    pub wishes: Vec<WishRecord>,
    /// Hosts.
    pub hosts: Vec<HostRecord>,
    /// Pauses.
    pub pauses: Vec<PauseRecord>,
    /// Modes that were set at run time.
    #[serde(default)]
    pub modes: Vec<ModeRecord>,
    /// Maintenances that have not been ended.
    #[serde(default)]
    pub maintenances: Vec<MaintenanceRecord>,
    /// A changed policy on its way; null when there is none.
    #[serde(default)]
    pub rollout: Option<RolloutRecord>,
    /// The policy; null before the first.
    pub policy: Option<FleetPolicy>,
    /// What the latest sweeps found.
    #[serde(default)]
    pub diagnostics: Vec<DiagnosticsReport>,
}

impl Stored {
    /// Makes one change, as a store does. For tests and simulators that keep what is stored in memory.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutIncident(it) => {
                self.incidents.retain(|old| old.id != it.id);
                self.incidents.push(*it);
            }
            Change::CloseIncident(it) => self.incidents.retain(|old| old.id != it.id),
            Change::PutCommand(it) => {
                self.commands.retain(|old| old.intent.id != it.intent.id);
                self.commands.push(*it);
            }
            Change::DropCommand(id) => self.commands.retain(|old| old.intent.id != id),
            Change::PutKnowledge(it) => {
                let key = |it: &KnowledgeRecord| (it.source.clone(), it.fingerprint.clone(), it.repair.clone());
                self.knowledge.retain(|old| key(old) != key(&it));
                self.knowledge.push(*it);
            }
            Change::PutPattern(it) => {
                self.patterns.retain(|old| (&old.source, &old.fingerprint) != (&it.source, &it.fingerprint));
                self.patterns.push(*it);
            }
            Change::PutWish(it) => {
                self.wishes.retain(|old| (&old.target, &old.repair) != (&it.target, &it.repair));
                self.wishes.push(*it);
            }
            Change::PutHost(it) => {
                self.hosts.retain(|old| old.host != it.host);
                self.hosts.push(*it);
            }
            Change::DropHost(host) => self.hosts.retain(|old| old.host != host),
            Change::PutPause(it) => {
                self.pauses.retain(|old| old.scope != it.scope);
                self.pauses.push(it);
            }
            Change::DropPause(scope) => self.pauses.retain(|old| old.scope != scope),
            Change::PutMode(it) => {
                self.modes.retain(|old| old.scope != it.scope);
                self.modes.push(it);
            }
            Change::DropMode(scope) => self.modes.retain(|old| old.scope != scope),
            Change::PutMaintenance(it) => {
                self.maintenances.retain(|old| old.name != it.name);
                self.maintenances.push(it);
            }
            Change::DropMaintenance(name) => self.maintenances.retain(|old| old.name != name),
            Change::PutRollout(it) => self.rollout = Some(*it),
            Change::DropRollout => self.rollout = None,
            Change::PutDiagnostics(it) => {
                self.diagnostics.retain(|old| old.id != it.id);
                self.diagnostics.push(*it);
            }
            Change::DropDiagnostics(id) => self.diagnostics.retain(|old| old.id != id),
            Change::PutPolicy(it) => self.policy = Some(*it),
        }
    }
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
