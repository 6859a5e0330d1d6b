//! An agent is older than those of other hosts.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct AgentOutdated;

impl Rule for AgentOutdated {
    fn name(&self) -> &'static str {
        super::AGENT_OUTDATED
    }

    fn about(&self) -> &'static str {
        "Another host of the fleet has had a newer agent for a day, so that an upgrade seems to have left this one out. It \
         works, but what the newer one can do cannot be asked of it."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Info,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(86_400),
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
        let Some((since, newest)) = &it.host.agent.behind else { return Judgement::Absent(u32::MAX) };
        if it.now.since(*since) < it.tuning.hold {
            return Judgement::Unknown;
        }
        let own = it.host.report.as_ref().map_or("", |report| report.agent_version.as_str());
        Judgement::Present(Symptom {
            since: it.host.clock.to_host(*since),
            probe: None,
            summary: format!("the agent of {} is version {own}, and the fleet has {newest}", it.host.id),
        })
    }
}
