//! What happened, for people and programs that follow along.

use serde::{Deserialize, Serialize};

use crate::{HostId, Id, IncidentId, TargetName, Timestamp};

/// The kinds of event that the fleet announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A fault was detected and an incident opened.
    FaultDetected,
    /// A fault was foreseen, and an incident opened before it is there.
    FaultPredicted,
    /// Another fault of the same target joined an open incident.
    FaultJoined,
    /// An incident became graver: a fault joined that is worse than those before.
    SeverityRaised,
    /// A fault that a repair had healed came back while it was on probation.
    Relapsed,
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
    /// An agent has a content of a file as known-good that it did not have before.
    SnapshotTaken,
    /// An agent put a file back to the content of a snapshot.
    SnapshotRestored,
    /// A probe has seen the restored content in its place.
    SnapshotVerified,
    /// An incident needs a person.
    Escalated,
    /// Nothing and nobody responded to a fault in the time that its severity allows.
    ResponseMissed,
    /// An incident was closed.
    IncidentClosed,
    /// The server began to decide for the fleet.
    ServerStarted,
    /// A sweep through the fleet was asked for and has ended, or one that was due has found what the last did not.
    DiagnosticsEnded,
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
    /// So many hosts are unhealthy that only one repair at a time goes through.
    BreakerOpened,
    /// So few hosts are unhealthy again that the breaker holds nothing.
    BreakerClosed,
    /// The fleet's budget of repairs is nearly used up, or the server has just started.
    Throttled,
    /// The fleet's budget of repairs leaves everything through again.
    Unthrottled,
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
    pub const ALL: [Self; 45] = [
        Self::FaultDetected,
        Self::FaultPredicted,
        Self::FaultJoined,
        Self::SeverityRaised,
        Self::Relapsed,
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
        Self::SnapshotTaken,
        Self::SnapshotRestored,
        Self::SnapshotVerified,
        Self::Escalated,
        Self::ResponseMissed,
        Self::IncidentClosed,
        Self::ServerStarted,
        Self::DiagnosticsEnded,
        Self::HostConnected,
        Self::HostLost,
        Self::Paused,
        Self::Resumed,
        Self::ModeChanged,
        Self::BreakerOpened,
        Self::BreakerClosed,
        Self::Throttled,
        Self::Unthrottled,
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
            Self::FaultPredicted => "fault_predicted",
            Self::FaultJoined => "fault_joined",
            Self::SeverityRaised => "severity_raised",
            Self::Relapsed => "relapsed",
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
            Self::SnapshotTaken => "snapshot_taken",
            Self::SnapshotRestored => "snapshot_restored",
            Self::SnapshotVerified => "snapshot_verified",
            Self::Escalated => "escalated",
            Self::ResponseMissed => "response_missed",
            Self::IncidentClosed => "incident_closed",
            Self::ServerStarted => "server_started",
            Self::DiagnosticsEnded => "diagnostics_ended",
            Self::HostConnected => "host_connected",
            Self::HostLost => "host_lost",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::ModeChanged => "mode_changed",
            Self::BreakerOpened => "breaker_opened",
            Self::BreakerClosed => "breaker_closed",
            Self::Throttled => "throttled",
            Self::Unthrottled => "unthrottled",
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

    /// The group that it belongs to.
    #[must_use]
    pub const fn group(self) -> EventGroup {
        match self {
            Self::FaultDetected
            | Self::FaultPredicted
            | Self::FaultJoined
            | Self::SeverityRaised
            | Self::Relapsed
            | Self::FaultCleared
            | Self::ShadowFault
            | Self::RuleBroken => EventGroup::Detection,
            Self::FaultClassified | Self::CauseUpstream => EventGroup::Classification,
            Self::RepairSelected
            | Self::RepairHeld
            | Self::RepairStarted
            | Self::RepairEnded
            | Self::RepairCancelled
            | Self::OpportunityTaken => EventGroup::Repair,
            Self::RepairVerified | Self::RolledBack | Self::Escalated | Self::ResponseMissed | Self::IncidentClosed => {
                EventGroup::Healing
            }
            Self::HealthImproved | Self::HealthDegraded | Self::HealthCritical | Self::HealthTrend => {
                EventGroup::Health
            }
            Self::SnapshotTaken | Self::SnapshotRestored | Self::SnapshotVerified => EventGroup::Snapshot,
            Self::Paused
            | Self::Resumed
            | Self::ModeChanged
            | Self::BreakerOpened
            | Self::BreakerClosed
            | Self::Throttled
            | Self::Unthrottled
            | Self::RepairQueueBacklog
            | Self::RepairQueueDrained => EventGroup::Autorepair,
            Self::ServerStarted
            | Self::DiagnosticsEnded
            | Self::HostConnected
            | Self::HostLost
            | Self::PolicyRollout
            | Self::GovernanceFault
            | Self::PolicyChanged
            | Self::InvariantBroken => EventGroup::Controller,
        }
    }

    /// What an event of this kind names beside its text.
    #[must_use]
    pub const fn fields(self) -> Fields {
        match self {
            Self::FaultDetected
            | Self::FaultPredicted
            | Self::FaultJoined
            | Self::SeverityRaised
            | Self::Relapsed
            | Self::FaultCleared
            | Self::FaultClassified
            | Self::CauseUpstream
            | Self::RepairSelected
            | Self::RepairHeld
            | Self::RepairStarted
            | Self::RepairCancelled
            | Self::OpportunityTaken
            | Self::RepairVerified
            | Self::RolledBack
            | Self::Escalated
            | Self::ResponseMissed
            | Self::IncidentClosed => Fields::INCIDENT,
            Self::SnapshotRestored => Fields::OUTCOME,
            Self::RepairEnded => Fields::REPORT,
            Self::ShadowFault | Self::SnapshotTaken | Self::SnapshotVerified => Fields::TARGET,
            Self::RuleBroken | Self::Paused | Self::Resumed => Fields::PERHAPS_TARGET,
            Self::HostConnected | Self::HostLost => Fields::HOST,
            Self::HealthImproved
            | Self::HealthDegraded
            | Self::HealthCritical
            | Self::HealthTrend
            | Self::GovernanceFault => Fields::PERHAPS_HOST,
            Self::RepairQueueBacklog | Self::RepairQueueDrained => Fields::QUEUE,
            Self::ModeChanged
            | Self::BreakerOpened
            | Self::BreakerClosed
            | Self::Throttled
            | Self::Unthrottled
            | Self::ServerStarted
            | Self::DiagnosticsEnded
            | Self::PolicyRollout
            | Self::PolicyChanged
            | Self::InvariantBroken => Fields::FLEET,
        }
    }
}

