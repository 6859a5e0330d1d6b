//! A host behaves unlike itself.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct Anomaly;

impl Rule for Anomaly {
    fn name(&self) -> &'static str {
        super::ANOMALY
    }

    fn about(&self) -> &'static str {
        "The metrics of a host and its targets together are unlike its own last two weeks, to a degree that a healthy host \
         reaches less often than `threshold` times a day; it is well again after `for` below it. It learns, so it starts in \
         shadow: it says what it would have opened, and opens nothing."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Low,
            threshold: 0.1,
            clear: 0.0,
            hold: Duration::from_secs(1_800),
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
        match it.host.unusual.alarm() {
            Some((since, what)) => Judgement::Present(Symptom {
                since: it.host.clock.to_host(since),
                probe: None,
                summary: format!("{} behaves unlike itself: {what}", it.host.id),
            }),
            None if it.host.unusual.knows() => Judgement::Absent(u32::MAX),
            None => Judgement::Unknown,
        }
    }
}
