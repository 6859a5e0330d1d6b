//! What each figure of a policy may be. One place, so that no figure is forgotten, and every error says key, value and range.

use std::fmt;
use std::time::Duration;

use super::FleetPolicy;
use crate::time::format_span;

/// A figure that its key does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfRange {
    /// The key, with the tables that it lies in: `limits.fleet_concurrent`.
    pub key: String,
    /// The value.
    pub value: String,
    /// The least and the most that is allowed, in words.
    pub allowed: String,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} is out of range; allowed: {}", self.key, self.value, self.allowed)
    }
}

const NONE: Duration = Duration::ZERO;
const TENTH: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// What stands for "without limit" in a profile, and more than any fleet needs.
const MANY: u32 = 1_000_000;

/// Looks at every figure.
struct Looking<'k> {
    wrong: Vec<OutOfRange>,
    seen: &'k mut Vec<String>,
}

impl Looking<'_> {
    fn check(&mut self, key: &str, fits: bool, value: String, allowed: impl FnOnce() -> String) {
        self.seen.push(key.to_owned());
        if !fits {
            self.wrong.push(OutOfRange { key: key.to_owned(), value, allowed: allowed() });
        }
    }

    fn count(&mut self, key: &str, value: u32, least: u32, most: u32) {
        let fits = (least..=most).contains(&value);
        self.check(key, fits, value.to_string(), || format!("{least} to {most}"));
    }

    fn maybe_count(&mut self, key: &str, value: Option<u32>, least: u32, most: u32) {
        if let Some(value) = value {
            self.count(key, value, least, most);
        }
    }

    fn span(&mut self, key: &str, value: Duration, least: Duration, most: Duration) {
        let fits = (least..=most).contains(&value);
        let allowed = || format!("{} to {}", format_span(least), format_span(most));
        self.check(key, fits, format!("\"{}\"", format_span(value)), allowed);
    }

    fn maybe_span(&mut self, key: &str, value: Option<Duration>, least: Duration, most: Duration) {
        if let Some(value) = value {
            self.span(key, value, least, most);
        }
    }

    fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.check(key, value.is_finite(), value.to_string(), || "any finite number".to_owned());
        }
    }
}

impl FleetPolicy {
    /// The figures that are out of range, in the order of the keys' declaration. Empty for every policy that may decide.
    #[must_use]
    pub fn out_of_range(&self) -> Vec<OutOfRange> {
        self.look(&mut Vec::new())
    }

    /// The keys of the figures that [`Self::out_of_range`] looks at.
    #[must_use]
    pub fn ranged_keys(&self) -> Vec<String> {
        let mut seen = Vec::new();
        self.look(&mut seen);
        seen
    }

    fn look(&self, seen: &mut Vec<String>) -> Vec<OutOfRange> {
        let mut it = Looking { wrong: Vec::new(), seen };
        it.span("heartbeat", self.heartbeat, TENTH, HOUR);
        let judged = &self.verification;
        it.span("verification.deadline", judged.deadline, TENTH, DAY);
        it.count("verification.successes", judged.successes, 1, 100);
        it.span("verification.probation", judged.probation, NONE, MONTH);
        it.span("verification.fresh", judged.fresh, TENTH, DAY);
        self.look_at_limits(&mut it);
        let shared = &self.shared_cause;
        it.count("shared_cause.known_hosts", shared.known_hosts, 2, MANY);
        it.count("shared_cause.hosts", shared.hosts, 2, MANY);
        it.span("shared_cause.window", shared.window, SECOND, DAY);
        it.count("shared_cause.times", shared.times, 1, 1_000);
        it.span("shared_cause.hold", shared.hold, SECOND, DAY);
        self.look_at_rules(&mut it);
        it.span("health.interval", self.health.interval, SECOND, DAY);
        it.span("diagnostics.interval", self.diagnostics.interval, Duration::from_secs(10), DAY);
        for (kind, probe) in &self.probes {
            it.span(&format!("probes.{}.interval", kind.as_str()), probe.interval, TENTH, DAY);
        }
        it.span("learning.wait_most", self.learning.wait_most, NONE, DAY);
        it.span("learning.person", self.learning.person, SECOND, MONTH);
        it.span("response.critical", self.response.critical, SECOND, MONTH);
        it.span("response.high", self.response.high, SECOND, MONTH);
        it.span("response.medium", self.response.medium, SECOND, MONTH);
        it.maybe_span("response.low", self.response.low, SECOND, MONTH);
        for (name, service) in &self.services {
            it.maybe_count(&format!("services.{name}.minimum_healthy"), service.minimum_healthy, 0, MANY);
        }
        for (name, group) in &self.groups {
            it.maybe_count(&format!("groups.{name}.concurrent"), group.concurrent, 1, MANY);
            it.maybe_count(&format!("groups.{name}.minimum_healthy"), group.minimum_healthy, 0, MANY);
        }
        it.span("optimise.settle", self.optimise.settle, SECOND, DAY);
        it.count("quiet.percent", self.quiet.percent, 1, 50);
        // What was seen in one week only was never foretold by the week before.
        it.span("quiet.history", self.quiet.history, DAY * 10, DAY * 90);
        it.span("standing_orders.held", self.standing_orders.held, SECOND, HOUR);
        it.count("standing_orders.runs", self.standing_orders.runs, 1, 8);
        it.span("standing_orders.lifetime", self.standing_orders.lifetime, SECOND * 60, DAY);
        it.span("canary.shadow", self.canary.shadow, NONE, MONTH);
        it.span("canary.soak", self.canary.soak, NONE, MONTH);
        it.count("governance.overrides_per_hour", self.governance.overrides_per_hour, 1, MANY);
        it.wrong
    }

