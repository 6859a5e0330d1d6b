//! A host's agent fell silent.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::host::Link;

/// See the module.
pub(super) struct HostSilent;

impl Rule for HostSilent {
    fn name(&self) -> &'static str {
        super::HOST_SILENT
    }

    fn about(&self) -> &'static str {
        "Nothing was heard of a host's agent for longer than the fleet's heartbeat, and it did not say goodbye. Out of \
         reach is not broken: nothing is done to it, and a person is told."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning { enabled: true, severity: Severity::High, threshold: 0.0, clear: 0.0, hold: Duration::ZERO, count: 1 }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() {
            return Judgement::Unknown;
        }
        match it.host.link {
            Link::Online | Link::Left => Judgement::Absent(u32::MAX),
            Link::Away => Judgement::Unknown,
            Link::Silent => Judgement::Present(Symptom {
                since: it.host.clock.to_host(it.host.last_seen),
                probe: None,
                summary: format!("nothing was heard of {}", it.host.id),
            }),
        }
    }
}
