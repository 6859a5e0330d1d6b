//! A repair that experience says does not help.

use super::{Ask, Brake, Class, Stop};
use crate::knowledge::{alone, lesson_key};
use crate::repairs;

/// Fewer trials than this prove nothing.
const TRIALS_LEAST: f64 = 5.0;

/// See the module.
pub(super) struct Unpromising;

impl Brake for Unpromising {
    fn name(&self) -> &'static str {
        "unpromising"
    }

    fn about(&self) -> &'static str {
        "The most that this repair may be hoped to help this fault, by experience (95 percent). Below what doing nothing \
         gives, a person must decide."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let repair = repairs::by_name(ask.repair.as_str())?;
        let prior = repair.treats().iter().find(|(cause, _)| *cause == ask.cause).map(|(_, prior)| *prior)?;
        let key = lesson_key(&ask.case.it.fault.fingerprint, ask.cause.as_str());
        let (upper, trials) = ask.engine.knowledge.upper(&key, ask.repair, prior);
        let nothing = alone(ask.cause.self_recovery(), ask.engine.policy.verification.deadline).max(0.05);
        if trials < TRIALS_LEAST || upper >= nothing {
            return None;
        }
        let why = format!(
            "in {trials:.0} trials {} helped so rarely that doing nothing promises more ({:.0} % at most against {:.0} %)",
            ask.repair,
            upper * 100.0,
            nothing * 100.0
        );
        Some(Stop::Person { why })
    }
}
