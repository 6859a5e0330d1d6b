//! The server's loop, as thin as the real one: step, commit, then act. It may end between any two of these.

use std::time::Duration;

use prunella_engine::{Decision, Event};
use prunella_model::command::Intent;
use prunella_model::policy::Mode;
use prunella_model::record::Change;
use prunella_model::standing::StandingOrders;
use prunella_model::{Generation, HostId, Timestamp};

use crate::agent::{self, Down};
use crate::options::Sabotage;
use crate::server::{Commit, Doom, commit_time};
use crate::world::{Item, World};

impl World {
    pub(crate) fn place_of(&self, host: &HostId) -> Option<usize> {
        self.hosts.binary_search_by(|it| it.id.cmp(host)).ok()
    }

    pub(crate) fn start_server(&mut self) {
        if self.server.engine.is_some() {
            return;
        }
        let now = self.now;
        let repeated = self.has(Sabotage::RepeatedEpoch);
        let engine = self.server.start(now, repeated);
        let open: Vec<_> = engine.incidents().iter().map(|it| it.id).collect();
        let under_way = engine.commands().iter().filter(|it| it.report.is_none()).map(|it| it.intent.id).collect();
        self.checks.epoch(now, self.server.committed.epoch);
        self.checks.restarted(now, &open, &under_way);
        self.check_engine(true);
        self.plan_tick();
    }

    /// One step of the engine. Nothing happens while there is none.
    pub(crate) fn step(&mut self, event: Event) {
        let now = self.now;
        let Some(engine) = &mut self.server.engine else { return };
        if let Some(recording) = self.recording.as_mut().filter(|_| self.report.server_kills == 0) {
            recording.events.push((now, event.clone()));
        }
        let decisions = engine.step(now, event);
        self.report.steps += 1;
        self.check_engine(!decisions.is_empty());
        if !decisions.is_empty() {
            self.trace.add(&now);
            self.submit(decisions);
        }
        self.plan_tick();
    }

    fn submit(&mut self, decisions: Vec<Decision>) {
        let (mut changes, mut effects) = (Vec::new(), Vec::new());
        for decision in decisions {
            match decision {
                Decision::Store(change) => {
                    self.trace_change(&change);
                    changes.push(change);
                }
                Decision::Audit(_)
                | Decision::Dispatch { .. }
                | Decision::Order { .. }
                | Decision::Cancel { .. }
                | Decision::Probe { .. }
                | Decision::ReportFully { .. }
                | Decision::Intervals { .. }
                | Decision::Reconnect { .. }
                | Decision::Announce(_)
                | Decision::Reply { .. }
                | Decision::Acknowledge { .. } => {
                    self.trace.add(&decision);
                    if let Decision::Dispatch { intent, .. } = &decision {
                        self.check_pauses(intent);
                    }
                    effects.push(decision);
                }
            }
        }
        let time = if changes.is_empty() { Duration::ZERO } else { commit_time(&mut self.hands) };
        // Commits end in the order in which they began.
        self.server.last_commit = self.server.last_commit.max(self.now.after(time));
        self.server.pending.push_back(Commit { changes, effects });
        let life = self.server.life;
        self.queue.push(self.server.last_commit, Item::Committed { life });
    }

    /// The text of whole records would cost more than it tells.
    fn trace_change(&mut self, change: &Change) {
        match change {
            Change::PutIncident(it) | Change::CloseIncident(it) => {
                self.trace.id(it.id.0);
                self.trace.add(&it.state);
                self.trace.add(&it.attempts.len());
            }
            Change::PutCommand(it) => {
                self.trace.id(it.intent.id.0);
                self.trace.add(&it.report);
            }
            Change::PutHost(it) => self.trace.add(&it.host),
            Change::DropCommand(_)
            | Change::PutKnowledge(_)
            | Change::PutPattern(_)
            | Change::PutWish(_)
            | Change::DropHost(_)
            | Change::PutPause(_)
            | Change::DropPause(_)
            | Change::PutMode(_)
            | Change::DropMode(_)
            | Change::PutMaintenance(_)
            | Change::DropMaintenance(_)
            | Change::PutRollout(_)
            | Change::DropRollout
            | Change::PutDiagnostics(_)
            | Change::DropDiagnostics(_)
            | Change::PutPolicy(_) => self.trace.add(change),
        }
    }

