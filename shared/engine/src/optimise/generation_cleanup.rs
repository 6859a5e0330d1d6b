//! Releases beyond those that are to be kept are removed.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{found, of_host, part, sign};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;

/// See the module.
pub(super) struct GenerationCleanup;

impl Kind for GenerationCleanup {
    fn name(&self) -> &'static str {
        "generation_cleanup"
    }

    fn about(&self) -> &'static str {
        "There are more releases than the administrator wants to keep: the oldest are removed, never the current nor the \
         known-good one."
    }

    fn metric(&self) -> &'static str {
        "releases.spare"
    }

    fn cause(&self) -> Cause {
        Cause::OldGenerations
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let mut all = Vec::new();
        for it in engine.target_at(key).report.parts_for(StepKind::PruneGenerations) {
            let Some(sign) = sign(&it.name) else { continue };
            let Some(now) = self.measure(engine, key, Some(&sign), Timestamp::ZERO).filter(|now| *now > 0.0) else {
                continue;
            };
            let summary =
                format!("{} of {} has {now:.0} releases more than are to be kept", it.name, engine.reference(key));
            // It matters as much as the disk is full.
            let full = of_host(engine, key, "disk.used_percent", Timestamp::ZERO).unwrap_or(50.0) / 100.0;
            all.push(found(engine, key, Some(sign), (now, 0.0), (full / 2.0, 0.95), summary));
        }
        all
    }

    fn measure(&self, engine: &Engine, key: Key, name: Option<&ProbeName>, _since: Timestamp) -> Option<f64> {
        part(engine, key, name?, |it| it.can(StepKind::PruneGenerations))?.spare.map(f64::from)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after < before
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.0} releases")
    }
}
