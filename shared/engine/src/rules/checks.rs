//! A check that judges by itself says that something is wrong: a plugin, a certificate, a name, a clock, a baseline.
//!
//! The agent looks and judges; these rules say how bad that is and how long it must last. None of them says that the
//! target's process is to blame, so nothing is restarted for them: a rule of the operators' own can name a repair.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, Level, ProbeKind, Status};
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::cause::Cause;
use crate::target::Probe;

/// One kind of trouble that a check tells.
pub(super) struct Check {
    name: &'static str,
    about: &'static str,
    /// The kinds of probe that tell it.
    kinds: &'static [ProbeKind],
    /// From which level on.
    from: Level,
    severity: Severity,
    /// How long that level must last.
    hold: Duration,
    /// How many looks in a row.
    count: u32,
}

/// A check of any kind failed.
pub(super) const FAILED: Check = Check {
    name: super::CHECK_FAILED,
    about: "A plugin, or another check of a part of the target, failed twice in a row (`count`).",
    kinds: &[ProbeKind::Plugin, ProbeKind::Mount, ProbeKind::Queue, ProbeKind::Metrics, ProbeKind::Haproxy],
    from: Level::Critical,
    severity: Severity::Medium,
    hold: Duration::ZERO,
    count: 2,
};

/// A check of any kind warns.
pub(super) const WARNING: Check = Check {
    name: super::CHECK_WARNING,
    about: "A check has warned for a minute: what it looks at still works, but is not as it should be.",
    kinds: &[
        ProbeKind::Plugin,
        ProbeKind::ServicePlugin,
        ProbeKind::Http,
        ProbeKind::Postgres,
        ProbeKind::Redis,
        ProbeKind::Container,
        ProbeKind::Mount,
        ProbeKind::Cgroup,
        ProbeKind::Kernel,
        ProbeKind::Clock,
        ProbeKind::Queue,
        ProbeKind::Metrics,
        ProbeKind::Haproxy,
    ],
    from: Level::Warning,
    severity: Severity::Low,
    hold: Duration::from_secs(60),
    count: 1,
};

/// A certificate will end soon.
pub(super) const CERTIFICATE_EXPIRING: Check = Check {
    name: super::CERTIFICATE_EXPIRING,
    about: "The certificate of a TLS server ends within the time that its probe warns of (14 days).",
    kinds: &[ProbeKind::Certificate],
    from: Level::Warning,
    severity: Severity::Medium,
    hold: Duration::ZERO,
    count: 1,
};

/// A certificate is refused by those who check it.
pub(super) const CERTIFICATE_INVALID: Check = Check {
    name: super::CERTIFICATE_INVALID,
    about: "The certificate of a TLS server has ended, is not for its name, or its chain leads to no trusted root; or it \
            ends within days.",
    kinds: &[ProbeKind::Certificate],
    from: Level::Critical,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 2,
};

/// The registration of a domain will end soon.
pub(super) const DOMAIN_EXPIRING: Check = Check {
    name: super::DOMAIN_EXPIRING,
    about: "The registration of a domain ends within the time that its probe warns of (30 days), or has ended.",
    kinds: &[ProbeKind::Domain],
    from: Level::Warning,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 1,
};

/// A name resolves wrongly, or not at all.
pub(super) const DNS_WRONG: Check = Check {
    name: super::DNS_WRONG,
    about: "A name did not resolve, or not to what is expected, twice in a row (`count`).",
    kinds: &[ProbeKind::Dns],
    from: Level::Critical,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 2,
};

/// A clock is wrong.
pub(super) const CLOCK_SKEW: Check = Check {
    name: super::CLOCK_SKEW,
    about: "The host's clock differs from a time server's by more than its probe allows (1 s), twice in a row (`count`).",
    kinds: &[ProbeKind::Clock],
    from: Level::Critical,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 2,
};

