//! The simulation's only source of chance: SplitMix64, a 64-bit counter that is scrambled (Steele, Lea and Flood, 2014).
//!
//! One generator for each purpose, forked from the seed by name, so that one more draw in the network does not shift
//! the faults.

use std::time::Duration;

/// A seeded generator. The same seed always gives the same numbers, on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut it: u64) -> u64 {
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

impl Rng {
    /// A generator for one purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let start = purpose.bytes().fold(mix(seed ^ GAMMA), |it, byte| mix(it ^ u64::from(byte)));
        Self(start)
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A whole number below `end`; 0 when `end` is 0. The bias of 2⁻⁶⁴·`end` does not matter here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index below `end`, which must not be 0.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// A number from 0 up to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A time between two, in microseconds.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least);
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// The time to the next event of a Poisson process with this mean.
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        // From above 0 to 1, so that the logarithm is finite.
        let unit = 1.0 - self.unit();
        Duration::from_secs_f64(mean.as_secs_f64() * -libm::log(unit))
    }
}
