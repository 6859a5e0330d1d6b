//! What happened, for people and programs that follow along.

use serde::{Deserialize, Serialize};

use crate::{HostId, Id, IncidentId, TargetName, Timestamp};

/// The kinds of event that the fleet announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A fault was detected and an incident opened.
    FaultDetected,
    /// A fault's symptom went away.
    FaultCleared,
    /// An incident was diagnosed.
    FaultClassified,
    /// A cause was found upstream, so that a target is left alone.
    CauseUpstream,
    /// A repair was chosen.
    RepairSelected,
    /// A brake held a repair back.
    RepairHeld,
    /// A command was sent.
    RepairStarted,
    /// An agent reported an outcome.
    RepairEnded,
    /// A repair was cancelled.
    RepairCancelled,
    /// Verification reached a verdict.
    RepairVerified,
    /// A repair that did not help was undone.
    RolledBack,
    /// An incident needs a person.
    Escalated,
    /// An incident was closed.
    IncidentClosed,
    /// A host came.
    HostConnected,
    /// A host left or fell silent.
    HostLost,
    /// The fleet, a host or a target was paused.
    Paused,
    /// A pause ended.
    Resumed,
    /// A mode was set at run time.
    ModeChanged,
    /// A changed policy began to be rolled out, went on, or was given up.
    PolicyRollout,
    /// Something is wrong with how the fleet is governed: overrides became a habit, or an agent did what nobody decided.
    GovernanceFault,
    /// The policy changed.
    PolicyChanged,
    /// The health of the fleet or a host rose to a better level.
    HealthImproved,
    /// The health of the fleet or a host fell to a worse level.
    HealthDegraded,
    /// The health of the fleet or a host fell below 40.
    HealthCritical,
    /// The health of the fleet or a host has begun to decline, or to go up and down.
    HealthTrend,
    /// A custom rule cannot be evaluated; it says nothing until that is mended.
    RuleBroken,
    /// A custom rule in shadow would have found a fault.
    ShadowFault,
    /// An opportunity to improve something that is well was taken.
    OpportunityTaken,
    /// Repairs wait in the fleet's queue for long, or one starves there.
    RepairQueueBacklog,
    /// The fleet's queue is worked off again.
    RepairQueueDrained,
    /// An invariant of the engine does not hold. This is a defect: please report it.
    InvariantBroken,
}

impl EventKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 31] = [
        Self::FaultDetected,
        Self::FaultCleared,
        Self::FaultClassified,
        Self::CauseUpstream,
        Self::RepairSelected,
        Self::RepairHeld,
        Self::RepairStarted,
        Self::RepairEnded,
        Self::RepairCancelled,
        Self::RepairVerified,
        Self::RolledBack,
        Self::Escalated,
        Self::IncidentClosed,
        Self::HostConnected,
        Self::HostLost,
        Self::Paused,
        Self::Resumed,
        Self::ModeChanged,
        Self::PolicyRollout,
        Self::GovernanceFault,
        Self::PolicyChanged,
        Self::HealthImproved,
        Self::HealthDegraded,
        Self::HealthCritical,
        Self::HealthTrend,
        Self::RuleBroken,
        Self::ShadowFault,
        Self::OpportunityTaken,
        Self::RepairQueueBacklog,
        Self::RepairQueueDrained,
        Self::InvariantBroken,
    ];

    /// The kind's name in output and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FaultDetected => "fault_detected",
            Self::FaultCleared => "fault_cleared",
            Self::FaultClassified => "fault_classified",
            Self::CauseUpstream => "cause_upstream",
            Self::RepairSelected => "repair_selected",
            Self::RepairHeld => "repair_held",
            Self::RepairStarted => "repair_started",
            Self::RepairEnded => "repair_ended",
            Self::RepairCancelled => "repair_cancelled",
            Self::RepairVerified => "repair_verified",
            Self::RolledBack => "rolled_back",
            Self::Escalated => "escalated",
            Self::IncidentClosed => "incident_closed",
            Self::HostConnected => "host_connected",
            Self::HostLost => "host_lost",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::ModeChanged => "mode_changed",
            Self::PolicyRollout => "policy_rollout",
            Self::GovernanceFault => "governance_fault",
            Self::PolicyChanged => "policy_changed",
            Self::HealthImproved => "health_improved",
            Self::HealthDegraded => "health_degraded",
            Self::HealthCritical => "health_critical",
            Self::HealthTrend => "health_trend",
            Self::RuleBroken => "rule_broken",
            Self::ShadowFault => "shadow_fault",
            Self::OpportunityTaken => "opportunity_taken",
            Self::RepairQueueBacklog => "repair_queue_backlog",
            Self::RepairQueueDrained => "repair_queue_drained",
            Self::InvariantBroken => "invariant_broken",
        }
    }
}

/// One thing that happened. Its id rises, so a reader can go on where it stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetEvent {
    /// Rises with each event; a resume token.
    pub id: Id,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// The host concerned, if one is.
    pub host: Option<HostId>,
    /// The target concerned, if one is.
    pub target: Option<TargetName>,
    /// The incident concerned, if one is.
    pub incident: Option<IncidentId>,
    /// One line for a person.
    pub message: String,
}
