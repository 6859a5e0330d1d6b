//! Standing orders: what each host's agent may do by itself while the server cannot be reached, and what it did.
//!
//! Only what is harmless without a view of the fleet is ordered: a service whose process has ended serves nobody, so
//! starting it again takes nothing away. Orders are made anew well before they lapse, and at once when a pause, a
//! maintenance or a mode takes one of them away.

use std::time::Duration;

use prunella_model::change::Changed;
use prunella_model::command::SCHEMA;
use prunella_model::event::EventKind;
use prunella_model::observation::{ProbeKind, Status};
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::policy::{Mode, Scope};
use prunella_model::record::OrderRunRecord;
use prunella_model::standing::{ORDERS_MAX, OrderRun, RUNS_MAX, StandingOrder, StandingOrders};
use prunella_model::step::{Step, StepKind, TargetStep};
use prunella_model::{CommandId, Id, IncidentId, ProbeName, RepairName, TargetName, Timestamp};

use crate::Engine;
use crate::brakes;
use crate::event::Decision;
use crate::key::{Key, at, next};
use crate::timers::Timer;

/// The name of the repair that is ordered.
const REPAIR: &str = "restart_service";

/// How long a process may take to end by itself, should it be there after all.
const GRACE: Duration = Duration::from_secs(2);

/// How long a run may take.
const MAX_RUN: Duration = Duration::from_secs(60);

/// Where the ids of runs begin, far beyond those of commands and incidents.
const RUN_IDS: u64 = 1 << 40;

/// How many runs of a host are remembered, so that none is told twice.
const RUNS_KEPT: usize = 32;

/// What was ordered of a host. Not stored: after a start it is ordered anew.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// When.
    pub(crate) at: Timestamp,
    /// Until when it is good, at the latest.
    pub(crate) until: Timestamp,
    /// The targets that may be repaired, each with how long it must be down.
    pub(crate) orders: Vec<(TargetName, Duration)>,
}

impl Engine {
    /// Orders of a host what it may do alone, when that has changed or the orders in force grow old.
    pub(crate) fn issue_orders(&mut self, index: u32) {
        let policy = self.policy.standing_orders.clone();
        let it = &self.hosts[at(index)];
        if !it.stream || !it.reported {
            return;
        }
        self.timers.set(Timer::Orders(index), self.now.after(policy.renew()), self.now);
        let wanted = if policy.enabled { self.wanted_orders(index) } else { Vec::new() };
        let it = &self.hosts[at(index)];
        let named: Vec<_> =
            wanted.iter().map(|(key, _)| (it.targets[at(key.target)].report.name.clone(), policy.held)).collect();
        match &it.orders {
            None if named.is_empty() => return,
            Some(issued) if issued.orders == named && self.now.since(issued.at) < policy.renew() => return,
            None | Some(_) => {}
        }
        let orders: Vec<StandingOrder> = wanted.into_iter().map(|(key, step)| self.order(key, step)).collect();
        let it = &mut self.hosts[at(index)];
        it.orders = Some(Issued { at: self.now, until: self.now.after(policy.lifetime()), orders: named });
        let orders = StandingOrders {
            schema: SCHEMA,
            fleet: self.fleet.clone(),
            host: it.id.clone(),
            enrolment: it.enrolment,
            lifetime: policy.lifetime(),
            policy_version: self.policy.version,
            policy_hash: self.policy_hash,
            orders,
        };
        let generation = self.generation();
        self.out.acts.push(Decision::Order { orders: Box::new(orders), generation });
    }

    /// What a scope covers has changed: orders that do not hold any more are taken back at once.
    pub(crate) fn orders_change(&mut self, scope: &Scope) {
        let one = match scope {
            Scope::Host(host) | Scope::Target(host, _) => self.names.get(host).copied().map(|index| vec![index]),
            Scope::Fleet | Scope::Group(_) | Scope::Operator(_) => None,
        };
        for index in one.unwrap_or_else(|| self.names.values().copied().collect()) {
            if self.hosts[at(index)].stream {
                self.timers.sooner(Timer::Orders(index), self.now, self.now);
            }
        }
    }