    fn look_at_limits(&self, it: &mut Looking<'_>) {
        let limits = &self.limits;
        // To repair nothing there is a mode, which says so; a limit of 0 would hold everything for ever.
        it.count("limits.attempts_per_incident", limits.attempts_per_incident, 1, 100);
        it.span("limits.cool_down", limits.cool_down, NONE, DAY);
        it.count("limits.relapses", limits.relapses, 1, MANY);
        it.count("limits.host_per_hour", limits.host_per_hour, 1, MANY);
        it.count("limits.target_reserve", limits.target_reserve, 0, MANY);
        it.count("limits.rollbacks_per_day", limits.rollbacks_per_day, 0, MANY);
        it.count("limits.fleet_per_minute", limits.fleet_per_minute, 1, MANY);
        it.count("limits.fleet_per_hour", limits.fleet_per_hour, 1, MANY);
        it.count("limits.fleet_concurrent", limits.fleet_concurrent, 1, MANY);
        it.count("limits.breaker_percent", limits.breaker_percent, 1, 100);
        it.count("limits.breaker_hosts", limits.breaker_hosts, 1, MANY);
        it.span("limits.cold_start", limits.cold_start, NONE, HOUR);
        it.count("limits.health_floor", limits.health_floor, 0, 100);
        it.count("limits.capacity_percent_per_hour", limits.capacity_percent_per_hour, 1, MANY);
        it.count("limits.critical_per_day", limits.critical_per_day, 0, MANY);
    }

    fn look_at_rules(&self, it: &mut Looking<'_>) {
        for (name, rule) in &self.rules {
            it.number(&format!("rules.{name}.threshold"), rule.threshold);
            it.number(&format!("rules.{name}.clear"), rule.clear);
            it.maybe_span(&format!("rules.{name}.for"), rule.hold, NONE, MONTH);
            it.maybe_count(&format!("rules.{name}.count"), rule.count, 1, MANY);
        }
        for rule in &self.custom {
            it.span(&format!("rule.{}.for", rule.name), rule.hold, NONE, MONTH);
            it.maybe_span(&format!("rule.{}.interval", rule.name), rule.interval, TENTH, DAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Profile;

    #[test]
    fn the_defaults_of_every_profile_are_in_range() {
        for profile in [Profile::Standard, Profile::Rapid] {
            assert_eq!(FleetPolicy::of(profile).out_of_range(), [], "{profile:?}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_value_and_what_is_allowed() {
        let mut policy = FleetPolicy::default();
        policy.limits.fleet_concurrent = 0;
        policy.limits.breaker_percent = 400;
        policy.heartbeat = Duration::ZERO;
        let said: Vec<String> = policy.out_of_range().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "heartbeat = \"0ms\" is out of range; allowed: 100ms to 1h",
                "limits.fleet_concurrent = 0 is out of range; allowed: 1 to 1000000",
                "limits.breaker_percent = 400 is out of range; allowed: 1 to 100",
            ]
        );
    }
}
