//! A process takes more and more of something and never gives it back: memory, threads, or the files that it may open.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Tuning};
use crate::detect::growth::Growth;
use crate::detect::{Alarm, Detector};
use crate::text::{about, bytes};

/// How a leak is measured.
#[derive(Debug, Clone, Copy)]
enum Looks {
    /// By a floor that only rises; growth by less than this is not worth a restart, whatever its share.
    Floor(f64),
    /// By a share that will reach its end.
    End,
}

/// One kind of leak.
pub(super) struct Leak {
    name: &'static str,
    about: &'static str,
    metric: &'static str,
    looks: Looks,
    /// In percent of where it began.
    threshold: f64,
    shadow: bool,
}

/// Memory.
pub(super) const MEMORY: Leak = Leak {
    name: super::MEMORY_LEAK,
    about: "The floor of a process's memory rose steadily through 16 blocks of 30 minutes (rapid: 10 of half a second), by a \
            fifth or more, and does not flatten as a warm-up does; or it doubled in 16 blocks of 7.5 minutes, each higher \
            than those before.",
    metric: "process.rss_bytes",
    looks: Looks::Floor(4.0 * 1024.0 * 1024.0),
    threshold: 20.0,
    shadow: false,
};

/// Threads. More load may mean more of them all day long, so this is said in shadow until somebody promotes it.
pub(super) const THREADS: Leak = Leak {
    name: super::THREAD_LEAK,
    about: "The least number of a process's threads rose steadily through 16 blocks of 30 minutes, by half or more and by 32 \
            or more; or it doubled in 16 blocks of 7.5 minutes, each higher than those before. It starts in shadow: it says \
            what it would have opened, and opens nothing.",
    metric: "process.threads",
    looks: Looks::Floor(32.0),
    threshold: 50.0,
    shadow: true,
};

/// Open files, against the limit of the process: how many are too many, only that limit says.
pub(super) const DESCRIPTORS: Leak = Leak {
    name: super::DESCRIPTOR_LEAK,
    about: "The files that a process has open, in percent of what it may open, rise steadily, are more than in the week \
            before, and will reach their limit: within 1 hour by the trend of half an hour, within 4, 8 or 24 hours by that \
            of 2, 8 or 24 (rapid: by that of 8 seconds, 32 and so on). Measured as files.used_percent of a target.",
    metric: "files.used_percent",
    looks: Looks::End,
    threshold: 0.0,
    shadow: false,
};

impl Leak {
    fn text(&self, it: &Subject<'_>, alarm: Alarm) -> String {
        let target = &it.target.report.name;
        match self.looks {
            Looks::End => format!(
                "{target} has {:.0} % of the files open that it may open, and ever more; in about {} it can open none",
                alarm.value,
                about(alarm.against)
            ),
            Looks::Floor(_) if self.metric.ends_with("bytes") => {
                format!("the memory of {target} grew steadily from {} to {}", bytes(alarm.against), bytes(alarm.value))
            }
            Looks::Floor(_) => {
                format!("the threads of {target} grew steadily from {:.0} to {:.0}", alarm.against, alarm.value)
            }
        }
    }
}

impl Rule for Leak {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn shipped(&self, profile: Profile) -> Tuning {
        let (hold, count) = match (self.looks, profile) {
            (_, Profile::Standard) => (Duration::from_secs(1_800), 16),
            (Looks::Floor(_), Profile::Rapid) => (Duration::from_millis(500), 10),
            (Looks::End, Profile::Rapid) => (Duration::from_secs(8), 1),
        };
        Tuning { enabled: true, severity: Severity::Medium, threshold: self.threshold, clear: 0.0, hold, count }
    }

    fn starts_in_shadow(&self) -> bool {
        self.shadow
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        super::measured(it, |_, alarm| self.text(it, alarm))
    }

    fn watches(&self, series: &SeriesName) -> Option<Detector> {
        let mine = series.metric.as_str() == self.metric && !series.target.is_host();
        mine.then(|| match self.looks {
            Looks::Floor(least) => Detector::Growth(Growth::of(least)),
            Looks::End => Detector::Forecast(Box::default()),
        })
    }
}
