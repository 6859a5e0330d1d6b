//! An agent refuses every command.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct AgentRefuses;

impl Rule for AgentRefuses {
    fn name(&self) -> &'static str {
        super::AGENT_REFUSES
    }

    fn about(&self) -> &'static str {
        "An agent refused three commands in a row for reasons that lie in its standing, such as a missing delegation or a \
         permit that it has withdrawn, and carried none out in between. It is well again when it accepts one."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning { enabled: true, severity: Severity::Medium, threshold: 0.0, clear: 0.0, hold: Duration::ZERO, count: 3 }
    }

    fn about_agent(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() {
            return Judgement::Unknown;
        }
        match (it.host.agent.refusals, &it.host.agent.refused) {
            (Some(count), Some((at, code, text))) if count >= it.tuning.count => Judgement::Present(Symptom {
                since: it.host.clock.to_host(*at),
                probe: None,
                summary: format!("the agent of {} refused {count} commands in a row, last {code}: {text}", it.host.id),
            }),
            (Some(_), _) => Judgement::Absent(u32::MAX),
            // Nothing was asked of it, so nothing is known.
            (None, _) => Judgement::Unknown,
        }
    }
}
