//! Repairs of the whole fleet: so many a minute, an hour, and at the same time.

use std::time::Duration;

use super::{Ask, Brake, Class, Reach, Stop};
use crate::Engine;
use crate::detect::rate;

/// Limits are given for each hundred hosts begun.
fn hundreds(engine: &Engine) -> u32 {
    u32::try_from(engine.names.len().div_ceil(100)).unwrap_or(u32::MAX).max(1)
}

/// However small the fleet, so many repairs may be under way at the same time.
const CONCURRENT_LEAST: u32 = 3;

fn paced(engine: &Engine, window: Duration, limit: u32, unit: &str) -> Option<Stop> {
    let limit = crate::key::at(limit);
    let count = rate::within(engine.decided.iter(), window, engine.now);
    if count < limit {
        return None;
    }
    let until = rate::falls_below(engine.decided.iter(), window, limit)?;
    Stop::until(until, format!("{count} repairs in the last {unit}; {limit} are allowed for a fleet of this size"))
}

fn count(engine: &Engine, window: Duration) -> Option<f64> {
    Some(f64::from(crate::key::next(rate::within(engine.decided.iter(), window, engine.now))))
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Repairs in the last minute.
pub(super) struct PerMinute;

impl PerMinute {
    fn limit(engine: &Engine) -> u32 {
        engine.policy.limits.fleet_per_minute.saturating_mul(hundreds(engine))
    }
}

impl Brake for PerMinute {
    fn name(&self) -> &'static str {
        "fleet_per_minute"
    }

    fn about(&self) -> &'static str {
        "Repairs of the fleet in the last minute. Releases as the oldest of them passes out of that minute."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        paced(ask.engine, MINUTE, Self::limit(ask.engine), "minute")
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (count(engine, MINUTE), Some(f64::from(Self::limit(engine))))
    }
}

/// Repairs in the last hour.
pub(super) struct PerHour;

impl PerHour {
    fn limit(engine: &Engine) -> u32 {
        engine.policy.limits.fleet_per_hour.saturating_mul(hundreds(engine))
    }
}

impl Brake for PerHour {
    fn name(&self) -> &'static str {
        "fleet_per_hour"
    }

    fn about(&self) -> &'static str {
        "Repairs of the fleet in the last hour. Releases as the oldest of them passes out of that hour."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        paced(ask.engine, HOUR, Self::limit(ask.engine), "hour")
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (count(engine, HOUR), Some(f64::from(Self::limit(engine))))
    }
}

/// Repairs under way.
pub(super) struct Concurrent;

impl Concurrent {
    fn limit(engine: &Engine) -> u32 {
        engine.policy.limits.fleet_concurrent.saturating_mul(hundreds(engine)).max(CONCURRENT_LEAST)
    }
}

impl Brake for Concurrent {
    fn name(&self) -> &'static str {
        "fleet_concurrent"
    }

    fn about(&self) -> &'static str {
        "Repairs under way in the fleet. Releases when one of them has ended."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (under_way, limit) = (ask.engine.in_flight.len(), Self::limit(ask.engine));
        if under_way < crate::key::at(limit) {
            return None;
        }
        Stop::when(
            "one of them has ended",
            format!("{under_way} repairs are under way; {limit} may be at the same time"),
        )
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (Some(f64::from(crate::key::next(engine.in_flight.len()))), Some(f64::from(Self::limit(engine))))
    }
}
