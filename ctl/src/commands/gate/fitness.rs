//! Whether a place is fit to be deployed to or updated: pure, from what the server says.

use std::collections::BTreeSet;

use clap::ValueEnum;
use prunella_model::incident::Severity;
use prunella_model::policy::{Blocker, Scope};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use crate::commands::incident_view::{EvidenceView, IncidentView};
use crate::names::short;
use crate::output::Time;

/// Why a place is not fit. The words are stable: scripts allow some of them on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The server has just started and does not know the fleet yet.
    ColdStart,
    /// A host is not connected.
    HostAbsent,
    /// A host's agent refuses every command: nothing could be rolled back.
    ObserveOnly,
    /// An incident is open.
    OpenIncident,
    /// A maintenance lasts, or a window of the policy is open.
    Maintenance,
    /// Somebody has paused repairs.
    Pause,
    /// A blocker of the policy speaks.
    Blocker,
    /// A member of a group is under repair, and others must wait.
    GroupLease,
    /// A group has no member to spare.
    GroupMinimum,
    /// A target's health is below what was asked for.
    LowHealth,
    /// Of a target nothing fresh is known.
    NoEvidence,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ColdStart => "cold_start",
            Self::HostAbsent => "host_absent",
            Self::ObserveOnly => "observe_only",
            Self::OpenIncident => "open_incident",
            Self::Maintenance => "maintenance",
            Self::Pause => "pause",
            Self::Blocker => "blocker",
            Self::GroupLease => "group_lease",
            Self::GroupMinimum => "group_minimum",
            Self::LowHealth => "low_health",
            Self::NoEvidence => "no_evidence",
        }
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    pub(super) kind: Kind,
    /// Where: `fleet`, `groups/G`, a host or a target.
    pub(super) place: String,
    /// What, for a person.
    pub(super) what: String,
}

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything.
    Fleet,
    /// One host, by its short name.
    Host(String),
    /// The hosts of a group, by its resource name.
    Group(String),
    /// The members of a service and their hosts.
    Service(String),
}

/// What a judgement stands on.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) fleet: pb::Fleet,
    pub(super) hosts: Vec<pb::Host>,
    pub(super) targets: Vec<pb::Target>,
    pub(super) groups: Vec<pb::Group>,
    pub(super) maintenances: Vec<pb::Maintenance>,
    /// The open ones.
    pub(super) incidents: Vec<IncidentView>,
    /// The policy's blockers, each with its name.
    pub(super) blockers: Vec<(String, Blocker)>,
}

/// The hosts and targets that were asked about, by their short names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) said: String,
    hosts: BTreeSet<String>,
    targets: BTreeSet<String>,
}

/// What is too little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Incidents below this are no reason.
    pub(super) severity: Severity,
    /// The health that each target must have, 0 to 100.
    pub(super) health: f64,
}

impl Place {
    /// What was asked about, as the fleet has it; none when there is no such thing.
    pub(super) fn find(asked: &Asked, facts: &Facts) -> Option<Self> {
        let of_hosts = |said: String, hosts: BTreeSet<String>| {
            let here = |it: &&pb::Target| host_of(&short(&it.name)).is_some_and(|host| hosts.contains(host));
            let targets = facts.targets.iter().filter(here).map(|it| short(&it.name)).collect();
            (!hosts.is_empty()).then_some(Self { said, hosts, targets })
        };
        match asked {
            Asked::Fleet => of_hosts("the fleet".to_owned(), facts.hosts.iter().map(|it| short(&it.name)).collect()),
            Asked::Host(host) => {
                let known = facts.hosts.iter().map(|it| short(&it.name)).filter(|it| it == host);
                of_hosts(host.clone(), known.collect())
            }
            Asked::Group(group) => {
                let it = facts.groups.iter().find(|it| it.name == *group)?;
                of_hosts(group.clone(), it.hosts.iter().map(|it| short(it)).collect())
            }
            Asked::Service(service) => {
                let members = facts.targets.iter().filter(|it| it.service.as_deref() == Some(service));
                let targets: BTreeSet<String> = members.map(|it| short(&it.name)).collect();
                let hosts = targets.iter().filter_map(|it| host_of(it)).map(str::to_owned).collect();
                (!targets.is_empty()).then(|| Self { said: format!("service {service}"), hosts, targets })
            }
        }
    }

