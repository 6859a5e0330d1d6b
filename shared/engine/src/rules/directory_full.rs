//! A directory of the target nears its quota.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, ProbeKind};
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct DirectoryFull;

/// The share of its quota that a directory uses, in percent.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
pub(crate) fn percent(used: u64, quota: u64) -> f64 {
    if quota == 0 { 0.0 } else { used as f64 / quota as f64 * 100.0 }
}

impl Rule for DirectoryFull {
    fn name(&self) -> &'static str {
        super::DIRECTORY_FULL
    }

    fn about(&self) -> &'static str {
        "A directory uses 90 percent of its quota or more; it is well again below 80."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning { enabled: true, severity: Severity::High, threshold: 90.0, clear: 80.0, hold: Duration::ZERO, count: 1 }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact();
        let mut judgement = Judgement::Unknown;
        for probe in it.target.of_kind(ProbeKind::Directory) {
            let Some(seen) = probe.fresh(it.now, contact, it.fresh).filter(|seen| seen.host >= it.since) else {
                continue;
            };
            let Some(Finding::DirectoryUse { used_bytes, quota_bytes }) = &probe.finding else { continue };
            let used = percent(*used_bytes, *quota_bytes);
            // Between the two values what was said before stands: an open fault stays, a closed one does not return.
            let open = it.open.is_some_and(|case| case.faults().any(|fault| fault.rule.as_str() == self.name()));
            let line = if open { it.tuning.clear } else { it.tuning.threshold };
            if used >= line {
                return Judgement::Present(Symptom {
                    since: probe.since,
                    probe: Some(probe.report.name.clone()),
                    summary: format!("{} {} is at {used:.0} % of its quota", it.target.report.name, probe.report.name),
                });
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