    fn wanted_orders(&self, index: u32) -> Vec<(Key, Step)> {
        let it = &self.hosts[at(index)];
        let keys = (0..next(it.targets.len())).map(|target| Key { host: index, target });
        keys.filter_map(|key| Some((key, self.orderable(key)?))).take(ORDERS_MAX).collect()
    }

    /// What may be ordered for a target; null when nothing may.
    fn orderable(&self, key: Key) -> Option<Step> {
        let target = self.target_at(key);
        let held = brakes::pause_of(self, key).is_some()
            || brakes::maintained(self, key).is_some()
            || brakes::is_own_part(&target.report)
            || self.hosts[at(key.host)]
                .report
                .as_ref()
                .is_some_and(|it| it.paused.is_some() || it.observe_only.is_some());
        let asked = match self.mode_of(key).0 {
            Mode::Aggressive | Mode::Balanced => true,
            Mode::Conservative => target.report.critical,
            Mode::Disabled => false,
        };
        if target.gone || target.report.name.is_host() || held || !asked || self.dies_of(key).is_none() {
            return None;
        }
        let permits = |kind| target.report.permits.iter().any(|it| it.step == kind && it.approvals == 0);
        let forbidden = self.policy.forbid_repairs.contains(&RepairName::of(REPAIR));
        (!forbidden && permits(StepKind::RestartService)).then_some(Step::RestartService { grace: GRACE })
    }

    /// The probe that sees the process of a target end.
    fn dies_of(&self, key: Key) -> Option<&ProbeName> {
        let probes = self.target_at(key).probes.iter();
        let mut sees = probes.filter(|it| matches!(it.report.kind, ProbeKind::Process | ProbeKind::Unit));
        sees.next().map(|it| &it.report.name)
    }

    fn order(&mut self, key: Key, step: Step) -> StandingOrder {
        let (held, count) = (self.policy.standing_orders.held, self.policy.standing_orders.runs);
        let probe = self.dies_of(key).cloned().unwrap_or_else(|| ProbeName::of("process"));
        let target = self.target_at(key).report.name.clone();
        let count = usize::try_from(count).unwrap_or(RUNS_MAX).clamp(1, RUNS_MAX);
        let runs = (0..count).map(|_| CommandId(self.next_run())).collect();
        let incident = IncidentId(self.next_run());
        StandingOrder {
            verify: vec![(target.clone(), probe.clone())],
            steps: vec![TargetStep { target: target.clone(), step }],
            target,
            probe,
            status: Status::Down,
            held,
            repair: RepairName::of(REPAIR),
            runs,
            incident,
            max_run: MAX_RUN,
        }
    }

    /// An agent reported what it did by a standing order. It may say so more than once; it counts once.
    pub(crate) fn order_carried_out(&mut self, host: u32, run: OrderRun, report: &OutcomeReport, line: &str) {
        let now = self.now;
        let it = &mut self.hosts[at(host)];
        if it.order_runs.iter().any(|known| known.command == report.command) {
            return;
        }
        if it.order_runs.len() == RUNS_KEPT {
            it.order_runs.pop_front();
        }
        let ended = it.clock.to_server(report.ended_at, now);
        it.order_runs.push_back(OrderRunRecord {
            command: report.command,
            target: run.target.clone(),
            repair: run.repair.clone(),
            outcome: report.outcome.clone(),
            ended_at: ended,
        });
        let key = it.names.get(&run.target).copied().map(|target| Key { host, target });
        let id = it.id.clone();
        self.out.hosts.insert(host);
        if let Some(key) = key.filter(|_| report.outcome == Outcome::Done) {
            self.note_change(key, ended, Changed::Repaired { repair: run.repair.clone() });
        }
        let subject = key.map_or_else(|| format!("hosts/{id}"), |key| self.subject(key));
        let line = format!("alone, by a standing order: {} on {}: {line}", run.repair, run.target);
        self.audit_as(format!("agent/{id}"), "order_carried_out", subject, None, line.clone());
        self.announce(EventKind::RepairEnded, key, None, line);
    }

    /// An id that no command and no incident has: runs are numbered apart, because few of those that are made come to be.
    fn next_run(&mut self) -> Id {
        self.runs_made += 1;
        Id { epoch: self.epoch, counter: RUN_IDS + self.runs_made }
    }
}
