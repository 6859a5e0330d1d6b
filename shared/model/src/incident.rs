//! The record of an incident: a fault's life from opening to a closing that carries a reason.

mod chain;
mod report;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use chain::{Chain, ChainEnd, ChainLink, ChainPlace, LinkState};

use crate::observation::Status;
use crate::outcome::Outcome;
use crate::step::TargetStep;
use crate::{
    BrakeName, CauseName, CommandId, IncidentId, OperatorName, ProbeName, RepairName, RuleName, TargetRef, Timestamp,
};

pub use report::Report;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Next maintenance window.
    Low,
    /// Within the hour.
    Medium,
    /// Within five minutes.
    High,
    /// Within a minute.
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name in output and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What kind of trouble a diagnosis speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Category {
    /// Something that runs stopped doing so properly.
    Operational,
    /// The way things depend on each other is the trouble.
    Structural,
    /// Prunella's own agent is the trouble.
    AgentFault,
    /// Something differs from what was agreed.
    GovernanceDrift,
    /// It works, but not for long.
    StabilityThreat,
}

/// How soon a diagnosis should be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Only watch.
    Monitor,
    /// In the next quiet window.
    Scheduled,
    /// When nothing else waits.
    Low,
    /// In turn.
    Normal,
    /// Before others.
    High,
    /// At once.
    Immediate,
}

/// The stages of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// A rule found a fault.
    Detect,
    /// Category, cause and affected targets are worked out.
    Classify,
    /// What a repair will touch is saved.
    Snapshot,
    /// Repairs are ranked, and one is chosen.
    SelectStrategy,
    /// Brakes are asked; the plan is made.
    Prepare,
    /// The command is on its way or being carried out.
    ExecuteRepair,
    /// The original symptom is looked at again.
    Verify,
    /// The target as a whole and its dependents are looked at.
    HealthCheck,
    /// A repair that did not help is undone.
    Rollback,
    /// Recovered, and on probation.
    Stabilize,
    /// The outcome is learned.
    Learn,
    /// The story is complete.
    Report,
}

/// One passage through a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub stage: Stage,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; null while it lasts.
    pub ended_at: Option<Timestamp>,
    /// What came of it, in a line.
    pub result: String,
    /// The target's health when it began, 0 to 100; null when unknown.
    pub health_before: Option<f64>,
    /// The target's health when it ended, 0 to 100; null when unknown.
    pub health_after: Option<f64>,
}

/// A stable name for "the same fault again": 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

/// One rule's verdict on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The rule.
    pub rule: RuleName,
    /// The target.
    pub target: TargetRef,
    /// The probe whose verdict is the symptom; null when the symptom is a measurement.
    pub symptom: Option<ProbeName>,
    /// How bad.
    pub severity: Severity,
    /// The key for learning.
    pub fingerprint: Fingerprint,
    /// When the symptom was first seen, by the host's clock.
    pub since: Timestamp,
    /// One line for a person.
    pub summary: String,
}

/// One thing that was seen and bears on the diagnosis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was seen, by the clock of the host that saw it.
    pub at: Timestamp,
    /// The target it was seen on.
    pub target: TargetRef,
    /// The probe that saw it, if one did.
    pub probe: Option<ProbeName>,
    /// The probe's verdict, if it gave one.
    pub status: Option<Status>,
    /// One line for a person.
    pub text: String,
}

/// What is wrong, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What kind of trouble.
    pub category: Category,
    /// The cause.
    pub cause: CauseName,
    /// Where the cause lies; another target than the fault's own when that one is only a victim.
    pub cause_target: TargetRef,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// Targets that suffer from it, the fault's own not included.
    pub affected: Vec<TargetRef>,
    /// What it stands on.
    pub evidence: Vec<Evidence>,
    /// Causes that were considered and rejected, each with the reason.
    pub rejected: Vec<(CauseName, String)>,
    /// Repairs that treat the cause, best first.
    pub recommended: Vec<RepairName>,
    /// How soon to act.
    pub priority: Priority,
}

