//! What was learned, for whoever asks.

use std::time::Duration;

use prunella_model::incident::Fingerprint;
use prunella_model::knowledge::Subject;
use prunella_model::{RepairName, RuleName, TargetRef, Timestamp};

use super::HealthView;
use crate::knowledge::fingerprint;

/// What is known of one repair against one fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Help {
    /// The repair.
    pub repair: RepairName,
    /// What had failed in the same incident before; empty for first attempts.
    pub after: Vec<RepairName>,
    /// The chance that it helps, 0 to 1, as the engine chooses by it.
    pub chance: f64,
    /// The chance lies above this with 95 %.
    pub low: f64,
    /// The chance lies below this with 95 %.
    pub high: f64,
    /// Verified recoveries of this fleet, aged, each weighed by how likely the repair was their cause.
    pub healed: f64,
    /// Verified failures of this fleet, aged.
    pub failed: f64,
    /// Attempts of this fleet without a verdict.
    pub censored: u64,
    /// Trials of other fleets, aged.
    pub elsewhere: f64,
    /// The mean time until it helped; null before the first time.
    pub mean_time: Option<Duration>,
    /// The mean time until it was known not to have helped; null before the first time.
    pub mean_failure: Option<Duration>,
    /// When it was tried last, here or elsewhere.
    pub last: Timestamp,
    /// Whether it is not made unasked any more: experience does not show that it helps more than doing nothing.
    pub shadow: bool,
}

/// How a fault goes away by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfRecovery {
    /// Closed incidents of this fleet that went away before any repair.
    pub incidents: u64,
    /// Their share of all lies above this with 95 %; null before the first closed incident.
    pub low: Option<f64>,
    /// Their share of all lies below this with 95 %; null before the first closed incident.
    pub high: Option<f64>,
    /// The chance that it goes away within `within` of its opening, 0 to 1, as the engine waits by it.
    pub chance: f64,
    /// The longest that the policy lets the engine wait.
    pub within: Duration,
    /// How many recoveries of this very fault that stands on, aged.
    pub known: f64,
}

/// What is known of one fault from one cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// Its name: 16 hexadecimal digits, the same for the same subject in every fleet.
    pub id: String,
    /// The fault's fingerprint, as incidents show it.
    pub fingerprint: Fingerprint,
    /// What it is about.
    pub subject: Subject,
    /// Closed incidents of this fleet.
    pub incidents: u64,
    /// Closed incidents of other fleets, as far as they were imported.
    pub elsewhere: u64,
    /// Of those of this fleet, how many were handed to a person.
    pub escalated: u64,
    /// When it was opened last in this fleet; null before the first closed incident.
    pub last: Option<Timestamp>,
    /// The median time between openings, over the latest 32; null before the second.
    pub every: Option<Duration>,
    /// How it goes away by itself.
    pub self_recovery: SelfRecovery,
    /// What helps: first attempts before later ones, the best first.
    pub helps: Vec<Help>,
}

impl Insight {
    /// Its place in the listing of all, as a text that sorts like it: the most frequent first.
    #[must_use]
    pub fn place(&self) -> String {
        place(self.incidents, self.elsewhere, &self.id)
    }
}

/// See [`Insight::place`].
pub(crate) fn place(incidents: u64, elsewhere: u64, id: &str) -> String {
    format!("{:020}.{:020}.{id}", u64::MAX - incidents, u64::MAX - elsewhere)
}

/// What is foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Foreseen {
    /// Something is used up.
    Exhaustion,
    /// A health falls below its level.
    Health,
    /// A fault comes back.
    Recurrence,
}

impl Foreseen {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhaustion => "exhaustion",
            Self::Health => "health",
            Self::Recurrence => "recurrence",
        }
    }
}

/// Something that is expected to happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// What.
    pub kind: Foreseen,
    /// To what: `fleet`, `hosts/H`, `services/S` or `hosts/H/targets/T`; null for a recurrence, which is of a kind of target.
    pub name: Option<String>,
    /// The fault that comes back; null for other predictions.
    pub subject: Option<Subject>,
    /// When it is expected; of what has no rhythm, by when.
    pub at: Timestamp,
    /// Not before this; null when nothing tells.
    pub earliest: Option<Timestamp>,
    /// Not after this; null when nothing tells.
    pub latest: Option<Timestamp>,
    /// How sure it is, 0 to 1; of an exhaustion and a health, how sure it is that there is a trend at all.
    pub confidence: f64,
    /// One line for a person.
    pub summary: String,
    /// What it stands on, in lines.
    pub evidence: Vec<String>,
}

/// What a person might do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// Permit a repair on a host.
    Permit,
    /// Raise the quota of a directory, or let less be written.
    Quota,
    /// Make room before something is used up.
    Capacity,
    /// Put a rule in shadow, or let it hold longer: its faults go away by themselves.
    ShadowRule,
    /// Look at a target that relapses again and again.
    Flapping,
    /// Look for the cause of what a repair does not mend, or forbid the repair.
    RepairInShadow,
    /// Look for what leads to a fault that is repaired again and again.
    Recurring,
    /// Permit or write a repair for what mostly needs a person.
    Escalates,
}

impl Advice {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::ShadowRule => "shadow_rule",
            Self::Flapping => "flapping",
            Self::RepairInShadow => "repair_in_shadow",
            Self::Recurring => "recurring",
            Self::Escalates => "escalates",
        }
    }
}

/// Something that a person might do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// What sort of thing.
    pub kind: Advice,
    /// The target that it is about; null when it is about a kind of target or a rule.
    pub target: Option<TargetRef>,
    /// The fault that it is about; null when it is about none in particular.
    pub subject: Option<Subject>,
    /// The rule that it is about; null when it is about none.
    pub rule: Option<RuleName>,
    /// What to do, in a line.
    pub text: String,
    /// What it stands on, in lines.
    pub evidence: Vec<String>,
    /// How many incidents it bears on.
    pub incidents: u64,
}

impl Recommendation {
    /// Its place in the listing of all, as a text that sorts like it: what bears on most incidents first.
    #[must_use]
    pub fn place(&self) -> String {
        let target = self.target.as_ref().map(ToString::to_string).unwrap_or_default();
        let rule = self.rule.as_ref().map(ToString::to_string).unwrap_or_default();
        let about = format!("{:?} {target} {rule} {}", self.subject, self.text);
        let kind = self.kind.as_str();
        format!("{:020}.{kind}.{}", u64::MAX - self.incidents, fingerprint(kind, &about, None).0)
    }
}

/// One target: how well it is, what is known of its faults, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetOutlook {
    /// How well it is.
    pub health: HealthView,
    /// What is known of faults of its kind, the most frequent first.
    pub insights: Vec<Insight>,
    /// What is expected of it, or of its kind, soonest first.
    pub predictions: Vec<Prediction>,
}
