//! What hosts' administrators declare, and what is kept of each host.

use prunella_model::host::HostReport;
use prunella_model::incident::Closing;
use prunella_model::record::{Change, HostRecord};
use prunella_model::{HostId, IncidentId, OperatorName, TargetName};

use super::Stirred;
use crate::Engine;
use crate::host::Link;
use crate::key::{Key, at, next};
use crate::timers::Timer;

impl Engine {
    pub(super) fn take_report(&mut self, index: u32, mut report: HostReport) {
        let (names, observations) = (std::mem::take(&mut report.series), std::mem::take(&mut report.observations));
        let outcomes = std::mem::take(&mut report.outcomes);
        self.declare(index, report);
        self.rename_series(index, &names);
        for outcome in outcomes {
            self.outcome(index, outcome);
        }
        for seen in &observations {
            self.observe(index, seen, false);
        }
        let all: Vec<u32> = (0..next(self.hosts[at(index)].targets.len())).collect();
        self.stir(index, &all, Stirred::new());
        for target in all {
            self.review(Key { host: index, target });
        }
        self.woken.extend(self.hosts[at(index)].incidents.iter().copied());
        if !self.hosts[at(index)].incidents.is_empty() {
            self.out.probes.insert((index, None));
        }
        self.out.hosts.insert(index);
    }

    /// Takes over what the host's administrator declares.
    pub(crate) fn declare(&mut self, index: u32, mut report: HostReport) {
        self.unlink(index);
        self.note_versions(index, &report);
        let targets = std::mem::take(&mut report.targets);
        let gone = self.hosts[at(index)].declare(&targets);
        report.targets = targets;
        self.hosts[at(index)].report = Some(report);
        self.agent_declared(index);
        self.link(index);
        self.match_custom(index, &Some);
        self.reshape(index);
        for target in gone {
            let key = Key { host: index, target };
            if let Some(id) = self.target_at(key).incident.filter(|_| !self.target_at(key).report.name.is_host()) {
                self.close(id, Closing::TargetGone);
            }
        }
    }

    /// Takes a host's targets out of the topology.
    pub(crate) fn unlink(&mut self, index: u32) {
        let place = Key { host: index, target: self.hosts[at(index)].ensure(&TargetName::host()) };
        let common = self.hosts[at(index)].report.as_ref().map(|report| self.host_attributes(report));
        self.topology.part(place, &common.unwrap_or_default());
        for target in 0..next(self.hosts[at(index)].targets.len()) {
            let key = Key { host: index, target };
            let needs = self.declared_needs(key);
            let service = self.target_at(key).report.service.clone();
            self.topology.remove(key, service.as_ref(), &needs);
            self.leave_groups(key);
            let common = self.target_attributes(key);
            self.topology.part(key, &common);
        }
    }

    /// Puts a host's targets into the topology.
    pub(crate) fn link(&mut self, index: u32) {
        let place = Key { host: index, target: self.hosts[at(index)].ensure(&TargetName::host()) };
        let common = self.hosts[at(index)].report.as_ref().map(|report| self.host_attributes(report));
        self.topology.share(place, common.unwrap_or_default());
        for target in 0..next(self.hosts[at(index)].targets.len()) {
            let key = Key { host: index, target };
            if self.target_at(key).gone {
                continue;
            }
            let needs = self.declared_needs(key);
            let service = self.target_at(key).report.service.clone();
            self.topology.insert(key, service.as_ref(), needs);
            self.join_groups(key);
            let common = self.target_attributes(key);
            self.topology.share(key, common);
        }
        self.compare_anew(index);
    }

    /// Removes a host.
    pub(crate) fn forget(&mut self, host: &HostId, by: &OperatorName) {
        let Some(index) = self.names.get(host).copied() else { return };
        let incidents: Vec<IncidentId> = self.hosts[at(index)].incidents.iter().copied().collect();
        for id in incidents {
            self.close(id, Closing::TargetGone);
        }
        self.unlink(index);
        self.compare_no_more(index);
        self.timers.clear(&Timer::Silence(index));
        self.in_flight.retain(|key, _| key.host != index);
        let gone: Vec<_> = self.commands.iter().filter(|(_, it)| it.intent.host == *host).map(|(id, _)| *id).collect();
        for command in gone {
            self.commands.remove(&command);
            self.out.commands.remove(&command);
            self.timers.clear(&Timer::Command(command));
            self.out.changes.push(Change::DropCommand(command));
        }
        for target in &mut self.hosts[at(index)].targets {
            target.gone = true;
        }
        self.hosts[at(index)].link = Link::Left;
        self.names.remove(host);
        self.drop_waits(index);
        self.reshape(index);
        self.agent_forgotten();
        self.out.hosts.remove(&index);
        self.out.changes.push(Change::DropHost(host.clone()));
        if let Some(cold) = &mut self.cold {
            cold.known = cold.known.saturating_sub(1);
            cold.needed = crate::restore::most(cold.known);
        }
        self.warm_up();
        self.audit_as(format!("operator/{by}"), "host_forgotten", format!("hosts/{host}"), None, "removed".to_owned());
        self.freed = true;
    }

    /// What is stored of a host.
    pub(crate) fn host_record(&self, index: u32) -> HostRecord {
        let it = &self.hosts[at(index)];
        HostRecord {
            host: it.id.clone(),
            enrolment: it.enrolment,
            first_seen: it.first_seen,
            last_seen: it.last_seen,
            report: it.report.clone().map(Box::new),
            repairs: it.repairs.iter().cloned().collect(),
            rollbacks: it.rollbacks.iter().copied().collect(),
            changes: it.targets.iter().flat_map(crate::target::Target::changes_seen).collect(),
            outages: it.outages.iter().copied().collect(),
            critical: it.critical.iter().copied().collect(),
            order_runs: it.order_runs.iter().cloned().collect(),
            usage: it.usage.week.as_ref().map(|week| Box::new(week.record())),
            muted: it
                .targets
                .iter()
                .flat_map(|it| it.muted.iter().map(|rule| (it.report.name.clone(), rule.clone())))
                .collect(),
        }
    }
}
