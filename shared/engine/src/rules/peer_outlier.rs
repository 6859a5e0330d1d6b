//! A host differs from the others of its group, and from itself.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct PeerOutlier;

impl Rule for PeerOutlier {
    fn name(&self) -> &'static str {
        super::PEER_OUTLIER
    }

    fn about(&self) -> &'static str {
        "A host uses another share of its processors, memory or disks than the others of its group, by more than five robust \
         deviations, and than its own past, by 2.5, three minutes in a row. Where half of the group or more left their own \
         past, what they share is the cause, and nothing is said of any one of them. It compares, so it starts in shadow: it \
         says what it would have opened, and opens nothing."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        // How far apart is apart, and for how long, is part of the method.
        Tuning {
            enabled: true,
            severity: Severity::Low,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(180),
            count: 1,
        }
    }

    fn starts_in_shadow(&self) -> bool {
        true
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        if !it.target.report.name.is_host() || !it.measured() {
            return Judgement::Unknown;
        }
        match &it.host.peer.apart {
            Some((since, what)) => Judgement::Present(Symptom {
                since: it.host.clock.to_host(*since),
                probe: None,
                summary: format!("{} is unlike its peers: {what}", it.host.id),
            }),
            None if it.host.peer.compared => Judgement::Absent(u32::MAX),
            None => Judgement::Unknown,
        }
    }
}
