//! How faults go away by themselves: a rate for each age of a fault.
//!
//! What goes away by itself mostly does so soon; what has lasted long will last longer. One rate for all ages would
//! either repair what was about to end, or wait for what never does. So the rate is constant only within a span of ages
//! (a piecewise exponential model; Friedman, 1982), and each has its own Gamma distribution.

use std::time::Duration;

use prunella_model::knowledge::Age;

/// Where each span of ages ends, in seconds. The last one has no end.
pub const EDGES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

/// How well a rate is known before anything was seen, as the shape of its Gamma distribution: to about a third.
const KNOWN_TO: f64 = 8.0;

/// How many spans there are.
pub const SPANS: usize = EDGES.len() + 1;

/// What was seen in each span.
pub type Ages = [Age; SPANS];

/// Where a span of ages begins, in seconds.
fn begin(span: usize) -> f64 {
    span.checked_sub(1).and_then(|before| EDGES.get(before)).copied().unwrap_or(0.0)
}

/// Where it ends.
fn end(span: usize) -> f64 {
    EDGES.get(span).copied().unwrap_or(f64::INFINITY)
}

/// Notes that a fault was watched until this age, and how likely it is to have gone away by itself then.
pub fn watched(ages: &mut Ages, age: Duration, recovered: f64) {
    let age = age.as_secs_f64();
    for (span, it) in ages.iter_mut().enumerate() {
        it.exposure += (age.min(end(span)) - begin(span)).max(0.0);
        if (age > begin(span) || span == 0) && age <= end(span) {
            it.recovered += recovered.clamp(0.0, 1.0);
        }
    }
}

/// The rates at which a fault goes away by itself, per second, by its age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates(pub [f64; SPANS]);

impl Rates {
    /// The same rate at every age.
    #[must_use]
    pub const fn constant(rate: f64) -> Self {
        Self([rate; SPANS])
    }

    /// Before anything is known: the rate of a new fault, and less the longer it has lasted.
    ///
    /// Nobody knows the rate exactly. What has lasted long is likelier to be of the slow sort: when the rate itself is Gamma
    /// distributed, survival is Lomax's (1954), and the rate falls with age.
    #[must_use]
    pub fn fading(rate: f64) -> Self {
        let mut rates = [rate; SPANS];
        for (span, it) in rates.iter_mut().enumerate() {
            *it = rate / (1.0 + rate * begin(span) / KNOWN_TO);
        }
        Self(rates)
    }

    /// The chance that a fault of this age goes away within `during`, and the mean time it is waited for until then or
    /// until `during` is over, in seconds.
    #[must_use]
    pub fn gone(&self, age: f64, during: f64) -> (f64, f64) {
        let (mut left, mut waited) = (1.0, 0.0);
        for (span, rate) in self.0.iter().enumerate() {
            if age + during <= begin(span) {
                break;
            }
            let time = (age + during).min(end(span)) - age.max(begin(span));
            if time <= 0.0 {
                continue;
            }
            let stays = libm::exp(-rate * time);
            waited += left * if *rate > 1e-12 { (1.0 - stays) / rate } else { time };
            left *= stays;
        }
        (1.0 - left, waited)
    }
}

/// How long waiting may be worth at this age, in seconds: to the end of a span, within which its rate is the same, and at
/// most `most`.
#[must_use]
pub fn ends(age: f64, most: f64) -> Vec<f64> {
    EDGES.iter().map(|edge| edge - age).filter(|wait| *wait > 0.0 && *wait < most).chain([most]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watching_fills_the_spans_up_to_the_age() {
        let mut ages = Ages::default();
        watched(&mut ages, Duration::from_secs(3), 1.0);
        watched(&mut ages, Duration::from_secs(100_000), 0.0);
        assert_eq!((ages[0].exposure, ages[1].exposure, ages[2].exposure), (2.0, 2.0, 3.0));
        assert_eq!((ages[2].recovered, ages.iter().map(|it| it.recovered).sum::<f64>()), (1.0, 1.0));
        assert!((ages.iter().map(|it| it.exposure).sum::<f64>() - 100_003.0).abs() < 1e-6);
    }

    #[test]
    fn what_has_lasted_is_expected_to_last() {
        let Rates(rates) = Rates::fading(0.5);
        assert!((rates[0] - 0.5).abs() < 1e-12 && rates.is_sorted_by(|a, b| a > b), "{rates:?}");
        assert!((rates[6] - 0.5 / (1.0 + 0.5 * 30.0 / 8.0)).abs() < 1e-12, "{rates:?}");
    }

    #[test]
    fn a_constant_rate_is_an_exponential() {
        let (gone, waited) = Rates::constant(0.1).gone(5.0, 20.0);
        assert!((gone - (1.0 - libm::exp(-2.0))).abs() < 1e-12 && (waited - gone / 0.1).abs() < 1e-9);
        assert_eq!(ends(3.0, 10.0), [1.0, 5.0, 10.0]);
    }
}
