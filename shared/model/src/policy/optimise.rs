//! What is done about things that are well, and when the fleet is used least.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::span;
use crate::window::DayHours;

/// What is done about things that are well and could be better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimisePolicy {
    /// Whether opportunities that are safe are taken unasked. They can always be asked for.
    pub automatic: bool,
    /// When they are taken unasked; null means in the learned quiet hours of the host or service ([`QuietPolicy`]).
    pub hours: Option<DayHours>,
    /// How long an optimisation settles before what it brought is measured.
    #[serde(with = "span")]
    pub settle: Duration,
}

impl Default for OptimisePolicy {
    fn default() -> Self {
        Self { automatic: false, hours: None, settle: Duration::from_secs(600) }
    }
}

/// What the quiet hours of a host are: those of the week in which it is used least, as it was seen. What can wait is done
/// then, where no window of the policy says when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuietPolicy {
    /// Whether they are learned and used.
    pub enabled: bool,
    /// How many percent of the hours of its own week are quiet: those that are used least.
    pub percent: u32,
    /// How long a host must have been seen before anything is said.
    #[serde(with = "span")]
    pub history: Duration,
}

impl Default for QuietPolicy {
    fn default() -> Self {
        Self { enabled: true, percent: 25, history: Duration::from_secs(14 * 86_400) }
    }
}
