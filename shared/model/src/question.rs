//! Questions that a server asks an agent over its stream. An answer changes nothing outside the agent's own store.

use serde::{Deserialize, Serialize};

use crate::snapshot::{SnapshotAnswer, SnapshotAsk};
use crate::step::TargetStep;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// About the contents that the agent keeps.
    Snapshots(SnapshotAsk),
    /// What would be done for these steps, in their order, if they were commanded now? Nothing is done for the answer,
    /// nothing is written into the ledger, and no budget is used up.
    Rehearse(Vec<TargetStep>),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// About the contents that the agent keeps.
    Snapshots(SnapshotAnswer),
    /// What would be done.
    Rehearsed(Rehearsal),
}

/// What an agent says of steps that it only rehearsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rehearsal {
    /// The host's own policy would refuse them.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// What each step would do now, in order, up to the first that could not be done.
    Told(Vec<StepTold>),
}

/// What one step would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTold {
    /// Whether it could be done.
    pub possible: bool,
    /// What would be done (which files, bytes, processes), or why it could not; for a person.
    pub text: String,
}
