//! A cap on how much that still serves may be taken out by repairs in an hour.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Reach, Stop};
use crate::Engine;
use crate::detect::rate;
use crate::key::{at, next};

const HOUR: Duration = Duration::from_secs(3_600);

/// However small the fleet, so many may be taken out in an hour.
const LEAST: u32 = 3;

/// See the module.
pub(super) struct Capacity;

impl Capacity {
    fn limit(engine: &Engine) -> u32 {
        let hosts = u64::from(next(engine.names.len()));
        let share = hosts * u64::from(engine.policy.limits.capacity_percent_per_hour) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(LEAST)
    }

    fn count(engine: &Engine) -> u32 {
        next(rate::within(engine.outages.iter(), HOUR, engine.now))
    }
}

impl Brake for Capacity {
    fn name(&self) -> &'static str {
        "capacity"
    }

    fn about(&self) -> &'static str {
        "Targets that still served and were taken out by a repair in the last hour; a share of the fleet's hosts, at least \
         3. A target that serves no more takes nothing away. Releases as the oldest pass out of that hour."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.capacity_percent_per_hour = {}, at least 3", policy.limits.capacity_percent_per_hour)
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        if !engine.serves(ask.key) {
            return None;
        }
        let (count, limit) = (Self::count(engine), Self::limit(engine));
        if count < limit {
            return None;
        }
        let until = rate::falls_below(engine.outages.iter(), HOUR, at(limit))?;
        Stop::until(until, format!("{count} targets that served were taken out in the last hour; {limit} may be"))
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (Some(f64::from(Self::count(engine))), Some(f64::from(Self::limit(engine))))
    }
}
