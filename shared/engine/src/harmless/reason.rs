//! A repair needs a reason: that it may help here, and that anybody could tell.

use std::time::Duration;

use prunella_model::incident::Verdict;

use crate::brakes::{Ask, Brake, Class, Stop};
use crate::cause::Cause;
use crate::rules;

/// What made it worse is not tried again for so long.
const DAY: Duration = Duration::from_secs(86_400);

/// Never repeat what made it worse.
pub(super) struct NeverWhatMadeItWorse;

impl Brake for NeverWhatMadeItWorse {
    fn name(&self) -> &'static str {
        "never_what_made_it_worse"
    }

    fn about(&self) -> &'static str {
        "Never repeat a repair that made this target worse, in this incident or within a day. Putting back what it changed \
         is not repeating it."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        if ask.rollback || !engine.made_worse(ask.case, ask.repair) {
            return None;
        }
        Some(Stop::Person { why: format!("{} has made it worse before", ask.repair) })
    }
}

impl crate::Engine {
    /// Whether a repair made an incident's target worse, in that incident or within a day.
    pub(crate) fn made_worse(&self, case: &crate::incident::Case, repair: &prunella_model::RepairName) -> bool {
        let mut here = case.it.attempts.iter();
        let mut before = self.target_at(case.key).past.iter();
        here.any(|it| it.repair == *repair && it.undoes.is_none() && it.verdict == Some(Verdict::Worse))
            || before.any(|it| it.repair == *repair && it.worse && self.now.since(it.at) < DAY)
    }
}

/// Never when the cause lies upstream.
pub(super) struct NeverUpstream;

impl Brake for NeverUpstream {
    fn name(&self) -> &'static str {
        "never_upstream"
    }

    fn about(&self) -> &'static str {
        "Never act on a target whose fault has its cause in another one: what it needs is repaired instead."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let own = ask.engine.reference(ask.key);
        let elsewhere = ask.case.it.diagnosis.as_ref().filter(|it| it.cause_target != own);
        let why = match elsewhere {
            Some(diagnosis) => format!("the cause lies in {}", diagnosis.cause_target),
            None if ask.cause == Cause::Upstream => "the cause lies upstream".to_owned(),
            None => return None,
        };
        Stop::when("the cause is healed", why)
    }
}

/// Never without a way to verify.
pub(super) struct NeverUnverifiable;

impl Brake for NeverUnverifiable {
    fn name(&self) -> &'static str {
        "never_unverifiable"
    }

    fn about(&self) -> &'static str {
        "Never act without a way to verify: some probe of the target must be able to tell whether it is well again, or the \
         rule that found the symptom must."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let faults = std::iter::once(&ask.case.it.fault).chain(&ask.case.it.also);
        let ruled = faults.into_iter().any(|fault| rules::index(&fault.rule).is_some());
        if ruled || !ask.engine.verifying(ask.key, ask.case).is_empty() {
            return None;
        }
        Some(Stop::Person { why: "no probe of it could tell whether it helped".to_owned() })
    }
}
