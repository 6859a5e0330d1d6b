//! Never the last healthy member of a service.

use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Stop};
use crate::key::at;

/// See the module.
pub(super) struct LastMember;

impl Brake for LastMember {
    fn name(&self) -> &'static str {
        "last_member"
    }

    fn about(&self) -> &'static str {
        "Members of the target's service that would remain healthy during the repair. A target that serves no more takes \
         nothing away; a service with one member is exempt. Releases when enough members are healthy."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "services.NAME.minimum_healthy (1)".to_owned()
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let service = engine.target_at(ask.key).report.service.as_ref()?;
        let members = engine.topology.services.get(service)?;
        let minimum = engine.policy.services.get(service).and_then(|it| it.minimum_healthy);
        if members.len() < 2 || engine.ailing(ask.key) {
            return None;
        }
        let others = members.iter().filter(|member| **member != ask.key);
        let healthy = others.filter(|member| engine.serves(**member)).count();
        let need = at(minimum.unwrap_or(1)).max(1);
        if healthy >= need {
            return None;
        }
        let why =
            format!("it still serves, and only {healthy} other members of services/{service} do; {need} must remain");
        Stop::when("enough other members are healthy", why)
    }
}
