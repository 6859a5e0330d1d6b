//! A queue that grows and does not drain.
//!
//! What is looked at is the least length in each block of time: a queue that was empty for a moment, however long it was
//! in between, is being worked off.

use prunella_model::Timestamp;

use super::Alarm;
use super::floors::Floors;
use crate::rules::Tuning;

/// The last block's least value must be this much above the first's: less is not growth but a busy day.
const GROWN: f64 = 1.5;

/// A fall to this share of the highest value since the alarm shows that it drains again.
const DRAINING: f64 = 0.8;

/// The growth of the floor of a queue over `count` blocks of `hold` each, to `threshold` or more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog {
    floors: Floors,
    raised: Option<Alarm>,
    peak: f64,
}

impl Backlog {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        if self.raised.is_some() {
            self.peak = self.peak.max(value);
            if value > self.peak * DRAINING {
                return false;
            }
            self.raised = None;
            self.floors.begin(at, value);
            return true;
        }
        let blocks = usize::try_from(tuning.count).unwrap_or(usize::MAX).max(3);
        self.floors.feed(tuning.hold, blocks, at, value) && self.judge(tuning, at, value)
    }

    fn judge(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        let Some((first, _, last)) = self.floors.course() else { return false };
        let floors = self.floors.all();
        let falls = floors.iter().zip(floors.iter().skip(1)).any(|(earlier, later)| later < earlier);
        if falls || last < tuning.threshold || last < first * GROWN {
            return false;
        }
        self.raised = Some(Alarm { since: at.before(self.floors.span(tuning.hold)), value, against: first });
        self.peak = value;
        true
    }

    /// The alarm, while it is raised.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        self.raised
    }

    /// Forgets everything.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Nothing was measured for a while. A queue that was too long then is not known to have drained.
    pub(crate) fn gap(&mut self) {
        if self.raised.is_none() {
            self.restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use prunella_model::incident::Severity;

    fn raised(length: impl Fn(f64) -> f64) -> Option<u64> {
        let tuning = Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: 100.0,
            clear: 0.0,
            hold: Duration::from_secs(60),
            count: 5,
        };
        let mut it = Backlog::default();
        (0..360_u64).find(|i| {
            let at = i * 10;
            it.feed(&tuning, Timestamp::from_secs(at), length(f64::from(u32::try_from(at).unwrap_or(0))))
        })
    }

    #[test]
    fn only_a_queue_that_grows_and_never_drains_is_a_backlog() {
        assert_eq!(raised(|t| t), Some(30), "one more job each second");
        assert_eq!(raised(|t| t % 240.0 * 10.0), None, "a batch every four minutes, worked off each time");
        assert_eq!(raised(|_| 500.0), None, "long, and worked off as fast as it is filled");
        assert_eq!(raised(|t| t / 100.0), None, "36 jobs after an hour are no trouble");
        assert_eq!(raised(|t| if t < 600.0 { 600.0 - t } else { 0.0 }), None, "it drains");
    }
}
