//! Nobody is called for what can wait.

use prunella_model::incident::Release;
use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Stop};
use crate::Engine;

/// Its name.
pub(crate) const LOW_SEVERITY: &str = "low_severity";

/// See the module.
pub(super) struct LowSeverity;

/// When somebody is called; null when that is now.
pub(crate) fn low_severity(ask: &Ask<'_>) -> Option<Release> {
    if !super::works(LOW_SEVERITY) || !Engine::of_no_urgency(ask.case) {
        return None;
    }
    let engine = ask.engine;
    let due = engine.policy.response.within(ask.severity).map(|within| ask.case.it.opened_at.after(within));
    match due.or_else(|| engine.next_window(ask.key)) {
        Some(at) if at <= ask.now() => None,
        Some(at) => Some(Release::At(at)),
        None => Some(Release::When("it gets worse, goes away, or somebody asks for a repair".to_owned())),
    }
}

impl Brake for LowSeverity {
    fn name(&self) -> &'static str {
        LOW_SEVERITY
    }

    fn about(&self) -> &'static str {
        "Faults of low severity that no repair may treat: nobody is called for them at once. Releases in the next window of the \
         policy that covers the target, or after the policy's response.low; without either in the quiet hours of the host or \
         service, and while those are not known they are shown until they get worse or go away."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "response.low, quiet".to_owned()
    }

    /// It holds back the call for a person, never a repair.
    fn check(&self, _ask: &Ask<'_>) -> Option<Stop> {
        None
    }
}
