//! Above a value for long enough; silent again only well below it.

use prunella_model::Timestamp;

use super::Alarm;
use crate::rules::Tuning;

/// A threshold with a duration and hysteresis.
#[derive(Debug, Clone, Default)]
pub(crate) struct Threshold {
    above: Option<Timestamp>,
    value: f64,
    against: f64,
    raised: bool,
}

impl Threshold {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        self.against = tuning.threshold;
        if self.raised {
            if value < tuning.clear {
                self.raised = false;
                self.above = None;
                return true;
            }
            self.value = value;
            return false;
        }
        if value < tuning.threshold {
            self.above = None;
            return false;
        }
        self.value = value;
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
        Some(Alarm { since, value: self.value, against: self.against })
    }

    /// Nothing was measured for a while, so it may have been below meanwhile.
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

    #[test]
    fn it_takes_the_whole_duration_and_clears_only_below_the_lower_value() {
        let tuning = Tuning {
            enabled: true,
            severity: Severity::High,
            threshold: 90.0,
            clear: 80.0,
            hold: Duration::from_secs(300),
            count: 1,
        };
        let mut it = Threshold::default();
        let at = Timestamp::from_secs;
        assert!(!it.feed(&tuning, at(0), 95.0));
        assert!(!it.feed(&tuning, at(200), 85.0));
        assert!(!it.feed(&tuning, at(210), 95.0));
        assert_eq!(it.deadline(&tuning), Some(at(510)));
        assert!(!it.pass(&tuning, at(509)));
        assert!(it.pass(&tuning, at(510)));
        assert!(!it.feed(&tuning, at(600), 81.0));
        assert!(it.feed(&tuning, at(601), 79.0));
        assert_eq!(it.alarm(), None);
    }
}
