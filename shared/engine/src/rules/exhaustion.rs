//! A share that rises will reach its end, and when.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Tuning};
use crate::detect::Detector;

/// What the names of the shares that can run out begin with.
const RUN_OUT: [&str; 4] = ["disk.", "inodes.", "files.", "memory."];

/// See the module.
pub(super) struct Exhaustion;

impl Rule for Exhaustion {
    fn name(&self) -> &'static str {
        super::EXHAUSTION
    }

    fn about(&self) -> &'static str {
        "A share of disk, inodes, open files or memory rises steadily, is higher than in the week before, and will reach its \
         end: within 1 hour by the trend of half an hour, within 4, 8 or 24 hours by that of 2, 8 or 24 (rapid: by that \
         of 8 seconds, 32 and so on). It is well again when the share falls by a point."
    }

    fn shipped(&self, profile: Profile) -> Tuning {
        let hold = match profile {
            Profile::Standard => Duration::from_secs(1_800),
            Profile::Rapid => Duration::from_secs(8),
        };
        Tuning { enabled: true, severity: Severity::Medium, threshold: 0.0, clear: 0.0, hold, count: 1 }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        super::measured(it, |metric, alarm| {
            format!(
                "{metric} of {} is at {:.0} % and rises; it will reach 100 % in about {}",
                if it.target.report.name.is_host() { it.host.id.as_str() } else { it.target.report.name.as_str() },
                alarm.value,
                crate::text::about(alarm.against)
            )
        })
    }

    fn foresees(&self) -> bool {
        true
    }

    fn watches(&self, series: &SeriesName) -> Option<Detector> {
        let metric = series.metric.as_str();
        let mine = RUN_OUT.iter().any(|it| metric.starts_with(it)) && metric.ends_with("used_percent");
        // The files of one process are those of `descriptor_leak`, which knows what helps.
        let mine = mine && (series.target.is_host() || !metric.starts_with("files."));
        mine.then(|| Detector::Forecast(Box::default()))
    }
}