/// A repair that was considered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The repair; null is "do nothing".
    pub repair: Option<RepairName>,
    /// Its rank value; larger is better. Null when it was ruled out before ranking.
    pub score: Option<f64>,
    /// Why it was not taken.
    pub rejected: String,
}

/// What verification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The original symptom is gone, on fresh evidence.
    Recovered,
    /// The original symptom is still there, on fresh evidence.
    Unchanged,
    /// It is still there, and more is wrong than before.
    Worse,
    /// There is no fresh evidence. This is not success.
    Inconclusive,
}

/// One try at repairing an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The repair.
    pub repair: RepairName,
    /// The command.
    pub command: CommandId,
    /// What was to be done.
    pub steps: Vec<TargetStep>,
    /// Why this repair.
    pub because: String,
    /// What else was considered.
    pub alternatives: Vec<Alternative>,
    /// When the command was decided.
    pub decided_at: Timestamp,
    /// What became of it; null while it is under way.
    pub outcome: Option<Outcome>,
    /// When that was reported.
    pub outcome_at: Option<Timestamp>,
    /// What verification said; null while it has not.
    pub verdict: Option<Verdict>,
    /// When it said so.
    pub verdict_at: Option<Timestamp>,
    /// What the verdict stands on.
    pub verdict_evidence: Vec<Evidence>,
    /// Whether this attempt undoes an earlier one.
    pub undoes: Option<u32>,
    /// What would put back what it changes; empty when nothing can be, or when nothing is to be put back any more.
    #[serde(default)]
    pub undo: Vec<TargetStep>,
    /// How likely it was to be chosen among what could be done, 0 to 1; null when a person chose it, or when it undoes
    /// another.
    #[serde(default)]
    pub propensity: Option<f64>,
}

/// When a hold ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// At a time.
    At(Timestamp),
    /// When something happens; said for a person.
    When(String),
}

/// A limit that keeps an incident from being repaired now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The brake.
    pub brake: BrakeName,
    /// Why it holds, with its figures.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub release: Release,
}

/// Where an incident stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncidentState {
    /// More evidence is needed before a cause can be named.
    Diagnosing,
    /// The cause lies upstream; this target is left alone.
    Upstream {
        /// The incident of the cause, once it is open.
        incident: Option<IncidentId>,
    },
    /// A repair is wanted, and brakes hold it back.
    Held,
    /// A command is under way.
    Repairing {
        /// The command.
        command: CommandId,
    },
    /// The command is done; its effect is being looked at.
    Verifying {
        /// Until when.
        until: Timestamp,
    },
    /// Recovered; watched for a relapse.
    Probation {
        /// Until when.
        until: Timestamp,
    },
    /// Automatic repair has ended; a person must look.
    NeedsHuman {
        /// Why.
        why: String,
    },
    /// Over.
    Closed(Closing),
}

/// What an optimisation brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gain {
    /// What it promised was measured.
    Helped,
    /// What it promised was not measured, or something broke.
    NotHelped,
    /// There was no fresh measurement.
    Inconclusive,
    /// It was not done: the opportunity had passed, or a fault of the same target came first.
    Withdrawn,
}

/// What an optimisation promises, and what it brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optimisation {
    /// What is measured; its last part is its unit.
    pub metric: String,
    /// What it was when the opportunity was taken.
    pub before: f64,
    /// What it was expected to become.
    pub expected: f64,
    /// What it was after the time to settle; null without a fresh measurement.
    pub after: Option<f64>,
    /// The result; null while there is none.
    pub gain: Option<Gain>,
}

/// Why an incident was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closing {
    /// A repair was verified to have healed it.
    Repaired {
        /// The repair.
        repair: RepairName,
    },
    /// The symptom went away, on fresh evidence, without a repair of ours.
    SelfRecovered,
    /// The cause upstream was healed, and the symptom went away.
    UpstreamRecovered {
        /// The incident of the cause.
        incident: Option<IncidentId>,
    },
    /// A person cancelled it.
    Cancelled {
        /// Who.
        by: OperatorName,
    },
    /// The target or its host is no longer part of the fleet.
    TargetGone,
    /// A cause that several hosts seemed to share turned out not to hold them back.
    Disproved {
        /// The victim that was repaired by itself; null when the policy stopped looking for shared causes.
        by: Option<IncidentId>,
    },
    /// It was no fault but an opportunity.
    Optimised {
        /// The repair that took it; null when nothing was done.
        repair: Option<RepairName>,
        /// What that brought.
        gain: Gain,
    },
}

