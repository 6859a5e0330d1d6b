//! A directory that grows towards its quota is cleaned while that is no fault yet.

use prunella_model::incident::Evidence;
use prunella_model::observation::{Finding, ProbeKind};
use prunella_model::{ProbeName, Timestamp};

use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::detect::trend::Line;
use crate::key::{Key, at};
use crate::repairs::ROOMY_PERCENT;
use crate::rules::percent;

/// From this share of its quota on a directory is worth cleaning.
const WORTH: f64 = 75.0;

/// How sure its growth must be.
const SURE: f64 = 0.95;

/// Fewer points of the quota than this are no gain.
const GAIN: f64 = 5.0;

/// See the module.
pub(super) struct DiskCleanup;

/// The trend of the series that belongs to a directory's probe.
fn line(engine: &Engine, key: Key, probe: &ProbeName) -> Option<Line> {
    let (host, target) = (&engine.hosts[at(key.host)], engine.target_at(key));
    let own = format!("directory.{probe}.used_percent");
    let lone = target.report.directories.len() == 1;
    let series = target.series.iter().filter_map(|number| host.series.get(at(*number))?.as_ref());
    let mut mine = series.filter(|it| {
        let metric = it.metric.as_str();
        metric == own || (lone && metric == "directory.used_percent")
    });
    mine.find_map(|it| it.trend.as_ref()?.line())
}

impl Kind for DiskCleanup {
    fn name(&self) -> &'static str {
        "disk_cleanup"
    }

    fn about(&self) -> &'static str {
        "A declared directory uses 75 percent of its quota or more and has grown steadily for hours: files that its age rule \
         covers are removed, oldest first, before it is a fault."
    }

    fn metric(&self) -> &'static str {
        "directory.used_percent"
    }

    fn cause(&self) -> Cause {
        Cause::DirectoryGrowth
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let host = &engine.hosts[at(key.host)];
        let mut all = Vec::new();
        for probe in engine.target_at(key).of_kind(ProbeKind::Directory) {
            let name = &probe.report.name;
            let Some(now) = self.measure(engine, key, Some(name), Timestamp::ZERO).filter(|now| *now >= WORTH) else {
                continue;
            };
            let Some(line) = line(engine, key, name).filter(|it| it.per_day > 0.0 && it.confidence >= SURE) else {
                continue;
            };
            let days = (100.0 - now).max(0.0) / line.per_day;
            let summary = format!(
                "{name} of {} is at {now:.0} % of its quota and grows by {:.1} points a day: full in {days:.1} days",
                engine.reference(key),
                line.per_day
            );
            all.push(Found {
                part: Some(name.clone()),
                // Half of it is how full it is, half how soon it is full.
                priority: ((now - WORTH) / (100.0 - WORTH)).clamp(0.0, 1.0) / 2.0 + 0.5 / days.max(1.0),
                confidence: line.confidence,
                now,
                expected: f64::from(ROOMY_PERCENT),
                evidence: vec![Evidence {
                    at: probe.last().map_or_else(|| host.clock.to_host(engine.now), |seen| seen.host),
                    target: engine.reference(key),
                    probe: Some(name.clone()),
                    status: probe.last().map(|seen| seen.status),
                    text: summary.clone(),
                }],
                summary,
                not_automatic: None,
            });
        }
        all
    }

    fn measure(&self, engine: &Engine, key: Key, part: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        let contact = engine.hosts[at(key.host)].contact();
        let probe = engine.target_at(key).probe(part?)?;
        probe.fresh(engine.now, contact, engine.policy.verification.fresh).filter(|seen| seen.host >= since)?;
        match &probe.finding {
            Some(Finding::DirectoryUse { used_bytes, quota_bytes }) => Some(percent(*used_bytes, *quota_bytes)),
            Some(_) | None => None,
        }
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before - GAIN
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.0} %")
    }
}
