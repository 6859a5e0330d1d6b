//! The mind: one deterministic state machine that detects, diagnoses, chooses, brakes, verifies and learns.
//!
//! No I/O, no clock, no randomness, no locks, no async. The same code runs in the server, in the simulator and in
//! replay, and the same events always lead to the same decisions.

pub mod advice;
mod agent_watch;
mod alone;
mod blame;
mod brakes;
pub mod catalogue;
mod cause;
mod chain;
mod changes;
pub mod choose;
mod clock;
mod correlate;
pub mod custom;
pub mod detect;
mod diagnosis;
pub mod diagnostics;
pub mod event;
pub mod governance;
mod graph;
mod groups;
mod harmless;
mod health;
mod host;
mod incident;
mod intake;
mod intervals;
mod invariants;
mod key;
mod knowledge;
pub mod lore;
#[cfg(any(test, feature = "mutants"))]
mod mutants;
mod optimise;
mod orders;
mod out;
mod peers;
mod plan;
mod queue;
mod quiet;
mod repairs;
mod reports;
mod requests;
mod restore;
mod rollout;
mod rules;
mod saved;
mod standing;
mod structure;
pub mod suspects;
mod target;
mod text;
mod timers;
mod topology;
mod unusual;
pub mod view;
mod views;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::event::{EventKind, FleetEvent};
use prunella_model::incident::Severity;
use prunella_model::knowledge::WishRecord;
use prunella_model::observation::Sha256;
use prunella_model::policy::{FleetPolicy, Scope};
use prunella_model::record::{AuditEntry, Change, CommandRecord, MaintenanceRecord, ModeRecord, PauseRecord};
use prunella_model::{
    CommandId, FleetName, HostId, Id, IncidentId, MaintenanceName, OperatorName, RepairName, TargetRef, Timestamp,
};

use choose::Book;
pub use event::{Decision, Decisions, Event, Reply, Request};
use host::Host;
use incident::Case;
use key::{Key, at};
use out::Out;
use rollout::Rollout;
use rules::Tuning;
use target::Target;
use timers::{Timer, Timers};
use topology::Topology;

/// How often one step may look at incidents, for each that is open and beyond. What is left over is looked at in the
/// next step. Incidents that wake each other settle after two looks; this only bounds a defect.
const LOOKS_EACH: usize = 8;
const LOOKS_MORE: usize = 64;