/// What an event is about, for people and programs that follow only a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventGroup {
    /// Faults come, are foreseen, come back and go.
    Detection,
    /// What a fault is and where its cause lies.
    Classification,
    /// A repair from its choice to its outcome.
    Repair,
    /// What came of an incident.
    Healing,
    /// Scores of the fleet and of hosts.
    Health,
    /// Contents of files that can be put back.
    Snapshot,
    /// How freely repairs may go: modes, pauses, breaker, budget, queue.
    Autorepair,
    /// The server itself: its start, its hosts, its policy.
    Controller,
}

impl EventGroup {
    /// All groups, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Detection,
        Self::Classification,
        Self::Repair,
        Self::Healing,
        Self::Health,
        Self::Snapshot,
        Self::Autorepair,
        Self::Controller,
    ];

    /// The group's name in output and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Classification => "classification",
            Self::Repair => "repair",
            Self::Healing => "healing",
            Self::Health => "health",
            Self::Snapshot => "snapshot",
            Self::Autorepair => "autorepair",
            Self::Controller => "controller",
        }
    }
}

/// Whether events of a kind set a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Each does.
    Always,
    /// Some do.
    Sometimes,
    /// None does.
    Never,
}

impl Presence {
    /// Whether a field that is set or not is as promised.
    #[must_use]
    pub const fn admits(self, set: bool) -> bool {
        match self {
            Self::Always => set,
            Self::Sometimes => true,
            Self::Never => !set,
        }
    }
}

/// Which of its fields an event sets, by its kind. Time, kind and message are always set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// The host.
    pub host: Presence,
    /// The target.
    pub target: Presence,
    /// The incident.
    pub incident: Presence,
}

impl Fields {
    const INCIDENT: Self = Self::of(Presence::Always, Presence::Always, Presence::Always);
    /// A target that was forgotten meanwhile is not named.
    const OUTCOME: Self = Self::of(Presence::Sometimes, Presence::Sometimes, Presence::Always);
    /// What an agent did by a standing order belongs to no incident.
    const REPORT: Self = Self::of(Presence::Sometimes, Presence::Sometimes, Presence::Sometimes);
    const TARGET: Self = Self::of(Presence::Always, Presence::Always, Presence::Never);
    const PERHAPS_TARGET: Self = Self::of(Presence::Sometimes, Presence::Sometimes, Presence::Never);
    const HOST: Self = Self::of(Presence::Always, Presence::Never, Presence::Never);
    const PERHAPS_HOST: Self = Self::of(Presence::Sometimes, Presence::Never, Presence::Never);
    /// The one that waits longest.
    const QUEUE: Self = Self::of(Presence::Never, Presence::Never, Presence::Sometimes);
    const FLEET: Self = Self::of(Presence::Never, Presence::Never, Presence::Never);

    const fn of(host: Presence, target: Presence, incident: Presence) -> Self {
        Self { host, target, incident }
    }

    /// Whether an event sets what its kind promises.
    #[must_use]
    pub const fn hold_of(&self, event: &FleetEvent) -> bool {
        self.host.admits(event.host.is_some())
            && self.target.admits(event.target.is_some())
            && self.incident.admits(event.incident.is_some())
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
