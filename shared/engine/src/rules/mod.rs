//! What counts as a fault: one file for each rule, and the table of them.

mod agent_drifted;
mod agent_flapping;
mod agent_observes;
mod agent_outdated;
mod agent_refuses;
mod agent_stalled;
mod anomaly;
mod checks;
pub(crate) use checks::checked;
mod crash_loop;
mod deadlock;
mod directory_full;
mod exhaustion;
pub(crate) use directory_full::percent;
mod host_silent;
mod leaks;
mod log_errors;
mod metrics_absent;
mod peer_outlier;
mod probe_broken;
mod process_down;
mod queues;
mod resources;
pub(crate) use resources::impossible;
mod unresponsive;

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::SeriesName;
use prunella_model::policy::{FleetPolicy, Profile};
use prunella_model::{ProbeName, RuleName, Timestamp};

use crate::detect::Detector;
use crate::host::Host;
use crate::incident::Case;
use crate::target::Target;

/// The figures of one rule, after the profile and the policy have had their say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tuning {
    /// Whether it is in force.
    pub(crate) enabled: bool,
    /// How bad its faults are on a target that is not critical.
    pub(crate) severity: Severity,
    /// The value at which it speaks, in the rule's own unit.
    pub(crate) threshold: f64,
    /// The value below which it is silent again.
    pub(crate) clear: f64,
    /// How long the condition must hold, or the length of its window.
    pub(crate) hold: Duration,
    /// How many in a row, or in the window.
    pub(crate) count: u32,
}

/// What a rule may look at.
pub(crate) struct Subject<'a> {
    /// The host.
    pub(crate) host: &'a Host,
    /// The target on it.
    pub(crate) target: &'a Target,
    /// The target's open incident.
    pub(crate) open: Option<&'a Case>,
    /// The rule's index in [`RULES`].
    pub(crate) rule: usize,
    /// The rule's figures.
    pub(crate) tuning: &'a Tuning,
    /// The server's time.
    pub(crate) now: Timestamp,
    /// How long evidence counts when a probe does not say.
    pub(crate) fresh: Duration,
    /// Only evidence from then on counts, by the host's clock; zero for all.
    pub(crate) since: Timestamp,
}

impl Subject<'_> {
    /// Whether a sample of the host is recent enough to judge by.
    fn measured(&self) -> bool {
        let recent = self.host.contact().is_some_and(|contact| self.now.since(contact) <= self.fresh);
        recent && self.host.last_frame.is_some_and(|at| at >= self.since)
    }
}

/// What a rule says of a target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judgement {
    /// The fault is there.
    Present(Symptom),
    /// It is not, on fresh evidence: so many good verdicts in a row.
    Absent(u32),
    /// There is no fresh evidence, which proves nothing.
    Unknown,
}

/// A fault that is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Symptom {
    /// Since when, by the host's clock.
    pub(crate) since: Timestamp,
    /// The probe that shows it; null for a measurement.
    pub(crate) probe: Option<ProbeName>,
    /// One line for a person.
    pub(crate) summary: String,
}

/// One rule.
pub(crate) trait Rule: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it finds and how, for people.
    fn about(&self) -> &'static str;
    /// Its figures as shipped.
    fn shipped(&self, profile: Profile) -> Tuning;
    /// Judges a target.
    fn judge(&self, it: &Subject<'_>) -> Judgement;
    /// Whether it judges the agent of a host rather than what the agent watches.
    fn about_agent(&self) -> bool {
        false
    }
    /// Whether it speaks of what will be rather than of what is.
    fn foresees(&self) -> bool {
        false
    }
    /// Whether it is shipped in shadow, because it learns what is normal instead of being told, or is not proven yet: it
    /// says what it would have opened, and opens nothing until the policy says so.
    fn starts_in_shadow(&self) -> bool {
        false
    }
    /// The detector that it wants on a series, if it measures that one.
    fn watches(&self, _series: &SeriesName) -> Option<Detector> {
        None
    }
}

/// All rules. A fault is named by its rule; the order is that in which they are asked.
pub(crate) static RULES: [&dyn Rule; 41] = [
    &process_down::ProcessDown,
    &crash_loop::CrashLoop,
    &unresponsive::Unresponsive,
    &directory_full::DirectoryFull,
    &leaks::MEMORY,
    &leaks::DESCRIPTORS,
    &leaks::THREADS,
    &host_silent::HostSilent,
    &resources::CPU,
    &resources::MEMORY,
    &resources::DISK,
    &queues::TIMEOUT,
    &queues::EXHAUSTED,
    &queues::BACKLOG,
    &queues::SLOW,
    &agent_stalled::AgentStalled,
    &probe_broken::ProbeBroken,
    &agent_flapping::AgentFlapping,
    &agent_observes::AgentObserves,
    &agent_refuses::AgentRefuses,
    &agent_outdated::AgentOutdated,
    &deadlock::Deadlock,
    &metrics_absent::MetricsAbsent,
    &exhaustion::Exhaustion,
    &log_errors::LogErrors,
    &resources::CPU_HIGH,
    &resources::MEMORY_HIGH,
    &resources::DISK_HIGH,
    &anomaly::Anomaly,
    &checks::FAILED,
    &checks::WARNING,
    &checks::CERTIFICATE_EXPIRING,
    &checks::CERTIFICATE_INVALID,
    &checks::DOMAIN_EXPIRING,
    &checks::DNS_WRONG,
    &checks::CLOCK_SKEW,
    &checks::OOM_KILLED,
    &checks::KERNEL_ERRORS,
    &checks::DRIFT,
    &agent_drifted::AgentDrifted,
    &peer_outlier::PeerOutlier,
];

