//! Where a measurement is heading: a robust line through the last day.
//!
//! Each block of half an hour is remembered by one value, and the line ([`super::slope`]) goes through them. One sample
//! costs an addition; a line is only drawn when somebody asks.

use std::collections::VecDeque;
use std::time::Duration;

use prunella_model::Timestamp;

use super::slope::{confidence, slope};

/// The length of a block.
const BLOCK: Duration = Duration::from_secs(1_800);

/// How many blocks are remembered: a day, so that its ups and downs are all in the line.
const BLOCKS: usize = 48;

/// Fewer blocks than this say nothing: three hours.
const BLOCKS_LEAST: usize = 6;

/// Blocks a day.
const A_DAY: f64 = 48.0;

/// What a block is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Its mean.
    Mean,
    /// Its least value: what is left when work is done.
    Floor,
}

/// A line through what is remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// The change a day, in the unit of the measurement.
    pub(crate) per_day: f64,
    /// What that is at least and at most, with 95 %.
    pub(crate) bounds: (f64, f64),
    /// How sure it is that there is a trend, 0 to 1.
    pub(crate) confidence: f64,
}

/// The last day of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Trend {
    keeps: Keeps,
    /// The number of each block since the epoch, and its value; oldest first.
    blocks: VecDeque<(u64, f64)>,
    /// The first block that was complete since the last restart.
    first: Option<f64>,
    open: Option<u64>,
    sum: f64,
    count: u32,
    least: f64,
    last: f64,
    gap: bool,
}

impl Trend {
    /// A trend of which nothing is known.
    pub(crate) const fn new(keeps: Keeps) -> Self {
        Self {
            keeps,
            blocks: VecDeque::new(),
            first: None,
            open: None,
            sum: 0.0,
            count: 0,
            least: f64::INFINITY,
            last: 0.0,
            gap: false,
        }
    }

    /// Takes a value in.
    pub(crate) fn feed(&mut self, at: Timestamp, value: f64) {
        self.pass(at);
        let gap = std::mem::take(&mut self.gap);
        let block = number(at);
        if self.open != Some(block) {
            // The first block of a run holds its warm-up, and is not where growth is counted from.
            self.begin(block, if gap || self.open.is_none() { None } else { Some(self.last) });
        }
        self.add(value);
    }

    /// Says that nothing has changed until `at`, unless nothing was measured.
    pub(crate) fn pass(&mut self, at: Timestamp) {
        let Some(open) = self.open else { return };
        let now = number(at);
        if now <= open {
            return;
        }
        self.close(open);
        if !self.gap {
            let from = (open + 1).max(now.saturating_sub(u64::try_from(BLOCKS).unwrap_or(u64::MAX)));
            (from..now).for_each(|block| self.keep(block, self.last));
        }
        self.begin(now, (!self.gap).then_some(self.last));
    }

    fn begin(&mut self, block: u64, carried: Option<f64>) {
        (self.open, self.sum, self.count, self.least) = (Some(block), 0.0, 0, f64::INFINITY);
        if let Some(value) = carried {
            self.add(value);
        }
    }

    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count = self.count.saturating_add(1);
        self.least = self.least.min(value);
        self.last = value;
    }

    fn close(&mut self, block: u64) {
        if self.count > 0 {
            let value = match self.keeps {
                Keeps::Mean => self.sum / f64::from(self.count),
                Keeps::Floor => self.least,
            };
            self.keep(block, value);
        }
    }

    fn keep(&mut self, block: u64, value: f64) {
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        if self.first.is_none() && !self.blocks.is_empty() {
            self.first = Some(value);
        }
        self.blocks.push_back((block, value));
    }

    /// The second whole block since the last restart, after what warms up has done so, and the latest one.
    pub(crate) fn grown(&self) -> Option<(f64, f64)> {
        Some((self.first?, self.blocks.back()?.1))
    }

    /// How long the blocks reach back.
    pub(crate) fn span(&self) -> Duration {
        let (Some(first), Some(last)) = (self.blocks.front(), self.blocks.back()) else { return Duration::ZERO };
        BLOCK * u32::try_from(last.0 - first.0 + 1).unwrap_or(u32::MAX)
    }

    /// The line through what is remembered; null while that is too little.
    pub(crate) fn line(&self) -> Option<Line> {
        if self.blocks.len() < BLOCKS_LEAST {
            return None;
        }
        let points: Vec<(u64, f64)> = self.blocks.iter().copied().collect();
        let values: Vec<f64> = points.iter().map(|it| it.1).collect();
        let slope = slope(&points)?;
        let bounds = (slope.least * A_DAY, slope.most * A_DAY);
        Some(Line { per_day: slope.median * A_DAY, bounds, confidence: confidence(&values) })
    }

    /// Nothing is measured for a while.
    pub(crate) fn gap(&mut self) {
        self.gap = true;
    }

    /// What is measured is another thing now.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.keeps);
    }
}

fn number(at: Timestamp) -> u64 {
    at.as_micros() / u64::try_from(BLOCK.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(hours: u32, value: impl Fn(f64) -> f64) -> Trend {
        let mut it = Trend::new(Keeps::Mean);
        for i in 0..hours * 60 {
            it.feed(Timestamp::from_secs(u64::from(i) * 60), value(f64::from(i) / 1_440.0));
        }
        it
    }

    #[test]
    fn a_steady_rise_is_a_line_and_noise_is_none() {
        let line = fed(24, |day| 40.0 + 10.0 * day + libm::sin(day * 900.0)).line().expect("a line");
        assert!((9.5..10.5).contains(&line.per_day) && line.confidence > 0.999, "{line:?}");
        assert!(line.bounds.0 > 9.0 && line.bounds.0 <= line.per_day && line.per_day <= line.bounds.1, "{line:?}");
        assert!(line.bounds.1 < 11.0, "{line:?}");
        let noise = fed(24, |day| 40.0 + libm::sin(day * 900.0) + libm::sin(day * 77.0)).line().expect("a line");
        assert!(noise.confidence < 0.95 && noise.bounds.0 < 0.0 && noise.bounds.1 > 0.0, "{noise:?}");
        assert_eq!(fed(2, |day| day).line(), None, "two hours are too little");
    }

    #[test]
    fn what_does_not_change_is_said_once_and_counts_all_the_time_unless_nothing_was_measured() {
        let mut it = Trend::new(Keeps::Mean);
        it.feed(Timestamp::from_secs(0), 50.0);
        it.pass(Timestamp::from_secs(12 * 3_600));
        let line = it.line().expect("a line");
        assert_eq!((line.per_day, line.confidence), (0.0, 0.0));
        let mut it = Trend::new(Keeps::Mean);
        it.feed(Timestamp::from_secs(0), 50.0);
        it.gap();
        it.feed(Timestamp::from_secs(12 * 3_600), 90.0);
        assert_eq!(it.line(), None, "what happened in between is not known");
    }

    #[test]
    fn growth_is_counted_from_after_the_warm_up_of_a_run() {
        let mut it = Trend::new(Keeps::Floor);
        for i in 0..240_u32 {
            let value = if i < 20 { f64::from(i) } else { 100.0 + f64::from(i) };
            it.feed(Timestamp::from_secs(u64::from(i) * 60), value);
        }
        let (first, last) = it.grown().expect("some blocks");
        // The newest block is not complete, and a value lasts until the next one comes.
        assert_eq!((first, last), (129.0, 279.0));
        it.restart();
        assert_eq!(it.grown(), None);
    }
}
