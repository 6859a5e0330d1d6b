//! What several kinds of opportunity measure.

use prunella_model::part::PartReport;
use prunella_model::{PartName, ProbeName, Timestamp};

use super::Found;
use crate::Engine;
use crate::host::Host;
use crate::key::{Key, at, next};

/// Whether something was measured on the host since `since` by its own clock, and it is still heard.
fn is_recent(engine: &Engine, host: &Host, since: Timestamp) -> bool {
    let heard = host.contact().is_some_and(|contact| engine.now.since(contact) <= engine.policy.verification.fresh);
    heard && host.last_frame.is_some_and(|at| at >= since)
}

/// The value of a target's measurement.
pub(super) fn value(engine: &Engine, key: Key, metric: &str, since: Timestamp) -> Option<f64> {
    let host = &engine.hosts[at(key.host)];
    let series = engine.target_at(key).series.iter().filter_map(|number| host.series.get(at(*number))?.as_ref());
    let mut mine = series.filter(|it| it.metric.as_str() == metric);
    mine.next().filter(|_| is_recent(engine, host, since))?.value
}

/// The same of the host that a target is on.
pub(super) fn of_host(engine: &Engine, key: Key, metric: &str, since: Timestamp) -> Option<f64> {
    let target = *engine.hosts[at(key.host)].names.get(&prunella_model::TargetName::host())?;
    value(engine, Key { target, ..key }, metric, since)
}

/// The mean time that targets of the host take to answer, in seconds; of those that `counts` names.
pub(super) fn latency(engine: &Engine, key: Key, since: Timestamp, counts: impl Fn(Key) -> bool) -> Option<f64> {
    let host = &engine.hosts[at(key.host)];
    if !is_recent(engine, host, since) {
        return None;
    }
    let (mut sum, mut count) = (0.0, 0.0);
    for target in 0..next(host.targets.len()) {
        let other = Key { target, ..key };
        if engine.target_at(other).gone || !counts(other) {
            continue;
        }
        let series = engine.target_at(other).series.iter().filter_map(|number| host.series.get(at(*number))?.as_ref());
        for seconds in series.filter(|it| it.metric.as_str().ends_with("latency_seconds")).filter_map(|it| it.value) {
            sum += seconds;
            count += 1.0;
        }
    }
    (count > 0.0).then(|| sum / count)
}

/// The part of that name, as it was last reported. An agent looks at its parts right after it has acted on one, and
/// says what has changed; so hearing from it vouches for the rest.
pub(super) fn part<'e>(
    engine: &'e Engine,
    key: Key,
    name: &ProbeName,
    fits: impl Fn(&PartReport) -> bool,
) -> Option<&'e PartReport> {
    let host = &engine.hosts[at(key.host)];
    let heard = host.contact().is_some_and(|contact| engine.now.since(contact) <= engine.policy.verification.fresh);
    let parts = engine.target_at(key).report.parts.iter();
    let mut mine = parts.filter(|it| it.name.as_str() == name.as_str() && fits(it));
    mine.next().filter(|_| heard)
}

/// A part's name as the sign that shows an opportunity.
pub(super) fn sign(name: &PartName) -> Option<ProbeName> {
    ProbeName::new(name.as_str()).ok()
}

/// An opportunity that stands on one measurement.
pub(super) fn found(
    engine: &Engine,
    key: Key,
    part: Option<ProbeName>,
    (now, expected): (f64, f64),
    (priority, confidence): (f64, f64),
    summary: String,
) -> Found {
    Found {
        priority: priority.clamp(0.0, 1.0),
        confidence,
        now,
        expected,
        evidence: vec![prunella_model::incident::Evidence {
            at: engine.hosts[at(key.host)].clock.to_host(engine.now),
            target: engine.reference(key),
            probe: None,
            status: None,
            text: summary.clone(),
        }],
        part,
        summary,
        not_automatic: None,
    }
}

/// A time for a person.
pub(super) fn seconds(value: f64) -> String {
    format!("{:.1} ms", value * 1000.0)
}

/// Answers must be this much faster for a change to be worth having.
pub(super) const FASTER: f64 = 0.9;
