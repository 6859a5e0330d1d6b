//! When too much of the fleet is unhealthy at once, something other than each host is the trouble.
//!
//! A breaker that stays open for ever freezes all repair, and one that closes at once starts a stampede. So while it is
//! open, one repair at a time goes through, paced: what helps lowers the share of unhealthy hosts, and the rest follows.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Reach, Stop};
use crate::Engine;

/// While open, trials are this share of the cool-down apart: 30 s by default.
const TRIAL_SHARE: u32 = 10;

/// See the module.
pub(super) struct Breaker;

/// The share of hosts that are unhealthy, in percent; null while the fleet is too small for the breaker.
fn share(engine: &Engine) -> Option<f64> {
    let limits = &engine.policy.limits;
    let hosts = engine.names.len();
    if hosts < crate::key::at(limits.breaker_hosts.max(1)) {
        return None;
    }
    let hosts = f64::from(crate::key::next(hosts));
    Some(f64::from(engine.troubled) * 100.0 / hosts)
}

/// Why the breaker is open; null while it is closed.
pub(crate) fn open(engine: &Engine) -> Option<String> {
    let (share, limit) = (share(engine)?, engine.policy.limits.breaker_percent);
    let open = share > f64::from(limit);
    open.then(|| format!("{share:.0} % of the hosts are unhealthy, more than {limit} %: one repair at a time"))
}

impl Brake for Breaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn about(&self) -> &'static str {
        "The share of hosts with a fault of their own, in percent. Above the limit only one repair at a time goes through, \
         paced. Releases when the share falls."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        let it = &policy.limits;
        format!("limits.breaker_percent = {}, limits.breaker_hosts = {}", it.breaker_percent, it.breaker_hosts)
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let why = open(engine)?;
        if !engine.in_flight.is_empty() {
            return Stop::when("the repair under way has ended", why);
        }
        let apart: Duration = engine.policy.limits.cool_down / TRIAL_SHARE;
        let next = engine.decided.back().map(|at| at.after(apart)).filter(|next| *next > engine.now)?;
        Stop::until(next, why)
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        (share(engine), Some(f64::from(engine.policy.limits.breaker_percent)))
    }
}