    /// Whether a target, or the host itself, by its short name, is in it.
    pub(super) fn holds(&self, target: &str) -> bool {
        let host_itself = |host: &&str| target.ends_with("/host") && self.hosts.contains(*host);
        self.targets.contains(target) || host_of(target).as_ref().is_some_and(host_itself)
    }

    /// Whether a scope, by its resource name, reaches into it.
    fn meets(&self, scope: &str, groups: &[pb::Group]) -> bool {
        match scope.split('/').collect::<Vec<_>>()[..] {
            ["fleet"] => true,
            ["groups", _] => groups.iter().any(|it| it.name == scope && self.shares_host(it)),
            ["hosts", host] => self.hosts.contains(host),
            ["hosts", host, "targets", target] => self.holds(&format!("{host}/{target}")),
            // Who may force what is no matter of a place.
            _ => false,
        }
    }

    fn shares_host(&self, group: &pb::Group) -> bool {
        group.hosts.iter().any(|it| self.hosts.contains(&short(it)))
    }
}

fn host_of(target: &str) -> Option<&str> {
    target.split_once('/').map(|(host, _)| host)
}

/// The severity that a word says; what is not known counts as the worst.
pub(super) fn severity(word: &str) -> Severity {
    match word {
        "info" => Severity::Info,
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        _ => Severity::Critical,
    }
}

/// Every reason why the place is not fit, the widest first.
pub(super) fn judge(facts: &Facts, place: &Place, bounds: Bounds) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if facts.fleet.cold_until.is_some() {
        let what = "the server has started lately and waits for hosts to come back".to_owned();
        reasons.push(Reason { kind: Kind::ColdStart, place: "fleet".to_owned(), what });
    }
    reasons.extend(restraints(facts, place));
    reasons.extend(blockers(facts, place));
    reasons.extend(groups(facts, place));
    reasons.extend(state(facts, place, bounds));
    reasons.extend(incidents(facts, place, bounds.severity));
    reasons
}

/// What the hosts and targets are like now, apart from incidents.
pub(super) fn state(facts: &Facts, place: &Place, bounds: Bounds) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for it in facts.hosts.iter().filter(|it| place.hosts.contains(&short(&it.name))) {
        let absent = match it.state() {
            pb::host::State::Online => None,
            pb::host::State::Left => Some("its agent has left"),
            pb::host::State::Silent => Some("it is silent"),
            pb::host::State::Unspecified => Some("the server does not say whether it is there"),
        };
        let mut push = |kind, what: String| reasons.push(Reason { kind, place: short(&it.name), what });
        if let Some(what) = absent {
            push(Kind::HostAbsent, what.to_owned());
        }
        if let Some(why) = &it.observe_only {
            push(Kind::ObserveOnly, format!("its agent only observes: {why}"));
        }
    }
    for it in facts.targets.iter().filter(|it| place.targets.contains(&short(&it.name))) {
        let (kind, what) = match it.health {
            None => (Kind::NoEvidence, "nothing fresh is known of it".to_owned()),
            Some(health) if health < bounds.health => {
                (Kind::LowHealth, format!("its health is {health:.0}, below {:.0}", bounds.health))
            }
            Some(_) => continue,
        };
        reasons.push(Reason { kind, place: short(&it.name), what });
    }
    reasons
}

fn restraints(facts: &Facts, place: &Place) -> Vec<Reason> {
    let covering = |scope: &str| place.meets(scope, &facts.groups);
    let pauses = facts.fleet.pauses.iter().filter(|it| covering(&it.name)).map(|it| Reason {
        kind: Kind::Pause,
        place: short(&it.name),
        what: format!("{} has paused it: {}", it.by, it.why),
    });
    let maintenances = facts.maintenances.iter().filter(|it| it.active && covering(&it.scope)).map(|it| {
        let name = short(&it.name);
        let what = match &it.by {
            Some(by) => format!("{by} has maintenance {name}: {}", it.why),
            None => format!("the policy's window {name} is open"),
        };
        Reason { kind: Kind::Maintenance, place: short(&it.scope), what }
    });
    pauses.chain(maintenances).collect()
}

