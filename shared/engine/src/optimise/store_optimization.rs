//! A store on a filling disk: equal files are made one.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{found, of_host};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;

/// From this use of the disk on it is worth the work, in percent.
const WORTH: f64 = 70.0;
/// Fewer points are no gain.
const GAIN: f64 = 1.0;

/// See the module.
pub(super) struct StoreOptimization;

impl Kind for StoreOptimization {
    fn name(&self) -> &'static str {
        "store_optimization"
    }

    fn about(&self) -> &'static str {
        "The host's disk is 70 percent full or more, and it has a declared store: equal files of the store are made one."
    }

    fn metric(&self) -> &'static str {
        "disk.used_percent"
    }

    fn cause(&self) -> Cause {
        Cause::StoreLarge
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        if engine.target_at(key).report.parts_for(StepKind::OptimizeStore).next().is_none() {
            return Vec::new();
        }
        let Some(now) = self.measure(engine, key, None, Timestamp::ZERO).filter(|now| *now >= WORTH) else {
            return Vec::new();
        };
        let summary = format!("the disk under the store of {} is {now:.0} % full", engine.reference(key));
        let expected = now - GAIN;
        vec![found(engine, key, None, (now, expected), ((now - WORTH) / (100.0 - WORTH), 0.7), summary)]
    }

    fn measure(&self, engine: &Engine, key: Key, _name: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        of_host(engine, key, self.metric(), since)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before - GAIN
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.1} %")
    }
}
