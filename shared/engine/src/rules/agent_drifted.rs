//! What is on a host's disk is not what its agent runs with.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct AgentDrifted;

impl Rule for AgentDrifted {
    fn name(&self) -> &'static str {
        super::AGENT_DRIFTED
    }

    fn about(&self) -> &'static str {
        "For an hour the agent.toml or the program on the host's disk has not been what its agent runs with: what was changed there \
         is not in force before the agent is restarted."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Info,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(3_600),
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
        let Some(since) = it.host.agent.drifted else { return Judgement::Absent(u32::MAX) };
        if it.now.since(since) < it.tuning.hold {
            return Judgement::Unknown;
        }
        let what = it.host.report.as_ref().and_then(|report| report.drift.as_deref()).unwrap_or_default();
        Judgement::Present(Symptom {
            since: it.host.clock.to_host(since),
            probe: None,
            summary: format!("the agent of {} does not run with what is on its disk: {what}", it.host.id),
        })
    }
}
