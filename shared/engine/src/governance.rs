//! Who governs the governors: policies that contradict themselves, overrides that become a habit.

use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::policy::{FleetPolicy, Mode, Scope};
use prunella_model::record::{Change, PauseRecord};
use prunella_model::{OperatorName, RuleName};

use crate::Engine;
use crate::detect::rate;
use crate::key::{at, next};
use crate::repairs::REPAIRS;
use crate::rules::{self, RULES};

/// Overrides are counted for an hour.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// Who suspends a person whose overrides became a habit.
const SELF: &str = "prunella";

/// How many overrides of one person are remembered.
const OVERRIDES_MAX: usize = 1_000;

/// What in a policy contradicts itself so that it must not be put in force, in a line each.
#[must_use]
pub fn errors(policy: &FleetPolicy) -> Vec<String> {
    let mut found = Vec::new();
    for (rule, it) in RULES.iter().zip(rules::tune(policy)) {
        let wanted = policy.rules.iter().find(|(name, _)| name.as_str() == rule.name()).and_then(|(_, it)| it.clear);
        if let Some(clear) = wanted.filter(|clear| *clear > it.threshold) {
            let (name, threshold) = (rule.name(), it.threshold);
            found.push(format!("rules.{name}: it would speak from {threshold} on and be silent again below {clear}"));
        }
    }
    let custom = |rule: &RuleName| policy.custom.iter().any(|it| it.name == *rule);
    let unknown = |rule: &RuleName| rules::index(rule).is_none() && !custom(rule);
    for name in policy.rules.keys().filter(|name| unknown(name)) {
        found.push(format!("rules.{name}: there is no rule of that name"));
    }
    for (name, it) in policy.blockers.iter().filter(|(_, it)| unknown(&it.rule)) {
        found.push(format!("blockers.{name}: there is no rule {}", it.rule));
    }
    for name in policy.forbid_repairs.iter().filter(|name| crate::repairs::by_name(name.as_str()).is_none()) {
        found.push(format!("forbid_repairs: there is no repair {name}"));
    }
    found
}

/// What in a policy works against itself, or loosens what protects the fleet, in a line each.
#[must_use]
pub fn warnings(policy: &FleetPolicy) -> Vec<String> {
    let mut found = conflicts(policy);
    let limits = &policy.limits;
    if limits.breaker_percent > 50 {
        found.push(format!(
            "limits.breaker_percent = {}: half of the fleet may fail before repairs slow down",
            limits.breaker_percent
        ));
    }
    if limits.attempts_per_incident > 10 {
        found
            .push(format!("limits.attempts_per_incident = {}: a person hears very late", limits.attempts_per_incident));
    }
    if !policy.canary.enabled {
        found.push(
            "canary.enabled = false: the next change of the policy is put in force everywhere at once".to_owned(),
        );
    }
    found
}

fn conflicts(policy: &FleetPolicy) -> Vec<String> {
    let mut found = Vec::new();
    for (name, group) in &policy.groups {
        let hosts = next(group.hosts.len());
        let only_hosts = group.services.is_empty() && group.labels.is_empty() && hosts > 1;
        if only_hosts && group.minimum_healthy.is_some_and(|it| it >= hosts) {
            found.push(format!(
                "groups.{name}: all {hosts} hosts must stay healthy, so none that serves is ever repaired"
            ));
        }
        for (other, it) in policy.groups.iter().filter(|(other, _)| *other > name) {
            let Some(host) = group.hosts.iter().find(|host| it.hosts.contains(host)) else { continue };
            if let (Some(one), Some(two)) = (group.mode, it.mode)
                && (one == Mode::Aggressive) != (two == Mode::Aggressive)
            {
                let (one, two) = (one.as_str(), two.as_str());
                found.push(format!(
                    "groups.{name} is {one} and groups.{other} {two}, and both have {host}: the careful one counts"
                ));
            }
        }
    }
    let forbidden = |name: &str| policy.forbid_repairs.iter().any(|it| it.as_str() == name);
    for repair in REPAIRS.iter().filter(|it| forbidden(it.name())) {
        for (cause, _) in repair.treats() {
            let left = REPAIRS.iter().any(|it| !forbidden(it.name()) && it.treats().iter().any(|(it, _)| it == cause));
            if !left {
                let (name, cause) = (repair.name(), cause.as_str());
                found.push(format!(
                    "forbid_repairs: {name} was the last that treats {cause}: each such fault is a person's"
                ));
            }
        }
    }
    for (name, it) in &policy.blockers {
        if policy.rules.get(&it.rule).and_then(|rule| rule.enabled) == Some(false) {
            found.push(format!("blockers.{name}: its rule {} is switched off, so it never holds", it.rule));
        }
    }
    found
}

