//! How unusual one metric is: how rare its jump and its residual are, times how large the residual is.

use prunella_model::Timestamp;

use super::tail::Tail;

/// The memory of the level and of the spread, in seconds.
const LEVEL: f64 = 3.0 * 86_400.0;

/// The memory of the range and of the histograms, in seconds.
const MEMORY: f64 = 7.0 * 86_400.0;

/// How many days a time of day averages over.
const DAYS: f64 = 5.0;

/// The share of the range that counts as no change at all.
const FLOOR: f64 = 0.01;

/// Residuals beyond that many deviations are cut before they are learned.
const CUT: f64 = 3.0;

/// Values before that are learned uncut: the spread is not known yet.
const NEWBORN: u32 = 50;

/// Residuals below that many deviations are all the same.
const STILL: f64 = 0.05;

/// How many values a jump is measured against.
const LAST: usize = 10;

/// Hours of a day.
const HOURS: usize = 24;

/// Values beyond that are cut, so that no square overflows.
const HUGE: f64 = 1e18;

/// What one value of one metric says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// Rareness times size: −log₁₀ of the tail probabilities of jump and residual, times ln(1 + z). Zero is normal.
    pub surprise: f64,
    /// The square of ln(1 + z): how far away it is, whether that came about by a jump or not.
    pub deviation: f64,
    /// What was to be expected at that time of day.
    pub expected: f64,
}

/// What is normal for one metric: level, time of day, spread, and the histograms of jumps and residuals.
///
/// Less than 1 KiB, and a few hundred nanoseconds a value. Feed it at a steady pace, once in a minute or more slowly.
#[derive(Debug, Clone)]
pub struct Metric {
    seen: u32,
    at: Timestamp,
    /// Seconds that were watched.
    age: f64,
    level: f64,
    variance: f64,
    low: f64,
    high: f64,
    last: [f64; LAST],
    next: usize,
    season: [f32; HOURS],
    /// The variance at each time of day; negative before it is known.
    spread: [f32; HOURS],
    jumps: Tail,
    residuals: Tail,
}

/// Between which two hours a time lies, by the middle of each.
#[derive(Debug, Clone, Copy)]
struct Hour {
    near: usize,
    far: usize,
    /// The share of the farther one, up to a half.
    share: f64,
}

impl Hour {
    fn of(at: Timestamp) -> Self {
        let hours = at.as_micros() as f64 / 3.6e9;
        let whole = libm::floor(hours);
        let (near, off) = ((whole as u64 % HOURS as u64) as usize, hours - whole - 0.5);
        let far = if off >= 0.0 { (near + 1) % HOURS } else { (near + HOURS - 1) % HOURS };
        Self { near, far, share: off.abs() }
    }

    fn blend(self, near: f64, far: f64) -> f64 {
        near * (1.0 - self.share) + far * self.share
    }
}

impl Metric {
    /// A metric of which one value is known.
    #[must_use]
    pub fn new(at: Timestamp, value: f64) -> Self {
        let value = cut(value);
        Self {
            seen: 0,
            at,
            age: 0.0,
            level: value,
            variance: 0.0,
            low: value,
            high: value,
            last: [value; LAST],
            next: 0,
            season: [0.0; HOURS],
            spread: [-1.0; HOURS],
            jumps: Tail::new(1.0),
            residuals: Tail::new(STILL),
        }
    }

    /// Scores a value against what was normal before it, then learns it. A value that is no number says nothing.
    pub fn feed(&mut self, at: Timestamp, value: f64) -> Score {
        if !value.is_finite() {
            return Score::default();
        }
        let value = cut(value);
        let passed = at.since(self.at).as_secs_f64();
        self.at = at;
        self.age += passed;
        self.seen = self.seen.saturating_add(1);
        let forget = passed / (MEMORY + passed);
        let still = |range: f64| (FLOOR * range).max(1e-12 + 1e-6 * value.abs());
        // A jump is measured by the range before it, or a spike would lessen itself.
        let before = still(self.high - self.low);
        let floor = still(self.stretch(value, forget));
        let hour = Hour::of(at);
        let expected = self.level + hour.blend(self.season[hour.near].into(), self.season[hour.far].into());
        let deviation = libm::sqrt(0.5 * (self.variance + hour.blend(self.at_hour(hour.near), self.at_hour(hour.far))));
        let residual = value - expected;
        let z = residual.abs() / (deviation + floor);
        let mean = self.last.iter().sum::<f64>() / LAST as f64;
        let jump = ((value - mean).abs() / before).max(1.0);
        let growth = 1.0 + (passed / MEMORY).min(1.0);
        let rare = self.jumps.feed(jump, growth) + self.residuals.feed(z.max(STILL), growth);
        let size = libm::log1p(z);
        let most = CUT * (deviation + floor);
        self.learn(hour, if self.seen < NEWBORN { residual } else { residual.clamp(-most, most) }, passed);
        self.last[self.next] = value;
        self.next = (self.next + 1) % LAST;
        Score { surprise: rare * size, deviation: size * size, expected }
    }

    /// The range of the last week or so, with `value` in it.
    fn stretch(&mut self, value: f64, forget: f64) -> f64 {
        let shrink = 0.5 * forget * (self.high - self.low);
        self.high = (self.high - shrink).max(value);
        self.low = (self.low + shrink).min(value);
        self.high - self.low
    }

    fn at_hour(&self, hour: usize) -> f64 {
        let own = self.spread[hour];
        if own < 0.0 { self.variance } else { own.into() }
    }

    fn learn(&mut self, hour: Hour, residual: f64, passed: f64) {
        let square = residual * residual;
        let rate = (passed / LEVEL).max(1.0 / f64::from(self.seen));
        self.level += rate.min(0.5) * residual;
        self.variance += rate.min(1.0) * (square - self.variance);
        let days = (self.age / 86_400.0).clamp(1.0, DAYS);
        let daily = (passed / 3_600.0 / days).min(0.2);
        self.season[hour.near] += (daily * residual * (1.0 - hour.share)) as f32;
        self.season[hour.far] += (daily * residual * hour.share) as f32;
        let known = self.at_hour(hour.near);
        let known = if self.spread[hour.near] < 0.0 { known.max(square) } else { known };
        self.spread[hour.near] = (known + daily * (square - known)) as f32;
    }
}

fn cut(value: f64) -> f64 {
    if value.is_finite() { value.clamp(-HUGE, HUGE) } else { 0.0 }
}
