//! Scores alarms by events: what a person on call would say of them.
//!
//! A labelled range counts once, whenever the first alarm in it comes. Outside of the ranges an alarm that stays on, or
//! comes again, counts as a new false incident each hour. Never point-adjusted: by that, noise scores above 0.6.

use serde::Serialize;

use super::data::Host;

/// What a threshold came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Count {
    /// Labelled ranges with an alarm.
    pub(super) found: u32,
    /// All labelled ranges.
    pub(super) ranges: u32,
    /// False incidents.
    pub(super) false_ones: u32,
    /// The sum of the delays of the ranges that were found, in seconds.
    pub(super) delay: f64,
}

impl Count {
    /// Counts the alarms of one host: the rows whose score is `threshold` or more. Only rows after the history count.
    pub(super) fn of(host: &Host, scores: &[f64], threshold: f64) -> Self {
        let mut it = Self::default();
        let mut range: Option<(u64, bool)> = None;
        let mut incident: Option<u64> = None;
        let rows = host.times.iter().zip(&host.labels).zip(scores).skip(host.train);
        for ((at, label), score) in rows {
            let alarm = *score >= threshold;
            if *label {
                let (from, known) = range.unwrap_or_else(|| {
                    it.ranges += 1;
                    (*at, false)
                });
                if alarm {
                    incident = Some(*at);
                    if !known {
                        it.found += 1;
                        it.delay += (*at - from) as f64;
                    }
                }
                range = Some((from, known || alarm));
                continue;
            }
            range = None;
            if alarm && incident.is_none_or(|began| at.saturating_sub(began) >= 3_600) {
                it.false_ones += 1;
                incident = Some(*at);
            }
        }
        it
    }

    pub(super) fn add(&mut self, other: Self) {
        self.found += other.found;
        self.ranges += other.ranges;
        self.false_ones += other.false_ones;
        self.delay += other.delay;
    }

    /// The harmonic mean of precision and recall; zero when nothing was found.
    pub(super) fn f1(self) -> f64 {
        let all = self.found + self.false_ones + self.ranges;
        if all == 0 { 0.0 } else { 2.0 * f64::from(self.found) / f64::from(all) }
    }

    /// The share of ranges that were found; null when there are none.
    pub(super) fn recall(self) -> Option<f64> {
        (self.ranges > 0).then(|| f64::from(self.found) / f64::from(self.ranges))
    }
}

/// What a set came to.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Event-F1, each host at the threshold that is best on the others; null with a single host.
    pub(super) event_f1: Option<f64>,
    /// The mean time from the start of a range to its alarm, at those thresholds.
    pub(super) delay_s: Option<f64>,
    /// False incidents for each day of a host, at those thresholds.
    pub(super) false_per_host_day: Option<f64>,
    /// Recall at those thresholds.
    pub(super) recall: Option<f64>,
    /// The share of ranges found where the host's own history, without labels, was asked for 0.1 incidents a day.
    pub(super) recall_at_0_1: Option<f64>,
    /// False incidents a day that this really made.
    pub(super) false_at_0_1: Option<f64>,
    /// Event-F1 at that level.
    pub(super) event_f1_at_0_1: f64,
    /// The same asked for one incident a day.
    pub(super) recall_at_1: Option<f64>,
    pub(super) false_at_1: Option<f64>,
    pub(super) event_f1_at_1: f64,
    pub(super) hosts: usize,
    pub(super) ranges: u32,
    pub(super) host_days: f64,
}

/// The thresholds that are tried: in the common unit of all hosts, so that no host's own scores decide.
fn thresholds() -> impl Iterator<Item = f64> {
    (0..500).map(|it| f64::from(it) * 0.05)
}

/// Judges the calibrated scores of a set's hosts. `level` says what score belongs to a rate a day.
pub(super) fn judge(hosts: &[Host], scores: &[Vec<f64>], level: impl Fn(f64) -> f64) -> Verdict {
    let days: f64 = hosts.iter().map(days).sum();
    let pairs = || hosts.iter().zip(scores);
    let table: Vec<Vec<Count>> =
        pairs().map(|(host, own)| thresholds().map(|it| Count::of(host, own, it)).collect()).collect();
    let mut held_out = Count::default();
    for (left_out, own) in table.iter().enumerate() {
        let others = |place: usize| {
            let mut sum = Count::default();
            table.iter().enumerate().filter(|(i, _)| *i != left_out).for_each(|(_, it)| sum.add(it[place]));
            sum.f1()
        };
        let best = (0..own.len()).max_by(|a, b| others(*a).total_cmp(&others(*b)));
        held_out.add(best.map_or_else(Count::default, |place| own[place]));
    }
    let at = |rate: f64| {
        let mut sum = Count::default();
        pairs().for_each(|(host, own)| sum.add(Count::of(host, own, level(rate))));
        sum
    };
    let (tenth, one) = (at(0.1), at(1.0));
    let rate = |it: Count| (days > 0.0).then(|| round(f64::from(it.false_ones) / days));
    let several = hosts.len() > 1;
    Verdict {
        event_f1: several.then(|| round(held_out.f1())),
        delay_s: (several && held_out.found > 0).then(|| (held_out.delay / f64::from(held_out.found)).round()),
        false_per_host_day: rate(held_out).filter(|_| several),
        recall: held_out.recall().map(round).filter(|_| several),
        recall_at_0_1: tenth.recall().map(round),
        false_at_0_1: rate(tenth),
        event_f1_at_0_1: round(tenth.f1()),
        recall_at_1: one.recall().map(round),
        false_at_1: rate(one),
        event_f1_at_1: round(one.f1()),
        hosts: hosts.len(),
        ranges: one.ranges,
        host_days: round(days),
    }
}

/// The days of a host that are scored.
fn days(host: &Host) -> f64 {
    match (host.times.get(host.train), host.times.last()) {
        (Some(first), Some(last)) => last.saturating_sub(*first) as f64 / 86_400.0,
        (None, _) | (_, None) => 0.0,
    }
}

pub(super) fn round(it: f64) -> f64 {
    (it * 1e4).round() / 1e4
}