impl Engine {
    /// A person passed brakes, or lifted a pause: once more than the policy thinks sound, their requests pass no brake of
    /// consent any more until somebody else lifts that.
    pub(crate) fn note_override(&mut self, by: &OperatorName) {
        let limit = self.policy.governance.overrides_per_hour;
        let now = self.now;
        let times = self.overrides.entry(by.clone()).or_default();
        times.push_back(now);
        if times.len() > OVERRIDES_MAX {
            times.pop_front();
        }
        let count = rate::within(times.iter(), HOUR, now);
        let scope = Scope::Operator(by.clone());
        if count <= at(limit) || self.pauses.contains_key(&scope) {
            return;
        }
        let why = format!("{count} overrides within an hour; {limit} are thought sound");
        let record =
            PauseRecord { scope: scope.clone(), by: OperatorName::of(SELF), why: why.clone(), since: now, until: None };
        self.pauses.insert(scope.clone(), record.clone());
        self.out.changes.push(Change::PutPause(record));
        let line =
            format!("{scope}: {why}; their requests pass no brake of consent until somebody else resumes {scope}");
        self.audit_as("engine".to_owned(), "override_abuse", scope.to_string(), None, line.clone());
        self.announce(EventKind::GovernanceFault, None, None, line);
    }

    /// Whether a person's requests pass no brake of consent.
    pub(crate) fn suspended(&self, by: &OperatorName) -> bool {
        self.pauses.contains_key(&Scope::Operator(by.clone()))
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::policy::{Blocker, GroupPolicy, RuleSetting};
    use prunella_model::{HostId, RepairName};

    use super::*;

    #[test]
    fn the_shipped_policies_contradict_nothing() {
        use prunella_model::policy::Profile;
        for profile in [Profile::Standard, Profile::Rapid] {
            let policy = FleetPolicy::of(profile);
            assert_eq!((errors(&policy), warnings(&policy)), (Vec::new(), Vec::new()), "{profile:?}");
        }
    }

    #[test]
    fn a_policy_that_contradicts_itself_is_found_when_it_loads() {
        let mut policy = FleetPolicy::default();
        let flaps = RuleSetting { threshold: Some(50.0), clear: Some(60.0), ..RuleSetting::default() };
        policy.rules.insert(RuleName::of("cpu_saturated"), flaps);
        policy.rules.insert(RuleName::of("cpu_sturated"), RuleSetting::default());
        let blocker = Blocker { scope: Scope::Fleet, rule: RuleName::of("nothing"), on: Scope::Fleet };
        policy.blockers.insert("disk".parse().unwrap(), blocker);
        policy.forbid_repairs.push(RepairName::of("reboot_the_moon"));
        let found = errors(&policy);
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn what_works_against_itself_is_said() {
        let mut policy = FleetPolicy::default();
        let hosts = vec![HostId::of("h1"), HostId::of("h2")];
        let bold = GroupPolicy { hosts: hosts.clone(), mode: Some(Mode::Aggressive), ..GroupPolicy::default() };
        let stuck =
            GroupPolicy { hosts, mode: Some(Mode::Disabled), minimum_healthy: Some(2), ..GroupPolicy::default() };
        policy.groups.insert("a".parse().unwrap(), bold);
        policy.groups.insert("b".parse().unwrap(), stuck);
        policy.forbid_repairs.push(RepairName::of("clean_directory"));
        policy.limits.breaker_percent = 90;
        let found = warnings(&policy);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().any(|it| it.contains("directory_full")), "{found:?}");
    }
}
