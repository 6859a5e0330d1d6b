//! A group's hosts are repaired one at a time, or few, and enough of them keep serving.

use prunella_model::GroupName;
use prunella_model::policy::FleetPolicy;

use super::{Ask, Brake, Class, Stop};
use crate::Engine;
use crate::groups::Members;

/// The target's groups, those of one host left out: what has no other host cannot spare one, nor wait for one.
fn groups<'a>(ask: &'a Ask<'_>) -> impl Iterator<Item = (&'a GroupName, &'a Members)> {
    let engine: &Engine = ask.engine;
    let groups = engine.target_at(ask.key).groups.iter();
    groups.filter_map(|group| Some((group, engine.topology.groups.get(group)?))).filter(|(_, it)| it.len() > 1)
}

/// Hosts of a group under repair at the same time.
pub(super) struct GroupConcurrent;

impl Brake for GroupConcurrent {
    fn name(&self) -> &'static str {
        "group_concurrent"
    }

    fn about(&self) -> &'static str {
        "Hosts of the target's group that are under repair or not yet verified; one, or 5 percent of them, may be. A group \
         of one host is exempt. Releases when one of them is verified; the worst and oldest held repair goes first."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "groups.NAME.concurrent (1, or 5 % of its hosts)".to_owned()
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let (group, busy, limit) = groups(ask).find_map(|(group, members)| {
            let others = crate::key::next(members.busy.keys().filter(|host| **host != ask.key.host).count());
            let limit = engine.group_limit(group);
            (others >= limit).then_some((group, others, limit))
        })?;
        let hosts = if busy == 1 { "1 other host".to_owned() } else { format!("{busy} other hosts") };
        let why = format!("{hosts} of groups/{group} under repair; {limit} may be at the same time");
        Stop::when("one of them is verified", why)
    }
}

/// Hosts of a group that must remain healthy.
pub(super) struct GroupMinimum;

impl Brake for GroupMinimum {
    fn name(&self) -> &'static str {
        "group_minimum"
    }

    fn about(&self) -> &'static str {
        "Hosts of the target's group that would remain healthy during the repair: never fewer than its minimum or its \
         quorum. A target that serves no more takes nothing away; a group of one host is exempt. Releases when enough \
         hosts are healthy."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "groups.NAME.minimum_healthy (1), groups.NAME.quorum (false)".to_owned()
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        if engine.ailing(ask.key) {
            return None;
        }
        let (group, left, need) = groups(ask).find_map(|(group, _)| {
            let mut healthy = engine.group_healthy(group);
            healthy.remove(&ask.key.host);
            let (left, need) = (crate::key::next(healthy.len()), engine.group_minimum(group));
            (left < need).then_some((group, left, need))
        })?;
        let why = format!("it still serves, and {left} other hosts of groups/{group} are healthy; {need} must remain");
        Stop::when("enough other hosts are healthy", why)
    }
}
