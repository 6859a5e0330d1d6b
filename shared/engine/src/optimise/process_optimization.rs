//! A service of no urgency that takes what others need gives way to them.

use prunella_model::step::StepKind;
use prunella_model::{ProbeName, Timestamp};

use super::measures::{FASTER, found, latency, of_host, seconds, value};
use super::{Found, Kind};
use crate::Engine;
use crate::cause::Cause;
use crate::key::Key;
use crate::repairs::{goal, is_group};

/// From this use of the host's processors on they are contended, in percent.
const BUSY: f64 = 70.0;
/// From this share of a processor on a process takes something from others, in percent.
const TAKES: f64 = 50.0;

/// See the module.
pub(super) struct ProcessOptimization;

impl Kind for ProcessOptimization {
    fn name(&self) -> &'static str {
        "process_optimization"
    }

    fn about(&self) -> &'static str {
        "A target that is not critical uses half a processor or more while the host's are 70 percent busy, and the administrator \
         declared a better nice value or I/O priority for it: that is set, and what the host's other targets take to answer is measured."
    }

    fn metric(&self) -> &'static str {
        "latency_seconds"
    }

    fn cause(&self) -> Cause {
        Cause::Contention
    }

    fn find(&self, engine: &Engine, key: Key) -> Vec<Found> {
        let target = engine.target_at(key);
        let mut parts = target.report.parts_for(StepKind::SetWeight);
        if target.report.critical || !parts.any(|it| goal(it).is_some() && !is_group(&it.about)) {
            return Vec::new();
        }
        let takes = value(engine, key, "process.cpu_percent", Timestamp::ZERO).filter(|it| *it >= TAKES);
        let busy = of_host(engine, key, "cpu.used_percent", Timestamp::ZERO).filter(|it| *it >= BUSY);
        let now = self.measure(engine, key, None, Timestamp::ZERO);
        let (Some(takes), Some(busy), Some(now)) = (takes, busy, now) else { return Vec::new() };
        let name = engine.reference(key);
        let summary = format!(
            "{name} uses {takes:.0} % of a processor while the host is {busy:.0} % busy; others answer in {}",
            seconds(now)
        );
        vec![found(engine, key, None, (now, now * FASTER), ((busy - 50.0) / 50.0, 0.7), summary)]
    }

    fn measure(&self, engine: &Engine, key: Key, _name: Option<&ProbeName>, since: Timestamp) -> Option<f64> {
        latency(engine, key, since, |other| other != key)
    }

    fn helped(&self, before: f64, after: f64) -> bool {
        after <= before * FASTER
    }

    fn text(&self, value: f64) -> String {
        seconds(value)
    }
}
