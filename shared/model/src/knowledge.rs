//! What was learned from experience, as it is stored, exported and merged.
//!
//! Every record belongs to one *source*: the fleet whose experience it is. Only that fleet ever changes it, so merging is
//! keeping the newer of two records of the same source, which may be repeated and done in any order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::incident::Fingerprint;
use crate::{CauseName, FleetName, ProbeName, RepairName, RuleName, TargetRef, Timestamp};

/// What a lesson is about: a fault as it is recognised anywhere, and the cause it was diagnosed with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The rule that found the fault.
    pub rule: RuleName,
    /// The service, or the target's name when it is a member of none.
    pub kind: String,
    /// What sort of target it is, by how it is watched: the kinds of its probes, such as `http+process`.
    pub class: String,
    /// The probe whose verdict is the symptom, if one is.
    pub symptom: Option<ProbeName>,
    /// The diagnosed cause.
    pub cause: CauseName,
}

/// What is known of one repair for one subject.
///
/// Evidence ages: the counts are as of `updated_at`, and are worth half as much 30 days later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeRecord {
    /// The fleet whose experience it is; null for this one.
    pub source: Option<FleetName>,
    /// The key of subject and `after`, for looking up.
    pub fingerprint: Fingerprint,
    /// What it was tried against.
    pub subject: Subject,
    /// What had failed in the same incident before, by name; empty for first attempts.
    pub after: Vec<RepairName>,
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
    /// The mean time from decision to the verdict that it had not helped.
    pub mean_failure: Option<Duration>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How often a fault went away by itself while it had lasted for a certain time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Age {
    /// Recoveries, each weighed by how likely it is that no repair was their cause.
    pub recovered: f64,
    /// For how long, in seconds, faults of that age were watched.
    pub exposure: f64,
}

/// How one subject comes and goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatternRecord {
    /// The fleet whose experience it is; null for this one.
    pub source: Option<FleetName>,
    /// The key of the subject.
    pub fingerprint: Fingerprint,
    /// What comes and goes.
    pub subject: Subject,
    /// Incidents of it that were closed.
    pub incidents: u64,
    /// Of those, how many went away before any repair was made.
    pub self_recovered: u64,
    /// Of those, how many were handed to a person.
    pub escalated: u64,
    /// When the latest were opened, oldest first; at most 32.
    pub recent: Vec<Timestamp>,
    /// Recoveries by themselves, by how long the fault had lasted: up to 1, 2, 4, 8, 15, 30, 60, 120, 300, 900, 3600
    /// seconds, and longer. As of `updated_at`; worth half as much 30 days later.
    pub ages: Vec<Age>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A repair that would have been chosen, had the host's administrator permitted its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WishRecord {
    /// On which target.
    pub target: TargetRef,
    /// The repair.
    pub repair: RepairName,
    /// The first step that is not permitted.
    pub step: String,
    /// In how many incidents.
    pub incidents: u64,
    /// The latest of them.
    pub updated_at: Timestamp,
}

/// The version of [`Lore`]'s form. It rises when a reader of the version before would misread it.
pub const LORE_SCHEMA: u32 = 1;

/// Everything that a fleet has learned, to take elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lore {
    /// [`LORE_SCHEMA`].
    pub schema: u32,
    /// The fleet that wrote it.
    pub fleet: FleetName,
    /// The digest of its content: the same knowledge has the same id.
    pub id: String,
    /// What helps. Every record names its source.
    pub knowledge: Vec<KnowledgeRecord>,
    /// What comes and goes. Every record names its source.
    pub patterns: Vec<PatternRecord>,
}
