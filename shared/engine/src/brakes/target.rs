//! One target: one repair at a time, patience after one that did not hold, and a person when it keeps coming back.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;
use prunella_model::time::format_span;

use super::{Ask, Brake, Class, Stop};
use crate::text::span;

/// The cool-down doubles at most so often: five minutes become a bit more than a day.
const DOUBLINGS: u32 = 8;

/// Relapses are counted for a day.
const DAY: Duration = Duration::from_secs(86_400);

/// One repair in flight.
pub(super) struct InFlight;

impl Brake for InFlight {
    fn name(&self) -> &'static str {
        "target_in_flight"
    }

    fn about(&self) -> &'static str {
        "Commands under way for the target. Releases when the one under way has ended."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let command = ask.engine.in_flight.get(&ask.key)?;
        Stop::when("it has ended", format!("command {command} is under way for the same target"))
    }
}

/// The name of the cool-down.
pub(crate) const COOL_DOWN: &str = "target_cool_down";

/// Time between similar repairs that did not hold.
pub(super) struct CoolDown;

impl Brake for CoolDown {
    fn name(&self) -> &'static str {
        COOL_DOWN
    }

    fn about(&self) -> &'static str {
        "The time since a similar repair of the target that did not hold; it doubles each time. A first repair is never \
         delayed, nor is putting back. Releases by time."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.cool_down = {:?}", format_span(policy.limits.cool_down))
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        if ask.rollback {
            return None;
        }
        let target = ask.engine.target_at(ask.key);
        let similar = || target.past.iter().rev().filter(|past| past.repair == *ask.repair);
        let last = similar().next()?;
        let failures = u32::try_from(similar().take_while(|past| !past.held).count()).unwrap_or(u32::MAX);
        if failures == 0 {
            return None;
        }
        let wait = ask.engine.policy.limits.cool_down.saturating_mul(1 << (failures - 1).min(DOUBLINGS));
        let until = last.at.after(wait);
        if until <= ask.now() {
            return None;
        }
        let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
        Stop::until(until, format!("{} did not hold {times}: {} between such repairs", ask.repair, span(wait)))
    }
}

/// Relapses.
pub(super) struct Flapping;

impl Brake for Flapping {
    fn name(&self) -> &'static str {
        "target_flapping"
    }

    fn about(&self) -> &'static str {
        "Relapses of the target within a day. At the limit a person must look; older relapses are forgotten."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.relapses = {}", policy.limits.relapses)
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let relapses = crate::detect::rate::within(ask.engine.target_at(ask.key).relapses.iter(), DAY, ask.now());
        let limit = ask.engine.policy.limits.relapses;
        if ask.rollback || relapses < crate::key::at(limit) {
            return None;
        }
        Some(Stop::Person {
            why: format!("it relapsed {relapses} times within a day; {limit} is the limit for repairing it unasked"),
        })
    }
}
