//! Compares what the server recorded with what is true. `ok` is this judge's word, never the server's.

use std::time::Duration;

use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::records::name_of;
use super::scenario::Scenario;
use super::site::Site;
use super::witness::ROLES;
use crate::chain::Role;

/// What the injector saw with its own eyes during one scenario.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Injection to the first news of the fault; none when it was never announced.
    pub detected: Option<Duration>,
    /// Injection to the first moment at which everything served again; none when that never came.
    pub repaired: Option<Duration>,
    /// Whether it was still so at the end.
    pub stayed: bool,
    /// How many runs of each service began meanwhile.
    pub births: Vec<(Role, usize)>,
    /// Whether the run from before the fault still lives, for each service.
    pub alone: Vec<(Role, bool)>,
}

impl Seen {
    fn births(&self, role: Role) -> usize {
        self.births.iter().find(|(it, _)| *it == role).map_or(0, |(_, count)| *count)
    }

    fn alone(&self, role: Role) -> bool {
        self.alone.iter().any(|(it, alone)| *it == role && *alone)
    }
}

/// The result of one scenario. Null where there is no value.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Which scenario.
    pub scenario: &'static str,
    /// The host of the fault.
    pub host: String,
    /// The target of the fault.
    pub target: String,
    /// The id of the incident.
    pub incident: Option<String>,
    /// The category of the diagnosis.
    pub category: Option<String>,
    /// The cause of the diagnosis.
    pub cause: Option<String>,
    /// Injection to the news of the fault, in milliseconds.
    pub detected_ms: Option<f64>,
    /// Injection to full service, in milliseconds.
    pub repaired_ms: Option<f64>,
    /// The last repair that was tried.
    pub repair: Option<String>,
    /// How many repairs were tried.
    pub attempts: Option<usize>,
    /// The verdict on the last one.
    pub verdict: Option<String>,
    /// Repairs and restarts of what should have been left alone.
    pub collateral_repairs: usize,
    /// Which services were left alone, as they should be.
    #[serde(skip)]
    pub left_alone: Vec<&'static str>,
    /// Everything that is not as it should be; empty means that this fault ended well.
    #[serde(skip)]
    pub wrong: Vec<String>,
}

/// Judges one scenario. `incidents` are those that were opened since the injection.
#[must_use]
pub fn judge(scenario: Scenario, site: &Site, seen: &Seen, incidents: &[pb::Incident]) -> Finding {
    let truth = scenario.truth();
    let place = site.place(truth.target);
    let mut wrong = Vec::new();
    let own = incidents_of(site, truth.target, incidents);
    if own.len() > 1 {
        wrong.push(format!("{} incidents were opened for one fault", own.len()));
    }
    let incident = own.first().copied();
    let diagnosis = incident.and_then(|it| it.diagnosis.as_ref());
    let attempt = incident.and_then(|it| it.attempts.last());
    let finding = Finding {
        scenario: scenario.as_str(),
        host: place.target.host.to_string(),
        target: place.target.target.to_string(),
        incident: incident.map(|it| it.name.trim_start_matches("incidents/").to_owned()),
        category: diagnosis.map(|it| it.category.clone()),
        cause: diagnosis.map(|it| it.cause.clone()),
        detected_ms: seen.detected.map(ms),
        repaired_ms: seen.repaired.map(ms),
        repair: attempt.map(|it| it.repair.clone()),
        attempts: incident.map(|it| it.attempts.len()),
        verdict: attempt.and_then(|it| it.verdict.clone()),
        collateral_repairs: collateral(scenario, site, seen, incidents),
        left_alone: ROLES.into_iter().filter(|it| seen.alone(*it)).map(Role::as_str).collect(),
        wrong: Vec::new(),
    };
    wrong.extend(truth_of_record(scenario, &finding, incident));
    wrong.extend(truth_of_services(scenario, &finding, seen));
    for victim in truth.victims {
        wrong.extend(truth_of_victim(*victim, site, truth.target, incident, incidents));
    }
    Finding { wrong, ..finding }
}