/// The names of the rules that other parts of the engine speak of.
pub(crate) const PROCESS_DOWN: &str = "process_down";
pub(crate) const CRASH_LOOP: &str = "crash_loop";
pub(crate) const UNRESPONSIVE: &str = "unresponsive";
pub(crate) const DIRECTORY_FULL: &str = "directory_full";
pub(crate) const MEMORY_LEAK: &str = "memory_leak";
pub(crate) const DESCRIPTOR_LEAK: &str = "descriptor_leak";
pub(crate) const THREAD_LEAK: &str = "thread_leak";
pub(crate) const HOST_SILENT: &str = "host_silent";
pub(crate) const JOB_TIMEOUT: &str = "job_timeout";
pub(crate) const QUEUE_EXHAUSTED: &str = "queue_exhausted";
pub(crate) const QUEUE_BACKLOG: &str = "queue_backlog";
pub(crate) const JOB_SLOW: &str = "job_slow";
pub(crate) const AGENT_STALLED: &str = "agent_stalled";
pub(crate) const PROBE_BROKEN: &str = "probe_broken";
pub(crate) const AGENT_FLAPPING: &str = "agent_flapping";
pub(crate) const AGENT_OBSERVES: &str = "agent_observes";
pub(crate) const AGENT_REFUSES: &str = "agent_refuses";
pub(crate) const DEADLOCK: &str = "deadlock";
pub(crate) const AGENT_OUTDATED: &str = "agent_outdated";
pub(crate) const AGENT_DRIFTED: &str = "agent_drifted";
pub(crate) const METRICS_ABSENT: &str = "metrics_absent";
pub(crate) const EXHAUSTION: &str = "exhaustion";
pub(crate) const LOG_ERRORS: &str = "log_errors";
pub(crate) const ANOMALY: &str = "anomaly";
pub(crate) const CHECK_FAILED: &str = "check_failed";
pub(crate) const CHECK_WARNING: &str = "check_warning";
pub(crate) const CERTIFICATE_EXPIRING: &str = "certificate_expiring";
pub(crate) const CERTIFICATE_INVALID: &str = "certificate_invalid";
pub(crate) const DOMAIN_EXPIRING: &str = "domain_expiring";
pub(crate) const DNS_WRONG: &str = "dns_wrong";
pub(crate) const CLOCK_SKEW: &str = "clock_skew";
pub(crate) const OOM_KILLED: &str = "oom_killed";
pub(crate) const KERNEL_ERRORS: &str = "kernel_errors";
pub(crate) const DRIFT: &str = "drift";
pub(crate) const PEER_OUTLIER: &str = "peer_outlier";

/// How many rules, from the first, tell whether a target does its service.
pub(crate) const ABOUT_SERVICE: usize = 3;

/// The index of the rule of that name.
pub(crate) fn index_of(name: &str) -> Option<usize> {
    RULES.iter().position(|rule| rule.name() == name)
}

/// The index of a rule.
pub(crate) fn index(name: &RuleName) -> Option<usize> {
    index_of(name.as_str())
}

/// Whether the rule of that name judges the agent of a host rather than what the agent watches.
pub(crate) fn about_agent(name: &RuleName) -> bool {
    index(name).is_some_and(|rule| RULES[rule].about_agent())
}

/// Whether the rule of that name speaks of what will be.
pub(crate) fn foresees(name: &RuleName) -> bool {
    index(name).is_some_and(|rule| RULES[rule].foresees())
}

/// Whether a rule only says what it would have opened.
pub(crate) fn in_shadow(policy: &FleetPolicy, rule: usize) -> bool {
    let setting = policy.rules.iter().find(|(name, _)| name.as_str() == RULES[rule].name());
    setting.and_then(|(_, it)| it.shadow).unwrap_or_else(|| RULES[rule].starts_in_shadow())
}

/// The figures of every rule under a policy: the shipped ones, then the custom ones.
pub(crate) fn tune(policy: &FleetPolicy) -> Vec<Tuning> {
    RULES
        .iter()
        .map(|rule| {
            let shipped = rule.shipped(policy.profile);
            let setting =
                policy.rules.iter().find(|(name, _)| name.as_str() == rule.name()).map(|(_, setting)| setting);
            let Some(setting) = setting else { return shipped };
            let threshold = setting.threshold.filter(|it| it.is_finite()).unwrap_or(shipped.threshold);
            // A threshold that is moved below the shipped lower value takes that one along.
            let clear = setting.clear.filter(|it| it.is_finite()).unwrap_or(shipped.clear).min(threshold);
            Tuning {
                enabled: setting.enabled.unwrap_or(shipped.enabled),
                severity: setting.severity.unwrap_or(shipped.severity),
                threshold,
                clear,
                hold: setting.hold.unwrap_or(shipped.hold),
                count: setting.count.unwrap_or(shipped.count).max(1),
            }
        })
        .chain(crate::custom::tune(policy))
        .collect()
}

/// Judges by the detectors of the target's series that work for the rule of `it`.
fn measured(it: &Subject<'_>, text: impl Fn(&str, crate::detect::Alarm) -> String) -> Judgement {
    let mut any = false;
    for number in &it.target.series {
        let Some(Some(series)) = it.host.series.get(crate::key::at(*number)) else { continue };
        for watch in series.watches.iter().filter(|watch| watch.rule == it.rule) {
            any |= series.value.is_some();
            if let Some(alarm) = watch.detector.alarm() {
                if !it.measured() {
                    return Judgement::Unknown;
                }
                return Judgement::Present(Symptom {
                    since: it.host.clock.to_host(alarm.since),
                    probe: None,
                    summary: text(series.metric.as_str(), alarm),
                });
            }
        }
    }
    // A detector has its own patience; no further good values are needed after it has fallen silent.
    if any && it.measured() { Judgement::Absent(u32::MAX) } else { Judgement::Unknown }
}