/// Something was killed for want of memory.
pub(super) const OOM_KILLED: Check = Check {
    name: super::OOM_KILLED,
    about: "The kernel killed a process of the target's control group for want of memory within the last ten minutes.",
    kinds: &[ProbeKind::Cgroup],
    from: Level::Critical,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 1,
};

/// The kernel complains.
pub(super) const KERNEL_ERRORS: Check = Check {
    name: super::KERNEL_ERRORS,
    about: "The kernel told of a kill for want of memory or of failing hardware within the last ten minutes.",
    kinds: &[ProbeKind::Kernel],
    from: Level::Critical,
    severity: Severity::High,
    hold: Duration::ZERO,
    count: 1,
};

/// Files are not as they were recorded.
pub(super) const DRIFT: Check = Check {
    name: super::DRIFT,
    about: "Files differ from the baseline that was recorded for them: changed, added or missing, twice in a row (`count`).",
    kinds: &[ProbeKind::Drift],
    from: Level::Critical,
    severity: Severity::Medium,
    hold: Duration::ZERO,
    count: 2,
};

/// What a check that judges by itself tells. Where several do, the one that names a cause most closely counts.
pub(crate) fn checked(has: impl Fn(&str) -> bool) -> Option<Cause> {
    const CAUSES: [(&str, Cause); 10] = [
        (super::CERTIFICATE_INVALID, Cause::Certificate),
        (super::CERTIFICATE_EXPIRING, Cause::Certificate),
        (super::DOMAIN_EXPIRING, Cause::Domain),
        (super::DNS_WRONG, Cause::NameWrong),
        (super::CLOCK_SKEW, Cause::ClockSkew),
        (super::OOM_KILLED, Cause::OutOfMemory),
        (super::KERNEL_ERRORS, Cause::Kernel),
        (super::DRIFT, Cause::Drift),
        (super::CHECK_FAILED, Cause::CheckFailed),
        (super::CHECK_WARNING, Cause::CheckFailed),
    ];
    CAUSES.into_iter().find(|(rule, _)| has(rule)).map(|(_, cause)| cause)
}

impl Check {
    /// Whether a verdict is one that this rule is about. What failed without a judgement of its own counts as critical.
    fn is_bad(&self, probe: &Probe, status: Status) -> bool {
        match (&probe.finding, status) {
            (Some(Finding::Checked { level, .. }), Status::Up | Status::Down) => *level >= self.from,
            (_, Status::Down) => true,
            (_, Status::Up | Status::Unknown) => false,
        }
    }
}

impl Rule for Check {
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
            threshold: 0.0,
            clear: 0.0,
            hold: self.hold,
            count: self.count,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact();
        let mut judgement = Judgement::Unknown;
        for probe in it.target.probes.iter().filter(|probe| self.kinds.contains(&probe.report.kind)) {
            let Some(seen) = probe.fresh(it.now, contact, it.fresh).filter(|seen| seen.host >= it.since) else {
                continue;
            };
            // That a service is lost is the matter of `unresponsive`, which looks upstream first.
            let lost = seen.status == Status::Down && probe.report.kind.sees_through();
            if lost && self.from == Level::Warning {
                continue;
            }
            if self.is_bad(probe, seen.status) {
                let lasts = seen.host.since(probe.level_since) >= it.tuning.hold;
                let often = seen.status == Status::Up || probe.row >= it.tuning.count;
                if !(lasts && often) {
                    return Judgement::Unknown;
                }
                return Judgement::Present(Symptom {
                    since: probe.level_since,
                    probe: Some(probe.report.name.clone()),
                    summary: format!("{}: {}", probe.report.name, super::unresponsive::what(probe.finding.as_ref())),
                });
            }
            if seen.status == Status::Unknown {
                continue;
            }
            let row = probe.row_since(seen.status, it.since);
            judgement = match judgement {
                Judgement::Absent(other) => Judgement::Absent(other.min(row)),
                Judgement::Unknown | Judgement::Present(_) => Judgement::Absent(row),
            };
        }
        judgement
    }
}
