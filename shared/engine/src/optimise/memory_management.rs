//! A service whose memory has grown a lot since its start gets a new run in a quiet hour.
//!
//! This is not a leak: what rises steadily is a fault and has a rule of its own. Here memory was taken once or in steps, and
//! never given back.

use std::time::Duration;

use prunella_model::incident::Evidence;
use prunella_model::{ProbeName, Timestamp};

use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::host::Series;
use crate::key::{Key, at};
use crate::text::bytes;

/// The floor must have grown to this many times what it was after the start.
const GROWN: f64 = 1.5;

/// And by this many bytes.
const GAIN_LEAST: f64 = 64.0 * 1024.0 * 1024.0;

/// A run shorter than this may still be finding its size.
const RUN_LEAST: Duration = Duration::from_secs(12 * 3_600);

/// The share of the old value that a new run may have to count as a gain.
const KEPT: f64 = 0.8;

/// See the module.
pub(super) struct MemoryManagement;

fn series<'a>(engine: &'a Engine, key: Key, metric: &'a str) -> Option<&'a Series> {
    let host = &engine.hosts[at(key.host)];
    let numbers = engine.target_at(key).series.iter();
    let mut mine = numbers.filter_map(|number| host.series.get(at(*number))?.as_ref());
    mine.find(|it| it.metric.as_str() == metric)
}

/// How much of the host's memory is in use, in percent.
fn pressure(engine: &Engine, key: Key) -> Option<f64> {
    let host = *engine.hosts[at(key.host)].names.get(&prunella_model::TargetName::host())?;
    series(engine, Key { target: host, ..key }, "memory.used_percent")?.value
}

/// Why a restart would take service away, if it would.
fn alone(engine: &Engine, key: Key) -> Option<String> {
    let service = engine.target_at(key).report.service.as_ref();
    let members = service.and_then(|service| engine.topology.services.get(service));
    let others = members.into_iter().flatten().filter(|member| **member != key && engine.serves(**member)).count();
    (others == 0).then(|| "no other member of its service is known to serve meanwhile".to_owned())
}

impl Kind for MemoryManagement {
    fn name(&self) -> &'static str {
        "memory_management"
    }

    fn about(&self) -> &'static str {
        "The floor of a service's memory is half again what it was after its start, and 64 MiB more, after a run of 12 hours: \
         it is restarted, never as the last healthy member of its service, and a critical one only where that has helped."
    }

    fn metric(&self) -> &'static str {
        "process.rss_bytes"
    }

    fn cause(&self) -> Cause {
        Cause::MemoryGrowth
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let Some(trend) = series(engine, key, self.metric()).and_then(|it| it.trend.as_ref()) else {
            return Vec::new();
        };
        let Some((first, floor)) = trend.grown() else { return Vec::new() };
        let Some(now) = self.measure(engine, key, None, Timestamp::ZERO) else { return Vec::new() };
        if trend.span() < RUN_LEAST || floor < first * GROWN || floor - first < GAIN_LEAST {
            return Vec::new();
        }
        let name = engine.reference(key);
        let summary = format!("the memory of {name} grew from {} to {} since its start", bytes(first), bytes(floor));
        let scarce = pressure(engine, key).map_or(0.3, |used| ((used - 40.0) / 60.0).clamp(0.1, 1.0));
        vec![Found {
            part: None,
            priority: scarce * (1.0 - first / floor).clamp(0.0, 1.0),
            // That a new run begins small again is what the first floor shows, once.
            confidence: 0.8,
            now,
            expected: first,
            evidence: vec![Evidence {
                at: engine.hosts[at(key.host)].clock.to_host(engine.now),
                target: name,
                probe: None,
                status: None,
                text: summary.clone(),
            }],
            summary,
            not_automatic: alone(engine, key),
        }]
    }

    fn measure(&self, engine: &Engine, key: Key, _part: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        let host = &engine.hosts[at(key.host)];
        let recent = engine.now.since(host.contact()?) <= engine.policy.verification.fresh;
        let measured = host.last_frame.is_some_and(|at| at >= since);
        series(engine, key, self.metric()).filter(|_| recent && measured)?.value
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before * KEPT
    }

    fn text(&self, value: f64) -> String {
        bytes(value)
    }
}
