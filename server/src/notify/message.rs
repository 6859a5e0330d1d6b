//! What is told, before it has the form that a receiver understands.

use prunella_model::event::EventKind;
use prunella_model::incident::Severity;
use prunella_proto::control::v1 as pb;
use serde::Deserialize;

/// At which moment of an incident, or of the fleet, somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// An incident was opened.
    Opened,
    /// It needs a person.
    NeedsPerson,
    /// Its response deadline was missed.
    Overdue,
    /// It is over. Told only to those who were told of it before.
    Resolved,
    /// Something about the fleet as a whole: a pause, the breaker, a lost host, a policy on its way, a broken invariant.
    Fleet,
}

/// What a message does to the matter that it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The matter begins, or goes on.
    Begins,
    /// It is over.
    Ends,
    /// It is over, which is news only to those who were told of its beginning.
    EndsQuietly,
    /// It is nothing that would end.
    News,
}

/// Matters of the fleet that begin and end, by the events that say so. A pause of a group has no name of its own in its
/// event, and counts as one of the fleet.
const MATTERS: [(EventKind, &str, Turn); 10] = [
    (EventKind::Paused, "pause", Turn::Begins),
    (EventKind::Resumed, "pause", Turn::Ends),
    (EventKind::BreakerOpened, "breaker", Turn::Begins),
    (EventKind::BreakerClosed, "breaker", Turn::Ends),
    (EventKind::HostLost, "lost", Turn::Begins),
    (EventKind::HostConnected, "lost", Turn::EndsQuietly),
    (EventKind::HealthCritical, "health", Turn::Begins),
    (EventKind::HealthImproved, "health", Turn::EndsQuietly),
    (EventKind::RepairQueueBacklog, "queue", Turn::Begins),
    (EventKind::RepairQueueDrained, "queue", Turn::EndsQuietly),
];

/// The matter of the fleet that an event speaks of, and what it does to it; null for those that stand alone. What began
/// and ended under one name is one matter, so that a pager which rang for it falls silent.
#[must_use]
pub fn matter(kind: EventKind) -> Option<(&'static str, Turn)> {
    MATTERS.iter().find(|(it, ..)| *it == kind).map(|(_, topic, turn)| (*topic, *turn))
}

impl Moment {
    /// The moment's name in configuration and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::NeedsPerson => "needs_person",
            Self::Overdue => "overdue",
            Self::Resolved => "resolved",
            Self::Fleet => "fleet",
        }
    }

    /// The moment that an event marks; null for those of which nobody is told.
    #[must_use]
    pub const fn of(kind: EventKind) -> Option<Self> {
        match kind {
            // A rise is told as if the incident had been so grave at all moments that it has passed.
            EventKind::FaultDetected | EventKind::FaultPredicted | EventKind::SeverityRaised => Some(Self::Opened),
            EventKind::Escalated => Some(Self::NeedsPerson),
            EventKind::ResponseMissed => Some(Self::Overdue),
            EventKind::IncidentClosed => Some(Self::Resolved),
            EventKind::HostLost
            | EventKind::HostConnected
            | EventKind::Paused
            | EventKind::Resumed
            | EventKind::BreakerOpened
            | EventKind::BreakerClosed
            | EventKind::PolicyRollout
            | EventKind::GovernanceFault
            | EventKind::HealthCritical
            | EventKind::HealthImproved
            | EventKind::RepairQueueBacklog
            | EventKind::RepairQueueDrained
            | EventKind::RuleBroken
            | EventKind::InvariantBroken => Some(Self::Fleet),
            EventKind::FaultJoined
            | EventKind::Relapsed
            | EventKind::FaultCleared
            | EventKind::FaultClassified
            | EventKind::CauseUpstream
            | EventKind::RepairSelected
            | EventKind::RepairHeld
            | EventKind::RepairStarted
            | EventKind::RepairEnded
            | EventKind::RepairCancelled
            | EventKind::RepairVerified
            | EventKind::RolledBack
            | EventKind::SnapshotTaken
            | EventKind::SnapshotRestored
            | EventKind::SnapshotVerified
            | EventKind::ServerStarted
            | EventKind::DiagnosticsEnded
            | EventKind::ModeChanged
            | EventKind::Throttled
            | EventKind::Unthrottled
            | EventKind::PolicyChanged
            | EventKind::HealthDegraded
            | EventKind::HealthTrend
            | EventKind::ShadowFault
            | EventKind::OpportunityTaken => None,
        }
    }

    /// Where an incident stands that has become graver: the latest moment first, for of several only one is told.
    #[must_use]
    pub fn passed(it: &pb::Incident) -> Vec<Self> {
        let missed = it.response.as_ref().is_some_and(|it| it.miss_time.is_some() && it.begin_time.is_none());
        let person = it.state() == pb::incident::State::NeedsHuman;
        let all = [(Self::NeedsPerson, person), (Self::Overdue, missed), (Self::Opened, true)];
        all.into_iter().filter(|(_, passed)| *passed).map(|(moment, _)| moment).collect()
    }
}