/// A start of the server with a fleet that has a history.
#[derive(Debug, Clone)]
struct Cold {
    until: Timestamp,
    known: u32,
    needed: u32,
    back: u32,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Engine {
    fleet: FleetName,
    epoch: u64,
    now: Timestamp,
    started: Timestamp,
    policy: Arc<FleetPolicy>,
    policy_hash: Sha256,
    /// When the policy last changed; null when that was before this start.
    policy_since: Option<Timestamp>,
    tuning: Vec<Tuning>,
    /// What makes expressions of the texts of custom rules.
    compiler: Arc<dyn custom::Compiler>,
    /// The custom rules of the policy, in its order.
    custom: Vec<custom::Custom>,
    /// The scores of the past.
    records: health::Records,
    /// What became of the latest commands and repairs.
    tally: health::Tally,
    hosts: Vec<Host>,
    names: BTreeMap<HostId, u32>,
    topology: Topology,
    structure: structure::Structure,
    cases: BTreeMap<IncidentId, Case>,
    commands: BTreeMap<CommandId, CommandRecord>,
    /// Commands without an outcome, by target.
    in_flight: BTreeMap<Key, CommandId>,
    book: Book,
    /// Repairs that would have been chosen, had they been permitted.
    wishes: BTreeMap<(TargetRef, RepairName), WishRecord>,
    /// Recent faults, to see which of them are one.
    faults: correlate::Faults,
    pauses: BTreeMap<Scope, PauseRecord>,
    /// Modes that were set at run time.
    modes: BTreeMap<Scope, ModeRecord>,
    maintenances: BTreeMap<MaintenanceName, MaintenanceRecord>,
    /// When people overrode brakes lately.
    overrides: BTreeMap<OperatorName, VecDeque<Timestamp>>,
    /// A changed policy on its way.
    rollout: Option<Rollout>,
    /// How the last one ended since the start.
    last_rollout: Option<String>,
    timers: Timers,
    /// Incidents that brakes of the fleet hold back, worst and oldest first.
    queue: BTreeSet<(Reverse<Severity>, IncidentId)>,
    /// What has been said of it.
    queue_watch: queue::QueueWatch,
    /// What has been said of how freely repairs may go.
    standing: standing::Standing,
    /// Sweeps through the fleet, and what they found.
    diagnostics: diagnostics::Diagnostics,
    /// Names of invariants that were found broken and said to be.
    defects: BTreeSet<&'static str>,
    /// When recent repairs of the fleet were decided, newest last.
    decided: VecDeque<Timestamp>,
    /// When repairs took something out that still served, newest last.
    outages: VecDeque<Timestamp>,
    /// Hosts with a fault of their own.
    troubled: u32,
    cold: Option<Cold>,
    /// The newest version among the agents, as numbers and as text.
    newest_agent: Option<((u64, u64, u64), String)>,
    /// How often each brake began to hold a repair, since the start.
    held_back: BTreeMap<&'static str, u64>,
    repaired: u64,
    repair_time: Duration,
    incidents_made: u64,
    commands_made: u64,
    runs_made: u64,
    events_made: u64,
    /// Incidents to look at before this step ends.
    woken: BTreeSet<IncidentId>,
    /// Incidents that keep a chain of repairs that goes on.
    chains: BTreeSet<IncidentId>,
    /// Those of them to look at before this step ends.
    chained: BTreeSet<IncidentId>,
    /// Whether a brake of the fleet may have released.
    freed: bool,
    out: Out,
}

impl Engine {
    /// Takes one event in and says what to do. Total: it never fails and never panics, whatever the event says.
    ///
    /// `now` must not be before that of the step before; if it is, the later one counts.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Decisions {
        self.now = self.now.max(now);
        let host = self.host_of(&event);
        self.under_policy_of(host, |engine| engine.take(event));
        self.settle_woken();
        for timer in self.timers.due(self.now) {
            let host = self.host_of_timer(&timer);
            self.under_policy_of(host, |engine| engine.ring(timer));
            self.settle_woken();
        }
        self.serve_queue();
        self.watch_standing();
        self.finish()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Started { version } => self.begun(&version),
            Event::Authorised { version, not_after } => self.authorised(version, not_after),
            Event::Policy(policy) => self.change_policy(policy),
            Event::Proposed { policy, by } => self.propose(policy, by),
            Event::Connected { host, enrolment, report } => self.connected(&host, enrolment, *report),
            Event::Reported { host, report } => self.reported(&host, *report),
            Event::Disconnected { host, orderly } => self.disconnected(&host, orderly),
            Event::Frame { host, frame } => self.frame(&host, &frame),
            Event::Heartbeat { host } => self.heartbeat(&host),
            Event::Accepted { host, command } => self.accepted(&host, command),
            Event::Outcome { host, report } => {
                if let Some(index) = self.names.get(&host).copied() {
                    self.outcome(index, report);
                }
            }
            Event::Undelivered { command, why } => self.undelivered(command, &why),
            Event::Request { token, by, request } => self.request(token, &by, request),
            Event::Forget { host, by } => self.forget(&host, &by),
            Event::Tick => {}
        }
    }

    /// The host that an event is about, if it is about one.
    fn host_of(&self, event: &Event) -> Option<u32> {
        let host = match event {
            Event::Connected { host, .. }
            | Event::Reported { host, .. }
            | Event::Disconnected { host, .. }
            | Event::Frame { host, .. }
            | Event::Heartbeat { host }
            | Event::Accepted { host, .. }
            | Event::Outcome { host, .. }
            | Event::Forget { host, .. } => host,
            Event::Undelivered { command, .. } => &self.commands.get(command)?.intent.host,
            Event::Request {
                request:
                    Request::Repair { target, .. } | Request::Report { target, .. } | Request::Withdraw { target, .. },
                ..
            } => &target.host,
            Event::Request { .. }
            | Event::Started { .. }
            | Event::Authorised { .. }
            | Event::Policy(_)
            | Event::Proposed { .. }
            | Event::Tick => return None,
        };
        self.names.get(host).copied()
    }

    fn host_of_timer(&self, timer: &Timer) -> Option<u32> {
        match timer {
            Timer::Command(command) => self.names.get(&self.commands.get(command)?.intent.host).copied(),
            Timer::Silence(host) | Timer::Series(host, _) | Timer::Custom(host, _) | Timer::Orders(host) => Some(*host),
            Timer::Confirm(key) => Some(key.host),
            Timer::Response(id) => self.cases.get(id).map(|case| case.key.host),
            Timer::Incident(_)
            | Timer::Pause(_)
            | Timer::Maintenance(_)
            | Timer::Rollout
            | Timer::Health
            | Timer::Queue
            | Timer::Standing
            | Timer::Sweep
            | Timer::Diagnostics
            | Timer::Optimise
            | Timer::Peers
            | Timer::Fleet => None,
        }
    }

    fn ring(&mut self, timer: Timer) {
        match timer {
            Timer::Incident(id) => {
                self.woken.insert(id);
            }
            Timer::Response(id) => self.response_due(id),
            Timer::Command(command) => self.lost(command),
            Timer::Silence(host) => self.silence(host),
            Timer::Confirm(key) => self.confirm(key),
            Timer::Series(host, series) => self.series_due(host, series),
            Timer::Custom(host, rule) => self.custom_due(host, rule),
            Timer::Orders(host) => self.issue_orders(host),
            Timer::Health => {
                self.sample_health();
                self.watch_itself();
            }
            Timer::Pause(scope) => self.pause_ended(&scope),
            Timer::Maintenance(name) => {
                self.maintenance_due(&name);
            }
            Timer::Optimise => self.optimise_unasked(),
            Timer::Peers => self.compare_peers(),
            Timer::Queue => self.watch_queue(),
            Timer::Standing => self.say_standing(),
            Timer::Sweep => self.sweep_on(),
            Timer::Diagnostics => self.diagnostics_due(),
            Timer::Rollout => self.rollout_due(),
            Timer::Fleet => {
                self.warm_up();
                if let Some(cold) = &self.cold {
                    self.timers.sooner(Timer::Fleet, cold.until, self.now);
                }
                self.freed = true;
            }
        }
    }

    /// Looks at an incident under the policy that decides for its host.
    fn advance_under_its_policy(&mut self, id: IncidentId) {
        let host = self.cases.get(&id).map(|case| case.key.host);
        self.under_policy_of(host, |engine| engine.advance(id));
    }

    /// Looks at every incident that was woken, and at those that these wake.
    fn settle_woken(&mut self) {
        let mut looks = self.cases.len().saturating_mul(LOOKS_EACH).saturating_add(LOOKS_MORE);
        while looks > 0 {
            if let Some(head) = self.chained.pop_first() {
                self.step_chain(head);
            } else if let Some(id) = self.woken.pop_first() {
                self.advance_under_its_policy(id);
            } else {
                return;
            }
            looks -= 1;
        }
        self.timers.set(Timer::Fleet, self.now, self.now);
    }

    /// When to call [`Engine::step`] with [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<FleetPolicy> {
        &self.policy
    }

    fn change_policy(&mut self, policy: Arc<FleetPolicy>) {
        self.rollout_over();
        for index in 0..key::next(self.hosts.len()) {
            self.unlink(index);
        }
        self.policy_hash = restore::digest(&policy);
        self.tuning = rules::tune(&policy);
        let (renumbered, old_rules) = self.change_custom(&policy);
        let version = policy.version;
        self.out.changes.push(Change::PutPolicy(Box::new(policy.as_ref().clone())));
        self.policy = policy;
        self.policy_since = Some(self.now);
        for index in 0..key::next(self.hosts.len()) {
            if self.names.get(&self.hosts[at(index)].id) == Some(&index) {
                self.link(index);
            }
            self.match_custom(index, &|rule| renumbered.get(&rule).copied());
        }
        self.withdraw(&old_rules);
        for index in self.names.values().copied().collect::<Vec<_>>() {
            self.reshape(index);
        }
        self.orders_change(&Scope::Fleet);
        for index in self.names.values().copied().collect::<Vec<_>>() {
            self.ask_intervals(index);
        }
        health::first_sample(self, self.now);
        self.woken.extend(self.cases.keys().copied());
        self.freed = true;
        self.plan_optimising();
        self.plan_diagnostics();
        let detail = format!("version {version}");
        self.audit_as("engine".to_owned(), "policy_changed", "policy".to_owned(), None, detail.clone());
        self.announce(EventKind::PolicyChanged, None, None, detail);
    }

    /// Puts what was decided in the order in which it shall take effect.
    fn finish(&mut self) -> Decisions {
        let mut out = std::mem::take(&mut self.out);
        let mut decisions = Decisions::new();
        let cases = out.incidents.iter().filter_map(|id| self.cases.get(id));
        decisions.extend(cases.map(|case| Change::PutIncident(Box::new(case.it.clone()))).map(Decision::Store));
        decisions.extend(out.closed.drain(..).map(|it| Decision::Store(Change::CloseIncident(Box::new(it)))));
        let commands = out.commands.iter().filter_map(|id| self.commands.get(id));
        decisions.extend(commands.map(|it| Decision::Store(Change::PutCommand(Box::new(it.clone())))));
        decisions.extend(out.hosts.iter().map(|it| Decision::Store(Change::PutHost(Box::new(self.host_record(*it))))));
        decisions.extend(out.changes.drain(..).map(Decision::Store));
        decisions.extend(out.audits.drain(..).map(Decision::Audit));
        decisions.append(&mut out.acts);
        decisions.append(&mut out.acknowledgements);
        let probes = std::mem::take(&mut out.probes);
        for (host, target) in &probes {
            let it = &self.hosts[at(*host)];
            // Asking for all of them asks for each.
            if it.online() && (target.is_none() || !probes.contains(&(*host, None))) {
                let target = target.map(|target| it.targets[at(target)].report.name.clone());
                decisions.push(Decision::Probe { host: it.id.clone(), target });
            }
        }
        decisions.extend(out.announcements.drain(..).map(Decision::Announce));
        decisions.append(&mut out.replies);
        decisions
    }
}

