//! An agent is heard, but its probes do not look.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// How many probes a summary names.
const NAMED: usize = 3;

/// See the module.
pub(super) struct AgentStalled;

impl Rule for AgentStalled {
    fn name(&self) -> &'static str {
        super::AGENT_STALLED
    }

    fn about(&self) -> &'static str {
        "An agent is heard, but probes of it have given no verdict for 90 seconds and three intervals, and none within 30 \
         seconds of being asked to look. What it said before is not vouched for any more."
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
        if !it.target.report.name.is_host() || !it.host.online() {
            return Judgement::Unknown;
        }
        let Some((asked, _)) = it.host.agent.asked else { return Judgement::Absent(u32::MAX) };
        if it.now.since(asked) < it.tuning.hold {
            return Judgement::Unknown;
        }
        let names: Vec<String> =
            it.host.overdue(it.now).map(|(target, it)| format!("{target}/{}", it.report.name)).collect();
        if names.is_empty() {
            return Judgement::Absent(u32::MAX);
        }
        let all: usize = it.host.targets.iter().filter(|it| !it.gone).map(|it| it.probes.len()).sum();
        let some = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED { ", …" } else { "" };
        Judgement::Present(Symptom {
            since: it.host.clock.to_host(asked),
            probe: None,
            summary: format!(
                "the agent of {} is heard, but {} of its {all} probes do not look ({some}{more})",
                it.host.id,
                names.len()
            ),
        })
    }
}