fn ms(span: Duration) -> f64 {
    // Tenths: what lies below is the noise of asking.
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

fn incidents_of<'a>(site: &Site, role: Role, incidents: &'a [pb::Incident]) -> Vec<&'a pb::Incident> {
    let name = name_of(&site.place(role).target);
    incidents.iter().filter(|it| it.fault.as_ref().is_some_and(|fault| fault.target == name)).collect()
}

/// Whatever was done to services that should have been left alone: by the record or by their births, whichever is more.
fn collateral(scenario: Scenario, site: &Site, seen: &Seen, incidents: &[pb::Incident]) -> usize {
    let others = ROLES.into_iter().filter(|it| *it != scenario.truth().target);
    others
        .map(|role| {
            let attempts: usize = incidents_of(site, role, incidents).iter().map(|it| it.attempts.len()).sum();
            attempts.max(seen.births(role))
        })
        .sum()
}

/// The record against the truth.
fn truth_of_record(scenario: Scenario, found: &Finding, incident: Option<&pb::Incident>) -> Vec<String> {
    let truth = scenario.truth();
    let mut wrong = Vec::new();
    let mut differs = |what: &str, found: Option<&str>, truth: &str| {
        if found != Some(truth) {
            wrong.push(format!("the {what} is {}, and in truth {truth}", found.unwrap_or("unknown")));
        }
    };
    differs("cause", found.cause.as_deref(), truth.cause);
    differs("category", found.category.as_deref(), truth.category);
    differs("repair", found.repair.as_deref(), truth.repair);
    differs("verdict", found.verdict.as_deref(), "recovered");
    differs("closing", incident.and_then(|it| it.closing.as_deref()), "repaired");
    if incident.is_none() {
        wrong.push("no incident was opened".to_owned());
    }
    wrong
}

/// What the services themselves show.
fn truth_of_services(scenario: Scenario, found: &Finding, seen: &Seen) -> Vec<String> {
    let truth = scenario.truth();
    let mut wrong = Vec::new();
    if seen.detected.is_none() {
        wrong.push("the fault was never announced".to_owned());
    }
    if seen.repaired.is_none() {
        wrong.push("the services did not all come back".to_owned());
    } else if !seen.stayed {
        wrong.push("the services came back and failed again".to_owned());
    }
    if found.collateral_repairs > 0 {
        wrong.push(format!("{} repairs of what should have been left alone", found.collateral_repairs));
    }
    for role in ROLES.into_iter().filter(|it| *it != truth.target || !truth.restarts) {
        if !seen.alone(role) {
            wrong.push(format!("{} does not run as before the fault", role.as_str()));
        }
    }
    // One fault in a service that can start again takes one start; only the corrupted configuration takes more.
    let needless = truth.restarts && scenario != Scenario::Config && seen.births(truth.target) > 1;
    if needless {
        wrong.push(format!("{} was started {} times", truth.target.as_str(), seen.births(truth.target)));
    }
    wrong
}

/// A victim must have been seen to suffer, explained by the fault upstream, and not been touched.
fn truth_of_victim(
    victim: Role,
    site: &Site,
    culprit: Role,
    cause: Option<&pb::Incident>,
    incidents: &[pb::Incident],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let culprit_name = name_of(&site.place(culprit).target);
    let own = incidents_of(site, victim, incidents);
    let blames = |it: &&pb::Incident| it.diagnosis.as_ref().is_some_and(|it| it.cause_target == culprit_name);
    if own.is_empty() {
        wrong.push(format!("{} failed, and no fault was opened for it", victim.as_str()));
    } else if !own.iter().all(blames) {
        wrong.push(format!("the fault of {} is not explained by {}", victim.as_str(), culprit.as_str()));
    }
    let victim_name = name_of(&site.place(victim).target);
    let affected = cause.and_then(|it| it.diagnosis.as_ref()).is_some_and(|it| it.affected.contains(&victim_name));
    if !affected {
        wrong.push(format!("the incident of {} does not name {} as affected", culprit.as_str(), victim.as_str()));
    }
    wrong
}
