//! A fault that mostly goes away by itself.

use prunella_model::incident::Release;

use super::{Ask, Brake, Class, Stop};
use crate::text::span;

/// See the module.
pub(super) struct SelfRecovery;

impl Brake for SelfRecovery {
    fn name(&self) -> &'static str {
        "self_recovery"
    }

    fn about(&self) -> &'static str {
        "By experience with this very fault, waiting promises more than the repair. Releases when that changes, and once \
         for all when the incident has waited as long as the policy's learning.wait_most."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let most = ask.engine.policy.learning.wait_most;
        let mine = |brake: &str| brake == self.name();
        if ask.rollback || ask.case.it.released.iter().any(|(hold, _)| mine(hold.brake.as_str())) {
            return None;
        }
        let since = ask.case.it.holds.iter().find(|hold| mine(hold.brake.as_str())).map_or(ask.now(), |it| it.since);
        let left = most.checked_sub(ask.now().since(since)).filter(|left| !left.is_zero())?;
        let (wait, chance) = ask.engine.better_to_wait(ask.case, ask.cause, ask.repair)?;
        let why = format!(
            "{:.0} % likely to go away by itself within {} ({:.0} recoveries seen); {} is {:.0} % likely to help, at a cost",
            wait.chance * 100.0,
            span(wait.span),
            wait.known,
            ask.repair,
            chance * 100.0
        );
        Some(Stop::Wait { why, release: Release::At(ask.now().after(wait.span.min(left))) })
    }
}
