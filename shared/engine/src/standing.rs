//! What the fleet hears of its own restraint: the breaker opens and closes, the budget runs out and fills again.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::event::EventKind;

use crate::Engine;
use crate::brakes::{breaker_why, budget_why};
use crate::timers::Timer;

/// How long a changed standing must last before it is said again: figures at a limit would otherwise be said at each step.
const APART: Duration = Duration::from_secs(10);

/// What was said last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    breaker: Said,
    budget: Said,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    closed: bool,
    /// Null before it was ever said.
    at: Option<Timestamp>,
}

impl Said {
    /// Whether this is news, and worth saying by now. What restrains is said at once.
    fn turn(&mut self, closed: bool, now: Timestamp) -> bool {
        let due = closed || self.at.is_none_or(|at| now.since(at) >= APART);
        if self.closed == closed || !due {
            return false;
        }
        *self = Self { closed, at: Some(now) };
        true
    }
}

impl Engine {
    /// Says what has changed of how freely repairs may go, if anything was decided that can have changed it.
    pub(crate) fn watch_standing(&mut self) {
        if self.out.decides() {
            self.say_standing();
        }
    }

    /// Says what has changed of how freely repairs may go.
    pub(crate) fn say_standing(&mut self) {
        let now = self.now;
        let breaker = breaker_why(self);
        if self.standing.breaker.turn(breaker.is_some(), now) {
            let (kind, line) = match breaker {
                Some(why) => (EventKind::BreakerOpened, why),
                None => (EventKind::BreakerClosed, "few enough hosts are unhealthy again".to_owned()),
            };
            self.announce(kind, None, None, line);
        }
        let budget = budget_why(self);
        if self.standing.budget.turn(budget.is_some(), now) {
            let (kind, line) = match budget {
                Some(why) => (EventKind::Throttled, why),
                None => (
                    EventKind::Unthrottled,
                    "neither the budget nor the start of the server holds repairs back".to_owned(),
                ),
            };
            self.announce(kind, None, None, line);
        }
        if self.standing.breaker.closed || self.standing.budget.closed {
            // Budgets fill again by time alone, and what was not worth saying yet may be by then.
            self.timers.ensure(Timer::Standing, now.after(APART), now);
        }
    }

    /// The server began to decide for the fleet.
    pub(crate) fn begun(&mut self, version: &str) {
        let open = self.cases.len();
        let hosts = self.names.len();
        let line = format!(
            "prunella {version} decides for the fleet, which has {hosts} known hosts and {open} open incidents"
        );
        self.audit_as("engine".to_owned(), "server_started", "fleet".to_owned(), None, line.clone());
        self.announce(EventKind::ServerStarted, None, None, line);
    }
}
