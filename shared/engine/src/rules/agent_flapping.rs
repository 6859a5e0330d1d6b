//! An agent's stream breaks again and again.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::detect::rate;

/// See the module.
pub(super) struct AgentFlapping;

impl Rule for AgentFlapping {
    fn name(&self) -> &'static str {
        super::AGENT_FLAPPING
    }

    fn about(&self) -> &'static str {
        "The stream of an agent broke five times within ten minutes without a goodbye. Each break makes what is known of \
         the host older, and a repair may be lost. It is well again when a stream has lasted ten minutes."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Medium,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(600),
            count: 5,
        }
    }

    fn about_agent(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() {
            return Judgement::Unknown;
        }
        let breaks = &it.host.agent.breaks;
        let count = rate::within(breaks.iter(), it.tuning.hold, it.now);
        let need = crate::key::at(it.tuning.count);
        if count >= need {
            let first = breaks.iter().rev().nth(count - 1).copied().unwrap_or(it.now);
            return Judgement::Present(Symptom {
                since: it.host.clock.to_host(first),
                probe: None,
                summary: format!(
                    "the stream of the agent of {} broke {count} times within {}",
                    it.host.id,
                    crate::text::span(it.tuning.hold)
                ),
            });
        }
        // Only a stream that lasts shows that it is over.
        let lasts = it.host.agent.since.is_some_and(|since| it.now.since(since) >= it.tuning.hold);
        if it.host.online() && (lasts || breaks.is_empty()) { Judgement::Absent(u32::MAX) } else { Judgement::Unknown }
    }
}
