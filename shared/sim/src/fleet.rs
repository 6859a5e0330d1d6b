//! The simulated fleet: stacks of four hosts, each a database, three times an application, and websites before them.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::host::{Dependency, DirectoryReport, FileReport, Permit, ProbeReport, TargetReport};
use prunella_model::observation::ProbeKind;
use prunella_model::step::StepKind;
use prunella_model::{HostId, PartName, ProbeName, ServiceName, TargetName, TargetRef, Timestamp};

use crate::scenario::Role;
use crate::truth::{GOOD, Names, Need, PROBES, Place, Probe, QUOTA, Target};

/// How many hosts share a database.
pub(crate) const STACK: usize = 4;

/// How many hosts share a rack, and the label that says which.
pub(crate) const RACK: usize = 8;

/// The label of a host that names its rack.
pub(crate) const RACK_LABEL: &str = "rack";

/// The label of a target that names its version, and its value while nothing new was deployed.
pub(crate) const VERSION: (&str, &str) = ("version", "1");

/// How often a service is asked.
pub(crate) const SERVICE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a directory is measured.
pub(crate) const DIRECTORY_INTERVAL: Duration = Duration::from_secs(30);

/// How often each kind of step may be taken on each target in any hour: more than any sensible engine needs.
const PERMITTED: u32 = 30;

/// A name that is known to be one.
macro_rules! name {
    ($kind:ident, $($text:tt)+) => {
        // Everything that is named here is made of letters, digits and dashes.
        $kind::new(&format!($($text)+)).ok()
    };
}

/// How the fleet is laid out; the same for every run with as many hosts.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) hosts: Vec<HostId>,
    pub(crate) targets: Vec<Vec<Target>>,
    pub(crate) reports: Vec<Vec<TargetReport>>,
    pub(crate) probes: Names,
}

impl Layout {
    /// Null only when a name is none, which a test rules out.
    pub(crate) fn new(hosts: usize, now: Timestamp) -> Option<Self> {
        let names = Probe::ALL.map(|probe| name!(ProbeName, "{}", probe.name()));
        let [Some(a), Some(b), Some(c), Some(d)] = names else { return None };
        let mut layout =
            Self { hosts: Vec::new(), targets: Vec::new(), reports: Vec::new(), probes: Names([a, b, c, d]) };
        for host in 0..hosts {
            layout.hosts.push(name!(HostId, "h{host:05}")?);
        }
        for host in 0..hosts {
            let (targets, reports) = layout.host(host, hosts, now)?;
            layout.targets.push(targets);
            layout.reports.push(reports);
        }
        layout.link();
        Some(layout)
    }

    fn host(&self, host: usize, hosts: usize, now: Timestamp) -> Option<(Vec<Target>, Vec<TargetReport>)> {
        let stack = host / STACK;
        let first = stack * STACK;
        let target = |text: &str| name!(TargetName, "{text}");
        let service = name!(ServiceName, "api-{stack}")?;
        if host == first {
            let db = Target::new(target("db")?, Role::Db, ProbeKind::Tcp, Vec::new(), now);
            let cache = Target::new(target("cache")?, Role::Cache, ProbeKind::Tcp, Vec::new(), now);
            let reports = vec![self.report(&db, None, Vec::new())?, self.report(&cache, None, Vec::new())?];
            return Some((vec![db, cache], reports));
        }
        let api = Target::new(target("api")?, Role::Api, ProbeKind::Http, vec![Need::One((first, 0))], now);
        let on_db = Dependency::Target(TargetRef::new(self.hosts[first].clone(), target("db")?));
        // Every other website is served by any application of the stack, the rest by that of their own host.
        let members: Vec<Place> = (first + 1..(first + STACK).min(hosts)).map(|member| (member, 0)).collect();
        let (need, depends) = if host.is_multiple_of(2) {
            (Need::Any(members), Dependency::Service(service.clone()))
        } else {
            (Need::One((host, 0)), Dependency::Local(target("api")?))
        };
        let web = Target::new(target("web")?, Role::Web, ProbeKind::Http, vec![need], now);
        let reports = vec![self.report(&api, Some(service), vec![on_db])?, self.report(&web, None, vec![depends])?];
        Some((vec![api, web], reports))
    }

    fn report(&self, it: &Target, service: Option<ServiceName>, depends_on: Vec<Dependency>) -> Option<TargetReport> {
        let probe = |probe: Probe, kind, interval| ProbeReport {
            name: self.probes.0[probe.index()].clone(),
            kind,
            interval,
            timeout: Duration::from_secs(1),
        };
        let probes = vec![
            probe(Probe::Process, ProbeKind::Process, SERVICE_INTERVAL),
            probe(Probe::Service, it.service, SERVICE_INTERVAL),
            probe(Probe::Config, ProbeKind::File, DIRECTORY_INTERVAL),
            probe(Probe::Directory, ProbeKind::Directory, DIRECTORY_INTERVAL),
        ];
        debug_assert_eq!(probes.len(), PROBES);
        let permits =
            [StepKind::StartService, StepKind::RestartService, StepKind::CleanDirectory, StepKind::RestoreFile];
        Some(TargetReport {
            name: it.name.clone(),
            service,
            labels: BTreeMap::from([(VERSION.0.to_owned(), VERSION.1.to_owned())]),
            depends_on,
            critical: false,
            probes,
            permits: permits.map(|step| Permit { step, per_hour: PERMITTED, approvals: 0 }).to_vec(),
            directories: vec![DirectoryReport {
                name: name!(PartName, "spool")?,
                path: "/var/spool".to_owned(),
                quota_bytes: QUOTA,
            }],
            files: vec![FileReport {
                name: name!(PartName, "config")?,
                path: "/etc/config".to_owned(),
                known_good: Some(GOOD),
            }],
            parts: Vec::new(),
        })
    }

    /// Tells each target who needs it.
    fn link(&mut self) {
        let mut links: Vec<(Place, Place)> = Vec::new();
        for (host, targets) in self.targets.iter().enumerate() {
            for (target, it) in targets.iter().enumerate() {
                for need in &it.needs {
                    match need {
                        Need::One(other) => links.push((*other, (host, target))),
                        Need::Any(others) => links.extend(others.iter().map(|other| (*other, (host, target)))),
                    }
                }
            }
        }
        for ((host, target), dependent) in links {
            self.targets[host][target].dependents.push(dependent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_of_any_size_can_be_laid_out() {
        for hosts in [1, 2, 3, 4, 5, 100] {
            let layout = Layout::new(hosts, Timestamp::from_secs(1)).unwrap();
            assert_eq!((layout.hosts.len(), layout.targets.len()), (hosts, hosts));
        }
    }
}
