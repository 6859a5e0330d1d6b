//! A probe cannot look, which says nothing about its target.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::Finding;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct ProbeBroken;

impl Rule for ProbeBroken {
    fn name(&self) -> &'static str {
        super::PROBE_BROKEN
    }

    fn about(&self) -> &'static str {
        "A probe has been unable to look for two minutes. That is a fault of the probe and not of its target, which is \
         left alone; but nobody watches that part of it meanwhile."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Low,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(120),
            count: 1,
        }
    }

    fn about_agent(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() || !it.host.online() {
            return Judgement::Unknown;
        }
        let mut first: Option<Symptom> = None;
        let mut more = 0_usize;
        for target in it.host.targets.iter().filter(|target| !target.gone) {
            for probe in &target.probes {
                let Some(Finding::ProbeBroken { why }) = &probe.finding else { continue };
                if it.now.since(probe.since_at) < it.tuning.hold {
                    continue;
                }
                more += usize::from(first.is_some());
                first.get_or_insert_with(|| Symptom {
                    since: probe.since,
                    probe: None,
                    summary: format!("the probe {} of {} cannot look: {why}", probe.report.name, target.report.name),
                });
            }
        }
        match first {
            None => Judgement::Absent(u32::MAX),
            Some(mut symptom) => {
                if more > 0 {
                    symptom.summary.push_str(&format!("; and {more} more"));
                }
                Judgement::Present(symptom)
            }
        }
    }
}
