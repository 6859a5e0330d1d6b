//! One measurement before and after a violation, and how far it moved.

/// Which way an indicator gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// The larger, the worse: latency, errors, use of a resource.
    High,
    /// The smaller, the worse: availability, throughput.
    Low,
}

impl Worse {
    fn turn(self, value: f64) -> f64 {
        match self {
            Self::High => value,
            Self::Low => -value,
        }
    }
}

/// Differences below this share of the usual value are noise, however steady the value was.
const LEAST_SHARE: f64 = 0.002;

/// A scale is never zero, or a value that never moved would deviate infinitely.
const LEAST: f64 = 1e-9;

/// One measurement before and after a violation. Values that are not finite are ignored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// From a time when all was well; its order does not matter.
    pub history: Vec<f64>,
    /// From the last moments before the violation: what was so already is not its cause.
    pub before: Vec<f64>,
    /// From the violation on, in order; null where nothing was measured.
    pub after: Vec<Option<f64>>,
}

impl Window {
    /// How many values from before the violation there are.
    pub(crate) fn known(&self) -> usize {
        self.history.iter().chain(&self.before).filter(|it| it.is_finite()).count()
    }

    /// What the value should have been, turned so that larger is worse, and the scale of its usual variation.
    fn usual(&self, worse: Worse) -> Option<(f64, f64)> {
        let sorted = |values: &[f64]| {
            let mut all: Vec<f64> =
                values.iter().copied().filter(|it| it.is_finite()).map(|it| worse.turn(it)).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (history, before) = (sorted(&self.history), sorted(&self.before));
        let long = if history.is_empty() { &before } else { &history };
        let (low, middle, high) = (quantile(long, 1)?, quantile(long, 2)?, quantile(long, 3)?);
        // A level that had shifted before the violation explains nothing; one that was better just before proves nothing.
        let level = quantile(&before, 2).map_or(middle, |recent| recent.max(middle));
        Some((level, (high - low).max(LEAST_SHARE * middle.abs()).max(LEAST)))
    }

    /// The largest deviation for the worse after the violation, in interquartile ranges. Null when either side is missing.
    pub(crate) fn deviation(&self, worse: Worse) -> Option<f64> {
        let (level, scale) = self.usual(worse)?;
        let after = self.after.iter().flatten().filter(|it| it.is_finite());
        after.map(|it| (worse.turn(*it) - level) / scale).max_by(f64::total_cmp)
    }

    /// The largest loss in one interval: how much worse each answer was, times the answers. Without `requests` each
    /// interval counts as one answer; an interval in which nobody counted them, as none.
    pub(crate) fn loss(&self, worse: Worse, requests: Option<&[Option<f64>]>) -> f64 {
        let Some((level, _)) = self.usual(worse) else { return 0.0 };
        let answers = |at: usize| match requests {
            None => 1.0,
            Some(counts) => counts.get(at).copied().flatten().filter(|it| it.is_finite()).unwrap_or(0.0),
        };
        let each = self.after.iter().enumerate().filter_map(|(at, value)| {
            let value = value.filter(|it| it.is_finite())?;
            Some((worse.turn(value) - level) * answers(at))
        });
        each.fold(0.0, f64::max)
    }
}

/// The quartile `quarter` (1 to 3) of sorted values, by the nearest rank. Null when there are none.
fn quantile(sorted: &[f64], quarter: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last * quarter + 2) / 4).copied()
}
