//! The target does not answer as a user expects, though its process lives.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, Status};
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::target::Life;

/// See the module.
pub(super) struct Unresponsive;

impl Rule for Unresponsive {
    fn name(&self) -> &'static str {
        super::UNRESPONSIVE
    }

    fn about(&self) -> &'static str {
        "A probe that asks for the service (HTTP, TCP, a database, …) failed twice in a row while the process lives. Such a probe sees through to what the \
         target depends on, so the fault may lie there. A process that has just started is given time to begin."
    }

    fn shipped(&self, profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::High,
            threshold: 0.0,
            clear: 0.0,
            // The time that a new process is given.
            hold: match profile {
                Profile::Standard => Duration::from_secs(10),
                Profile::Rapid => Duration::from_secs(1),
            },
            count: 2,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact();
        let mut judgement = Judgement::Unknown;
        for probe in it.target.probes.iter().filter(|probe| probe.report.kind.sees_through()) {
            let Some(seen) = probe.fresh(it.now, contact, it.fresh).filter(|seen| seen.host >= it.since) else {
                continue;
            };
            match seen.status {
                Status::Up => {
                    let row = probe.row_since(Status::Up, it.since);
                    judgement = match judgement {
                        Judgement::Absent(other) => Judgement::Absent(other.min(row)),
                        Judgement::Unknown | Judgement::Present(_) => Judgement::Absent(row),
                    };
                }
                Status::Unknown => {}
                Status::Down => {
                    let starting = it.target.process.began.is_some_and(|began| it.now.since(began) < it.tuning.hold);
                    let dead = match it.target.process.life {
                        Life::Ended | Life::Stopped => true,
                        Life::Running | Life::Unknown => false,
                    };
                    // A process that is gone or just starting is another matter; a first bad answer may be a blip.
                    if dead || (starting && it.since.as_micros() == 0) || probe.row < it.tuning.count {
                        return Judgement::Unknown;
                    }
                    return Judgement::Present(Symptom {
                        since: probe.since,
                        probe: Some(probe.report.name.clone()),
                        summary: format!("{} {}", it.target.report.name, what(probe.finding.as_ref())),
                    });
                }
            }
        }
        judgement
    }
}

/// What a failed look found, for a person.
pub(super) fn what(finding: Option<&Finding>) -> String {
    match finding {
        Some(Finding::NoAnswer { waited }) => format!("gave no answer within {}", crate::text::span(*waited)),
        Some(Finding::BadAnswer { code: Some(code), why }) => format!("answered {code}: {why}"),
        Some(Finding::BadAnswer { code: None, why }) => format!("answered wrongly: {why}"),
        Some(Finding::Unreachable { why }) => format!("cannot be reached: {why}"),
        Some(Finding::Checked { text, .. }) => text.clone(),
        _ => "does not answer".to_owned(),
    }
}
