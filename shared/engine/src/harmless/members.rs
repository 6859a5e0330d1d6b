//! The last one that serves is left alone.

use std::collections::BTreeSet;

use crate::brakes::{Ask, Brake, Class, Stop};
use crate::key::Key;

/// Never the last healthy member.
pub(super) struct NeverLastHealthy;

impl Brake for NeverLastHealthy {
    fn name(&self) -> &'static str {
        "never_last_healthy"
    }

    fn about(&self) -> &'static str {
        "Never act on the last healthy member of a service or group that has several, whatever minimum the policy says. \
         Releases when another one is healthy."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        if !engine.serves(ask.key) {
            return None;
        }
        let target = engine.target_at(ask.key);
        let service = target.report.service.as_ref();
        let of_service = service.and_then(|service| {
            let members: &BTreeSet<Key> = engine.topology.services.get(service)?;
            let others = members.iter().filter(|member| **member != ask.key);
            (members.len() > 1 && !others.into_iter().any(|it| engine.serves(*it)))
                .then(|| format!("services/{service}"))
        });
        let of_group = || {
            target.groups.iter().find_map(|group| {
                let members = engine.topology.groups.get(group)?;
                let healthy = engine.group_healthy(group);
                let alone = members.len() > 1 && !healthy.iter().any(|host| *host != ask.key.host);
                alone.then(|| format!("groups/{group}"))
            })
        };
        let what = of_service.or_else(of_group)?;
        Stop::when("another one is healthy", format!("it is the last healthy member of {what}"))
    }
}
