//! When a share that rises will reach its end: a robust line through four windows, from half an hour to a day.
//!
//! The line ([`super::slope`]) goes through 16 blocks of each window. A window speaks when, twice in a row, the rise is sure, even its least slope is one, the end lies within twice the
//! window or so, and the value is higher than in the week before the window: what goes up and down each day is no news.
//! Longer windows see slower trends, and reach further ahead.

use std::time::Duration;

use prunella_model::Timestamp;

use super::Alarm;
use super::slope::{kendall, slope};
use crate::rules::Tuning;

/// Blocks of a window.
const BLOCKS: usize = 16;

/// The windows: how many blocks of the one before make one of this, and how far it looks ahead, in lengths of the first.
const WINDOWS: [(usize, u32); 4] = [(1, 2), (4, 8), (4, 16), (3, 48)];

/// How sure the rank correlation must be: p < 0.0013, one-sided.
const SURE: f64 = 3.0;

/// How much higher than in the week before, in points.
const NEW: f64 = 0.5;

/// How often in a row.
const TWICE: u32 = 2;

/// A fall by that many points below the alarming value ends the alarm.
const FALLEN: f64 = 1.0;

/// The share that is the end, in percent.
const END: f64 = 100.0;

/// The days that are remembered.
const DAYS: usize = 7;

/// The largest value of each of the last days.
#[derive(Debug, Clone)]
struct Week {
    days: [f32; DAYS],
    day: u64,
}

impl Week {
    fn learn(&mut self, day: u64, value: f64) {
        for passed in (self.day + 1..=day).take(DAYS) {
            self.days[(passed % DAYS as u64) as usize] = f32::NEG_INFINITY;
        }
        self.day = self.day.max(day);
        let today = &mut self.days[(day % DAYS as u64) as usize];
        *today = today.max(value as f32);
    }

    fn most(&self) -> f64 {
        self.days.iter().copied().fold(f32::NEG_INFINITY, f32::max).into()
    }
}

/// One window.
#[derive(Debug, Clone)]
struct Window {
    blocks: [f64; BLOCKS],
    known: usize,
    /// Blocks of the window before that will make the next one.
    parts: [f64; 4],
    count: usize,
    before: Week,
    row: u32,
}

impl Default for Window {
    fn default() -> Self {
        let before = Week { days: [f32::NEG_INFINITY; DAYS], day: 0 };
        Self { blocks: [0.0; BLOCKS], known: 0, parts: [0.0; 4], count: 0, before, row: 0 }
    }
}

impl Window {
    /// Adds a part. The new block, when it is complete: the median of its parts.
    fn add(&mut self, value: f64, of: usize) -> Option<f64> {
        self.parts[self.count] = value;
        self.count += 1;
        if self.count < of {
            return None;
        }
        let parts = &mut self.parts[..std::mem::take(&mut self.count)];
        parts.sort_unstable_by(f64::total_cmp);
        let middle = parts.len() / 2;
        Some(if parts.len().is_multiple_of(2) {
            f64::midpoint(parts[middle - 1], parts[middle])
        } else {
            parts[middle]
        })
    }

    fn push(&mut self, day: u64, block: f64) {
        if self.known == BLOCKS {
            self.before.learn(day, self.blocks[0]);
            self.blocks.rotate_left(1);
            self.blocks[BLOCKS - 1] = block;
        } else {
            self.blocks[self.known] = block;
            self.known += 1;
        }
    }

    /// Blocks until the end at the median slope, if the rise is sure.
    fn left(&self, value: f64) -> Option<f64> {
        if self.known < BLOCKS || value < self.before.most() + NEW || kendall(&self.blocks) < SURE {
            return None;
        }
        let points: Vec<(u64, f64)> = (0..).zip(self.blocks).collect();
        let line = slope(&points).filter(|line| line.least > 0.0)?;
        Some((END - value).max(0.0) / line.median)
    }
}

/// The forecast of a share in percent. The first window is `hold` long; the others 4, 16 and 48 times that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forecast {
    began: Option<Timestamp>,
    sum: f64,
    count: u32,
    last: f64,
    windows: [Window; WINDOWS.len()],
    raised: Option<Alarm>,
}

