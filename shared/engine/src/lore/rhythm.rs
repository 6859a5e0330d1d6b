//! When a fault comes back: by its rhythm, or else by how often it came lately.

use std::collections::BTreeSet;
use std::time::Duration;

use prunella_model::Timestamp;

use super::bounds;
use crate::key::next;
use crate::text::about;

/// Fewer times between openings than this tell nothing.
const GAPS_LEAST: usize = 4;

/// A time between openings that differs from the median by no more than this share of it keeps the rhythm.
const NEAR: f64 = 0.25;

/// What comes back faster than this has no rhythm that anybody could use.
const SHORTEST: f64 = 60.0;

/// A prediction must be likelier than this, with 95 %.
const LIKELY: f64 = 0.5;

/// The spans in which a fault without a rhythm is counted, in seconds: an hour, a quarter of a day, a day, a week.
const SPANS: [f64; 4] = [3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// Over so many spans at least it is counted.
const SPANS_LEAST: usize = 5;

/// And over so many at most: older ones tell of other times.
const SPANS_MOST: usize = 32;

/// When a fault is expected again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Again {
    /// When; without a rhythm, by when.
    pub(super) at: Timestamp,
    /// Not before this.
    pub(super) earliest: Timestamp,
    /// Not after this.
    pub(super) latest: Timestamp,
    /// How likely it is, 0 to 1.
    pub(super) confidence: f64,
    /// What that stands on.
    pub(super) evidence: String,
}

fn seconds(it: f64) -> Duration {
    Duration::from_secs_f64(it.clamp(0.0, 1e9))
}

/// When a fault that was opened at these times, oldest first, is expected again. Null when nothing tells.
pub(super) fn again(openings: &[Timestamp], now: Timestamp) -> Option<Again> {
    by_rhythm(openings, now).or_else(|| by_count(openings, now))
}

/// It came back after about the same time, again and again, and is not overdue by more than that varied.
fn by_rhythm(openings: &[Timestamp], now: Timestamp) -> Option<Again> {
    let mut gaps: Vec<f64> =
        openings.windows(2).filter_map(|it| Some(it.last()?.since(*it.first()?).as_secs_f64())).collect();
    if gaps.len() < GAPS_LEAST {
        return None;
    }
    gaps.sort_unstable_by(f64::total_cmp);
    let median = gaps.get(gaps.len() / 2).copied()?;
    let near = gaps.iter().filter(|gap| (*gap - median).abs() <= NEAR * median).count();
    let (all, kept) = (f64::from(next(gaps.len())), f64::from(next(near)));
    let last = *openings.last()?;
    let after = |share: f64| last.after(seconds(median * share));
    let (earliest, latest) = (after(1.0 - NEAR), after(1.0 + NEAR));
    if median < SHORTEST || bounds(kept, all).0 < LIKELY || latest <= now {
        return None;
    }
    Some(Again {
        at: after(1.0).max(now),
        earliest: earliest.max(now),
        latest,
        confidence: (kept + 1.0) / (all + 2.0),
        evidence: format!(
            "{near} of the last {} times it came back within {:.0} % of {}",
            gaps.len(),
            NEAR * 100.0,
            about(median)
        ),
    })
}

/// It came in most of the latest spans of one length. Counted so, a burst of openings counts once.
fn by_count(openings: &[Timestamp], now: Timestamp) -> Option<Again> {
    let first = *openings.first()?;
    if openings.len() <= GAPS_LEAST {
        return None;
    }
    SPANS.into_iter().find_map(|length| {
        let span = |at: Timestamp| (now.since(at).as_secs_f64() / length) as usize;
        // The span in which it was first seen is not whole, and was chosen because it was seen.
        let known = span(first).min(SPANS_MOST);
        if known < SPANS_LEAST {
            return None;
        }
        let seen: BTreeSet<usize> = openings.iter().map(|at| span(*at)).filter(|it| *it < known).collect();
        let (hits, all) = (f64::from(next(seen.len())), f64::from(next(known)));
        if bounds(hits, all).0 < LIKELY {
            return None;
        }
        let latest = now.after(seconds(length));
        Some(Again {
            at: latest,
            earliest: now,
            latest,
            confidence: (hits + 1.0) / (all + 2.0),
            evidence: format!("it came in {} of the last {known} spans of {}", seen.len(), about(length)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: f64) -> Timestamp {
        Timestamp::from_secs(1_000_000).after(seconds(hours * 3_600.0))
    }

    fn openings(hours: &[f64]) -> Vec<Timestamp> {
        hours.iter().map(|it| at(*it)).collect()
    }

    #[test]
    fn what_comes_back_with_a_rhythm_is_expected_in_time() {
        let it = again(&openings(&[0.0, 6.0, 12.2, 18.0, 24.1, 30.0]), at(33.0)).expect("a rhythm");
        assert!((it.at, it.earliest, it.latest) > (at(35.9), at(34.4), at(37.4)), "{it:?}");
        assert!(it.at < at(36.3) && it.confidence > 0.8, "{it:?}");
        assert!(it.evidence.starts_with("5 of the last 5 times"), "{}", it.evidence);
    }

    #[test]
    fn what_is_overdue_has_lost_its_rhythm() {
        let regular = openings(&[0.0, 6.0, 12.0, 18.0, 24.0, 30.0]);
        assert!(by_rhythm(&regular, at(37.4)).is_some());
        assert_eq!(by_rhythm(&regular, at(37.6)), None);
        assert_eq!(again(&regular, at(24.0 * 60.0)), None, "two months later nothing is expected");
    }

    #[test]
    fn what_comes_at_any_time_is_counted_and_a_burst_counts_once() {
        let daily: Vec<f64> = (0..14).map(|day| f64::from(day) * 24.0 + f64::from(day * 7 % 11)).collect();
        let it = again(&openings(&daily), at(14.0 * 24.0)).expect("it comes daily");
        assert_eq!((it.earliest, it.latest), (at(14.0 * 24.0), at(15.0 * 24.0)));
        let burst: Vec<f64> = (0..32).map(|it| f64::from(it) * 0.001).collect();
        assert_eq!(again(&openings(&burst), at(24.0 * 9.0)), None);
    }

    #[test]
    fn few_openings_tell_nothing() {
        assert_eq!(again(&openings(&[0.0, 6.0, 12.0, 18.0]), at(20.0)), None);
        assert_eq!(again(&[], at(0.0)), None);
        assert_eq!(again(&openings(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), at(0.0)), None, "nor do those in disorder");
    }
}
