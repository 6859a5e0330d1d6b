//! Requests that became a habit, and repairs that work against each other.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;
use prunella_model::step::Step;

use super::{Ask, BRAKES, Brake, Class, Stop};
use crate::Engine;
use crate::detect::rate;
use crate::governance;

/// Requests of people who override too often.
pub(super) struct OverrideAbuse;

impl Brake for OverrideAbuse {
    fn name(&self) -> &'static str {
        "override_abuse"
    }

    fn about(&self) -> &'static str {
        "Repairs that one person forced and pauses that they lifted within an hour. Above the limit their requests pass no \
         brake of consent, and that is announced. Releases when somebody else resumes operators/NAME."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("governance.overrides_per_hour = {}", policy.governance.overrides_per_hour)
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let forced = ask.case.forced.as_ref().filter(|forced| ask.engine.suspended(&forced.by))?;
        let mut consent = BRAKES.iter().filter(|brake| brake.class() == Class::Consent);
        let held = consent.find(|brake| brake.check(ask).is_some())?;
        let (by, held) = (&forced.by, held.name());
        let why = format!("{by} overrode too often to pass {held}: somebody else must ask, or resume operators/{by}");
        Some(Stop::Person { why })
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        let counts = engine.overrides.values().map(|it| rate::within(it.iter(), governance::HOUR, engine.now));
        let most = counts.max().map(|it| f64::from(crate::key::next(it)));
        (most, Some(f64::from(engine.policy.governance.overrides_per_hour)))
    }
}

/// Repairs work against each other when one undoes within this time what another did.
const LATELY: Duration = Duration::from_secs(900);

/// Repairs that undo each other.
pub(super) struct RuleConflict;

/// Whether two steps on the same target undo each other.
fn opposite(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::StopService { .. }, Step::StartService | Step::RestartService { .. })
        | (Step::StartService | Step::RestartService { .. }, Step::StopService { .. }) => true,
        (Step::RestoreFile { file, snapshot }, Step::RestoreFile { file: other, snapshot: others }) => {
            file == other && snapshot != others
        }
        (Step::Use { part, act }, Step::Use { part: other, act: done }) => part == other && act.opposes(done),
        (
            Step::StopService { .. }
            | Step::StartService
            | Step::RestartService { .. }
            | Step::SignalProcess { .. }
            | Step::CleanDirectory { .. }
            | Step::RestoreFile { .. }
            | Step::Use { .. },
            _,
        ) => false,
    }
}

impl Brake for RuleConflict {
    fn name(&self) -> &'static str {
        "rule_conflict"
    }

    fn about(&self) -> &'static str {
        "Repairs of the target in the last 15 minutes that this one would undo: one stops what the other \
         starts, or both restore the same file to different contents. A person must decide which of them is right."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let plan = ask.plan.filter(|plan| plan.undoes.is_none())?;
        let target = ask.engine.target_at(ask.key);
        let lately = target.past.iter().rev().take_while(|past| ask.now().since(past.at) < LATELY);
        let undone = lately
            .into_iter()
            .find(|past| past.steps.iter().any(|done| plan.steps.iter().any(|wanted| opposite(&wanted.step, done))))?;
        let why =
            format!("{} would undo what {} did lately: two rules want opposite things", ask.repair, undone.repair);
        Some(Stop::Person { why })
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::PartName;
    use prunella_model::observation::Sha256;

    use super::*;

    #[test]
    fn steps_that_undo_each_other_are_told_from_others() {
        let stop = || Step::StopService { grace: Duration::ZERO };
        let restore = |file, byte| Step::RestoreFile { file: PartName::of(file), snapshot: Sha256([byte; 32]) };
        assert!(opposite(&stop(), &Step::StartService) && opposite(&Step::StartService, &stop()));
        assert!(opposite(&restore("conf", 1), &restore("conf", 2)));
        assert!(
            !opposite(&restore("conf", 1), &restore("conf", 1)) && !opposite(&restore("conf", 1), &restore("keys", 2))
        );
        assert!(!opposite(&stop(), &stop()) && !opposite(&Step::StartService, &Step::StartService));
    }
}
