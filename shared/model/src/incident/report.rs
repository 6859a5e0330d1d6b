//! What is said about a target by somebody who is no probe of it.

use serde::{Deserialize, Serialize};

use super::Severity;
use crate::{OperatorName, Timestamp};

/// A fault that a person or another monitoring filed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How its reporter knows it again; empty when it has no name. Unique among what this reporter said of the target.
    pub id: String,
    /// Who said so.
    pub by: OperatorName,
    /// How bad it is, in their eyes.
    pub severity: Severity,
    /// What is wrong, in a line.
    pub summary: String,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// When they said that it is gone; null while they have not. That is evidence, and verifies no repair.
    pub withdrawn_at: Option<Timestamp>,
}
