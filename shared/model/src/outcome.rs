//! What became of a command.

use serde::{Deserialize, Serialize};

use crate::standing::OrderRun;
use crate::step::StepKind;
use crate::{CommandId, PartName, ProbeName, TargetName, Timestamp};

/// Why an agent did not carry a command out. Each has its own code, so that a person can look it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Larger than any command may be.
    #[error("the command is {bytes} bytes; at most {limit} are allowed")]
    Oversized {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No signature of a key that may sign this.
    #[error("no key with authority has signed it: {why}")]
    BadSignature {
        /// What was wrong.
        why: String,
    },
    /// The envelope holds something else than a command.
    #[error("the envelope holds {found:?}, not a command")]
    WrongType {
        /// The payload type it names.
        found: String,
    },
    /// Signed, but not readable.
    #[error("the signed bytes are not a command: {why}")]
    Undecodable {
        /// What was wrong.
        why: String,
    },
    /// Written by a newer program.
    #[error("the command has schema {found}; this agent knows up to {known}: upgrade the agent")]
    NewerSchema {
        /// Its schema.
        found: u32,
        /// The newest that this agent knows.
        known: u32,
    },
    /// Meant for another fleet.
    #[error("the command is for fleet {found}, not for this one")]
    WrongFleet {
        /// The fleet it names.
        found: String,
    },
    /// Meant for another host.
    #[error("the command is for host {found}, not for this one")]
    WrongHost {
        /// The host it names.
        found: String,
    },
    /// Meant for an earlier or later enrolment of this host.
    #[error("the command is for enrolment {found}; this is enrolment {own}")]
    WrongEnrolment {
        /// The enrolment it names.
        found: u64,
        /// The enrolment of this agent.
        own: u64,
    },
    /// The server's key has no delegation, an expired one, or another version of it.
    #[error("the server's authority does not hold: {why}")]
    NoDelegation {
        /// What was wrong.
        why: String,
    },
    /// The delegation does not cover this.
    #[error("the server's delegation does not cover it: {why}")]
    OutsideDelegation {
        /// What was not covered.
        why: String,
    },
    /// Made for another stream.
    #[error("the command was made for another stream")]
    WrongChallenge,
    /// Too old, or meant to live too long.
    #[error("the command has expired: {why}")]
    Expired {
        /// By how much, or why its life time is not acceptable.
        why: String,
    },
    /// From a decider that has been replaced.
    #[error("the command's generation {found} is below {mark}, which this host has accepted")]
    StaleGeneration {
        /// Its generation.
        found: String,
        /// The highest accepted one.
        mark: String,
    },
    /// Delivered before.
    #[error("delivery {found} is not after {last}, the last one accepted in this stream")]
    Replayed {
        /// Its sequence number.
        found: u64,
        /// The last one accepted.
        last: u64,
    },
    /// The ledger holds this command already.
    #[error("the ledger holds this command already")]
    AlreadyKnown,
    /// Fewer operators have approved than are required.
    #[error("{have} of {need} required approvals")]
    NotApproved {
        /// Valid approvals found.
        have: u32,
        /// Approvals required.
        need: u32,
    },
    /// Dangerous classes are refused until operators can sign approvals.
    #[error("dangerous repairs are refused outright by this version")]
    Dangerous,
    /// The declared risk or effect is lower than the steps have.
    #[error("the command understates itself: {why}")]
    Understated {
        /// What was declared, and what it is.
        why: String,
    },
    /// No steps, or more than any command may have.
    #[error("the command has {found} steps; it must have 1 to {limit}")]
    StepCount {
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The host's administrator has no such target, directory, file or probe.
    #[error("agent.toml names no {what}")]
    NotNamed {
        /// What is missing.
        what: String,
    },
    /// A value is outside what the host's administrator declared.
    #[error("{value} is outside {least} to {most}, which agent.toml permits for {part}")]
    OutOfBounds {
        /// The part.
        part: PartName,
        /// The value that was asked for.
        value: i64,
        /// The least that is permitted.
        least: i64,
        /// The most that is permitted.
        most: i64,
    },
    /// The host's administrator does not permit this step on this target.
    #[error("the local policy does not permit {} on {target}", step.as_str())]
    NotPermitted {
        /// The step.
        step: StepKind,
        /// The target.
        target: TargetName,
    },
    /// The host is paused, by its administrator's file.
    #[error("this host is paused: {why}")]
    Paused {
        /// Who or what paused it.
        why: String,
    },
    /// The host's own budget is used up.
    #[error("{} on {target} is permitted {limit} times an hour, and that is used up", step.as_str())]
    OverBudget {
        /// The step.
        step: StepKind,
        /// The target.
        target: TargetName,
        /// How often an hour.
        limit: u32,
    },
    /// What the decision stood on is no longer so.
    #[error("the host has changed since the decision: {why}")]
    Precondition {
        /// What differs.
        why: String,
    },
    /// The agent only observes, for example because its clock is far off or its ledger is lost.
    #[error("this agent only observes: {why}")]
    ObserveOnly {
        /// Why.
        why: String,
    },
    /// A reason that this program does not know: a newer agent gave it.
    #[error("{code}: {message}")]
    Other {
        /// The reason's code, as the agent gave it.
        code: String,
        /// The agent's words.
        message: String,
    },
}

impl Refusal {
    /// The reason's code, stable and greppable.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Oversized { .. } => "OVERSIZED",
            Self::BadSignature { .. } => "BAD_SIGNATURE",
            Self::WrongType { .. } => "WRONG_TYPE",
            Self::Undecodable { .. } => "UNDECODABLE",
            Self::NewerSchema { .. } => "NEWER_SCHEMA",
            Self::WrongFleet { .. } => "WRONG_FLEET",
            Self::WrongHost { .. } => "WRONG_HOST",
            Self::WrongEnrolment { .. } => "WRONG_ENROLMENT",
            Self::NoDelegation { .. } => "NO_DELEGATION",
            Self::OutsideDelegation { .. } => "OUTSIDE_DELEGATION",
            Self::WrongChallenge => "WRONG_CHALLENGE",
            Self::Expired { .. } => "EXPIRED",
            Self::StaleGeneration { .. } => "STALE_GENERATION",
            Self::Replayed { .. } => "REPLAYED",
            Self::AlreadyKnown => "ALREADY_KNOWN",
            Self::NotApproved { .. } => "NOT_APPROVED",
            Self::Dangerous => "DANGEROUS",
            Self::Understated { .. } => "UNDERSTATED",
            Self::StepCount { .. } => "STEP_COUNT",
            Self::NotNamed { .. } => "NOT_NAMED",
            Self::OutOfBounds { .. } => "OUT_OF_BOUNDS",
            Self::NotPermitted { .. } => "NOT_PERMITTED",
            Self::Paused { .. } => "PAUSED",
            Self::OverBudget { .. } => "OVER_BUDGET",
            Self::Precondition { .. } => "PRECONDITION",
            Self::ObserveOnly { .. } => "OBSERVE_ONLY",
            Self::Other { .. } => "OTHER",
        }
    }
}

