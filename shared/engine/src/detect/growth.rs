//! A floor that only ever rises: what a leak looks like under the noise of normal work.
//!
//! The floor is the least value of each block of time. Work goes up and down between floors; what is never given back
//! lifts them. Kendall's rank correlation says whether they rise steadily, Theil–Sen's slope how fast, and the second
//! half must gain nearly as much as the first, which a program that warms up does not.

use prunella_model::Timestamp;

use super::Alarm;
use super::floors::Floors;
use super::slope::kendall;
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
    floors: Floors,
    raised: Option<Alarm>,
}

impl Growth {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        if let Some(alarm) = self.raised {
            if value >= alarm.value * FALLEN {
                return false;
            }
            self.raised = None;
            self.floors.begin(at, value);
            return true;
        }
        let blocks = usize::try_from(tuning.count).unwrap_or(usize::MAX).max(4);
        self.floors.feed(tuning.hold, blocks, at, value) && self.judge(tuning, at, value)
    }

    fn judge(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        let Some((first, middle, last)) = self.floors.course() else { return false };
        let gain = last - first;
        if gain < LEAST_BYTES || gain < first * tuning.threshold / 100.0 {
            return false;
        }
        if last - middle < STEADY * (middle - first) || kendall(self.floors.all()) < SURE {
            return false;
        }
        self.raised = Some(Alarm { since: at.before(self.floors.span(tuning.hold)), value, against: first });
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
