//! The scores of the past and where they lead.

use std::collections::VecDeque;

use prunella_model::Timestamp;

use crate::view::{Course, TrendView};

/// How many scores are kept.
const KEPT: usize = 100;

/// Fewer scores than this have no trend.
const LEAST: usize = 5;

/// Scores that scatter by more than this around their line have no direction.
const VOLATILE: f64 = 10.0;

/// A line that rises or falls by less than this over all the scores is level.
const LEVEL: f64 = 5.0;

/// The latest scores of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    scores: VecDeque<(Timestamp, f64)>,
    /// The score that was announced last, if one was.
    pub(crate) said: Option<f64>,
    /// The course that was announced last, if one was.
    pub(crate) course: Option<Course>,
}

impl History {
    /// Adds a score.
    pub(crate) fn push(&mut self, at: Timestamp, score: f64) {
        if self.scores.len() == KEPT {
            self.scores.pop_front();
        }
        self.scores.push_back((at, score));
    }

    /// The latest score and when it was taken.
    pub(crate) fn last(&self) -> Option<(Timestamp, f64)> {
        self.scores.back().copied()
    }

    /// The scores, oldest first.
    pub(crate) fn scores(&self) -> Vec<(Timestamp, f64)> {
        self.scores.iter().copied().collect()
    }

    /// Where the scores lead: the line of least squares through them. Null while there are too few, or all of one moment.
    pub(crate) fn trend(&self) -> Option<TrendView> {
        let (first, last) = (self.scores.front()?, self.scores.back()?);
        if self.scores.len() < LEAST {
            return None;
        }
        let hours = |at: Timestamp| at.since(first.0).as_secs_f64() / 3600.0;
        let n = f64::from(u32::try_from(self.scores.len()).unwrap_or(u32::MAX));
        let mean_t = self.scores.iter().map(|(at, _)| hours(*at)).sum::<f64>() / n;
        let mean = self.scores.iter().map(|(_, score)| score).sum::<f64>() / n;
        let (mut stt, mut sty, mut syy) = (0.0, 0.0, 0.0);
        for (at, score) in &self.scores {
            let (t, y) = (hours(*at) - mean_t, score - mean);
            stt += t * t;
            sty += t * y;
            syy += y * y;
        }
        if stt <= 0.0 {
            return None;
        }
        let slope = sty / stt;
        let unexplained = (syy - slope * sty).max(0.0);
        // A line through scores that are all equal explains everything there is to explain.
        let confidence = if syy <= f64::EPSILON { 1.0 } else { 1.0 - unexplained / syy };
        let span = hours(last.0);
        let course = if libm::sqrt(unexplained / n) > VOLATILE {
            Course::Volatile
        } else if (slope * span).abs() < LEVEL {
            Course::Stable
        } else if slope > 0.0 {
            Course::Improving
        } else {
            Course::Declining
        };
        // As far ahead as it has been watched, and no farther than an hour.
        let ahead = span.min(1.0);
        let prediction = (mean + slope * (span + ahead - mean_t)).clamp(0.0, 100.0);
        let ahead = std::time::Duration::from_secs_f64(ahead * 3600.0);
        Some(TrendView { course, slope_per_hour: slope, confidence, prediction, ahead, scores: self.scores.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(score: impl Fn(f64) -> f64) -> TrendView {
        let mut it = History::default();
        (0..120_u32).for_each(|i| it.push(Timestamp::from_secs(u64::from(i) * 60), score(f64::from(i))));
        it.trend().expect("enough scores")
    }

    #[test]
    fn a_line_is_found_with_its_slope_and_followed() {
        let down = trend(|i| 95.0 - i * 0.25);
        assert_eq!((down.course, down.scores), (Course::Declining, KEPT));
        assert!((down.slope_per_hour + 15.0).abs() < 1e-9 && down.confidence > 0.999, "{down:?}");
        assert!((down.prediction - (95.0 - 119.0 * 0.25 - 15.0)).abs() < 1e-6, "{down:?}");
        assert_eq!(trend(|i| 20.0 + i * 0.5).course, Course::Improving);
    }

    #[test]
    fn what_only_wobbles_has_no_direction() {
        assert_eq!(trend(|_| 88.0).course, Course::Stable);
        assert_eq!(trend(|i| 88.0 + libm::sin(i)).course, Course::Stable);
        assert_eq!(trend(|i| if i % 2.0 < 1.0 { 100.0 } else { 40.0 }).course, Course::Volatile);
    }

    #[test]
    fn few_scores_and_those_of_one_moment_have_no_trend() {
        let mut it = History::default();
        (0..4).for_each(|i| it.push(Timestamp::from_secs(i), 50.0));
        assert_eq!(it.trend(), None);
        let mut it = History::default();
        (0..9).for_each(|_| it.push(Timestamp::from_secs(1), 50.0));
        assert_eq!(it.trend(), None);
    }
}
