//! What the engine believes, for people to read. Views are made on request and never change anything.

mod capacity;
mod health;
mod learning;
mod quiet;

use std::time::Duration;

use prunella_model::host::{IntervalRange, TargetReport};
use prunella_model::incident::{Evidence, Hold, Severity};
use prunella_model::observation::{Observation, Sha256};
use prunella_model::policy::{Mode, RolloutStage, Scope};
use prunella_model::record::{ModeRecord, OrderRunRecord, PauseRecord};
use prunella_model::{
    BrakeName, GroupName, HostId, IncidentId, MaintenanceName, MetricName, OperatorName, RepairName, TargetName,
    TargetRef, Timestamp,
};

pub use capacity::Capacity;
pub use health::{Course, HealthName, HealthView, Level, PartView, Risk, TrendView};
pub(crate) use learning::place;
pub use learning::{Advice, Foreseen, Help, Insight, Prediction, Recommendation, SelfRecovery, TargetOutlook};
pub use quiet::{QuietState, QuietView};

/// How a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostState {
    /// Its agent talks to the server.
    Online,
    /// Its agent said goodbye.
    Left,
    /// Its agent fell silent.
    Silent,
}

/// The latest value of one measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The quantity.
    pub metric: MetricName,
    /// The value.
    pub value: f64,
    /// When it was taken, by the host's clock.
    pub at: Timestamp,
    /// Whether it is recent enough to act on.
    pub fresh: bool,
}

/// One target, as the engine sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetView {
    /// Which one.
    pub target: TargetRef,
    /// What its host's administrator declares.
    pub report: TargetReport,
    /// Its health, 0 to 100; null without fresh evidence.
    pub health: Option<f64>,
    /// The latest verdict of each probe, fresh or not.
    pub observations: Vec<Observation>,
    /// The latest measurements.
    pub readings: Vec<Reading>,
    /// Open incidents of it.
    pub incidents: Vec<IncidentId>,
    /// What it needs, resolved to targets.
    pub depends_on: Vec<TargetRef>,
    /// What needs it.
    pub dependents: Vec<TargetRef>,
}

/// One host, as the engine sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostView {
    /// Which one.
    pub host: HostId,
    /// How it stands.
    pub state: HostState,
    /// Its enrolment.
    pub enrolment: u64,
    /// The version of its agent; null before the first report.
    pub agent_version: Option<String>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Its health, 0 to 100: the lowest of its targets'; null without fresh evidence.
    pub health: Option<f64>,
    /// How many targets it has.
    pub targets: usize,
    /// Open incidents on it.
    pub incidents: Vec<IncidentId>,
    /// Why its administrator paused it; null when it is not.
    pub paused: Option<String>,
    /// Why its agent only observes; null when it may act.
    pub observe_only: Option<String>,
    /// What its agent may do while the server cannot be reached; null when nothing was ordered since the start.
    pub orders: Option<OrdersView>,
    /// What its agent did lately by standing orders, oldest first.
    pub order_runs: Vec<OrderRunRecord>,
    /// The digest of the agent.toml that its agent runs with; null when not known.
    pub config: Option<Sha256>,
    /// The digest of the program that its agent is; null when not known.
    pub program: Option<Sha256>,
    /// What on its disk is not what its agent runs with; null when nothing is.
    pub drift: Option<String>,
    /// Within which bounds the policy may say how often its probes look; null when it may not.
    pub intervals: Option<IntervalRange>,
}

/// Standing orders of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersView {
    /// When they were made.
    pub issued: Timestamp,
    /// Until when they are good at the latest.
    pub until: Timestamp,
    /// The targets that may be restarted, each with how long its process must be ended.
    pub orders: Vec<(TargetName, Duration)>,
}

/// Why a brake exists, which decides who may pass it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It prevents harm. Nobody passes.
    Safety,
    /// It spreads repairs over time. A person's request and the mode Aggressive pass.
    Pacing,
    /// It leaves the decision to a person, whose request passes.
    Consent,
    /// A do-no-harm rule: asked last, of every command, whoever wants it. Nobody passes.
    DoNoHarm,
}

impl Class {
    /// The class's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Pacing => "pacing",
            Self::Consent => "consent",
            Self::DoNoHarm => "do_no_harm",
        }
    }
}

/// What the brakes of the fleet or a group leave through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Throttle {
    /// Everything that no other brake holds.
    Normal,
    /// Less: only critical faults, or one repair at a time.
    Throttled,
    /// Nothing, for now.
    Blocked,
}