/// How grave an event about the fleet as a whole is.
#[must_use]
pub const fn gravity(kind: EventKind) -> Severity {
    match kind {
        EventKind::HealthCritical | EventKind::InvariantBroken => Severity::Critical,
        EventKind::HostLost | EventKind::BreakerOpened => Severity::High,
        EventKind::Paused | EventKind::GovernanceFault | EventKind::RepairQueueBacklog | EventKind::RuleBroken => {
            Severity::Medium
        }
        // News, of which nobody has to do anything, and what has an incident that says how grave it is.
        EventKind::FaultDetected
        | EventKind::FaultPredicted
        | EventKind::FaultJoined
        | EventKind::SeverityRaised
        | EventKind::Relapsed
        | EventKind::FaultCleared
        | EventKind::FaultClassified
        | EventKind::CauseUpstream
        | EventKind::RepairSelected
        | EventKind::RepairHeld
        | EventKind::RepairStarted
        | EventKind::RepairEnded
        | EventKind::RepairCancelled
        | EventKind::RepairVerified
        | EventKind::RolledBack
        | EventKind::SnapshotTaken
        | EventKind::SnapshotRestored
        | EventKind::SnapshotVerified
        | EventKind::Escalated
        | EventKind::ResponseMissed
        | EventKind::IncidentClosed
        | EventKind::ServerStarted
        | EventKind::DiagnosticsEnded
        | EventKind::HostConnected
        | EventKind::Resumed
        | EventKind::ModeChanged
        | EventKind::BreakerClosed
        | EventKind::Throttled
        | EventKind::Unthrottled
        | EventKind::PolicyRollout
        | EventKind::PolicyChanged
        | EventKind::HealthImproved
        | EventKind::HealthDegraded
        | EventKind::HealthTrend
        | EventKind::ShadowFault
        | EventKind::OpportunityTaken
        | EventKind::RepairQueueDrained => Severity::Info,
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What joins all messages of one matter: the incident's id, the name of a matter of the fleet, or the event's id.
    pub key: String,
    /// The event's id: the same message never has two.
    pub id: String,
    /// When it happened, in RFC 3339.
    pub time: String,
    /// At which moment.
    pub moment: Moment,
    /// What it does to its matter.
    pub turn: Turn,
    /// How bad it is.
    pub severity: Severity,
    /// The fleet.
    pub fleet: String,
    /// The host and the target concerned, as `H` and `H/T`; empty for the fleet.
    pub host: String,
    /// See `host`.
    pub target: String,
    /// The rule that found it; empty without an incident.
    pub rule: String,
    /// One line.
    pub title: String,
    /// Cause, what was done, what to do: a few lines.
    pub text: String,
    /// Where to look; null without a configured dashboard.
    pub link: Option<String>,
}

impl Message {
    /// The message about an event. `incident` is the one that it speaks of; without one the event is as grave as
    /// `without_incident` says, and belongs to `matter` if there is one.
    #[must_use]
    pub fn new(
        fleet: &str,
        dashboard: Option<&str>,
        event: &pb::Event,
        moment: Moment,
        incident: Option<&pb::Incident>,
        without_incident: Severity,
        matter: Option<(&str, Turn)>,
    ) -> Self {
        let time = event.time.as_ref().map(ToString::to_string).unwrap_or_default();
        let base = dashboard.map(|it| it.trim_end_matches('/').to_owned());
        let fault = incident.and_then(|it| it.fault.as_ref());
        let place = |name: &str| name.strip_prefix("hosts/").unwrap_or(name).replacen("/targets/", "/", 1);
        let id = incident.map(|it| it.name.strip_prefix("incidents/").unwrap_or(&it.name).to_owned());
        let target = event.target.as_deref().map(place).unwrap_or_default();
        let title = match (fault, moment) {
            (Some(fault), Moment::Resolved) => {
                format!("{target}: {}", if event.message.is_empty() { &fault.summary } else { &event.message })
            }
            (Some(fault), _) => format!("{target}: {}", fault.summary),
            (None, _) => event.message.clone(),
        };
        let link = base.map(|base| match &id {
            Some(id) => format!("{base}/ui/incidents/{id}"),
            None => format!("{base}/"),
        });
        let (alone, turn) = match (matter, moment) {
            (Some((topic, turn)), Moment::Fleet) => {
                let about = event.target.as_deref().or(event.host.as_deref()).map_or("fleet".to_owned(), place);
                (format!("{topic}/{about}"), turn)
            }
            (None, Moment::Fleet) => (event.id.clone(), Turn::News),
            (_, Moment::Resolved) => (event.id.clone(), Turn::Ends),
            (_, Moment::Opened | Moment::NeedsPerson | Moment::Overdue) => (event.id.clone(), Turn::Begins),
        };
        Self {
            key: id.unwrap_or(alone),
            id: event.id.clone(),
            time,
            moment,
            turn,
            severity: incident.map_or(without_incident, |it| severity(&it.severity)),
            fleet: fleet.to_owned(),
            host: event.host.as_deref().map(place).unwrap_or_default(),
            target,
            rule: fault.map(|it| it.rule.clone()).unwrap_or_default(),
            title,
            text: incident.map_or_else(|| event.message.clone(), |it| story(it, &event.message)),
            link,
        }
    }

    /// Whether it says that a matter is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.turn {
            Turn::Ends | Turn::EndsQuietly => true,
            Turn::Begins | Turn::News => false,
        }
    }
}

fn story(it: &pb::Incident, now: &str) -> String {
    let mut lines = vec![now.to_owned()];
    if let Some(found) = &it.diagnosis {
        lines.push(format!(
            "Cause: {} on {} ({:.0} % sure)",
            found.cause,
            found.cause_target,
            found.confidence * 100.0
        ));
    }
    for tried in &it.attempts {
        let ended = tried.verdict.as_deref().or(tried.outcome.as_deref()).unwrap_or("under way");
        lines.push(format!("Tried: {}: {ended}", tried.repair));
    }
    if let Some(advice) = it.advice.as_ref().filter(|it| !it.text.is_empty()) {
        lines.push(format!("To do: {}", advice.text));
    }
    lines.join("\n")
}

/// A severity from its name; what is none counts as high, so that nothing is missed.
fn severity(word: &str) -> Severity {
    match word {
        "info" => Severity::Info,
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "critical" => Severity::Critical,
        _ => Severity::High,
    }
}
