//! A robust line through a few points, and how sure it is that there is one.
//!
//! The slope is the median of the slopes between all pairs of points (Theil, 1950; Sen, 1968), with Sen's bounds;
//! Kendall's rank correlation says whether they rise or fall at all. Neither is moved by a few wild points. With `n`
//! points both take n²/2 operations, so they are for blocks, not for samples.

/// The normal quantile of the slope's bounds: 95 %.
const BOUND: f64 = 1.96;

/// A robust line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    /// The median slope, per step.
    pub(super) median: f64,
    /// What it surely is at least.
    pub(super) least: f64,
    /// What it surely is at most.
    pub(super) most: f64,
}

/// Kendall's S of values in their order: how many pairs rise, without those that fall.
fn rises<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> i32 {
    let mut s = 0_i32;
    for (i, later) in values.clone().enumerate() {
        for earlier in values.clone().take(i) {
            s += match later.total_cmp(earlier) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
            };
        }
    }
    s
}

/// The standard deviation of Kendall's S of `n` values that have no order.
fn deviation(n: f64) -> f64 {
    libm::sqrt(n * (n - 1.0) * (2.0 * n + 5.0) / 18.0)
}

fn count(len: usize) -> f64 {
    f64::from(u32::try_from(len).unwrap_or(u32::MAX))
}

/// The normal score of a rise by Kendall's S, corrected for continuity: above 1.6 it rises with a confidence of 95 %.
pub(super) fn kendall<'a>(values: impl IntoIterator<Item = &'a f64, IntoIter: Clone + ExactSizeIterator>) -> f64 {
    let values = values.into_iter();
    let n = count(values.len());
    (f64::from(rises(values)) - 1.0) / deviation(n)
}

/// How sure it is that there is a trend, up or down, 0 to 1.
pub(super) fn confidence<'a>(values: impl IntoIterator<Item = &'a f64, IntoIter: Clone + ExactSizeIterator>) -> f64 {
    let values = values.into_iter();
    let n = count(values.len());
    let z = (f64::from(rises(values).abs()) - 1.0).max(0.0) / deviation(n);
    libm::erf(z / std::f64::consts::SQRT_2)
}

/// The line through points, each the number of its step and its value, in order. Null for fewer than two.
pub(super) fn slope(points: &[(u64, f64)]) -> Option<Slope> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, (later, high)) in points.iter().enumerate() {
        for (earlier, low) in points.iter().take(i) {
            let apart = f64::from(u32::try_from(later.saturating_sub(*earlier)).unwrap_or(u32::MAX));
            slopes.push((high - low) / apart.max(1.0));
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let half = slopes.len() / 2;
    let upper = *slopes.get(half)?;
    let median = if slopes.len().is_multiple_of(2) { f64::midpoint(*slopes.get(half - 1)?, upper) } else { upper };
    let below = ((count(slopes.len()) - BOUND * deviation(count(points.len()))) / 2.0).max(0.0) as usize;
    let above = (slopes.len() - 1).saturating_sub(below);
    Some(Slope { median, least: *slopes.get(below)?, most: *slopes.get(above.max(below))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_points_do_not_move_the_line() {
        let mut points: Vec<(u64, f64)> = (0..16).map(|i| (i, 10.0 + 2.0 * i as f64)).collect();
        points[3].1 = 900.0;
        points[12].1 = -900.0;
        let line = slope(&points).expect("a line");
        assert!((line.median - 2.0).abs() < 1e-9 && (0.0..=2.0).contains(&line.least), "{line:?}");
        assert!((2.0..=4.0).contains(&line.most), "{line:?}");
        let values: Vec<f64> = points.iter().map(|it| it.1).collect();
        assert!(kendall(&values) > 2.0 && confidence(&values) > 0.95);
    }

    #[test]
    fn what_is_level_has_no_line_that_is_sure() {
        let values: Vec<f64> = (0..20).map(|i| f64::from(i % 2)).collect();
        let points: Vec<(u64, f64)> = (0..).zip(values.iter().copied()).collect();
        assert!(slope(&points).is_some_and(|line| line.median == 0.0 && line.least <= 0.0));
        assert!(kendall(&values) < 1.0 && confidence(&values) < 0.6);
        assert_eq!(slope(&points[..1]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn steps_that_are_missing_are_counted() {
        let line = slope(&[(0, 0.0), (1, 1.0), (5, 5.0), (9, 9.0)]).expect("a line");
        assert_eq!(line.median, 1.0);
    }
}
