//! Targets wait for each other in a circle, and this one is the cheapest of them to end.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// Locks are taken and released all the time; only a circle that lasts is a deadlock.
const LASTS: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Deadlock;

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        super::DEADLOCK
    }

    fn about(&self) -> &'static str {
        "Targets were seen to wait for each other in a circle that lasts. It speaks on one of them: the one that is not \
         critical, that the fewest others need, and that has run the shortest time."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning { enabled: true, severity: Severity::High, threshold: 0.0, clear: 0.0, hold: LASTS, count: 1 }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact().filter(|contact| it.now.since(*contact) <= it.fresh);
        let looked = it.host.waits_at.filter(|at| *at >= it.since);
        let looked = looked.filter(|at| it.now.since(it.host.clock.to_server(*at, it.now)) <= it.fresh);
        let (Some(_), Some(_)) = (contact, looked) else { return Judgement::Unknown };
        match &it.target.stuck {
            None => Judgement::Absent(u32::MAX),
            Some(stuck) if it.now.since(stuck.since) < it.tuning.hold => Judgement::Unknown,
            Some(stuck) => Judgement::Present(Symptom {
                since: it.host.clock.to_host(stuck.since),
                probe: None,
                summary: format!("deadlock: {}", stuck.text),
            }),
        }
    }
}