/// Small things that all parts need.
impl Engine {
    /// Where a target stands, if it is known.
    fn find(&self, target: &TargetRef) -> Option<Key> {
        let host = *self.names.get(&target.host)?;
        let it = &self.hosts[at(host)];
        let target = *it.names.get(&target.target)?;
        (!it.targets[at(target)].gone || it.targets[at(target)].report.name.is_host()).then_some(Key { host, target })
    }

    /// The name of a target.
    fn reference(&self, key: Key) -> TargetRef {
        let host = &self.hosts[at(key.host)];
        TargetRef::new(host.id.clone(), host.targets[at(key.target)].report.name.clone())
    }

    fn target_at(&self, key: Key) -> &Target {
        &self.hosts[at(key.host)].targets[at(key.target)]
    }

    fn target_mut(&mut self, key: Key) -> &mut Target {
        &mut self.hosts[at(key.host)].targets[at(key.target)]
    }

    fn next_incident(&mut self) -> IncidentId {
        self.incidents_made += 1;
        IncidentId(Id { epoch: self.epoch, counter: self.incidents_made })
    }

    /// An incident's record has changed and must be stored.
    fn touched(&mut self, id: IncidentId) {
        self.out.incidents.insert(id);
    }

    /// Asks an agent to look at a target, unless it has just been asked: each answer wakes what asked for it, so without
    /// this a fault that lasts would be looked at as fast as the wire allows.
    fn probe(&mut self, key: Key) {
        let (now, tick) = (self.now, self.tick(key));
        if self.target_at(key).asked.is_none_or(|asked| now.since(asked) >= tick) {
            self.probe_now(key);
        }
    }

