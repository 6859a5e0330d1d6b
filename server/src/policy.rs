//! The fleet policy as text: read strictly, over the defaults of its profile.

pub mod rules;

use prunella_model::policy::{FleetPolicy, Profile};
use prunella_settings::{Located, Source};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Reads a policy. What it leaves out is as its profile has it.
///
/// # Errors
/// [`Located`] at the first place that is wrong.
pub fn parse(file: &str, text: &str) -> Result<FleetPolicy, Located> {
    #[derive(Deserialize)]
    struct Chosen {
        #[serde(default)]
        profile: Profile,
    }
    let source = Source::new(file, text);
    // Strictly first, so that every error points at its place.
    let strict: FleetPolicy = source.read()?;
    let chosen: Chosen = source.read()?;
    let merged = overlay(chosen.profile, text).unwrap_or(strict);
    if let Some(wrong) = merged.out_of_range().into_iter().next() {
        return Err(source.at(place_of(text, &wrong.key), wrong));
    }
    if let Some(what) = prunella_engine::governance::errors(&merged).into_iter().next() {
        return Err(source.at(0..0, what));
    }
    match rules::remarks(file, text)?.into_iter().find(|remark| remark.fatal) {
        Some(remark) => Err(remark.located),
        None => Ok(merged),
    }
}

/// The text's own keys over the defaults of its profile.
fn overlay(profile: Profile, text: &str) -> Option<FleetPolicy> {
    let mut base = toml::Table::try_from(FleetPolicy::of(profile)).ok()?;
    merge(&mut base, text.parse().ok()?);
    base.try_into().ok()
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// Where a text gives a key, such as `limits.relapses`; the beginning of the text when it does not.
fn place_of(text: &str, key: &str) -> std::ops::Range<usize> {
    let Ok(table) = toml::de::DeTable::parse(text) else { return 0..0 };
    let mut parts = key.split('.');
    let Some(mut found) = parts.next().and_then(|part| table.get_ref().get(part)) else { return 0..0 };
    for part in parts {
        // Rules of the operators' own are found by their names.
        let named = |item: &&toml::Spanned<toml::de::DeValue<'_>>| {
            item.get_ref().get("name").and_then(|name| name.get_ref().as_str()).is_some_and(|name| name == part)
        };
        let here = found.get_ref();
        let next = here.get(part).or_else(|| here.as_array()?.iter().find(named));
        let Some(next) = next else { return found.span() };
        found = next;
    }
    found.span()
}

