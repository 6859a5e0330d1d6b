//! What the engine believes, for people to read.

use std::collections::BTreeSet;

use prunella_model::incident::{Fault, Incident, IncidentState};
use prunella_model::knowledge::KnowledgeRecord;
use prunella_model::observation::Observation;
use prunella_model::record::CommandRecord;
use prunella_model::{CommandId, GroupName, HostId, IncidentId, TargetRef, Timestamp};

use crate::Engine;
use crate::host::Link;
use crate::key::{Key, at, next};
use crate::topology::Need;
use crate::view::{FleetView, GroupView, HostView, MaintenanceView, OrdersView, Reading, TargetView};

/// An incident about which nothing is known but its fault.
pub(crate) fn blank(fault: Fault, now: Timestamp) -> Incident {
    Incident {
        id: IncidentId::default(),
        fault,
        also: Vec::new(),
        opened_at: now,
        state: IncidentState::Diagnosing,
        diagnosis: None,
        shared: None,
        stages: Vec::new(),
        attempts: Vec::new(),
        holds: Vec::new(),
        released: Vec::new(),
        reports: Vec::new(),
        response: prunella_model::incident::Response::default(),
        recovered_at: None,
        closed_at: None,
        optimisation: None,
        chain: None,
        link: None,
    }
}

impl Engine {
    /// The fleet in one look.
    #[must_use]
    pub fn fleet(&self, now: Timestamp) -> FleetView {
        let known = || self.names.values().map(|index| &self.hosts[at(*index)]);
        let count = |link: &dyn Fn(Link) -> bool| known().filter(|host| link(host.link)).count();
        let states = || self.cases.values().map(|case| &case.it.state);
        let (throttle, throttle_why) = self.throttle();
        FleetView {
            at: now,
            mode: self.fleet_mode(),
            policy_version: self.policy.version,
            online: count(&|link| link == Link::Online),
            left: count(&|link| link == Link::Left),
            silent: count(&|link| link == Link::Silent || link == Link::Away),
            targets: known().flat_map(|host| &host.targets).filter(|target| !target.gone).count(),
            open: self.cases.len(),
            needs_human: states().filter(|state| matches!(state, IncidentState::NeedsHuman { .. })).count(),
            held: states().filter(|state| matches!(state, IncidentState::Held)).count(),
            repaired: self.repaired,
            mean_time_to_repair: u32::try_from(self.repaired)
                .ok()
                .and_then(|count| self.repair_time.checked_div(count)),
            pauses: self.pauses.values().cloned().collect(),
            modes: self.modes.values().cloned().collect(),
            throttle,
            throttle_why,
            queue: self.repair_queue(),
            cold_until: self.cold.as_ref().map(|cold| cold.until),
        }
    }

    /// Every group, by name: those that have members, and those that the policy names.
    #[must_use]
    pub fn groups(&self, _now: Timestamp) -> Vec<GroupView> {
        let names: BTreeSet<&GroupName> = self.topology.groups.keys().chain(self.policy.groups.keys()).collect();
        names.into_iter().map(|group| self.group_view(group)).collect()
    }

    fn group_view(&self, group: &GroupName) -> GroupView {
        let members = self.topology.groups.get(group);
        let hosts = members.into_iter().flat_map(|it| it.hosts.keys());
        let (throttle, throttle_why) = self.group_throttle(group);
        GroupView {
            group: group.clone(),
            hosts: hosts.map(|host| self.hosts[at(*host)].id.clone()).collect(),
            healthy: next(self.group_healthy(group).len()),
            under_repair: members.map_or(0, |it| next(it.busy.len())),
            concurrent: self.group_limit(group),
            minimum_healthy: self.group_minimum(group),
            exempt: members.is_some_and(|it| it.len() == 1),
            mode: self.group_mode(group),
            throttle,
            throttle_why,
        }
    }

    /// Every maintenance that people made, and every window of the policy, by name.
    #[must_use]
    pub fn maintenances(&self, now: Timestamp) -> Vec<MaintenanceView> {
        let made = self.maintenances.values().map(|it| MaintenanceView {
            name: it.name.clone(),
            scope: it.scope.clone(),
            by: Some(it.by.clone()),
            why: it.why.clone(),
            from: Some(it.from),
            until: it.until,
            active: it.from <= now,
        });
        let windows = self.policy.maintenance.iter().map(|(name, it)| {
            let until = it.open_until(now);
            MaintenanceView {
                name: name.clone(),
                scope: it.scope.clone(),
                by: None,
                why: it.why.clone(),
                from: None,
                until,
                active: until.is_some(),
            }
        });
        made.chain(windows).collect()
    }

