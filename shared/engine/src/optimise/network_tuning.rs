//! Kernel parameters for which the administrator declared a better value, where answers can show that it is.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{FASTER, found, latency, of_host, seconds};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;
use crate::repairs::goal;

/// From this use of the host's processors on it matters more, in percent.
const BUSY: f64 = 70.0;

/// See the module.
pub(super) struct NetworkTuning;

impl Kind for NetworkTuning {
    fn name(&self) -> &'static str {
        "network_tuning"
    }

    fn about(&self) -> &'static str {
        "The administrator declared a better value of a kernel parameter than it has, and targets of the host are measured while they \
         answer: it is set, and undone when they do not answer faster."
    }

    fn metric(&self) -> &'static str {
        "latency_seconds"
    }

    fn cause(&self) -> Cause {
        Cause::Untuned
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let parts: Vec<_> =
            engine.target_at(key).report.parts_for(StepKind::SetSysctl).filter(|it| goal(it).is_some()).collect();
        let Some(now) = self.measure(engine, key, None, Timestamp::ZERO).filter(|_| !parts.is_empty()) else {
            return Vec::new();
        };
        let busy = of_host(engine, key, "cpu.used_percent", Timestamp::ZERO).unwrap_or(0.0);
        let names: Vec<&str> = parts.iter().map(|it| it.about.as_str()).collect();
        let name = engine.reference(key);
        let summary = format!(
            "{} of {name} could be set to what was declared as better; answers take {}",
            names.join(", "),
            seconds(now)
        );
        vec![found(engine, key, None, (now, now * FASTER), (if busy >= BUSY { 0.7 } else { 0.4 }, 0.7), summary)]
    }

    fn measure(&self, engine: &Engine, key: Key, _name: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        // What is set for the whole host is measured on all of it.
        let host = engine.target_at(key).report.name.is_host();
        latency(engine, key, since, |other| host || other == key)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before * FASTER
    }

    fn text(&self, value: f64) -> String {
        seconds(value)
    }
}
