//! One host: so many repairs an hour, so many rollbacks a day, and none of what was hardly alive before.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Stop};
use crate::key::at;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Repairs in the last hour, with a share reserved for each target.
pub(super) struct PerHour;

impl Brake for PerHour {
    fn name(&self) -> &'static str {
        "host_per_hour"
    }

    fn about(&self) -> &'static str {
        "Repairs of the host in the last hour. A share is reserved for each target, so that one that flaps never delays \
         another. Releases as the oldest of them passes out of that hour."
    }

    fn class(&self) -> Class {
        Class::Pacing
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        let it = &policy.limits;
        format!("limits.host_per_hour = {}, limits.target_reserve = {}", it.host_per_hour, it.target_reserve)
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let host = &ask.engine.hosts[at(ask.key.host)];
        let limits = &ask.engine.policy.limits;
        let (limit, reserve) = (at(limits.host_per_hour), at(limits.target_reserve));
        let recent = || host.repairs.iter().rev().take_while(|(when, _)| ask.now().since(*when) < HOUR);
        let used = recent().count();
        let own_name = &host.targets[at(ask.key.target)].report.name;
        let own = recent().filter(|(_, target)| target == own_name).count();
        let kept: usize = if own < reserve || used.saturating_mul(2) < limit {
            // Within its own share nothing is kept for others, nor while most of the budget is untouched.
            0
        } else {
            let others = host.targets.iter().filter(|target| !target.gone && target.report.name != *own_name);
            others
                .map(|other| {
                    let theirs = recent().filter(|(_, target)| *target == other.report.name).count();
                    reserve.saturating_sub(theirs)
                })
                .sum()
        };
        if used.saturating_add(kept) < limit {
            return None;
        }
        let oldest = recent().last().map_or(ask.now(), |(when, _)| *when);
        let why = format!(
            "{used} repairs of {} in the last hour, {own} of them of this target; {limit} are allowed, {kept} of them \
             kept for other targets",
            host.id
        );
        Stop::until(oldest.after(HOUR), why)
    }
}

/// Rollbacks in the last day.
pub(super) struct Rollbacks;

impl Brake for Rollbacks {
    fn name(&self) -> &'static str {
        "host_rollbacks"
    }

    fn about(&self) -> &'static str {
        "Rollbacks of the host in the last day. Above the limit a person must look."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.rollbacks_per_day = {}", policy.limits.rollbacks_per_day)
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let host = &ask.engine.hosts[at(ask.key.host)];
        let count = crate::detect::rate::within(host.rollbacks.iter(), DAY, ask.now());
        let limit = ask.engine.policy.limits.rollbacks_per_day;
        if !ask.rollback || count < at(limit) {
            return None;
        }
        Some(Stop::Person { why: format!("{count} rollbacks of {} within a day; {limit} are allowed", host.id) })
    }
}

/// The target's health before its fault.
pub(super) struct HealthFloor;

impl Brake for HealthFloor {
    fn name(&self) -> &'static str {
        "health_floor"
    }

    fn about(&self) -> &'static str {
        "The health that the target had before its fault. What was hardly alive then is for a person to look at."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.health_floor = {}", policy.limits.health_floor)
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let health = ask.engine.target_at(ask.key).baseline?;
        let floor = ask.engine.policy.limits.health_floor;
        if ask.rollback || health >= f64::from(floor) {
            return None;
        }
        Some(Stop::Person { why: format!("its health was {health:.0} before this fault, below the floor of {floor}") })
    }
}
