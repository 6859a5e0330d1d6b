//! Feeds a host's measurements to its anomaly detector, one mean a minute, and keeps the alarm.

use std::time::Duration;

use prunella_model::Timestamp;

use crate::detect::anomaly::{Calibrator, HostScore, Metric, Reading, Score};
use crate::host::Host;
use crate::key::at;
use crate::rules::Tuning;

/// Seconds of a minute.
const MINUTE: u64 = 60;

/// What is normal for one series, and its values of the minute under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Habit {
    sum: f64,
    count: u32,
    /// The mean of the last minute.
    mean: f64,
    score: Score,
    metric: Option<Box<Metric>>,
}

impl Habit {
    /// Adds a value to the minute.
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count = self.count.saturating_add(1);
    }

    /// The mean of the last minute, and how many deviations that was from normal; null before the first.
    pub(crate) fn last(&self) -> Option<(f64, f64)> {
        self.metric.as_ref().map(|_| (self.mean, libm::expm1(libm::sqrt(self.score.deviation))))
    }

    /// Ends the minute. Null when there was no value in it.
    fn close(&mut self, at: Timestamp) -> Option<Score> {
        let (sum, count) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.count));
        if count == 0 {
            return None;
        }
        self.mean = sum / f64::from(count);
        let metric = self.metric.get_or_insert_with(|| Box::new(Metric::new(at, self.mean)));
        self.score = metric.feed(at, self.mean);
        Some(self.score)
    }
}

/// The anomaly detector of one host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unusual {
    minute: Option<u64>,
    score: HostScore,
    /// Whether it has learned enough to say something.
    knows: bool,
    /// Since when the alarm holds, and what is unusual; null while it is silent.
    raised: Option<(Timestamp, String)>,
    /// Since when the score is low again.
    quiet: Option<Timestamp>,
}

impl Unusual {
    /// Since when the host is unlike itself, and in what; null while it is not.
    pub(crate) fn alarm(&self) -> Option<(Timestamp, &str)> {
        self.raised.as_ref().map(|(since, what)| (*since, what.as_str()))
    }

    /// Whether its silence means anything.
    pub(crate) fn knows(&self) -> bool {
        self.knows
    }
}

impl Host {
    /// Scores the minute that has passed, if one has. True when the alarm was raised or cleared.
    pub(crate) fn close_minute(&mut self, tuning: &Tuning, now: Timestamp) -> bool {
        let minute = now.as_secs() / MINUTE;
        let last = *self.unusual.minute.get_or_insert(minute);
        if minute <= last {
            return false;
        }
        self.unusual.minute = Some(minute);
        for (number, series) in (0..).zip(&mut self.series) {
            if let Some(score) = series.as_mut().and_then(|it| it.habit.close(now)) {
                self.unusual.score.add(number, score);
            }
        }
        let Some(reading) = self.unusual.score.close(now) else { return false };
        self.unusual.knows = true;
        if reading.score >= Calibrator::level(tuning.threshold) {
            self.unusual.quiet = None;
            let new = self.unusual.raised.is_none();
            if new {
                self.unusual.raised = Some((now.before(Duration::from_secs(MINUTE)), self.explain(&reading)));
            }
            return new;
        }
        let quiet = *self.unusual.quiet.get_or_insert(now);
        now.since(quiet) >= tuning.hold && self.unusual.raised.take().is_some()
    }

    /// The series that contribute most, each with its value and what was expected.
    fn explain(&self, reading: &Reading) -> String {
        let parts: Vec<String> = reading
            .top
            .iter()
            .flatten()
            .filter_map(|(number, _)| {
                let series = self.series.get(at(*number))?.as_ref()?;
                let target = &self.targets.get(at(series.target))?.report.name;
                let (mean, expected) = (figure(series.habit.mean), figure(series.habit.score.expected));
                Some(format!("{} of {target} was {mean} where {expected} was expected", series.metric))
            })
            .collect();
        parts.join("; ")
    }
}

/// A number with three digits that matter or so.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