/// What became of a command on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every step was carried out. Whether it helped is for verification to say.
    Done,
    /// Nothing was done.
    Refused(Refusal),
    /// A step failed; the steps after it were not begun.
    Failed {
        /// The index of the step, from 0.
        step: u32,
        /// What went wrong.
        why: String,
    },
    /// It cannot be known whether a step happened. It is never repeated; a person is told.
    Unknown {
        /// Why it cannot be known.
        why: String,
    },
    /// A cancel reached the agent between two steps.
    Cancelled {
        /// How many steps had been carried out.
        done: u32,
    },
    /// No report before the deadline. Only the engine says this; an agent never does.
    Lost,
}

/// An agent's report of what became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeReport {
    /// The command.
    pub command: CommandId,
    /// What became of it.
    pub outcome: Outcome,
    /// When the first step began, by the host's clock; null when none did.
    pub started_at: Option<Timestamp>,
    /// When the last step ended, by the host's clock.
    pub ended_at: Timestamp,
    /// What each step did, in a line each.
    pub notes: Vec<String>,
    /// Probes that confirmed the effect on the spot, if any did.
    pub confirmed_by: Option<(TargetName, ProbeName)>,
    /// What it was a run of, when a standing order asked for it; null when a server commanded it.
    #[serde(default)]
    pub by_order: Option<OrderRun>,
}
