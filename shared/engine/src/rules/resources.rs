//! The host runs out of processor, memory or disk: the shipped thresholds.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Tuning};
use crate::detect::Detector;
use crate::detect::threshold::Threshold;

/// A share of a resource, in percent, that stays above a value.
pub(super) struct Pressure {
    name: &'static str,
    about: &'static str,
    /// What the name of the measured quantity begins with.
    begins: &'static str,
    threshold: f64,
    clear: f64,
    hold: Duration,
    severity: Severity,
}

/// Processor.
pub(super) const CPU: Pressure = Pressure {
    name: "cpu_saturated",
    about: "A host used 90 percent of its processors or more for 300 seconds; it is well again below 70.",
    begins: "cpu.",
    threshold: 90.0,
    clear: 70.0,
    hold: Duration::from_secs(300),
    severity: Severity::Medium,
};

/// Memory.
pub(super) const MEMORY: Pressure = Pressure {
    name: "memory_low",
    about: "A host used 95 percent of its memory or more for 60 seconds; it is well again below 80.",
    begins: "memory.",
    threshold: 95.0,
    clear: 80.0,
    hold: Duration::from_secs(60),
    severity: Severity::High,
};

/// Disk.
pub(super) const DISK: Pressure = Pressure {
    name: "disk_low",
    about: "A file system of a host was 95 percent full or more for 60 seconds; it is well again below 85.",
    begins: "disk.",
    threshold: 95.0,
    clear: 85.0,
    hold: Duration::from_secs(60),
    severity: Severity::High,
};

/// Whether no resource could have such a value: a share that is used lies between nothing and all. A sensor that says
/// otherwise is broken, which is no evidence of anything. A little beyond is rounding.
pub(crate) fn impossible(metric: &str, value: f64) -> bool {
    let share = metric.ends_with("used_percent") && !metric.starts_with("directory.");
    share && !(-1.0..=101.0).contains(&value)
}

/// Processor, before it is saturated.
pub(super) const CPU_HIGH: Pressure = Pressure {
    name: "cpu_high",
    about: "A warning: a host used 70 percent of its processors or more for 15 minutes; it is well again below 60.",
    begins: "cpu.",
    threshold: 70.0,
    clear: 60.0,
    hold: Duration::from_secs(900),
    severity: Severity::Low,
};

/// Memory, before it is low.
pub(super) const MEMORY_HIGH: Pressure = Pressure {
    name: "memory_high",
    about: "A warning: a host used 80 percent of its memory or more for 15 minutes; it is well again below 75.",
    begins: "memory.",
    threshold: 80.0,
    clear: 75.0,
    hold: Duration::from_secs(900),
    severity: Severity::Low,
};

/// Disk, before it is low.
pub(super) const DISK_HIGH: Pressure = Pressure {
    name: "disk_high",
    about: "A warning: a file system of a host was 85 percent full or more for 15 minutes; it is well again below 80.",
    begins: "disk.",
    threshold: 85.0,
    clear: 80.0,
    hold: Duration::from_secs(900),
    severity: Severity::Low,
};

impl Rule for Pressure {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: self.severity,
            threshold: self.threshold,
            clear: self.clear,
            hold: self.hold,
            count: 1,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() {
            return Judgement::Unknown;
        }
        super::measured(it, |metric, alarm| {
            let held = crate::text::span(it.tuning.hold);
            format!("{} of {} is at {:.0} %, above {:.0} % for {held}", metric, it.host.id, alarm.value, alarm.against)
        })
    }

    fn watches(&self, series: &SeriesName) -> Option<Detector> {
        let metric = series.metric.as_str();
        let mine = series.target.is_host() && metric.starts_with(self.begins) && metric.ends_with("used_percent");
        mine.then(|| Detector::Threshold(Threshold::default()))
    }
}
