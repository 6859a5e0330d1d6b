//! When something is used least, for people.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::week::{WeekHours, WeekSpan};

/// What is known of quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuietState {
    /// The policy wants none.
    Off,
    /// Too little was seen yet.
    Unknown,
    /// There are none: all hours are used alike, or one week does not tell the next.
    None,
    /// They are known.
    Known,
}

/// The quiet hours of a host, or those of all hosts of a service or group together.
#[derive(Debug, Clone, PartialEq)]
pub struct QuietView {
    /// Whose: `hosts/H`, `services/S` or `groups/G`.
    pub name: String,
    /// What is known of them.
    pub state: QuietState,
    /// The same for a person: the hours and when they come, or why there are none.
    pub about: String,
    /// The hours, UTC; null unless they are known.
    pub hours: Option<WeekHours>,
    /// Those in a row that it is in, or that come next.
    pub next: Option<WeekSpan>,
    /// When they come next: now, while it is in them.
    pub opens: Option<Timestamp>,
    /// When those end.
    pub closes: Option<Timestamp>,
    /// How much of its use was seen in all; of several hosts the least.
    pub watched: Duration,
    /// The mean use in them as a share of the mean of the whole week.
    pub share: Option<f64>,
    /// How much one week is like the next, -1 to 1; null while too little is known.
    pub alike: Option<f64>,
}
