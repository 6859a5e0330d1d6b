//! How much oftener, and whether by accident.

/// The rate of failure among those that share something, and among the others.
///
/// Half a failure and one host are added to the others: that none of them failed in a few minutes does not say that none
/// ever does, and where there are hardly any others nothing stands out.
pub(super) fn rates(failing: u32, sharing: u32, others_failing: u32, others: u32) -> (f64, f64) {
    let rate = f64::from(failing) / f64::from(sharing.max(1));
    (rate, (f64::from(others_failing) + 0.5) / (f64::from(others) + 1.0))
}

/// How likely at least `both` of `failing` hosts, drawn from `known` without regard to it, share something that `sharing`
/// have: the upper tail of the hypergeometric distribution (Fisher's exact test).
pub(super) fn by_accident(known: u32, sharing: u32, failing: u32, both: u32) -> f64 {
    let most = sharing.min(failing);
    if both > most || sharing > known || failing > known {
        return if both > most { 0.0 } else { 1.0 };
    }
    let all = ln_choose(known, failing);
    let ways = |hits: u32| {
        let rest = failing - hits;
        let fits = rest <= known - sharing;
        if fits { libm::exp(ln_choose(sharing, hits) + ln_choose(known - sharing, rest) - all) } else { 0.0 }
    };
    (both..=most).map(ways).sum::<f64>().clamp(0.0, 1.0)
}

/// The logarithm of the number of ways to choose `few` of `many`. `few` is at most `many`.
fn ln_choose(many: u32, few: u32) -> f64 {
    let ln_factorial = |n: u32| libm::lgamma(f64::from(n) + 1.0);
    ln_factorial(many) - ln_factorial(few) - ln_factorial(many.saturating_sub(few))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_a_rack_of_four_are_no_accident_and_three_of_nearly_all_are() {
        let percent = |it: f64| (it * 1_000.0).round() / 10.0;
        // 4 of the 220 ways to draw 3 hosts of 12 lie within a rack of 4.
        assert_eq!(percent(by_accident(12, 4, 3, 3)), 1.8);
        assert_eq!(percent(by_accident(12, 6, 3, 3)), 9.1);
        assert_eq!(percent(by_accident(12, 11, 3, 3)), 75.0);
        assert_eq!(percent(by_accident(12, 4, 3, 0)), 100.0);
        assert_eq!(by_accident(12, 2, 3, 3), 0.0);
        assert_eq!(by_accident(3, 4, 3, 3), 1.0);
    }

    #[test]
    fn where_all_share_it_nothing_stands_out() {
        let (rate, base) = rates(3, 12, 0, 0);
        assert!(rate < base * 3.0, "{rate} {base}");
        let (rate, base) = rates(3, 4, 0, 8);
        assert!(rate > base * 3.0, "{rate} {base}");
    }
}
