//! Repairs of the whole fleet: so many a minute, an hour, and at the same time.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Reach, Stop};
use crate::Engine;
use crate::detect::rate;
use crate::key::{at, next};

/// Limits are given for each hundred hosts begun.
fn hundreds(engine: &Engine) -> u32 {
    next(engine.names.len().div_ceil(100)).max(1)
}

/// However small the fleet, so many repairs may be under way at the same time.
const CONCURRENT_LEAST: u32 = 3;

/// A time of which repairs are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Window {
    Minute,
    Hour,
}

impl Window {
    /// Its name in a sentence.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    const fn span(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
        }
    }

    /// How many repairs may be decided in it.
    pub(super) fn limit(self, engine: &Engine) -> u32 {
        let limits = &engine.policy.limits;
        let each = match self {
            Self::Minute => limits.fleet_per_minute,
            Self::Hour => limits.fleet_per_hour,
        };
        each.saturating_mul(hundreds(engine))
    }

    /// How many were.
    pub(super) fn count(self, engine: &Engine) -> u32 {
        next(rate::within(engine.decided.iter(), self.span(), engine.now))
    }

    /// When that count falls below `limit`, if nothing else is repaired.
    pub(super) fn below(self, engine: &Engine, limit: u32) -> Option<Timestamp> {
        rate::falls_below(engine.decided.iter(), self.span(), at(limit))
    }

    fn check(self, engine: &Engine) -> Option<Stop> {
        let (count, limit) = (self.count(engine), self.limit(engine));
        if count < limit {
            return None;
        }
        let unit = self.unit();
        let why = format!("{count} repairs in the last {unit}; {limit} are allowed for a fleet of this size");
        Stop::until(self.below(engine, limit)?, why)
    }

    fn gauge(self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (Some(f64::from(self.count(engine))), Some(f64::from(self.limit(engine))))
    }
}

/// Repairs in the last minute.
pub(super) struct PerMinute;

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

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.fleet_per_minute = {} for each 100 hosts", policy.limits.fleet_per_minute)
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        Window::Minute.check(ask.engine)
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        Window::Minute.gauge(engine)
    }
}

/// Repairs in the last hour.
pub(super) struct PerHour;

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

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.fleet_per_hour = {} for each 100 hosts", policy.limits.fleet_per_hour)
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        Window::Hour.check(ask.engine)
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        Window::Hour.gauge(engine)
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

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.fleet_concurrent = {} for each 100 hosts, at least 3", policy.limits.fleet_concurrent)
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (under_way, limit) = (ask.engine.in_flight.len(), Self::limit(ask.engine));
        if under_way < at(limit) {
            return None;
        }
        Stop::when(
            "one of them has ended",
            format!("{under_way} repairs are under way; {limit} may be at the same time"),
        )
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (Some(f64::from(next(engine.in_flight.len()))), Some(f64::from(Self::limit(engine))))
    }
}
