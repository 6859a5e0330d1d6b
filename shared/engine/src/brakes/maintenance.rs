//! People are at work: maintenances that somebody made, windows of the policy, and conditions that veto.

use prunella_model::RuleName;
use prunella_model::incident::Release;
use prunella_model::policy::{FleetPolicy, Scope};

use super::{Ask, Brake, Class, Stop};
use crate::Engine;
use crate::incident::Case;
use crate::key::Key;

/// Maintenances and windows.
pub(super) struct Maintenance;

/// Why nothing may be done to a target now, and when that ends.
pub(crate) fn maintained(engine: &Engine, key: Key) -> Option<(String, Release)> {
    let made = engine.maintenances.values().filter(|it| it.from <= engine.now && engine.covers(&it.scope, key));
    let made = made.map(|it| {
        let release = it.until.map_or_else(|| Release::When("it is ended".to_owned()), Release::At);
        (format!("{} has maintenance {} on {}: {}", it.by, it.name, it.scope.spoken(), it.why), release)
    });
    let windows = engine.policy.maintenance.iter().filter(|(_, it)| engine.covers(&it.scope, key));
    let windows = windows.filter_map(|(name, it)| {
        let why = if it.why.is_empty() { String::new() } else { format!(": {}", it.why) };
        let until = it.open_until(engine.now)?;
        Some((format!("the policy's window {name} on {} is open{why}", it.scope.spoken()), Release::At(until)))
    });
    made.chain(windows).next()
}

/// Why nothing may be done to just this scope now.
pub(super) fn on(engine: &Engine, scope: &Scope) -> Option<String> {
    let said = scope.spoken();
    let mut made = engine.maintenances.values().filter(|it| it.from <= engine.now && it.scope == *scope);
    let mut windows = engine.policy.maintenance.iter().filter(|(_, it)| it.scope == *scope);
    let made = made.next().map(|it| format!("{} has maintenance {} on {said}: {}", it.by, it.name, it.why));
    made.or_else(|| {
        let (name, _) = windows.find(|(_, it)| it.open_until(engine.now).is_some())?;
        Some(format!("the policy's window {name} on {said} is open"))
    })
}

impl Brake for Maintenance {
    fn name(&self) -> &'static str {
        "maintenance"
    }

    fn about(&self) -> &'static str {
        "Maintenances that people made, each with its owner, and the policy's windows. Releases when each that covers the \
         target has ended."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "maintenance.NAME".to_owned()
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (why, release) = maintained(ask.engine, ask.key)?;
        Some(Stop::Wait { why, release })
    }
}

/// Whether an incident has a fault of a rule.
fn has(case: &Case, rule: &RuleName) -> bool {
    std::iter::once(&case.it.fault).chain(&case.it.also).any(|fault| fault.rule == *rule)
}

/// Named conditions.
pub(super) struct Blockers;

impl Brake for Blockers {
    fn name(&self) -> &'static str {
        "blocker"
    }

    fn about(&self) -> &'static str {
        "The policy's named conditions: while an incident with a fault of the named rule is open, nothing else in the scope \
         is repaired. Releases when that incident is over."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, _policy: &FleetPolicy) -> String {
        "blockers.NAME".to_owned()
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let blockers = engine.policy.blockers.iter();
        // What blocks is repaired itself, or it would block for ever.
        let bear = blockers.filter(|(_, it)| engine.covers(&it.scope, ask.key) && !has(ask.case, &it.rule));
        let (name, rule, incident) = bear.into_iter().find_map(|(name, it)| {
            let speaks = |case: &&Case| has(case, &it.rule) && engine.covers(&it.on, case.key);
            Some((name, &it.rule, engine.cases.values().find(speaks)?.it.id))
        })?;
        let why = format!("blocker {name}: {rule} speaks in incident {incident}");
        Stop::when(format!("no {rule} speaks any more"), why)
    }
}
