//! Whether one host differs from its peers, or all of them changed together.
//!
//! A host that is sick differs from the median of its group; what comes from upstream moves the median along. As in IASO
//! (Panda et al. 2019) and Perseus (Lu et al. 2023).

/// How many robust deviations from the group's median make an outlier.
const APART: f64 = 5.0;

/// How unusual a value must be for its own host beside that: who always differs is no news.
const OWN: f64 = 2.5;

/// How unusual a value must be to count as deviating.
const DEVIATES: f64 = 3.0;

/// Turns the median absolute deviation of a normal distribution into its standard deviation.
const NORMAL: f64 = 1.482_6;

/// The fewest peers that can be compared.
pub(crate) const LEAST: usize = 4;

/// One member of a group: its value, and how many of its own deviations that is from what is normal for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The value.
    pub value: f64,
    /// The size of its deviation from its own history, in standard deviations.
    pub z: f64,
}

/// Whether half of the group or more deviate from their own history: the cause is shared, and no single host is to be
/// repaired for it. False for a group too small to tell.
#[must_use]
pub fn shared(group: &[Member]) -> bool {
    let deviate = group.iter().filter(|it| it.z > DEVIATES).count();
    group.len() >= LEAST && deviate * 2 >= group.len()
}

/// The members that differ both from their group and from their own history; none when the cause is shared.
#[must_use]
pub fn outliers(group: &[Member]) -> Vec<usize> {
    if group.len() < LEAST || shared(group) {
        return Vec::new();
    }
    let middle = median(group.iter().map(|it| it.value).collect());
    let spread = NORMAL * median(group.iter().map(|it| (it.value - middle).abs()).collect());
    // Peers that agree to the last digit must not make every breath an outlier.
    let spread = spread.max(0.01 * middle.abs()).max(f64::MIN_POSITIVE);
    let apart = |it: &Member| (it.value - middle).abs() / spread > APART && it.z > OWN;
    group.iter().enumerate().filter(|(_, it)| apart(it)).map(|(place, _)| place).collect()
}

/// Zero for no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half.wrapping_sub(1)), values.get(half)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        (_, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &[(f64, f64)]) -> Vec<Member> {
        values.iter().map(|(value, z)| Member { value: *value, z: *z }).collect()
    }

    #[test]
    fn who_differs_from_peers_and_from_itself_is_an_outlier() {
        let sick = group(&[(10.0, 0.2), (11.0, 0.1), (9.5, 0.4), (10.4, 0.0), (60.0, 8.0)]);
        assert_eq!(outliers(&sick), [4]);
        let always = group(&[(10.0, 0.2), (11.0, 0.1), (9.5, 0.4), (10.4, 0.0), (60.0, 0.3)]);
        assert!(outliers(&always).is_empty(), "it always was like that");
    }

    #[test]
    fn what_all_share_is_nobodys_own() {
        let upstream = group(&[(50.0, 9.0), (55.0, 8.0), (49.0, 7.0), (10.4, 0.0), (90.0, 9.0)]);
        assert!(shared(&upstream));
        assert!(outliers(&upstream).is_empty());
        assert!(!shared(&group(&[(50.0, 9.0), (55.0, 8.0)])), "two cannot tell");
        assert!(outliers(&[]).is_empty());
        assert!(outliers(&group(&[(5.0, 0.0); 6])).is_empty());
    }
}
