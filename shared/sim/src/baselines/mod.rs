//! What fleets are commonly repaired by, to compare with: simple policies on each host that can restart and call a
//! person, and nothing else. They see what the probes of the same simulated hosts see, at once and without any network,
//! and meet the same faults. Nothing of the engine is in them.

mod backoff;
mod drive;
mod threshold;

use std::fmt::Debug;

use prunella_model::Timestamp;
use serde::Serialize;

use crate::truth::Place;

pub(crate) use drive::Spells;

/// A policy to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Restarts whatever is beyond a threshold twice in a row, every half minute while that lasts.
    ThresholdRestart,
    /// Restarts what ended at once and what does not answer after three failed looks, waiting longer each time.
    RestartBackoff,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ThresholdRestart, Self::RestartBackoff];

    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ThresholdRestart => "threshold_restart",
            Self::RestartBackoff => "restart_backoff",
        }
    }

    pub(crate) fn policy(self) -> Box<dyn Policy> {
        match self {
            Self::ThresholdRestart => Box::new(threshold::ThresholdRestart::default()),
            Self::RestartBackoff => Box::new(backoff::RestartBackoff::default()),
        }
    }
}

/// What the probes of a target say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Its process is gone, and nobody stopped it on purpose.
    pub(crate) ended: bool,
    /// It was stopped on purpose.
    pub(crate) stopped: bool,
    /// Its service answers as expected.
    pub(crate) answers: bool,
    /// Something that is measured of it is beyond its limit.
    pub(crate) beyond: bool,
    /// Its directory is full.
    pub(crate) full: bool,
}

impl Seen {
    /// Whether nothing is wrong.
    pub(crate) const fn well(self) -> bool {
        !self.ended && (self.answers || self.stopped) && !self.beyond && !self.full
    }
}

/// What a policy does about what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    Restart,
    Call,
}

/// A policy. It is asked every ten seconds for each target, and when a process ends.
pub(crate) trait Policy: Debug {
    /// What to do about a target.
    fn look(&mut self, now: Timestamp, place: Place, seen: Seen) -> Act;
    /// Whether to call a person about a host of which something has been beyond its limit or not.
    fn look_at_host(&mut self, now: Timestamp, host: usize, beyond: bool) -> bool;
}
