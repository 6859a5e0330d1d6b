//! Events of the fleet as lines of the log, each under the part of the mind that speaks, and with its incident.

use prunella_model::event::{EventKind, FleetEvent};

/// One line. A target must be known when the program is compiled, so each part has a call of its own.
macro_rules! line {
    ($target:literal, $event:expr) => {
        tracing::info!(
            target: $target,
            kind = $event.kind.as_str(),
            host = $event.host.as_ref().map(tracing::field::display),
            name = $event.target.as_ref().map(tracing::field::display),
            incident = $event.incident.as_ref().map(tracing::field::display),
            text = $event.message,
            "event"
        )
    };
}

/// Writes an event to the log.
pub(crate) fn say(event: &FleetEvent) {
    match event.kind {
        EventKind::FaultClassified
        | EventKind::CauseUpstream
        | EventKind::FaultJoined
        | EventKind::DiagnosticsEnded => {
            line!("prunella::diagnosis", event);
        }
        EventKind::RepairSelected
        | EventKind::RepairHeld
        | EventKind::RepairStarted
        | EventKind::RepairEnded
        | EventKind::RepairCancelled
        | EventKind::RolledBack
        | EventKind::SnapshotTaken
        | EventKind::SnapshotRestored
        | EventKind::SnapshotVerified
        | EventKind::Escalated => line!("prunella::repair", event),
        // What came of a repair is what is learned of it.
        EventKind::RepairVerified | EventKind::FaultPredicted | EventKind::Relapsed | EventKind::OpportunityTaken => {
            line!("prunella::learning", event);
        }
        EventKind::FaultDetected
        | EventKind::SeverityRaised
        | EventKind::FaultCleared
        | EventKind::ResponseMissed
        | EventKind::IncidentClosed
        | EventKind::HostLost
        | EventKind::HostConnected
        | EventKind::Paused
        | EventKind::Resumed
        | EventKind::BreakerOpened
        | EventKind::BreakerClosed
        | EventKind::PolicyRollout
        | EventKind::PolicyChanged
        | EventKind::GovernanceFault
        | EventKind::HealthCritical
        | EventKind::HealthImproved
        | EventKind::HealthDegraded
        | EventKind::HealthTrend
        | EventKind::RepairQueueBacklog
        | EventKind::RepairQueueDrained
        | EventKind::RuleBroken
        | EventKind::InvariantBroken
        | EventKind::ServerStarted
        | EventKind::ModeChanged
        | EventKind::Throttled
        | EventKind::Unthrottled
        | EventKind::ShadowFault => line!("prunella::engine", event),
    }
}
