//! A cache that nears its bound is trimmed, oldest first, before it is in the way.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{found, part, sign};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;

/// From this share of its bound on a cache is worth trimming, in percent.
const WORTH: f64 = 80.0;
/// What it is trimmed to.
const EXPECTED: f64 = 60.0;
/// Fewer points are no gain.
const GAIN: f64 = 5.0;

/// See the module.
pub(super) struct CacheOptimization;

impl Kind for CacheOptimization {
    fn name(&self) -> &'static str {
        "cache_optimization"
    }

    fn about(&self) -> &'static str {
        "A declared cache uses 80 percent of its bound or more: what was not used for longest is removed until 60 percent \
         are in use."
    }

    fn metric(&self) -> &'static str {
        "cache.used_percent"
    }

    fn cause(&self) -> Cause {
        Cause::CacheLarge
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let parts = engine.target_at(key).report.parts_for(StepKind::OptimizeCache);
        let mut all = Vec::new();
        for it in parts {
            let Some(sign) = sign(&it.name) else { continue };
            let Some(now) = self.measure(engine, key, Some(&sign), Timestamp::ZERO).filter(|now| *now >= WORTH) else {
                continue;
            };
            let summary = format!("cache {} of {} uses {now:.0} % of its bound", it.name, engine.reference(key));
            all.push(found(engine, key, Some(sign), (now, EXPECTED), ((now - 50.0) / 100.0, 0.95), summary));
        }
        all
    }

    fn measure(&self, engine: &Engine, key: Key, name: Option<&ProbeName>, _since: Timestamp) -> Option<f64> {
        let it = part(engine, key, name?, |it| it.can(StepKind::OptimizeCache))?;
        u32::try_from(it.setting?.now?).ok().map(f64::from)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before - GAIN
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.0} %")
    }
}
