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
    if let Some(what) = flaw(&merged) {
        return Err(source.at(0..0, what));
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

/// What makes a policy senseless that is well-formed.
fn flaw(policy: &FleetPolicy) -> Option<&'static str> {
    let verification = &policy.verification;
    if policy.heartbeat.is_zero() {
        Some("heartbeat must be longer than 0: every host would count as lost")
    } else if verification.deadline.is_zero() || verification.fresh.is_zero() {
        Some("verification.deadline and verification.fresh must be longer than 0: no repair could ever be verified")
    } else if verification.successes == 0 {
        Some("verification.successes must be at least 1: silence is no recovery")
    } else if policy.limits.attempts_per_incident == 0 {
        Some("limits.attempts_per_incident must be at least 1; to repair nothing, set mode = \"disabled\"")
    } else {
        None
    }
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
        assert!(parse("policy.toml", "[verification]\nsuccesses = 0\n").unwrap_err().to_string().contains("silence"));
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

    #[test]
    fn the_etag_follows_the_policy() {
        let policy = FleetPolicy::default();
        let other = FleetPolicy { heartbeat: Duration::from_secs(11), ..policy.clone() };
        assert_eq!(etag(&policy), etag(&policy.clone()));
        assert_ne!(etag(&policy), etag(&other));
    }
}