/// One group, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Which one.
    pub group: GroupName,
    /// Its hosts, by name.
    pub hosts: Vec<HostId>,
    /// How many of them are seen to be healthy.
    pub healthy: u32,
    /// How many are under repair or not yet verified.
    pub under_repair: u32,
    /// How many may be at the same time.
    pub concurrent: u32,
    /// How many must remain healthy while one that serves is repaired.
    pub minimum_healthy: u32,
    /// Whether it has one host only, so that neither limit applies.
    pub exempt: bool,
    /// Its mode; null means the fleet's.
    pub mode: Option<Mode>,
    /// What is left through.
    pub throttle: Throttle,
    /// Why not more; null when nothing is held back.
    pub throttle_why: Option<String>,
}

/// One maintenance or window, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceView {
    /// Its name.
    pub name: MaintenanceName,
    /// What it covers.
    pub scope: Scope,
    /// Who made it; null for a window of the policy.
    pub by: Option<OperatorName>,
    /// Why.
    pub why: String,
    /// From when; null for a window of the policy.
    pub from: Option<Timestamp>,
    /// Until when; null means until it is ended, or for a window that it is not open.
    pub until: Option<Timestamp>,
    /// Whether it holds repairs now.
    pub active: bool,
}

/// A changed policy on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutView {
    /// Its version.
    pub version: u64,
    /// Who wants it.
    pub by: OperatorName,
    /// How far it has come.
    pub stage: RolloutStage,
    /// Since when.
    pub since: Timestamp,
    /// When the verdict on this stage is due.
    pub until: Timestamp,
    /// The hosts that it decides for.
    pub hosts: Vec<HostId>,
    /// How many decisions of the policy in force were compared with what it would have decided.
    pub compared: u32,
    /// How many of them differ.
    pub different: u32,
    /// Some of those, in a line each.
    pub examples: Vec<String>,
}

/// One brake, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BrakeView {
    /// Which one.
    pub brake: BrakeName,
    /// Who may pass it.
    pub class: Class,
    /// What it counts, in a line.
    pub counts: String,
    /// What it has counted, where that is one figure.
    pub current: Option<f64>,
    /// Its limit, where that is one figure.
    pub limit: Option<f64>,
    /// How often it began to hold a repair since the server started.
    pub held: u64,
    /// What it holds back now.
    pub holding: Vec<(IncidentId, Hold)>,
}

/// One rule, shipped or custom, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// What it finds and how: a text for a shipped rule, the condition of a custom one.
    pub about: String,
    /// Whether the operators wrote it.
    pub custom: bool,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether it only says when it would have spoken.
    pub shadow: bool,
    /// How bad its faults are.
    pub severity: Severity,
    /// How long its condition must hold.
    pub hold: Duration,
    /// The repairs that it names; a shipped rule names none, its diagnosis does.
    pub actions: Vec<RepairName>,
    /// How many targets it looks at; null for a shipped rule.
    pub targets: Option<usize>,
    /// Open incidents that it is part of.
    pub incidents: Vec<IncidentId>,
    /// How often it was evaluated since the server started; null for a shipped rule, which is not counted.
    pub evaluations: Option<u64>,
    /// How often it has spoken since the server started, in shadow or not; null for a shipped rule.
    pub spoke: Option<u64>,
    /// When and on what it spoke last; null for a shipped rule, and before the first time.
    pub last: Option<(Timestamp, TargetRef)>,
    /// Why it cannot be evaluated; null when it can.
    pub broken: Option<String>,
}

/// Something that is well and could be better.
#[derive(Debug, Clone, PartialEq)]
pub struct Opportunity {
    /// Its name: 16 hexadecimal digits, the same as long as it is the same opportunity.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// The target.
    pub target: TargetRef,
    /// One line for a person.
    pub summary: String,
    /// How much it matters, 0 to 1.
    pub priority: f64,
    /// How sure it is to help, 0 to 1: the evidence times what was learned.
    pub confidence: f64,
    /// Priority times confidence.
    pub score: f64,
    /// The repair that takes it.
    pub repair: RepairName,
    /// What is measured before and after.
    pub metric: &'static str,
    /// What that is now.
    pub now: f64,
    /// What it is expected to become.
    pub expected: f64,
    /// The same in a line for a person.
    pub effect: String,
    /// What it stands on.
    pub evidence: Vec<Evidence>,
    /// Whether it may be taken unasked.
    pub safe: bool,
    /// Why it may not; null when it may.
    pub not_automatic: Option<String>,
    /// Why it cannot be taken at all; null when it can.
    pub obstacle: Option<String>,
    /// When it may be taken unasked: now, or later; null when it is not, or nobody knows.
    pub opens: Option<Timestamp>,
    /// What it waits for until then, or why nobody knows; null when it waits for nothing or is not taken unasked.
    pub waits: Option<String>,
}

