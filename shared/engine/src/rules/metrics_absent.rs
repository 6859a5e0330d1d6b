//! An agent is heard, but its measurements have stopped.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct MetricsAbsent;

impl Rule for MetricsAbsent {
    fn name(&self) -> &'static str {
        super::METRICS_ABSENT
    }

    fn about(&self) -> &'static str {
        "An agent that had measurements is heard, but has sent none for 15 minutes, although even unchanged \
         ones are said again each minute. Whatever is judged by measurements is blind meanwhile. It starts in shadow."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(900),
            count: 1,
        }
    }

    fn starts_in_shadow(&self) -> bool {
        true
    }

    fn about_agent(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() || !it.host.online() {
            return Judgement::Unknown;
        }
        // A new stream gets its time, and who never measured anything is not missed.
        let (Some(measured), Some(since)) = (it.host.agent.measured, it.host.agent.since) else {
            return Judgement::Unknown;
        };
        if it.now.since(measured.max(since)) < it.tuning.hold {
            return if measured >= since { Judgement::Absent(u32::MAX) } else { Judgement::Unknown };
        }
        Judgement::Present(Symptom {
            since: it.host.clock.to_host(measured),
            probe: None,
            summary: format!(
                "the agent of {} is heard, but has sent no measurement for {}",
                it.host.id,
                crate::text::span(it.tuning.hold)
            ),
        })
    }
}
