//! A watched queue of jobs is in trouble: time-outs, exhaustion, a backlog, or jobs that have become slow.
//!
//! A queue is known by the names of its series, whichever probe sends them: `queue.length`, or `queue.mail.length` where a
//! target has several.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Tuning};
use crate::detect::backlog::Backlog;
use crate::detect::slowdown::Slowdown;
use crate::detect::threshold::Threshold;
use crate::detect::{Alarm, Detector};
use crate::text::span;

/// What is looked for in a series.
#[derive(Debug, Clone, Copy)]
enum Looks {
    /// Above a value.
    Level,
    /// Growing and not draining.
    Growth,
    /// Slower than its own history.
    History,
}

/// One kind of trouble with a queue.
pub(super) struct Queue {
    name: &'static str,
    about: &'static str,
    /// The first and the last part of each quantity's name that is measured.
    metrics: &'static [(&'static str, &'static str)],
    looks: Looks,
    threshold: f64,
    clear: f64,
    hold: Duration,
    count: u32,
}

/// Jobs run into their time limit, or fail.
pub(super) const TIMEOUT: Queue = Queue {
    name: super::JOB_TIMEOUT,
    about: "Jobs of a queue fail or run into their time limit, one a minute or more for 120 seconds. Measured as \
            queue.failed_per_min or job.timeouts_per_min.",
    metrics: &[("queue.", "failed_per_min"), ("job.", "timeouts_per_min")],
    looks: Looks::Level,
    threshold: 1.0,
    clear: 0.5,
    hold: Duration::from_secs(120),
    count: 1,
};

/// A queue has no room, or its workers no time.
pub(super) const EXHAUSTED: Queue = Queue {
    name: super::QUEUE_EXHAUSTED,
    about: "A queue is 95 percent full, or its workers are 95 percent busy, for 300 seconds. Measured as \
            queue.used_percent or queue.workers_busy_percent.",
    metrics: &[("queue.", "used_percent"), ("queue.", "workers_busy_percent")],
    looks: Looks::Level,
    threshold: 95.0,
    clear: 80.0,
    hold: Duration::from_secs(300),
    count: 1,
};

/// A queue grows and does not drain.
pub(super) const BACKLOG: Queue = Queue {
    name: super::QUEUE_BACKLOG,
    about: "The floor of a queue rose through five blocks of 60 seconds, by half or more, to at least 100 jobs, or the age \
            of its oldest job to at least 100 seconds. Measured as queue.length or queue.oldest_seconds.",
    metrics: &[("queue.", "length"), ("queue.", "oldest_seconds")],
    looks: Looks::Growth,
    threshold: 100.0,
    clear: 0.0,
    hold: Duration::from_secs(60),
    count: 5,
};

/// Jobs take longer than they used to.
pub(super) const SLOW: Queue = Queue {
    name: super::JOB_SLOW,
    about: "A job takes twice as long as it used to, for 300 seconds, after at least 30 measurements of it. Measured as \
            job.seconds; the measure is its own history.",
    metrics: &[("job.", "seconds")],
    looks: Looks::History,
    threshold: 2.0,
    clear: 1.3,
    hold: Duration::from_secs(300),
    count: 30,
};

/// Whether a quantity's name is `begins` and `ends`, with at most a name in between.
fn named(metric: &str, begins: &str, ends: &str) -> bool {
    let between = metric.strip_prefix(begins).and_then(|rest| rest.strip_suffix(ends));
    between.is_some_and(|name| name.is_empty() || (name.len() > 1 && name.ends_with('.')))
}

impl Queue {
    fn text(&self, it: &Subject<'_>, metric: &str, alarm: Alarm) -> String {
        let (target, held) = (&it.target.report.name, span(it.tuning.hold));
        match self.looks {
            Looks::Level => {
                format!("{metric} of {target} is at {:.1}, {:.1} or more for {held}", alarm.value, alarm.against)
            }
            Looks::Growth => {
                let over = span(it.tuning.hold * it.tuning.count);
                format!(
                    "{metric} of {target} grew from {:.0} to {:.0} in {over} and does not fall",
                    alarm.against, alarm.value
                )
            }
            Looks::History => format!(
                "{metric} of {target} is at {:.3}, {:.1} times what it used to be",
                alarm.value,
                alarm.value / alarm.against.max(f64::MIN_POSITIVE)
            ),
        }
    }
}

impl Rule for Queue {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: self.threshold,
            clear: self.clear,
            hold: self.hold,
            count: self.count,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        super::measured(it, |metric, alarm| self.text(it, metric, alarm))
    }

    fn watches(&self, series: &SeriesName) -> Option<Detector> {
        let metric = series.metric.as_str();
        self.metrics.iter().find(|(begins, ends)| named(metric, begins, ends))?;
        Some(match self.looks {
            Looks::Level => Detector::Threshold(Threshold::default()),
            Looks::Growth => Detector::Backlog(Backlog::default()),
            Looks::History => Detector::Slowdown(Slowdown::default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_queue_may_have_a_name() {
        assert!(named("queue.length", "queue.", "length"));
        assert!(named("queue.mail.length", "queue.", "length"));
        assert!(!named("queue.wavelength", "queue.", "length"));
        assert!(!named("queue..length", "queue.", "length"));
        assert!(!named("disk.length", "queue.", "length"));
    }
}
