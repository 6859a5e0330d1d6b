//! A service that matters gets the share of a contended host that the administrator declared for it.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{FASTER, found, latency, of_host, seconds};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;
use crate::repairs::{goal, is_group};

/// From this use of the host's processors on they are contended, in percent.
const BUSY: f64 = 70.0;

/// See the module.
pub(super) struct ServiceTuning;

impl Kind for ServiceTuning {
    fn name(&self) -> &'static str {
        "service_tuning"
    }

    fn about(&self) -> &'static str {
        "The host's processors are 70 percent busy, and the administrator declared a better control group weight for a target that \
         answers requests: that is set, and what it takes to answer is measured."
    }

    fn metric(&self) -> &'static str {
        "latency_seconds"
    }

    fn cause(&self) -> Cause {
        Cause::Starved
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let mut parts = engine.target_at(key).report.parts_for(StepKind::SetWeight);
        if !parts.any(|it| goal(it).is_some() && is_group(&it.about)) {
            return Vec::new();
        }
        let busy = of_host(engine, key, "cpu.used_percent", Timestamp::ZERO).filter(|it| *it >= BUSY);
        let (Some(busy), Some(now)) = (busy, self.measure(engine, key, None, Timestamp::ZERO)) else {
            return Vec::new();
        };
        let name = engine.reference(key);
        let summary = format!("{name} answers in {} while the host is {busy:.0} % busy", seconds(now));
        vec![found(engine, key, None, (now, now * FASTER), ((busy - 50.0) / 50.0, 0.7), summary)]
    }

    fn measure(&self, engine: &Engine, key: Key, _name: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        latency(engine, key, since, |other| other == key)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before * FASTER
    }

    fn text(&self, value: f64) -> String {
        seconds(value)
    }
}