fn blockers(facts: &Facts, place: &Place) -> Vec<Reason> {
    let within = |scope: &Scope, target: &str| match scope {
        Scope::Fleet => true,
        Scope::Host(host) => host_of(target) == Some(host.as_str()),
        Scope::Target(host, name) => target == format!("{host}/{name}"),
        Scope::Group(group) => {
            let of_group = |it: &&pb::Group| it.name == format!("groups/{group}");
            let hosts = facts.groups.iter().find(of_group).map(|it| it.hosts.as_slice()).unwrap_or_default();
            hosts.iter().any(|it| host_of(target) == Some(short(it).as_str()))
        }
        Scope::Operator(_) => false,
    };
    let mut reasons = Vec::new();
    for (name, it) in facts.blockers.iter().filter(|(_, it)| place.meets(&it.scope.to_string(), &facts.groups)) {
        let speaks = |incident: &&IncidentView| {
            let mut faults = std::iter::once(&incident.fault).chain(&incident.also);
            faults.any(|fault| fault.rule == it.rule.as_str() && within(&it.on, &fault.target))
        };
        reasons.extend(facts.incidents.iter().find(speaks).map(|incident| Reason {
            kind: Kind::Blocker,
            place: it.scope.to_string(),
            what: format!("blocker {name}: {} speaks in incident {}", it.rule, incident.id),
        }));
    }
    reasons
}

fn groups(facts: &Facts, place: &Place) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for it in facts.groups.iter().filter(|it| place.shares_host(it)) {
        let mut push = |kind, what: String| reasons.push(Reason { kind, place: it.name.clone(), what });
        if it.under_repair > 0 {
            push(Kind::GroupLease, format!("{} of its hosts are under repair; others must wait", it.under_repair));
        }
        if !it.exempt && it.healthy <= it.minimum_healthy {
            let (healthy, all) = (it.healthy, it.hosts.len());
            push(
                Kind::GroupMinimum,
                format!("{healthy} of {all} hosts are healthy and {} must stay so", it.minimum_healthy),
            );
        }
    }
    reasons
}

fn incidents(facts: &Facts, place: &Place, least: Severity) -> Vec<Reason> {
    let bears = |it: &&IncidentView| {
        let faults = std::iter::once(&it.fault).chain(&it.also);
        faults.into_iter().any(|fault| place.holds(&fault.target) && severity(&fault.severity) >= least)
    };
    let reason = |it: &IncidentView| Reason {
        kind: Kind::OpenIncident,
        place: it.fault.target.clone(),
        what: format!("incident {}, {}: {} ({})", it.id, it.state.replace('_', " "), it.fault.rule, it.fault.summary),
    };
    facts.incidents.iter().filter(bears).map(reason).collect()
}

/// Whose fault a new incident is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blame {
    /// The deploy's, and why.
    Deploy(String),
    /// Something else's, and why.
    Elsewhere(String),
    /// It is not known yet.
    Unclear,
}

/// Whose fault an incident of the place is that opened at `since` or later; none when it does not bear on the deploy.
pub(super) fn blame(it: &IncidentView, place: &Place, since: Time, least: Severity) -> Option<Blame> {
    if it.opened < since || !place.holds(&it.fault.target) || severity(&it.fault.severity) < least {
        return None;
    }
    if let Some(upstream) = &it.upstream {
        return Some(Blame::Elsewhere(format!("it suffers from incident {upstream}")));
    }
    if let Some(shared) = &it.shared {
        return Some(if matches!(shared.kind.as_str(), "version" | "change") {
            Blame::Deploy(format!("{} of {} hosts with {} fail", shared.failing, shared.sharing, shared.attribute))
        } else {
            Blame::Elsewhere(format!("{} is what the failing hosts share", shared.attribute))
        });
    }
    let Some(diagnosis) = &it.diagnosis else { return Some(Blame::Unclear) };
    let sure = format!("{}, {:.0} % sure", diagnosis.cause, diagnosis.confidence * 100.0);
    if diagnosis.cause == "bad_version" {
        return Some(Blame::Deploy(format!("the cause is {sure}")));
    }
    if !place.holds(&diagnosis.cause_target) {
        return Some(Blame::Elsewhere(format!("its cause ({sure}) lies in {}", diagnosis.cause_target)));
    }
    // The engine says what changed right before a fault; a change of the version is the deploy itself.
    let deployed = |it: &&EvidenceView| it.text.starts_with("changed ") && it.text.contains(": version ");
    let changed = diagnosis.evidence.iter().find(deployed);
    Some(Blame::Deploy(match changed {
        Some(evidence) => format!("{} ({sure})", evidence.text),
        None => format!("it began after the deploy, and its cause ({sure}) lies here"),
    }))
}
