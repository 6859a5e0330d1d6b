//! Streaming detectors: one file each, constant memory, at most a microsecond a sample.
//!
//! A detector knows nothing of targets, rules or faults. Each series has a short list of [`Watch`]es, one for each rule
//! that measures it, so that a sample reaches its detectors through two array accesses.

pub mod anomaly;
pub(crate) mod backlog;
mod floors;
pub(crate) mod forecast;
pub(crate) mod growth;
pub mod peers;
pub(crate) mod rate;
mod slope;
pub(crate) mod slowdown;
pub(crate) mod threshold;
pub(crate) mod trend;

use prunella_model::Timestamp;

use crate::rules::Tuning;
use backlog::Backlog;
use forecast::Forecast;
use growth::Growth;
use slowdown::Slowdown;
use threshold::Threshold;

/// A detector that works for one rule on one series.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// The index of the rule.
    pub(crate) rule: usize,
    /// The detector.
    pub(crate) detector: Detector,
}

/// The kinds of detector.
#[derive(Debug, Clone)]
pub(crate) enum Detector {
    /// Above a value for long enough.
    Threshold(Threshold),
    /// A floor that only ever rises.
    Growth(Growth),
    /// A queue that grows and does not drain.
    Backlog(Backlog),
    /// Slower than its own history.
    Slowdown(Slowdown),
    /// A share that will reach its end.
    Forecast(Box<Forecast>),
}

/// What a detector has to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Alarm {
    /// Since when the condition holds, by the server's clock.
    pub(crate) since: Timestamp,
    /// The value when it was raised.
    pub(crate) value: f64,
    /// The value it is compared with: the threshold, or where growth began.
    pub(crate) against: f64,
}

impl Detector {
    /// Takes a value in. True when the alarm was raised or cleared by it.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        match self {
            Self::Threshold(it) => it.feed(tuning, at, value),
            Self::Growth(it) => it.feed(tuning, at, value),
            Self::Backlog(it) => it.feed(tuning, at, value),
            Self::Slowdown(it) => it.feed(tuning, at, value),
            Self::Forecast(it) => it.feed(tuning, at, value),
        }
    }

    /// Says that time has passed without a change of the value. True when the alarm was raised by that.
    pub(crate) fn pass(&mut self, tuning: &Tuning, at: Timestamp) -> bool {
        match self {
            Self::Threshold(it) => it.pass(tuning, at),
            Self::Slowdown(it) => it.pass(tuning, at),
            Self::Growth(_) | Self::Backlog(_) | Self::Forecast(_) => false,
        }
    }

    /// When [`Detector::pass`] would raise the alarm, if that is in sight.
    pub(crate) fn deadline(&self, tuning: &Tuning) -> Option<Timestamp> {
        match self {
            Self::Threshold(it) => it.deadline(tuning),
            Self::Slowdown(it) => it.deadline(tuning),
            Self::Growth(_) | Self::Backlog(_) | Self::Forecast(_) => None,
        }
    }

    /// The alarm, while it is raised.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        match self {
            Self::Threshold(it) => it.alarm(),
            Self::Growth(it) => it.alarm(),
            Self::Backlog(it) => it.alarm(),
            Self::Slowdown(it) => it.alarm(),
            Self::Forecast(it) => it.alarm(),
        }
    }

    /// Forgets what cannot be joined with what comes: nothing was measured for a while.
    pub(crate) fn gap(&mut self) {
        match self {
            Self::Threshold(it) => it.gap(),
            Self::Growth(it) => it.restart(),
            Self::Backlog(it) => it.gap(),
            Self::Slowdown(it) => it.gap(),
            // A short gap is bridged, a long one seen by itself.
            Self::Forecast(_) => {}
        }
    }

    /// Forgets everything: what is measured is another thing now.
    pub(crate) fn restart(&mut self) {
        match self {
            // A queue and the time that its jobs take outlive a run of who works on them.
            Self::Threshold(_) | Self::Backlog(_) | Self::Slowdown(_) => {}
            Self::Growth(it) => it.restart(),
            Self::Forecast(it) => it.restart(),
        }
    }
}
