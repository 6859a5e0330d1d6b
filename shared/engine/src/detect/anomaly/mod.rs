//! Anomalies without thresholds: what is normal is learned from the host itself.
//!
//! Each metric is scored by a [`Metric`]; a host's scores are the means over its metrics, because a sick host shows in
//! many of them and noise does not; [`HostScore`] puts two such means behind one calibrator each and takes the larger.
//! The three metrics that contribute most are the explanation. See `docs/detection.md` for what it reaches on public data.

mod calibrator;
mod metric;
mod tail;
#[cfg(test)]
mod tests;

use prunella_model::Timestamp;

pub use calibrator::Calibrator;
pub use metric::{Metric, Score};

/// How many metrics explain a host's score.
pub const TOP: usize = 3;

/// The memory of the smoothing, in seconds: a single odd minute counts less than two.
const SMOOTH: f64 = 60.0;

/// The memory of a record, in seconds.
const RECORD: f64 = 12.0 * 3_600.0;

/// The share of a record that what comes after it must exceed.
const REPEATED: f64 = 0.9;

/// The time before anything is learned of the score: the metrics do not know yet what is normal.
const SETTLE: f64 = 12.0 * 3_600.0;

/// What a host's metrics say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// In the unit of [`Calibrator::level`].
    pub score: f64,
    /// The metrics that contribute most, largest first: the caller's name for each, and its surprise.
    pub top: [Option<(u32, f64)>; TOP],
}

/// The anomaly score of one host.
#[derive(Debug, Clone, Default)]
pub struct HostScore {
    began: Option<Timestamp>,
    at: Timestamp,
    surprise: Smooth,
    deviation: Smooth,
    sum: Score,
    count: u32,
    top: [Option<(u32, f64)>; TOP],
}

#[derive(Debug, Clone, Default)]
struct Smooth {
    value: f64,
    calibrator: Calibrator,
}

impl Smooth {
    fn feed(&mut self, at: Timestamp, share: f64, score: f64, settled: bool) -> Option<f64> {
        self.value += share * (score - self.value);
        if settled { self.calibrator.feed(at, self.value) } else { None }
    }
}

impl HostScore {
    /// Adds what one metric of this moment says. `number` is the caller's name for it.
    pub fn add(&mut self, number: u32, score: Score) {
        self.sum.surprise += score.surprise;
        self.sum.deviation += score.deviation;
        self.count = self.count.saturating_add(1);
        let mut item = Some((number, score.surprise));
        for place in &mut self.top {
            if place.is_none_or(|(_, known)| item.is_some_and(|(_, new)| new > known)) {
                std::mem::swap(place, &mut item);
            }
        }
    }

    /// Ends this moment. Null while too little is known, or when nothing was added.
    pub fn close(&mut self, at: Timestamp) -> Option<Reading> {
        let (sum, count) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.count));
        let top = std::mem::take(&mut self.top);
        if count == 0 {
            return None;
        }
        let passed = at.since(self.at).as_secs_f64();
        self.at = at;
        let began = *self.began.get_or_insert(at);
        let settled = at.since(began).as_secs_f64() >= SETTLE;
        let share = 1.0 - libm::exp(-passed / SMOOTH);
        let count = f64::from(count);
        let surprise = self.surprise.feed(at, share, sum.surprise / count, settled);
        let deviation = self.deviation.feed(at, share, sum.deviation / count, settled);
        Some(Reading { score: surprise?.max(deviation?), top })
    }
}

/// What is new about the score of a single metric: by how much it exceeds its latest record, which fades within a day.
///
/// A spike that recurs each hour is no news the second time. In a host's score the other metrics see to that.
#[derive(Debug, Clone, Default)]
pub struct Novelty {
    at: Timestamp,
    record: f64,
}

impl Novelty {
    /// What is new about a score, then remembers it.
    pub fn feed(&mut self, at: Timestamp, score: f64) -> f64 {
        self.record *= libm::exp(-at.since(self.at).as_secs_f64() / RECORD);
        self.at = at;
        let new = (score - REPEATED * self.record).max(0.0);
        self.record = self.record.max(score);
        new
    }
}