/// How the queue of repairs goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QueueState {
    /// Nothing waits for long.
    #[default]
    Calm,
    /// Something has waited for ten minutes.
    Backlog,
    /// Something has waited for half an hour, and others went before it.
    Starving,
}

/// The queue of repairs that wait for brakes of the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueView {
    /// How many wait.
    pub waiting: usize,
    /// The one that waits longest.
    pub oldest: Option<IncidentId>,
    /// Since when.
    pub oldest_since: Option<Timestamp>,
    /// The brakes that hold that one.
    pub held_by: Vec<String>,
    /// How it goes.
    pub state: QueueState,
}

/// How two targets hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// The first needs the second.
    Needs,
    /// The first needs the second or another member of its service.
    NeedsOneOf,
    /// The first was seen to wait for the second.
    WaitsFor,
}

/// One edge of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeView {
    /// Who needs or waits.
    pub from: TargetRef,
    /// What is needed or waited for.
    pub to: TargetRef,
    /// How.
    pub kind: EdgeKind,
    /// Whether it is softened: it closes a cycle, so nothing waits for proof along it, and blame follows it only to the dead.
    pub softened: bool,
    /// Whether its end is needed through others anyway.
    pub redundant: bool,
    /// What is waited for, when it is a wait.
    pub what: Option<String>,
}

/// Targets that need each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleView {
    /// Who.
    pub members: Vec<TargetRef>,
    /// The edges that were softened to break it, as the policy names them. Empty when it keeps them all.
    pub softened: Vec<String>,
}

/// Targets that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlockView {
    /// Who.
    pub members: Vec<TargetRef>,
    /// The cheapest of them to end.
    pub victim: TargetRef,
    /// When it was first seen.
    pub since: Timestamp,
    /// Who waits for what.
    pub text: String,
    /// The incident of the victim, once there is one.
    pub incident: Option<IncidentId>,
}

/// A saturated target that explains others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaturatedView {
    /// Which.
    pub target: TargetRef,
    /// Its incident.
    pub incident: Option<IncidentId>,
    /// Those that are left alone because of it.
    pub explains: Vec<TargetRef>,
}

/// What needs what, and what is amiss in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyView {
    /// When this was true.
    pub at: Timestamp,
    /// Every target.
    pub targets: Vec<TargetRef>,
    /// Every edge.
    pub edges: Vec<EdgeView>,
    /// Who needs something of a name that nothing in the fleet has.
    pub missing: Vec<(TargetRef, String)>,
    /// Cycles of needs.
    pub cycles: Vec<CycleView>,
    /// Cycles of waits.
    pub deadlocks: Vec<DeadlockView>,
    /// Saturated targets that explain others.
    pub saturated: Vec<SaturatedView>,
}

/// The fleet in one look.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetView {
    /// When this was true.
    pub at: Timestamp,
    /// The mode.
    pub mode: Mode,
    /// The version of the policy.
    pub policy_version: u64,
    /// Hosts by state: online, left, silent.
    pub online: usize,
    /// Hosts whose agent said goodbye.
    pub left: usize,
    /// Hosts whose agent fell silent.
    pub silent: usize,
    /// Targets in all.
    pub targets: usize,
    /// Open incidents.
    pub open: usize,
    /// Incidents that a person must look at.
    pub needs_human: usize,
    /// Incidents that brakes hold back.
    pub held: usize,
    /// Incidents closed as repaired since the server started.
    pub repaired: u64,
    /// The mean time from first symptom to verified recovery of those; null before the first.
    pub mean_time_to_repair: Option<Duration>,
    /// Pauses in force.
    pub pauses: Vec<PauseRecord>,
    /// Modes that were set at run time.
    pub modes: Vec<ModeRecord>,
    /// What the fleet's brakes leave through.
    pub throttle: Throttle,
    /// Why not more; null when nothing is held back.
    pub throttle_why: Option<String>,
    /// Repairs that wait for brakes of the whole fleet.
    pub queue: QueueView,
    /// Whether the engine waits for hosts to come back after a start, and until when at most.
    pub cold_until: Option<Timestamp>,
}