impl Forecast {
    /// Takes a value in. True when the alarm was raised or cleared.
    pub(crate) fn feed(&mut self, tuning: &Tuning, at: Timestamp, value: f64) -> bool {
        let step = tuning.hold / BLOCKS as u32;
        let began = *self.began.get_or_insert(at);
        let mut changed = false;
        if at.since(began) >= step && !step.is_zero() {
            if at.since(began) > tuning.hold {
                // Nothing was measured for a whole window: what comes is another story.
                self.restart();
            } else {
                let block = if self.count == 0 { self.last } else { self.sum / f64::from(self.count) };
                changed = self.roll(tuning, began, step, block);
            }
            (self.began, self.sum, self.count) = (Some(at), 0.0, 0);
        }
        self.sum += value;
        self.count += 1;
        self.last = value;
        if self.raised.is_some_and(|it| value < it.value - FALLEN) {
            self.raised = None;
            return true;
        }
        changed
    }

    fn roll(&mut self, tuning: &Tuning, at: Timestamp, step: Duration, block: f64) -> bool {
        let day = at.as_secs() / 86_400;
        let (mut part, mut length) = (Some(block), step.as_secs_f64());
        let mut changed = false;
        for (window, (of, ahead)) in self.windows.iter_mut().zip(WINDOWS) {
            let Some(value) = part else { break };
            length *= of as f64;
            part = window.add(value, of);
            let Some(block) = part else { break };
            window.push(day, block);
            let limit = (tuning.hold * ahead).as_secs_f64();
            let left = window.left(block).map(|blocks| blocks * length).filter(|left| *left < limit);
            window.row = if left.is_some() { window.row.saturating_add(1) } else { 0 };
            if let Some(left) = left.filter(|_| window.row >= TWICE && self.raised.is_none()) {
                self.raised = Some(Alarm { since: at, value: block, against: left });
                changed = true;
            }
        }
        changed
    }

    /// The alarm, while it is raised. It compares with the seconds that were left.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        self.raised
    }

    /// Forgets everything but the weeks.
    pub(crate) fn restart(&mut self) {
        for window in &mut self.windows {
            (window.known, window.count, window.row) = (0, 0, 0);
        }
        (self.began, self.sum, self.count, self.raised) = (None, 0.0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prunella_model::incident::Severity;

    fn tuning() -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::High,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(1_800),
            count: 1,
        }
    }

    /// Feeds a value each minute for `days`; when the alarm was first raised, in minutes, and the value at that time.
    fn raised(days: u32, value: impl Fn(f64) -> f64) -> Option<(u32, f64)> {
        let mut it = Forecast::default();
        let found = (0..days * 1_440).find(|minute| {
            let at = Timestamp::from_secs(u64::from(*minute) * 60);
            it.feed(&tuning(), at, value(f64::from(*minute))) && it.alarm().is_some()
        })?;
        Some((found, value(f64::from(found))))
    }

    fn noise(minute: f64) -> f64 {
        libm::sin(minute * 37.7) + libm::sin(minute * 11.3)
    }

    fn daily(minute: f64) -> f64 {
        5.0 * libm::sin(minute / 1_440.0 * core::f64::consts::TAU)
    }

    #[test]
    fn a_forecast_is_small() {
        assert!(size_of::<Forecast>() <= 1_024, "{}", size_of::<Forecast>());
    }

    #[test]
    fn an_end_is_seen_well_before_it_comes() {
        // 10 points an hour from the third day on: the end comes after five hours.
        let fast = |minute: f64| 50.0 + 0.2 * noise(minute) + (minute - 4_320.0).max(0.0) / 6.0;
        let (minute, value) = raised(4, fast).expect("a fast rise");
        assert!(minute > 4_320 && value < 95.0, "at minute {minute}, {value} %");
        // 1 point an hour: the end comes after two days.
        let slow = |minute: f64| 50.0 + 0.2 * noise(minute) + (minute - 4_320.0).max(0.0) / 60.0;
        let (minute, value) = raised(6, slow).expect("a slow rise");
        assert!(minute > 4_320 && (70.0..95.0).contains(&value), "at minute {minute}, {value} %");
    }

    #[test]
    fn waves_noise_and_steps_are_no_end() {
        assert_eq!(raised(10, |minute| 80.0 + daily(minute) + 0.5 * noise(minute)), None, "waves");
        assert_eq!(raised(10, |minute| 60.0 + 3.0 * noise(minute)), None, "noise");
        assert_eq!(raised(10, |minute| if minute > 5_000.0 { 85.0 } else { 60.0 }), None, "a step");
    }

    #[test]
    fn it_clears_when_the_value_falls() {
        let mut it = Forecast::default();
        let mut minute = 0_u32;
        let mut feed = |value: f64| {
            minute += 1;
            it.feed(&tuning(), Timestamp::from_secs(u64::from(minute) * 60), value);
            it.alarm().is_some()
        };
        assert!((0..240).any(|i| feed(50.0 + f64::from(i) / 6.0)));
        assert!(!feed(20.0));
    }
}
