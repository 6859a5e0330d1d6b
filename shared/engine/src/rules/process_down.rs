//! The target's process ended, and nobody asked it to.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, ProbeKind, Status};
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::target::Life;

/// See the module.
pub(super) struct ProcessDown;

impl Rule for ProcessDown {
    fn name(&self) -> &'static str {
        super::PROCESS_DOWN
    }

    fn about(&self) -> &'static str {
        "The process of a target ended, or its unit is not active, and nobody stopped it on purpose. One verdict is \
         enough: the agent learns of it from the kernel."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning { enabled: true, severity: Severity::High, threshold: 0.0, clear: 0.0, hold: Duration::ZERO, count: 1 }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let mut judgement = Judgement::Unknown;
        let contact = it.host.contact();
        for probe in it.target.of_kind(ProbeKind::Process).chain(it.target.of_kind(ProbeKind::Unit)) {
            let Some(seen) = probe.fresh(it.now, contact, it.fresh).filter(|seen| seen.host >= it.since) else {
                continue;
            };
            match seen.status {
                Status::Up => judgement = Judgement::Absent(probe.row_since(Status::Up, it.since)),
                Status::Unknown => {}
                Status::Down => {
                    if it.target.process.life == Life::Stopped {
                        judgement = Judgement::Absent(probe.row_since(Status::Down, it.since));
                        continue;
                    }
                    return Judgement::Present(Symptom {
                        since: probe.since,
                        probe: Some(probe.report.name.clone()),
                        summary: summary(it, probe.finding.as_ref()),
                    });
                }
            }
        }
        judgement
    }
}

fn summary(it: &Subject<'_>, finding: Option<&Finding>) -> String {
    let name = &it.target.report.name;
    match (finding, it.target.process.exits.back()) {
        (Some(Finding::Exited { .. }), Some(exit)) => format!("{name} ended ({})", exit.text()),
        _ => format!("{name} is not running"),
    }
}
