//! How rare a value is among those of the last week: a decayed histogram of its logarithm, with a power tail.

/// How many bins: 12.8 octaves, and what is above in the last one.
const BINS: usize = 64;

/// Bins for each doubling. A quantile is off by 15 % at most.
const PER_OCTAVE: f64 = 5.0;

/// The share of the weight beyond which the tail is drawn on, not counted: too few samples lie there.
const DRAWN: f64 = 0.005;

/// The least probability that is told apart.
const LEAST: f64 = 1e-9;

/// Values rarer than that teach little: an outage must not become normal.
const OUTLIER: f64 = 1e-4;

/// What an outlier weighs.
const OUTLIER_WEIGHT: f64 = 0.1;

/// When the weight of new samples, which grows, is scaled back.
const HEAVY: f64 = 1e6;

/// A decayed histogram of positive values.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    bins: [f32; BINS],
    /// The logarithm of the first bin's lower edge, in bins.
    base: f64,
    /// The weight of a sample of now. It grows, which is the same as that all others shrink.
    weight: f64,
    total: f64,
}

impl Tail {
    /// Knows nothing. Values of `least` or less are all the same.
    pub(super) fn new(least: f64) -> Self {
        Self { bins: [0.0; BINS], base: libm::floor(libm::log2(least) * PER_OCTAVE), weight: 1.0, total: 0.0 }
    }

    /// Says how rare `value` is, as −log₁₀ of the probability of as much or more, and learns it.
    ///
    /// `value` must be positive; `growth` is by how much a sample of now weighs more than one of the last call.
    pub(super) fn feed(&mut self, value: f64, growth: f64) -> f64 {
        let offset = libm::floor(libm::log2(value) * PER_OCTAVE) - self.base;
        let bin = offset.clamp(0.0, (BINS - 1) as f64) as usize;
        let p = self.probability(value, bin);
        self.learn(bin, growth, if p < OUTLIER { OUTLIER_WEIGHT } else { 1.0 });
        -libm::log10(p)
    }

    /// The probability of as much as `value`, which lies in `bin`, or more.
    fn probability(&self, value: f64, bin: usize) -> f64 {
        if self.total <= 0.0 {
            return 0.5;
        }
        let drawn = DRAWN * self.total;
        let (mut above, mut counted) = (0.0, false);
        for (i, weight) in self.bins.iter().enumerate().rev() {
            above += f64::from(*weight);
            if !counted && above >= drawn {
                counted = true;
                if bin > i {
                    let edge = libm::exp2((self.base + i as f64 + 1.0) / PER_OCTAVE);
                    let beyond = (edge / value).min(1.0);
                    return (DRAWN * beyond * beyond).max(LEAST);
                }
            }
            if counted && i <= bin {
                // Half a sample for the one that asks: nothing is impossible because it was never seen.
                return ((above + 0.5 * self.weight) / (self.total + self.weight)).clamp(LEAST, 1.0);
            }
        }
        1.0
    }

    fn learn(&mut self, bin: usize, growth: f64, share: f64) {
        self.weight *= growth;
        let add = self.weight * share;
        self.bins[bin] += add as f32;
        self.total += add;
        if self.weight > HEAVY {
            for it in &mut self.bins {
                *it /= HEAVY as f32;
            }
            self.total /= HEAVY;
            self.weight /= HEAVY;
        }
    }
}
