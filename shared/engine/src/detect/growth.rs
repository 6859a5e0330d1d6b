//! A floor that only ever rises: what a leak looks like under the noise of normal work.
//!
//! The floor is the least value of each block of time. Work goes up and down between floors; what is never given back
//! lifts them. Kendall's rank correlation says whether they rise steadily, Theil–Sen's slope how fast, and the second
//! half must gain nearly as much as the first, which a program that warms up does not.
//!
//! Blocks of a quarter of the length see what grows fast: there every floor must be higher than those before, and the
//! last one twice the first. So a fast leak is found within a quarter of the time, and found again soon after a start of
//! the server, which remembers no measurements.

use std::time::Duration;

use prunella_model::Timestamp;

use super::Alarm;
use super::floors::Floors;
use super::slope::kendall;
use crate::rules::Tuning;

/// How sure the rank correlation must be: p < 0.0005, one-sided.
const SURE: f64 = 3.3;

/// What the second half must gain of what the first one did. A warm-up flattens; a leak goes on.
const STEADY: f64 = 0.7;

/// How many fast blocks there are to one of the others.
const FASTER: u32 = 4;

/// Blocks shorter than this have no fast ones: they would hold hardly a sample each.
const FAST_LEAST: Duration = Duration::from_secs(60);

/// How sure the rank correlation of fast blocks must be: of 16, all but a few pairs must rise.
const FAST_SURE: f64 = 5.0;

/// What the floor must gain in the fast blocks, in percent of where it began.
const FAST_GAIN: f64 = 100.0;

/// A fall to this share of the alarming value ends the alarm.
const FALLEN: f64 = 0.6;

/// The growth of a floor over `count` blocks of `hold` each, by more than `threshold` percent.
#[derive(Debug, Clone)]
pub(crate) struct Growth {
    /// Growth by less than this is none, whatever its share.
    least: f64,
    slow: Floors,
    fast: Floors,
    raised: Option<Alarm>,
}

impl Growth {
    /// Growth by `least` or more, in the unit of what is measured.
    pub(crate) fn of(least: f64) -> Self {
        Self { least, slow: Floors::default(), fast: Floors::default(), raised: None }
    }

    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        if let Some(alarm) = self.raised {
            if value >= alarm.value * FALLEN {
                return false;
            }
            self.restart();
            self.slow.begin(at, value);
            self.fast.begin(at, value);
            return true;
        }
        let blocks = usize::try_from(tuning.count).unwrap_or(usize::MAX).max(4);
        let (slow, fast) = (tuning.hold, tuning.hold / FASTER);
        if self.slow.feed(slow, blocks, at, value) && self.grows(&self.slow, tuning.threshold, SURE) {
            self.raised = alarm(&self.slow, slow, at, value);
        } else if slow >= FAST_LEAST
            && self.fast.feed(fast, blocks, at, value)
            && self.grows(&self.fast, FAST_GAIN, FAST_SURE)
        {
            self.raised = alarm(&self.fast, fast, at, value);
        }
        self.raised.is_some()
    }

    /// Whether a floor rises steadily, by so many percent.
    fn grows(&self, floors: &Floors, percent: f64, sure: f64) -> bool {
        let Some((first, middle, last)) = floors.course() else { return false };
        let gain = last - first;
        gain >= self.least
            && gain >= first * percent / 100.0
            && last - middle >= STEADY * (middle - first)
            && kendall(floors.all()) >= sure
    }

    /// The alarm, while it is raised.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        self.raised
    }

    /// Forgets everything.
    pub(crate) fn restart(&mut self) {
        *self = Self::of(self.least);
    }
}

/// An alarm about the growth of these floors.
fn alarm(floors: &Floors, hold: Duration, at: Timestamp, value: f64) -> Option<Alarm> {
    let (first, _, _) = floors.course()?;
    Some(Alarm { since: at.before(floors.span(hold)), value, against: first })
}

#[cfg(test)]
mod tests {
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
        let mut it = Growth::of(4.0 * MIB);
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

    /// Feeds a value each 30 seconds in half-hour blocks; returns after how many minutes the alarm was raised.
    fn raised_in(hours: u32, value: impl Fn(f64) -> f64) -> Option<u32> {
        let tuning = Tuning { hold: Duration::from_secs(1_800), count: 16, ..tuning() };
        let mut it = Growth::of(4.0 * MIB);
        let half_minutes = 0..hours * 120;
        let at = |i: u32| Timestamp::from_secs(u64::from(i) * 30);
        half_minutes.into_iter().find(|i| it.feed(&tuning, at(*i), value(f64::from(*i) / 120.0))).map(|i| i / 2)
    }

    #[test]
    fn a_fast_leak_is_found_in_two_hours_and_a_slow_one_in_eight() {
        let fast = raised_in(12, |h| 100.0 * MIB + 60.0 * MIB * h + noise(h)).expect("a fast leak");
        assert!(fast <= 130, "{fast} minutes");
        let slow = raised_in(12, |h| 100.0 * MIB + 5.0 * MIB * h + noise(h)).expect("a slow leak");
        assert!((450..=500).contains(&slow), "{slow} minutes");
    }

    #[test]
    fn steps_and_half_a_day_of_load_are_no_fast_leak() {
        let cache = |h: f64| {
            100.0 * MIB
                + if h > 1.5 {
                    140.0 * MIB
                } else if h > 0.5 {
                    100.0 * MIB
                } else {
                    0.0
                }
        };
        assert_eq!(raised_in(7, cache), None, "a cache that fills in steps");
        let load = |h: f64| 100.0 * MIB + 40.0 * MIB * libm::sin(h / 24.0 * core::f64::consts::TAU);
        assert_eq!(raised_in(6, load), None, "the morning");
    }
}
