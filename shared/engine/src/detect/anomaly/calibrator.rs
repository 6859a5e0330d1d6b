//! From scores to rates, without labels: how often would a healthy host score as high as that?
//!
//! The maxima of a score over hours follow a Gumbel distribution (Fisher and Tippett 1928) if its tail falls fast enough;
//! the square root of a score does. Only the middle half of the hours is fitted, so that a quarter of them may hold
//! outages nobody labelled, and the high quantiles are drawn on, not counted: in two weeks there are too few of them.

use prunella_model::Timestamp;

/// The hours of two weeks.
const HOURS: usize = 14 * 24;

/// Hours that must be known before anything is said.
const LEAST: usize = 24;

const HOUR: u64 = 3_600_000_000;

/// Turns scores of one host into a common unit: the reduced variate of their hourly maxima.
#[derive(Debug, Clone)]
pub struct Calibrator {
    /// The roots of the maxima of the last hours, in a ring.
    maxima: Vec<f32>,
    next: usize,
    /// The hour under way, and its maximum so far.
    hour: Option<u64>,
    most: f64,
    /// Location and scale; null before enough is known.
    fit: Option<(f64, f64)>,
}

impl Default for Calibrator {
    fn default() -> Self {
        Self { maxima: Vec::new(), next: 0, hour: None, most: 0.0, fit: None }
    }
}

impl Calibrator {
    /// The level that a healthy host's score passes in `rate` hours of a day. Infinite when `rate` is not positive.
    #[must_use]
    pub fn level(rate: f64) -> f64 {
        reduced(1.0 - (rate / 24.0).clamp(0.0, 0.9))
    }

    /// Calibrates a score by the hours before this one, then learns it. Null in the first day.
    pub fn feed(&mut self, at: Timestamp, score: f64) -> Option<f64> {
        let root = libm::sqrt(score.max(0.0));
        let hour = at.as_micros() / HOUR;
        if self.hour != Some(hour) {
            if self.hour.is_some() {
                self.close();
            }
            self.hour = Some(hour);
            self.most = 0.0;
        }
        self.most = self.most.max(root);
        self.fit.map(|(location, scale)| (root - location) / scale)
    }

    fn close(&mut self) {
        let most = self.most as f32;
        if self.maxima.len() < HOURS {
            self.maxima.push(most);
        } else {
            self.maxima[self.next] = most;
            self.next = (self.next + 1) % HOURS;
        }
        if self.maxima.len() < LEAST {
            return;
        }
        let mut sorted = [0.0_f32; HOURS];
        let known = &mut sorted[..self.maxima.len()];
        known.copy_from_slice(&self.maxima);
        known.sort_unstable_by(f32::total_cmp);
        let quantile = |quarter: usize| f64::from(known[(known.len() - 1) * quarter / 4]);
        let (low, high) = (quantile(1), quantile(3));
        // A score that hardly varies must not make every breath an alarm.
        let scale = ((high - low) / (reduced(0.75) - reduced(0.25))).max(0.01 * high).max(1e-6);
        self.fit = Some((low - scale * reduced(0.25), scale));
    }
}

/// The quantile of the standard Gumbel distribution.
fn reduced(p: f64) -> f64 {
    -libm::log(-libm::log(p))
}