/// What changes whenever the policy does.
#[must_use]
pub fn etag(policy: &FleetPolicy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    Sha256::digest(text).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prunella_model::policy::{CustomRule, GroupPolicy, RuleSetting, ServicePolicy};
    use prunella_model::{GroupName, RuleName, ServiceName};

    use super::*;

    #[test]
    fn what_is_left_out_is_as_the_profile_has_it() {
        let policy = parse("policy.toml", "profile = \"rapid\"\n[limits]\nrelapses = 7\n").unwrap();
        let rapid = FleetPolicy::of(Profile::Rapid);
        assert_eq!(policy.limits.relapses, 7);
        assert_eq!(policy.limits.cool_down, rapid.limits.cool_down);
        assert_eq!(policy.verification, rapid.verification);
        assert_eq!(parse("policy.toml", "").unwrap(), FleetPolicy::default());
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(parse("policy.toml", &text).unwrap(), policy);
    }

    #[test]
    fn errors_point_at_their_place() {
        let error = parse("policy.toml", "mode = \"balanced\"\n[limits]\nrelapse = 7\n").unwrap_err().to_string();
        assert_eq!(error, "policy.toml:3:1: unknown key \"relapse\" in [limits]; did you mean \"relapses\"?");
        let error = |text: &str| parse("policy.toml", text).unwrap_err().to_string();
        assert_eq!(
            error("[verification]\nsuccesses = 0\n"),
            "policy.toml:2:13: verification.successes = 0 is out of range; allowed: 1 to 100"
        );
        assert_eq!(
            error("[limits]\nfleet_concurrent = 0\n"),
            "policy.toml:2:20: limits.fleet_concurrent = 0 is out of range; allowed: 1 to 1000000"
        );
        assert!(error("heartbeat = \"0s\"\n").starts_with("policy.toml:1:13: heartbeat = "));
        let rule =
            "[[rule]]\nname = \"a\"\nwhen = \"true\"\n[[rule]]\nname = \"b\"\nwhen = \"true\"\ninterval = \"1ms\"\n";
        assert!(error(rule).starts_with("policy.toml:7:12: rule.b.interval = "), "{}", error(rule));
        let error = parse("policy.toml", "[rules.disk_low]\nthreshold = 50.0\nclear = 60.0\n").unwrap_err().to_string();
        assert!(error.contains("rules.disk_low"), "{error}");
    }

    #[test]
    fn custom_rules_are_read_checked_and_written_again() {
        let text = "[[rule]]\nname = \"big\"\nwhen = \"metrics['process.rss_bytes'] > 5e8\"\nfor = \"30s\"\n\
                    severity = \"high\"\nactions = [\"restart_service\"]\nmatch = { kind = \"service\" }\n\
                    [limits]\nrelapses = 7\n";
        let policy = parse("policy.toml", text).unwrap();
        assert_eq!(policy.custom[0].hold, Duration::from_secs(30));
        assert_eq!(parse("policy.toml", &toml::to_string(&policy).unwrap()).unwrap(), policy);
        let wrong = text.replace("process.rss_bytes'] >", "process.rss_bytes'] >>");
        assert!(parse("policy.toml", &wrong).unwrap_err().to_string().starts_with("policy.toml:3:"));
    }

    /// A policy with every optional key set.
    fn whole() -> FleetPolicy {
        let setting = RuleSetting {
            threshold: Some(1.0),
            clear: Some(1.0),
            hold: Some(Duration::from_secs(1)),
            count: Some(1),
            ..RuleSetting::default()
        };
        let custom = CustomRule {
            name: RuleName::of("mine"),
            when: "true".to_owned(),
            hold: Duration::from_secs(1),
            severity: prunella_model::incident::Severity::Low,
            summary: String::new(),
            actions: Vec::new(),
            scope: prunella_model::policy::RuleScope::default(),
            interval: Some(Duration::from_secs(1)),
            shadow: false,
        };
        let group = GroupPolicy { concurrent: Some(1), minimum_healthy: Some(1), ..GroupPolicy::default() };
        let service = ServicePolicy { minimum_healthy: Some(1), ..ServicePolicy::default() };
        FleetPolicy {
            rules: [(RuleName::of("disk_low"), setting)].into(),
            custom: vec![custom],
            groups: [(GroupName::of("g"), group)].into(),
            services: [(ServiceName::of("s"), service)].into(),
            ..FleetPolicy::default()
        }
    }

    /// The keys of every number and every span in a value, except those that are no limit on anything.
    fn figures(key: &str, value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Integer(_) | toml::Value::Float(_) => found.push(key.to_owned()),
            toml::Value::String(text) if prunella_model::time::parse_span(text).is_ok() => found.push(key.to_owned()),
            toml::Value::Table(table) => {
                for (name, value) in table {
                    figures(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, value, found);
                }
            }
            toml::Value::Array(items) => {
                for item in items {
                    let name = item.get("name").and_then(toml::Value::as_str).unwrap_or_default();
                    figures(&format!("{key}.{name}"), item, found);
                }
            }
            toml::Value::String(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) => {}
        }
    }

    #[test]
    fn every_figure_of_a_policy_has_a_range() {
        /// Figures of which every value makes sense.
        const FREE: [&str; 2] = ["version", "learning.seed"];
        let policy = whole();
        let mut seen = policy.ranged_keys();
        let mut found = Vec::new();
        figures("", &toml::Value::try_from(&policy).unwrap(), &mut found);
        found.retain(|key| !FREE.contains(&key.as_str()));
        found.sort();
        seen.sort();
        assert_eq!(found, seen, "give a new key its range in shared/model/src/policy/range.rs");
    }

    #[test]
    fn the_etag_follows_the_policy() {
        let policy = FleetPolicy::default();
        let other = FleetPolicy { heartbeat: Duration::from_secs(11), ..policy.clone() };
        assert_eq!(etag(&policy), etag(&policy.clone()));
        assert_ne!(etag(&policy), etag(&other));
    }
}
