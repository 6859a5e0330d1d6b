//! The memory of the target's process only ever grows.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Tuning};
use crate::detect::Detector;
use crate::detect::growth::Growth;
use crate::text::bytes;

/// The resident memory of a target's process.
const METRIC: &str = "process.rss_bytes";

/// See the module.
pub(super) struct MemoryLeak;

impl Rule for MemoryLeak {
    fn name(&self) -> &'static str {
        super::MEMORY_LEAK
    }

    fn about(&self) -> &'static str {
        "The floor of a process's memory rose steadily through 16 blocks of 30 minutes (rapid: 10 of half a second), by \
         a fifth or more, and does not flatten as a warm-up does."
    }

    fn shipped(&self, profile: Profile) -> Tuning {
        let (hold, count) = match profile {
            Profile::Standard => (Duration::from_secs(1_800), 16),
            Profile::Rapid => (Duration::from_millis(500), 10),
        };
        Tuning { enabled: true, severity: Severity::Medium, threshold: 20.0, clear: 0.0, hold, count }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        super::measured(it, |_, alarm| {
            format!(
                "the memory of {} grew steadily from {} to {}",
                it.target.report.name,
                bytes(alarm.against),
                bytes(alarm.value)
            )
        })
    }

    fn watches(&self, series: &SeriesName) -> Option<Detector> {
        (series.metric.as_str() == METRIC).then(|| Detector::Growth(Growth::default()))
    }
}