    pub(crate) fn commit_done(&mut self, life: u64) {
        if life != self.server.life || self.server.engine.is_none() {
            return;
        }
        let Some(commit) = self.server.pending.pop_front() else { return };
        self.persist(&commit.changes);
        let doom = std::mem::replace(&mut self.server.doom, Doom::None);
        let released = match doom {
            Doom::AfterCommit(effects) if !commit.changes.is_empty() => Some(effects),
            Doom::AfterCommit(_) => {
                self.server.doom = doom;
                None
            }
            Doom::None => None,
        };
        for effect in commit.effects.into_iter().take(released.unwrap_or(usize::MAX)) {
            self.release(effect);
        }
        if released.is_some() {
            self.kill_server(0);
        }
    }

    /// What is on disk from here on.
    pub(crate) fn persist(&mut self, changes: &[Change]) {
        let now = self.now;
        for change in changes {
            match change {
                Change::PutIncident(it) => {
                    self.checks.opened(now, it.id);
                    self.noticed(it, false);
                }
                Change::CloseIncident(it) => {
                    self.checks.closed(it.id);
                    self.noticed(it, true);
                }
                Change::DropCommand(id) => {
                    let unreported = self.server.committed.commands.get(id).is_some_and(|it| it.report.is_none());
                    if unreported {
                        self.checks.violated(now, "every_command_ends", format!("{id} was dropped without an outcome"));
                    }
                }
                Change::PutCommand(it) => self.checks.under_way(it.intent.id, it.report.is_none()),
                Change::PutKnowledge(_)
                | Change::PutPattern(_)
                | Change::PutWish(_)
                | Change::PutHost(_)
                | Change::DropHost(_)
                | Change::PutPause(_)
                | Change::DropPause(_)
                | Change::PutMode(_)
                | Change::DropMode(_)
                | Change::PutMaintenance(_)
                | Change::DropMaintenance(_)
                | Change::PutRollout(_)
                | Change::DropRollout
                | Change::PutDiagnostics(_)
                | Change::DropDiagnostics(_)
                | Change::PutPolicy(_) => {}
            }
            self.server.committed.apply(change);
        }
        self.check_concurrency();
    }

    fn release(&mut self, effect: Decision) {
        match effect {
            Decision::Dispatch { intent, generation } => self.dispatch(*intent, generation),
            Decision::Order { orders, generation } => self.order(*orders, generation),
            Decision::Cancel { host, command } => self.tell_agent(&host, Down::Cancel(command)),
            Decision::Probe { host, target } => self.tell_agent(&host, Down::Probe(target)),
            Decision::ReportFully { host } => self.tell_agent(&host, Down::Report),
            Decision::Reconnect { host, .. } => self.tell_agent(&host, Down::Reconnect),
            Decision::Acknowledge { host, command } => self.tell_agent(&host, Down::Acknowledge(command)),
            Decision::Reply { token, .. } => self.replied(token),
            // No simulated host lets the fleet say how often it looks.
            Decision::Intervals { .. } | Decision::Store(_) | Decision::Audit(_) | Decision::Announce(_) => {}
        }
    }

    fn tell_agent(&mut self, host: &HostId, down: Down) {
        if let Some(host) = self.place_of(host) {
            self.tell(host, down);
        }
    }

    /// Sends a command into its agent's stream, or says that there is none.
    pub(crate) fn dispatch(&mut self, intent: Intent, generation: Generation) {
        self.checks.decided(self.now, &intent);
        let Some(host) = self.place_of(&intent.host) else { return };
        let version = self.delegation().version;
        let (now, life) = (self.now, self.server.life);
        match &mut self.server.sessions[host] {
            Some(session) => {
                session.sequence += 1;
                let issued_after = now.since(session.since);
                let opened =
                    agent::delivery(session.stream, session.sequence, issued_after, intent, generation, version);
                self.tell(host, Down::Command(Box::new(opened)));
            }
            None => {
                let event = Event::Undelivered { command: intent.id, why: "its agent is not connected".to_owned() };
                self.queue.push(now, Item::Tell { life, event: Box::new(event) });
            }
        }
    }

