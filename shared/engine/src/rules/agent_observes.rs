//! An agent does not act, though its administrator did not forbid it.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct AgentObserves;

impl Rule for AgentObserves {
    fn name(&self) -> &'static str {
        super::AGENT_OBSERVES
    }

    fn about(&self) -> &'static str {
        "An agent has said for 30 seconds that it only observes, because its clock differs from the server's, its ledger \
         cannot be written, or it has no authority to trust. Nothing on its host is repaired meanwhile."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(30),
            count: 1,
        }
    }

    fn about_agent(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() || !it.host.online() || !it.host.reported {
            return Judgement::Unknown;
        }
        let Some(since) = it.host.agent.observes else { return Judgement::Absent(u32::MAX) };
        if it.now.since(since) < it.tuning.hold {
            return Judgement::Unknown;
        }
        let why = it.host.report.as_ref().and_then(|report| report.observe_only.as_deref()).unwrap_or_default();
        Judgement::Present(Symptom {
            since: it.host.clock.to_host(since),
            probe: None,
            summary: format!("the agent of {} only observes: {why}", it.host.id),
        })
    }
}
