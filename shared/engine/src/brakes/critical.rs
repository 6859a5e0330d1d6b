//! Repairs that take a service away or remove what cannot be put back: so many a day, then a person confirms.

use std::time::Duration;

use prunella_model::policy::FleetPolicy;
use prunella_model::step::Risk;

use super::{Ask, Brake, Class, Stop};
use crate::detect::rate;
use crate::key::at;

const DAY: Duration = Duration::from_secs(86_400);

/// See the module.
pub(super) struct CriticalActions;

impl Brake for CriticalActions {
    fn name(&self) -> &'static str {
        "critical_actions"
    }

    fn about(&self) -> &'static str {
        "High-risk repairs of the host in the last day: those that take a service away or remove what cannot be put back. \
         Above the limit, or when the risk is one that the policy has confirmed each time, a person must ask for it."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        let it = &policy.limits;
        format!(
            "limits.critical_per_day = {}, limits.confirm_risk = {:?}",
            it.critical_per_day,
            it.confirm_risk.as_str()
        )
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (risk, _) = crate::plan::weigh(&ask.plan?.steps);
        let host = &ask.engine.hosts[at(ask.key.host)];
        let limits = &ask.engine.policy.limits;
        if risk >= limits.confirm_risk {
            let why = format!("{} is of {} risk: the policy wants a person to ask for it", ask.repair, risk.as_str());
            return Some(Stop::Person { why });
        }
        let count = rate::within(host.critical.iter(), DAY, ask.now());
        if risk < Risk::High || count < at(limits.critical_per_day) {
            return None;
        }
        let limit = limits.critical_per_day;
        Some(Stop::Person {
            why: format!("{count} high-risk repairs of {} within a day; {limit} are allowed", host.id),
        })
    }
}
