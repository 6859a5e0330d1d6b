//! A floor that only ever rises: what a leak looks like under the noise of normal work.
//!
//! The floor is the least value of each block of time. Work goes up and down between floors; what is never given back
//! lifts them. Kendall's rank correlation says whether they rise steadily, Theil–Sen's slope how fast, and the second
//! half must gain nearly as much as the first, which a program that warms up does not.

use std::collections::VecDeque;

use prunella_model::Timestamp;

use super::Alarm;
use crate::rules::Tuning;

/// How sure the rank correlation must be: p < 0.0005, one-sided.
const SURE: f64 = 3.3;

/// What the second half must gain of what the first one did. A warm-up flattens; a leak goes on.
const STEADY: f64 = 0.7;

/// Growth below this many bytes in all the blocks is not worth a restart, whatever its share.
const LEAST_BYTES: f64 = 4.0 * 1024.0 * 1024.0;

/// A fall to this share of the alarming value ends the alarm.
const FALLEN: f64 = 0.6;

/// The growth of a floor over `count` blocks of `hold` each, by more than `threshold` percent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Growth {
    block: Option<Timestamp>,
    least: f64,
    last: f64,
    floors: VecDeque<f64>,
    raised: Option<Alarm>,
}

impl Growth {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        if let Some(alarm) = self.raised {
            if value >= alarm.value * FALLEN {
                return false;
            }
            self.restart();
            self.begin(at, value);
            return true;
        }
        let Some(mut block) = self.block else {
            self.begin(at, value);
            return false;
        };
        let blocks = usize::try_from(tuning.count).unwrap_or(usize::MAX).max(4);
        let mut rolled = 0;
        while at.since(block) >= tuning.hold && !tuning.hold.is_zero() {
            if rolled > blocks {
                // Longer than all the blocks together without a change: that is no growth.
                self.restart();
                self.begin(at, value);
                return false;
            }
            rolled += 1;
            self.floors.push_back(self.least);
            if self.floors.len() > blocks {
                self.floors.pop_front();
            }
            block = block.after(tuning.hold);
            self.least = self.last;
        }
        self.block = Some(block);
        self.last = value;
        self.least = self.least.min(value);
        rolled > 0 && self.floors.len() == blocks && self.judge(tuning, at, value)
    }

    fn begin(&mut self, at: Timestamp, value: f64) {
        self.block = Some(at);
        self.least = value;
        self.last = value;
    }

    fn judge(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        let (Some(first), Some(last)) = (self.floors.front().copied(), self.floors.back().copied()) else {
            return false;
        };
        let gain = last - first;
        if gain < LEAST_BYTES || gain < first * tuning.threshold / 100.0 {
            return false;
        }
        let middle = self.floors[self.floors.len() / 2];
        if last - middle < STEADY * (middle - first) || kendall(&self.floors) < SURE {
            return false;
        }
        let span = tuning.hold * u32::try_from(self.floors.len()).unwrap_or(u32::MAX);
        self.raised = Some(Alarm { since: at.before(span), value, against: first });
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
}

/// The normal score of Kendall's S, corrected for continuity. With `n` floors this takes n²/2 comparisons, once a block.
pub(super) fn kendall<'a>(values: impl IntoIterator<Item = &'a f64, IntoIter: Clone + ExactSizeIterator>) -> f64 {
    let values = values.into_iter();
    let mut s = 0_i32;
    for (i, later) in values.clone().enumerate() {
        for earlier in values.clone().take(i) {
            s += match later.total_cmp(earlier) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
            };
        }
    }
    let n = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    (f64::from(s) - 1.0) / libm::sqrt(variance)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use prunella_model::incident::Severity;

    const MIB: f64 = 1024.0 * 1024.0;

    fn tuning() -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::High,
            threshold: 20.0,
            clear: 0.0,
            hold: Duration::from_millis(500),
            count: 10,
        }
    }

    /// Feeds ten values a second; returns after how many the alarm was raised.
    fn raised(value: impl Fn(f64) -> f64) -> Option<u32> {
        let mut it = Growth::default();
        (0..600).find(|i| it.feed(&tuning(), Timestamp::from_millis(u64::from(*i) * 100), value(f64::from(*i) / 10.0)))
    }

    fn noise(t: f64) -> f64 {
        (libm::sin(t * 37.0) + libm::sin(t * 11.3)) * 2.0 * MIB
    }

    #[test]
    fn a_leak_is_found_under_noise() {
        let found = raised(|t| 30.0 * MIB + t * 3.0 * MIB + noise(t)).expect("a leak");
        assert!(found < 100, "{found}");
    }

    #[test]
    fn noise_steps_and_warm_up_are_no_leaks() {
        assert_eq!(raised(|t| 30.0 * MIB + noise(t)), None, "noise");
        assert_eq!(raised(|t| if t > 3.0 { 60.0 * MIB } else { 30.0 * MIB }), None, "one step");
        assert_eq!(raised(|t| 30.0 * MIB + 40.0 * MIB * (1.0 - libm::exp(-t / 1.5))), None, "warm-up");
        assert_eq!(raised(|t| 30.0 * MIB + (t % 3.0) * 10.0 * MIB), None, "garbage collection");
    }
}
