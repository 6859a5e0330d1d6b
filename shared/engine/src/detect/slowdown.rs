//! Slower than it used to be: a short mean against a long one.
//!
//! The long mean is the series' own history. What lies beyond the limit hardly teaches it anything, so that a slow day does
//! not become the measure of the next; a change that lasts for weeks does.

use prunella_model::Timestamp;

use super::Alarm;
use crate::rules::Tuning;

/// How many samples the history remembers.
const MEMORY: u32 = 2_000;

/// The weight of a sample in the short mean: about the last five.
const SHORT: f64 = 0.2;

/// What a sample beyond the limit teaches of what another one does.
const RELUCTANT: f64 = 0.02;

/// A short mean of `threshold` times the history for `hold`, after `count` samples at least.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slowdown {
    history: f64,
    short: f64,
    samples: u32,
    above: Option<Timestamp>,
    raised: bool,
}

impl Slowdown {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            (self.history, self.short) = (value, value);
            return false;
        }
        self.short += (value - self.short) * SHORT;
        let limit = self.history * tuning.threshold;
        let weight = 1.0 / f64::from(self.samples.min(MEMORY));
        let known = self.samples > tuning.count;
        let reluctance = if known && value > limit { RELUCTANT } else { 1.0 };
        let lesson = if known { value.min(limit) } else { value };
        self.history += (lesson - self.history) * weight * reluctance;
        if self.raised {
            if self.short < self.history * tuning.clear {
                (self.raised, self.above) = (false, None);
                return true;
            }
            return false;
        }
        if !known || self.history <= 0.0 || self.short < limit {
            self.above = None;
            return false;
        }
        self.above.get_or_insert(at);
        self.pass(tuning, at)
    }

    /// Says that the value is unchanged at `at`. True when the alarm was raised.
    pub(crate) fn pass(&mut self, tuning: &Tuning, at: Timestamp) -> bool {
        let Some(above) = self.above else { return false };
        if self.raised || at.since(above) < tuning.hold {
            return false;
        }
        self.raised = true;
        true
    }

    /// When the alarm will be raised if the value stays.
    pub(crate) fn deadline(&self, tuning: &Tuning) -> Option<Timestamp> {
        if self.raised { None } else { self.above.map(|above| above.after(tuning.hold)) }
    }

    /// The alarm, while it is raised.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let since = self.above.filter(|_| self.raised)?;
        Some(Alarm { since, value: self.short, against: self.history })
    }

    /// Nothing was measured for a while.
    pub(crate) fn gap(&mut self) {
        if !self.raised {
            self.above = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use prunella_model::incident::Severity;

    fn tuning() -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: 2.0,
            clear: 1.3,
            hold: Duration::from_secs(300),
            count: 30,
        }
    }

    fn run(values: impl Fn(u32) -> f64) -> Vec<(u32, bool)> {
        let mut it = Slowdown::default();
        let mut told = Vec::new();
        for i in 0..600 {
            if it.feed(&tuning(), Timestamp::from_secs(u64::from(i) * 10), values(i)) {
                told.push((i, it.alarm().is_some()));
            }
        }
        told
    }

    #[test]
    fn it_takes_a_lasting_slowdown_and_ends_with_it() {
        let told = run(|i| if (200..300).contains(&i) { 0.5 } else { 0.1 });
        assert_eq!(told.iter().map(|it| it.1).collect::<Vec<_>>(), [true, false], "{told:?}");
        assert!((229..=236).contains(&told[0].0) && (301..=315).contains(&told[1].0), "{told:?}");
    }

    #[test]
    fn a_blip_noise_and_a_slow_start_are_no_slowdown() {
        assert_eq!(run(|i| if i % 50 == 0 { 2.0 } else { 0.1 }), [], "one slow job in fifty");
        assert_eq!(run(|i| if i % 2 == 0 { 0.05 } else { 0.15 }), [], "noise");
        assert_eq!(run(|i| if i < 20 { 1.0 } else { 0.1 }), [], "a slow start");
    }
}