    /// Sends standing orders into their host's stream, if there is one.
    fn order(&mut self, orders: StandingOrders, generation: Generation) {
        let Some(host) = self.place_of(&orders.host) else { return };
        let version = self.delegation().version;
        let now = self.now;
        if let Some(session) = &mut self.server.sessions[host] {
            session.sequence += 1;
            let (stream, sequence, issued_after) = (session.stream, session.sequence, now.since(session.since));
            let opened = agent::orders_delivery(stream, sequence, issued_after, orders, generation, version);
            self.tell(host, Down::Orders(Box::new(opened)));
        }
    }

    pub(crate) fn plan_tick(&mut self) {
        let Some(due) = self.server.engine.as_ref().and_then(|engine| engine.next_deadline()) else { return };
        if self.server.tick.is_some_and(|planned| planned <= due) {
            return;
        }
        self.server.tick = Some(due);
        self.queue.push(due, Item::Tick { life: self.server.life, at: due });
    }

    pub(crate) fn tick(&mut self, life: u64, at: Timestamp) {
        if life != self.server.life || self.server.tick != Some(at) {
            return;
        }
        self.server.tick = None;
        let due = self.server.engine.as_ref().and_then(|engine| engine.next_deadline());
        if due.is_some_and(|due| due <= self.now) {
            self.step(Event::Tick);
        } else {
            self.plan_tick();
        }
    }

    /// The server ends. Of what is on its way to the disk, some got there.
    pub(crate) fn kill_server(&mut self, persisted: usize) {
        if self.server.engine.is_none() {
            return;
        }
        self.report.server_kills += 1;
        for commit in self.server.kill(persisted) {
            self.persist(&commit.changes);
        }
        self.asked.clear();
        if self.has(Sabotage::LostIncident) {
            self.server.committed.incidents.pop_last();
        }
        if self.has(Sabotage::LostCommand) {
            self.server.committed.commands.retain(|_, it| it.report.is_some());
            self.server.committed.under_way = 0;
        }
        for host in 0..self.hosts.len() {
            let Some(stream) = self.hosts[host].stream.as_mut() else { continue };
            stream.dead = true;
            let stream = stream.number;
            let after = self.net.between(Duration::from_millis(1), Duration::from_millis(200));
            self.queue.push(self.now.after(after), Item::AgentNotices { host, stream });
        }
        let down = self.havoc.between(Duration::from_millis(200), Duration::from_secs(60));
        self.queue.push(self.now.after(down), Item::ServerStarts);
    }

    fn check_engine(&mut self, decided: bool) {
        if !(decided || self.options.check_every_step) {
            return;
        }
        let Some(engine) = &self.server.engine else { return };
        for (name, what) in engine.check_invariants() {
            self.checks.violated(self.now, name, what);
        }
    }

    fn check_pauses(&mut self, intent: &Intent) {
        let now = self.now;
        let paused = self.pauses.iter().any(|(scope, since, until)| {
            let covers = match scope {
                prunella_model::policy::Scope::Fleet => true,
                prunella_model::policy::Scope::Host(host) => *host == intent.host,
                prunella_model::policy::Scope::Target(host, target) => {
                    *host == intent.host && intent.steps.iter().any(|step| step.target == *target)
                }
                // The simulator pauses none of these.
                prunella_model::policy::Scope::Group(_) | prunella_model::policy::Scope::Operator(_) => false,
            };
            covers && *since < now && now < *until
        });
        if paused && !intent.dry_run {
            self.checks.violated(now, "no_repair_while_paused", format!("command {}", intent.id));
        }
    }

    fn check_concurrency(&mut self) {
        let policy = &self.options.policy;
        let hundreds = self.options.hosts.div_ceil(100);
        let limit = (policy.limits.fleet_concurrent * hundreds).max(3);
        let under_way = self.server.committed.under_way;
        if policy.mode != Mode::Aggressive && under_way > usize::try_from(limit).unwrap_or(usize::MAX) {
            let what = format!("{under_way} commands are under way, {limit} are allowed");
            self.checks.violated(self.now, "concurrency_is_bounded", what);
        }
    }
}