    /// Every host, by name.
    #[must_use]
    pub fn hosts(&self, _now: Timestamp) -> Vec<HostView> {
        self.names.values().map(|index| self.host_view(*index)).collect()
    }

    /// One host.
    #[must_use]
    pub fn host(&self, _now: Timestamp, host: &HostId) -> Option<HostView> {
        self.names.get(host).map(|index| self.host_view(*index))
    }

    fn host_view(&self, index: u32) -> HostView {
        let host = &self.hosts[at(index)];
        let healths = (0..next(host.targets.len())).map(|target| Key { host: index, target });
        let healths = healths.filter(|key| !self.target_at(*key).gone).filter_map(|key| self.health(key));
        HostView {
            host: host.id.clone(),
            state: host.link.state(),
            enrolment: host.enrolment,
            agent_version: host.report.as_ref().map(|report| report.agent_version.clone()),
            first_seen: host.first_seen,
            last_seen: host.last_seen,
            health: healths.reduce(f64::min),
            targets: host.targets.iter().filter(|target| !target.gone).count(),
            incidents: host.incidents.iter().copied().collect(),
            paused: host.report.as_ref().and_then(|report| report.paused.clone()),
            observe_only: host.report.as_ref().and_then(|report| report.observe_only.clone()),
            orders: host.orders.as_ref().map(|it| OrdersView {
                issued: it.at,
                until: it.until,
                orders: it.orders.clone(),
            }),
            order_runs: host.order_runs.iter().cloned().collect(),
            config: host.report.as_ref().and_then(|report| report.config),
            program: host.report.as_ref().and_then(|report| report.program),
            drift: host.report.as_ref().and_then(|report| report.drift.clone()),
            intervals: host.report.as_ref().and_then(|report| report.intervals),
        }
    }

    /// The targets of a host, by name.
    #[must_use]
    pub fn targets(&self, now: Timestamp, host: &HostId) -> Vec<TargetView> {
        let Some(index) = self.names.get(host).copied() else { return Vec::new() };
        let all = self.hosts[at(index)].names.values().map(|target| Key { host: index, target: *target });
        all.filter(|key| !self.target_at(*key).gone).map(|key| self.target_view(now, key)).collect()
    }

    /// One target.
    #[must_use]
    pub fn target(&self, now: Timestamp, target: &TargetRef) -> Option<TargetView> {
        let key = self.find(target).filter(|key| !self.target_at(*key).gone)?;
        Some(self.target_view(now, key))
    }

    fn target_view(&self, now: Timestamp, key: Key) -> TargetView {
        let host = &self.hosts[at(key.host)];
        let target = self.target_at(key);
        let observations = target.probes.iter().filter_map(|probe| {
            let seen = probe.last()?;
            Some(Observation {
                target: target.report.name.clone(),
                probe: probe.report.name.clone(),
                kind: probe.report.kind,
                at: seen.host,
                status: seen.status,
                finding: probe.finding.clone()?,
            })
        });
        let recent = host.contact().is_some_and(|contact| now.since(contact) <= self.policy.verification.fresh);
        let readings = target.series.iter().filter_map(|number| {
            let series = host.series.get(at(*number))?.as_ref()?;
            Some(Reading { metric: series.metric.clone(), value: series.value?, at: host.last_frame?, fresh: recent })
        });
        let needs = self.needs(key).into_iter().flat_map(|need| match need {
            Need::One(other) => vec![other],
            Need::Any(members) => members,
            Need::Missing(_) => Vec::new(),
        });
        TargetView {
            target: self.reference(key),
            report: target.report.clone(),
            health: self.health(key),
            observations: observations.collect(),
            readings: readings.collect(),
            incidents: target.incident.into_iter().collect(),
            depends_on: needs.map(|key| self.reference(key)).collect(),
            dependents: self.dependents(key).into_iter().map(|key| self.reference(key)).collect(),
        }
    }

    /// Open incidents, oldest first.
    #[must_use]
    pub fn incidents(&self) -> Vec<&Incident> {
        self.cases.values().map(|case| &case.it).collect()
    }

    /// One open incident.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.cases.get(&id).map(|case| &case.it)
    }

    /// Commands that have no acknowledged outcome, oldest first. After a restart the driver sends those again that
    /// have not been accepted.
    #[must_use]
    pub fn commands(&self) -> Vec<&CommandRecord> {
        self.commands.values().filter(|record| record.report.is_none()).collect()
    }

    /// One command that is not dropped.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&CommandRecord> {
        self.commands.get(&id)
    }

    /// What has been learned.
    #[must_use]
    pub fn knowledge(&self) -> Vec<KnowledgeRecord> {
        self.book.knowledge().cloned().collect()
    }
}
