//! The agent refused: ask again later, not at once.

use std::time::Duration;

use prunella_model::outcome::Outcome;

use super::{Ask, Brake, Class, Stop};

/// The wait after a first refusal; it doubles with each one.
const FIRST: Duration = Duration::from_secs(1);

/// The doublings: a minute is the longest wait.
const DOUBLINGS: u32 = 6;

/// See the module.
pub(super) struct Refused;

impl Brake for Refused {
    fn name(&self) -> &'static str {
        "agent_refused"
    }

    fn about(&self) -> &'static str {
        "Refusals of the agent in a row. The wait doubles from one second to a minute. Releases by time."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let attempts = ask.case.it.attempts.iter().rev();
        let refused = attempts.take_while(|it| matches!(it.outcome, Some(Outcome::Refused(_))));
        let count = u32::try_from(refused.count()).unwrap_or(u32::MAX);
        let last = ask.case.it.attempts.last().filter(|_| count > 0)?;
        let Some(Outcome::Refused(refusal)) = &last.outcome else { return None };
        let until = last.outcome_at.unwrap_or(last.decided_at).after(FIRST * (1 << (count - 1).min(DOUBLINGS)));
        if until <= ask.now() {
            return None;
        }
        Stop::until(until, format!("the agent refused ({}): {refusal}", refusal.code()))
    }
}