    /// Asks an agent to look at a target now.
    fn probe_now(&mut self, key: Key) {
        self.target_mut(key).asked = Some(self.now);
        self.out.probes.insert((key.host, Some(key.target)));
    }

    /// The resource name of a target.
    fn subject(&self, key: Key) -> String {
        let target = self.reference(key);
        format!("hosts/{}/targets/{}", target.host, target.target)
    }

    fn audit(&mut self, action: &str, key: Key, incident: Option<IncidentId>, detail: String) {
        let subject = self.subject(key);
        self.audit_as("engine".to_owned(), action, subject, incident, detail);
    }

    fn audit_as(&mut self, actor: String, action: &str, subject: String, incident: Option<IncidentId>, detail: String) {
        let action = action.to_owned();
        self.out.audits.push(AuditEntry { at: self.now, actor, action, subject, incident, detail });
    }

    fn announce(&mut self, kind: EventKind, key: Option<Key>, incident: Option<IncidentId>, message: String) {
        let target = key.map(|key| self.reference(key));
        let (host, target) = target.map_or((None, None), |it| (Some(it.host), Some(it.target)));
        self.push_event(kind, host, target, incident, message);
    }

    fn announce_host(&mut self, kind: EventKind, host: u32, message: String) {
        let host = self.hosts[at(host)].id.clone();
        self.push_event(kind, Some(host), None, None, message);
    }

    fn push_event(
        &mut self,
        kind: EventKind,
        host: Option<HostId>,
        target: Option<prunella_model::TargetName>,
        incident: Option<IncidentId>,
        message: String,
    ) {
        self.events_made += 1;
        let id = Id { epoch: self.epoch, counter: self.events_made };
        self.out.announcements.push(FleetEvent { id, at: self.now, kind, host, target, incident, message });
    }
}
