//! How much of the fleet's budget of repairs is used, and what that leaves through.
//!
//! What is left of a nearly used budget is kept for critical faults, so that a crowd of lesser ones never delays them.

use prunella_model::GroupName;
use prunella_model::incident::Severity;
use prunella_model::policy::{Mode, Scope};

use super::{Ask, Brake, Class, Reach, Stop, breaker, fleet, maintenance};
use crate::Engine;
use crate::view::Throttle;

/// See the module.
pub(super) struct ThrottleBrake;

/// The reserve is the fifth part of a budget.
const RESERVE: u32 = 5;

/// A budget of which only the reserve is left.
struct Low {
    count: u32,
    limit: u32,
    window: fleet::Window,
}

fn low(engine: &Engine) -> Option<Low> {
    [fleet::Window::Hour, fleet::Window::Minute].into_iter().find_map(|window| {
        let (count, limit) = (window.count(engine), window.limit(engine));
        (count >= limit - limit / RESERVE && limit >= RESERVE).then_some(Low { count, limit, window })
    })
}

impl Brake for ThrottleBrake {
    fn name(&self) -> &'static str {
        "throttle"
    }

    fn about(&self) -> &'static str {
        "The share of the fleet's budget of a minute or an hour that is used, in percent. From four fifths on the rest is \
         kept for critical faults, and for putting back. Releases as the oldest repairs pass out of that time."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        if ask.rollback || ask.severity == Severity::Critical {
            return None;
        }
        let Low { count, limit, window } = low(ask.engine)?;
        if count >= limit {
            // Nothing is left to keep: the budget's own brake says so.
            return None;
        }
        let until = window.below(ask.engine, limit - limit / RESERVE)?;
        let why = format!(
            "{count} of {limit} repairs in the last {}: what is left is kept for critical faults",
            window.unit()
        );
        Stop::until(until, why)
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        let used = [fleet::Window::Hour, fleet::Window::Minute]
            .map(|it| f64::from(it.count(engine)) * 100.0 / f64::from(it.limit(engine).max(1)));
        (used.into_iter().reduce(f64::max), Some(100.0 - 100.0 / f64::from(RESERVE)))
    }
}

/// Everything is stopped for a reason that a mode, a pause or a maintenance gives.
fn stopped(engine: &Engine, scope: &Scope, mode: Mode) -> Option<(Throttle, String)> {
    let name = scope.spoken();
    if let Some(pause) = engine.pauses.get(scope) {
        return Some((Throttle::Blocked, format!("{} paused {name}: {}", pause.by, pause.why)));
    }
    if let Some(why) = maintenance::on(engine, scope) {
        return Some((Throttle::Blocked, why));
    }
    match mode {
        Mode::Disabled => Some((Throttle::Blocked, format!("{name} is in mode disabled"))),
        Mode::Conservative => Some((Throttle::Throttled, format!("{name} is in mode conservative"))),
        Mode::Aggressive | Mode::Balanced => None,
    }
}

/// What holds repairs back that nobody asked for: a start with hosts that are not back yet, or a budget that is nearly used
/// up.
fn by_figures(engine: &Engine) -> Vec<(Throttle, String)> {
    let mut found = Vec::new();
    if let Some(cold) = &engine.cold {
        let why = format!("the server has just started: {} of {} known hosts are back", cold.back, cold.known);
        found.push((Throttle::Blocked, why));
    }
    if engine.fleet_mode() != Mode::Aggressive
        && let Some(Low { count, limit, window }) = low(engine)
    {
        let state = if count >= limit { Throttle::Blocked } else { Throttle::Throttled };
        found.push((state, format!("{count} of {limit} repairs in the last {} are used", window.unit())));
    }
    found
}

/// Why the fleet's budget leaves less through than usual; null while it does not.
pub(crate) fn budget_why(engine: &Engine) -> Option<String> {
    worst(by_figures(engine)).1
}

impl Engine {
    /// What the fleet's brakes leave through, and why not more.
    pub(crate) fn throttle(&self) -> (Throttle, Option<String>) {
        let mode = self.fleet_mode();
        let mut found: Vec<(Throttle, String)> = stopped(self, &Scope::Fleet, mode).into_iter().collect();
        found.extend(by_figures(self));
        if let Some(why) = breaker::open(self) {
            found.push((Throttle::Throttled, why));
        }
        worst(found)
    }

    /// The same for a group: the fleet's state or its own, whichever leaves less through.
    pub(crate) fn group_throttle(&self, group: &GroupName) -> (Throttle, Option<String>) {
        let mode = self.group_mode(group).unwrap_or(Mode::Balanced);
        let own = stopped(self, &Scope::Group(group.clone()), mode);
        let (state, why) = self.throttle();
        let fleet = why.map(|why| (state, why));
        worst(fleet.into_iter().chain(own).collect())
    }
}

fn worst(found: Vec<(Throttle, String)>) -> (Throttle, Option<String>) {
    // The first of the worst: a person's order before what follows from figures.
    let worst = found.iter().map(|it| it.0).max().unwrap_or(Throttle::Normal);
    (worst, found.into_iter().find(|it| it.0 == worst).map(|it| it.1))
}
