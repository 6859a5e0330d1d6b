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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn site(dir: &TempDir) -> Site {
        let any = "127.0.0.1:1".parse().unwrap();
        Site::prepare(dir.path(), &prunella_server::Addresses { control: any, agents: any, http: None }).unwrap()
    }

    /// What the injector sees when everything goes well.
    fn good(scenario: Scenario) -> Seen {
        let truth = scenario.truth();
        let again = |role| truth.restarts && role == truth.target;
        Seen {
            detected: Some(Duration::from_millis(5)),
            repaired: Some(Duration::from_millis(25)),
            stayed: true,
            births: ROLES.map(|role| (role, usize::from(again(role)))).to_vec(),
            alone: ROLES.map(|role| (role, !again(role))).to_vec(),
        }
    }

    fn incident(site: &Site, role: Role, cause: &str, category: &str, cause_target: Role) -> pb::Incident {
        pb::Incident {
            name: format!("incidents/7-{}", role.as_str()),
            fault: Some(pb::Fault { target: name_of(&site.place(role).target), ..Default::default() }),
            diagnosis: Some(pb::Diagnosis {
                category: category.to_owned(),
                cause: cause.to_owned(),
                cause_target: name_of(&site.place(cause_target).target),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// What the server says when everything goes well.
    fn record(site: &Site, scenario: Scenario) -> Vec<pb::Incident> {
        let truth = scenario.truth();
        let mut own = incident(site, truth.target, truth.cause, truth.category, truth.target);
        own.closing = Some("repaired".to_owned());
        own.attempts.push(pb::Attempt {
            repair: truth.repair.to_owned(),
            verdict: Some("recovered".to_owned()),
            ..Default::default()
        });
        let names = truth.victims.iter().map(|it| name_of(&site.place(*it).target));
        own.diagnosis.as_mut().unwrap().affected = names.collect();
        let victims = truth.victims.iter().map(|it| incident(site, *it, "upstream", "STRUCTURAL", truth.target));
        std::iter::once(own).chain(victims).collect()
    }

    #[test]
    fn nothing_is_wrong_when_record_and_truth_agree() {
        let dir = TempDir::new().unwrap();
        let site = site(&dir);
        for scenario in Scenario::ALL {
            let found = judge(scenario, &site, &good(scenario), &record(&site, scenario));
            assert_eq!(found.wrong, Vec::<String>::new(), "{scenario:?}");
            assert_eq!((found.collateral_repairs, found.attempts), (0, Some(1)));
        }
    }

    #[test]
    fn every_single_deviation_is_found() {
        let dir = TempDir::new().unwrap();
        let site = site(&dir);
        type Change = (&'static str, fn(&mut Seen, &mut Vec<pb::Incident>));
        let changes: [Change; 16] = [
            ("no incident", |_, records| records.clear()),
            ("2 incidents", |_, records| records.push(records[0].clone())),
            ("cause is killer", |_, records| records[0].diagnosis.as_mut().unwrap().cause = "killer".to_owned()),
            ("category is X", |_, records| records[0].diagnosis.as_mut().unwrap().category = "X".to_owned()),
            ("repair is reboot", |_, records| records[0].attempts[0].repair = "reboot".to_owned()),
            ("verdict is worse", |_, records| records[0].attempts[0].verdict = Some("worse".to_owned())),
            ("closing is cancelled", |_, records| records[0].closing = Some("cancelled".to_owned())),
            ("does not name web", |_, records| records[0].diagnosis.as_mut().unwrap().affected.truncate(1)),
            ("no fault was opened for it", |_, records| records.truncate(2)),
            ("not explained by db", |_, records| records[1].diagnosis = None),
            ("1 repairs of what", |_, records| records[1].attempts.push(pb::Attempt::default())),
            ("1 repairs of what", |seen, _| seen.births[0].1 = 1),
            ("web does not run as before", |seen, _| seen.alone[0].1 = false),
            ("db was started 2 times", |seen, _| seen.births[2].1 = 2),
            ("never announced", |seen, _| seen.detected = None),
            ("failed again", |seen, _| seen.stayed = false),
        ];
        for (expected, change) in changes {
            let (mut seen, mut records) = (good(Scenario::Upstream), record(&site, Scenario::Upstream));
            change(&mut seen, &mut records);
            let wrong = judge(Scenario::Upstream, &site, &seen, &records).wrong;
            assert!(wrong.iter().any(|it| it.contains(expected)), "{expected:?} is not in {wrong:?}");
        }
        let mut seen = good(Scenario::Upstream);
        seen.repaired = None;
        let wrong = judge(Scenario::Upstream, &site, &seen, &record(&site, Scenario::Upstream)).wrong;
        assert_eq!(wrong, ["the services did not all come back"]);
    }
}