/// What several targets may have in common. The order is that of preference: the narrower, the sooner it explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedKind {
    /// The same change shortly before.
    Change,
    /// The same version of the same thing.
    Version,
    /// The same dependency.
    Dependency,
    /// The same value of a label that names a group of hosts, for example a rack.
    Group,
}

/// One thing that several targets have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SharedAttribute {
    /// What kind of thing.
    pub kind: SharedKind,
    /// The label's name, or the name of the target or service whose version or file it is; empty for a dependency.
    pub name: String,
    /// The label's value, the version, the change, or the dependency as it is declared.
    pub value: String,
}

impl fmt::Display for SharedAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, value } = self;
        match kind {
            SharedKind::Change => write!(f, "the change {value} of {name}"),
            SharedKind::Version => write!(f, "version {value} of {name}"),
            SharedKind::Dependency => write!(f, "the dependency {value}"),
            SharedKind::Group => write!(f, "{name}={value}"),
        }
    }
}

/// Why faults on several hosts are taken for one: what they share, and how much more often those fail that share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedCause {
    /// What they share.
    pub attribute: SharedAttribute,
    /// The cause that each of them would have been diagnosed with by itself.
    pub cause: CauseName,
    /// Hosts that share it and failed within the window.
    pub failing: u32,
    /// Hosts that share it.
    pub sharing: u32,
    /// Other hosts that failed alike within the window.
    pub others_failing: u32,
    /// Other hosts.
    pub others: u32,
    /// The share of failing hosts among those that share it, 0 to 1.
    pub rate: f64,
    /// The same among the others, half a failure and one host added, so that none seen is not taken for never.
    pub base_rate: f64,
    /// How likely so many of the failing hosts would share it by accident, 0 to 1.
    pub chance: f64,
}

/// How soon somebody or something must respond to a fault, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Response {
    /// Until when a repair must have begun or a person have taken it; null when there is no such time.
    pub due_at: Option<Timestamp>,
    /// When a repair began, its agent was told what to do, or a person acted; null before.
    pub begun_at: Option<Timestamp>,
    /// When it was announced that nothing of the kind had happened in time; null when it had.
    pub missed_at: Option<Timestamp>,
}

/// The whole record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What was found.
    pub fault: Fault,
    /// Other faults of the same target that this incident explains.
    pub also: Vec<Fault>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it stands.
    pub state: IncidentState,
    /// What is wrong, and why; null before it is known.
    pub diagnosis: Option<Diagnosis>,
    /// What its victims share, when this incident stands for the faults of several hosts; null otherwise.
    #[serde(default)]
    pub shared: Option<SharedCause>,
    /// Every passage through a stage, in order.
    pub stages: Vec<StageRecord>,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// What holds it back now.
    pub holds: Vec<Hold>,
    /// Everything that held it back and has been released, with the time of release.
    pub released: Vec<(Hold, Timestamp)>,
    /// What people and programs said about its target, oldest first.
    #[serde(default)]
    pub reports: Vec<Report>,
    /// How soon it must be responded to, and was.
    #[serde(default)]
    pub response: Response,
    /// When verification first said Recovered in the run that led to closing.
    pub recovered_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What it promises, when it is no fault but an opportunity.
    #[serde(default)]
    pub optimisation: Option<Optimisation>,
    /// The chain of repairs that a person asked for to heal its target; null when nobody did.
    #[serde(default)]
    pub chain: Option<Chain>,
    /// Its place in a chain, which may be that of another incident; null when it has none.
    #[serde(default)]
    pub link: Option<ChainPlace>,
}

impl Incident {
    /// Its faults, the first one first.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        std::iter::once(&self.fault).chain(&self.also)
    }

    /// How grave it is: as the worst of its faults.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.also.iter().map(|fault| fault.severity).fold(self.fault.severity, Severity::max)
    }
}
