//! A repair of which experience does not show that it helps: it goes to shadow, where it is decided and shown, not done.

use std::time::Duration;

use super::{Ask, Brake, Class, Stop};
use crate::cause::Cause;
use crate::choose::Belief;
use crate::choose::draw::beta_quantile;
use crate::incident::learn::in_vain;
use crate::repairs;

/// Fewer trials than this prove nothing.
const TRIALS_LEAST: f64 = 5.0;

/// The least that doing nothing is taken to promise.
const NOTHING_LEAST: f64 = 0.05;

/// After so long without a trial one more is let through: what did not help then may help now.
const AGAIN: Duration = Duration::from_secs(86_400);

/// How sure it must be that a repair helps no more than that.
const SURE: f64 = 0.95;

/// See the module.
pub(super) struct Unpromising;

impl Brake for Unpromising {
    fn name(&self) -> &'static str {
        "unpromising"
    }

    fn about(&self) -> &'static str {
        "The least that this repair may be hoped to help this fault, by experience (95 percent, from 5 trials on). Below what \
         doing nothing gives it is in shadow: decided and shown, and a person must ask for it. One trial more is let through \
         a day after the last."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        if ask.rollback {
            return None;
        }
        let prior = ask.engine.prior(ask.case, ask.cause, repairs::by_name(ask.repair.as_str())?)?;
        let subject = ask.engine.subject_of(ask.key, &ask.case.it.fault, ask.cause);
        let after = in_vain(&ask.case.it.attempts);
        let book = &ask.engine.book;
        let belief = book.belief(&subject, &after, ask.repair, prior, ask.now());
        let (lower, nothing) = hopeless(&belief, ask.cause, ask.engine.policy.verification.deadline)?;
        if ask.now().since(book.last_trial(&subject, ask.repair)?) >= AGAIN {
            return None;
        }
        let trials = belief.trials;
        let why = format!(
            "{} is in shadow: {trials:.0} trials show no more than {:.0} % for it, and doing nothing promises {:.0} %",
            ask.repair,
            lower * 100.0,
            nothing * 100.0
        );
        Some(Stop::Person { why })
    }
}

/// Whether experience, of enough trials, does not show that a repair helps more than doing nothing: the least that it may be
/// hoped to help, and what doing nothing gives within the time that a verdict takes. Null otherwise.
pub(crate) fn hopeless(belief: &Belief, cause: Cause, deadline: Duration) -> Option<(f64, f64)> {
    if belief.trials < TRIALS_LEAST {
        return None;
    }
    let lower = beta_quantile(1.0 - SURE, belief.heads, belief.tails);
    let nothing = 1.0 - libm::exp(-deadline.as_secs_f64() / cause.self_recovery().as_secs_f64());
    let nothing = nothing.max(NOTHING_LEAST);
    (lower < nothing).then_some((lower, nothing))
}
