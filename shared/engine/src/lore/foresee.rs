//! What is expected to happen: from trends, and from how faults came back.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::knowledge::PatternRecord;

use super::{in_words, rhythm};
use crate::Engine;
use crate::host::Series;
use crate::key::{Key, at};
use crate::rules;
use crate::text::about;
use crate::view::{Capacity, Course, Foreseen, Level, Prediction, TrendView};

/// A trend reaches so many times as far ahead as it was watched.
const REACH: u32 = 4;

/// How sure the rank correlation is by which the rule `exhaustion` speaks: one less p, one-sided.
const FORECAST_SURE: f64 = 0.9987;

/// A line through fewer scores than this, or that explains less of them than half, tells nothing of the future.
const SCORES_LEAST: usize = 10;
const EXPLAINS_LEAST: f64 = 0.5;

fn seconds(it: f64) -> Duration {
    Duration::from_secs_f64(it.clamp(0.0, 1e9))
}

/// Where a level begins; null for the lowest, which nothing lies below.
const fn begins(level: Level) -> Option<f64> {
    match level {
        Level::Excellent => Some(90.0),
        Level::Good => Some(75.0),
        Level::Fair => Some(60.0),
        Level::Poor => Some(40.0),
        Level::Critical => None,
    }
}

impl Engine {
    /// What is expected to happen, soonest first. Empty where too little is known.
    #[must_use]
    pub fn predictions(&self, now: Timestamp) -> Vec<Prediction> {
        let mut all: Vec<Prediction> = self.foreseen_capacities(now).iter().filter_map(|it| used_up(it, now)).collect();
        all.extend(self.forecasts(now));
        let fresh = self.policy.health.interval() * 2;
        let trends = self.trends().into_iter().filter(|(_, (taken, _), _)| now.since(*taken) <= fresh);
        all.extend(trends.filter_map(|(name, last, trend)| falls(name, last, &trend)));
        let own = self.book.patterns().filter(|it| it.source.is_none());
        all.extend(own.filter_map(|it| comes_back(it, now)));
        all.sort_by(|a, b| (a.at, &a.summary).cmp(&(b.at, &b.summary)));
        all
    }

    /// What will be used up by its trend, within the reach of that.
    pub(super) fn foreseen_capacities(&self, now: Timestamp) -> Vec<Capacity> {
        let mut all = self.capacities(now);
        all.retain(|it| it.exhausted_at.is_some_and(|end| end.since(now) <= it.watched * REACH));
        all
    }

    /// What the rule `exhaustion` foresees of series of which no capacity is told.
    fn forecasts(&self, now: Timestamp) -> Vec<Prediction> {
        let Some(rule) = rules::index_of(rules::EXHAUSTION) else { return Vec::new() };
        let mut all = Vec::new();
        for host in self.names.values().copied() {
            let series = self.hosts[at(host)].series.iter().flatten();
            for it in series.filter(|it| it.trend.is_none()) {
                let watches = it.watches.iter().filter(|watch| watch.rule == rule);
                for alarm in watches.filter_map(|watch| watch.detector.alarm()) {
                    let key = Key { host, target: it.target };
                    all.extend(self.forecast(key, it, alarm, now));
                }
            }
        }
        all
    }

    fn forecast(&self, key: Key, series: &Series, alarm: crate::detect::Alarm, now: Timestamp) -> Option<Prediction> {
        let end = alarm.since.after(seconds(alarm.against));
        let fresh = self.hosts[at(key.host)].contact();
        fresh.filter(|it| now.since(*it) <= self.policy.verification.fresh && end > now)?;
        let target = self.reference(key);
        Some(Prediction {
            kind: Foreseen::Exhaustion,
            name: Some(self.subject(key)),
            subject: None,
            at: end,
            earliest: None,
            latest: None,
            confidence: FORECAST_SURE,
            summary: format!("{} of {target} will be used up", series.metric),
            evidence: vec![format!(
                "it was at {:.1} % when the rise was seen, and {} were left then",
                alarm.value,
                about(alarm.against)
            )],
        })
    }
}

/// What is used up, by the line through the last day.
fn used_up(it: &Capacity, now: Timestamp) -> Option<Prediction> {
    let (end, used, per_day, confidence) = (it.exhausted_at?, it.used_percent?, it.per_day?, it.confidence?);
    Some(Prediction {
        kind: Foreseen::Exhaustion,
        name: Some(format!("hosts/{}/targets/{}", it.target.host, it.target.target)),
        subject: None,
        at: end,
        earliest: None,
        latest: None,
        confidence,
        summary: format!("{} of {} will be used up", it.metric, it.target),
        evidence: vec![format!(
            "it is at {used:.1} % and rises by {per_day:.1} points a day, watched for {}: full in {}",
            about(it.watched.as_secs_f64()),
            about(end.since(now).as_secs_f64())
        )],
    })
}

/// A health that falls to the next level as far ahead as its line reaches.
fn falls(name: String, (taken, score): (Timestamp, f64), trend: &TrendView) -> Option<Prediction> {
    let border = begins(Level::of(score))?;
    let sure = trend.confidence >= EXPLAINS_LEAST && trend.scores >= SCORES_LEAST;
    if trend.course != Course::Declining || !sure || trend.prediction >= border {
        return None;
    }
    let hours = (score - border) / -trend.slope_per_hour;
    let below = Level::of(trend.prediction);
    Some(Prediction {
        kind: Foreseen::Health,
        at: taken.after(seconds(hours * 3_600.0).min(trend.ahead)),
        earliest: None,
        latest: None,
        confidence: trend.confidence,
        summary: format!("the health of {name} will be {}", below.as_str()),
        evidence: vec![format!(
            "it is {score:.0}, falls by {:.1} an hour over {} scores, and comes to {:.0} within {}",
            -trend.slope_per_hour,
            trend.scores,
            trend.prediction,
            about(trend.ahead.as_secs_f64())
        )],
        name: Some(name),
        subject: None,
    })
}

/// A fault that comes back.
fn comes_back(it: &PatternRecord, now: Timestamp) -> Option<Prediction> {
    let again = rhythm::again(&it.recent, now)?;
    Some(Prediction {
        kind: Foreseen::Recurrence,
        name: None,
        subject: Some(it.subject.clone()),
        at: again.at,
        earliest: Some(again.earliest),
        latest: Some(again.latest),
        confidence: again.confidence,
        summary: format!("{} will come back", in_words(&it.subject)),
        evidence: vec![again.evidence, format!("{} closed incidents in all", it.incidents)],
    })
}
