//! Chance that can be repeated, and the distributions of beliefs.
//!
//! Draws come from SplitMix64 (Steele, Lea and Flood, 2014), keyed by what is decided, so that a replay decides the same.

use sha2::{Digest, Sha256};

/// A generator for one decision: the same words always give the same numbers, on every machine.
#[derive(Debug, Clone)]
pub struct Draw(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tries before a rejection method gives its mean instead. Each succeeds with more than 95 %.
const TRIES: u32 = 64;

impl Draw {
    /// The generator of a decision, named by `seed` and words such as its fingerprint, its time and its attempt.
    #[must_use]
    pub fn keyed(seed: u64, words: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        for word in words {
            hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(word);
        }
        Self(hash.finalize().iter().take(8).fold(0, |it, byte| (it << 8) | u64::from(*byte)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// A number above 0 and at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        1.0 - (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed, mean 0, deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }

    /// Gamma distributed with this shape and rate 1 (Marsaglia and Tsang, 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let above = self.gamma(shape + 1.0);
            return above * libm::pow(self.unit(), 1.0 / shape.max(1e-6));
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        for _ in 0..TRIES {
            let x = self.normal();
            let v = libm::pow(1.0 + c * x, 3.0);
            if v > 0.0 && libm::log(self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
        shape
    }

    /// Beta distributed with these two counts.
    pub fn beta(&mut self, heads: f64, tails: f64) -> f64 {
        let (a, b) = (self.gamma(heads), self.gamma(tails));
        if a + b > 0.0 { a / (a + b) } else { heads / (heads + tails).max(f64::MIN_POSITIVE) }
    }
}

/// The value that a Beta distributed chance stays below with probability `p`.
///
/// By bisection of the regularised incomplete beta function, to 1e-6.
#[must_use]
pub fn beta_quantile(p: f64, heads: f64, tails: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-6 {
        let middle = (low + high) / 2.0;
        if beta_below(middle, heads, tails) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function, by Lentz's continued fraction (Press et al., Numerical Recipes, 6.4).
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below_by_fraction(1.0 - x, b, a);
    }
    beta_below_by_fraction(x, a, b)
}

fn beta_below_by_fraction(x: f64, a: f64, b: f64) -> f64 {
    let front =
        libm::exp(libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log(1.0 - x))
            / a;
    let tiny = |it: f64| if it.abs() < 1e-300 { 1e-300 } else { it };
    let (mut c, mut d) = (1.0, 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..300_u32 {
        let m = f64::from(step);
        for numerator in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / tiny(1.0 + numerator * d);
            c = tiny(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-10 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, a, b, expected) in
            [(0.5, 1.0, 1.0, 0.5), (0.95, 1.0, 1.0, 0.95), (0.05, 2.0, 5.0, 0.0628), (0.95, 8.0, 2.0, 0.9590)]
        {
            assert!((beta_quantile(p, a, b) - expected).abs() < 5e-4, "{p} {a} {b}: {}", beta_quantile(p, a, b));
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution_and_repeat() {
        let mut draw = Draw::keyed(1, &[b"moments"]);
        for (a, b) in [(0.3, 0.7), (1.9, 0.1), (20.0, 5.0)] {
            let drawn: Vec<f64> = (0..20_000).map(|_| draw.beta(a, b)).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let spread = drawn.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / 20_000.0;
            let (expected, variance) = (a / (a + b), a * b / ((a + b) * (a + b) * (a + b + 1.0)));
            assert!((mean - expected).abs() < 0.01 && (spread - variance).abs() < 0.01, "{a} {b}: {mean} {spread}");
        }
        let row = |seed| (0..5).map(|_| Draw::keyed(seed, &[b"x", b"y"]).bits()).collect::<Vec<u64>>();
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert_ne!(Draw::keyed(1, &[b"x", b"y"]).bits(), Draw::keyed(1, &[b"xy"]).bits());
    }
}
