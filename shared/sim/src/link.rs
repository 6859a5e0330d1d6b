//! Between agents and server: streams that keep their order, and that break, stall and are cut.

use std::sync::Arc;
use std::time::Duration;

use prunella_engine::Event;
use prunella_model::host::HostReport;
use prunella_model::observation::{Finding, Frame, ProbeKind, Status};
use prunella_model::outcome::{Outcome, Refusal};

use crate::agent::{Down, Execution, Up};
use crate::options::Sabotage;
use crate::server::Session;
use crate::truth::{Need, Place, Probe, Process};
use crate::world::{Item, World};

/// How likely a message breaks its stream.
const LOSS: f64 = 0.000_2;

impl World {
    fn delay(&mut self) -> Duration {
        if self.net.chance(0.01) {
            self.net.between(Duration::from_millis(30), Duration::from_secs(2))
        } else {
            self.net.between(Duration::from_micros(100), Duration::from_millis(3))
        }
    }

    /// Sends from an agent, in order behind what it sent before. What cannot be sent is lost, or kept if it is a frame.
    pub(crate) fn say(&mut self, host: usize, up: Up) {
        let delay = self.delay();
        let lost = self.options.trouble && self.net.chance(LOSS);
        let now = self.now;
        if self.hosts[host].is_silent() {
            return;
        }
        let Some(stream) = self.hosts[host].stream.as_mut().filter(|stream| !stream.dead) else {
            if let Up::Frame(frame) = up {
                self.hosts[host].keep(frame);
            }
            return;
        };
        if lost {
            self.break_stream(host);
            return;
        }
        stream.up = stream.up.max(now.after(delay)).after(Duration::from_micros(1));
        let (at, stream) = (stream.up, stream.number);
        self.queue.push(at, Item::ToServer { host, stream, up: Box::new(up) });
    }

    /// Sends from the server into a session.
    pub(crate) fn tell(&mut self, host: usize, down: Down) {
        let delay = self.delay();
        let lost = self.options.trouble && self.net.chance(LOSS);
        let now = self.now;
        let Some(session) = self.server.sessions[host] else { return };
        let Some(stream) = self.hosts[host].stream.as_mut().filter(|it| it.number == session.stream && !it.dead) else {
            return;
        };
        if lost {
            self.break_stream(host);
            return;
        }
        stream.down = stream.down.max(now.after(delay)).after(Duration::from_micros(1));
        let at = stream.down;
        self.queue.push(at, Item::ToAgent { host, stream: session.stream, down });
    }

    /// The stream is no more. Each side notices in its own time; what is under way in it never arrives.
    pub(crate) fn break_stream(&mut self, host: usize) {
        let Some(stream) = self.hosts[host].stream.as_mut().filter(|stream| !stream.dead) else { return };
        stream.dead = true;
        let stream = stream.number;
        let agent = self.net.between(Duration::from_millis(1), Duration::from_secs(20));
        let server = self.net.between(Duration::from_millis(1), Duration::from_secs(60));
        self.queue.push(self.now.after(agent), Item::AgentNotices { host, stream });
        self.queue.push(self.now.after(server), Item::ServerNotices { host, stream });
    }

    pub(crate) fn server_notices(&mut self, host: usize, stream: u64) {
        if self.server.sessions[host].is_some_and(|session| session.stream == stream) {
            self.server.sessions[host] = None;
            let host = self.hosts[host].id.clone();
            self.step(Event::Disconnected { host, orderly: false });
        }
    }

    pub(crate) fn agent_notices(&mut self, host: usize, stream: u64) {
        let boot = self.boot_clock();
        let it = &mut self.hosts[host];
        if it.stream.is_some_and(|it| it.number == stream) {
            it.close_stream(boot);
            self.plan_connect(host);
        }
    }

    pub(crate) fn plan_connect(&mut self, host: usize) {
        let wait = self.net.between(Duration::from_millis(200), Duration::from_secs(3));
        let life = self.hosts[host].life;
        self.queue.push(self.now.after(wait), Item::Connect { host, life });
    }

    /// An agent tries to reach the server, and says everything once it does.
    pub(crate) fn connect(&mut self, host: usize, life: u64) {
        let it = &self.hosts[host];
        if it.life != life || !it.agent_runs || it.stream.is_some() {
            return;
        }
        if it.is_cut(self.now) || it.is_silent() || self.server.engine.is_none() {
            self.acts_alone(host);
            self.plan_connect(host);
            return;
        }
        self.streams += 1;
        let (now, boot) = (self.now, self.boot_clock());
        self.hosts[host].open_stream(self.streams, now, boot);
        let report = self.full_report(host);
        let it = &mut self.hosts[host];
        let spool = std::mem::take(&mut it.spool);
        self.say(host, Up::Hello(Box::new(report)));
        for frame in spool {
            self.say(host, Up::Frame(frame));
        }
    }

    /// An agent that reaches no server does what it was ordered to do then.
    fn acts_alone(&mut self, host: usize) {
        let (now, boot, delegation) = (self.now, self.boot_clock(), self.delegation());
        if self.hosts[host].is_silent() {
            return;
        }
        if let Some(command) = self.hosts[host].run_due(&delegation, now, boot) {
            let intent = self.hosts[host].ledger.get(&command).map(|entry| entry.intent.clone());
            intent.iter().for_each(|intent| self.checks.decided(now, intent));
            self.report.alone += 1;
            self.judge_target(host, command);
            self.begin(host, command, false);
        }
    }

    /// Everything that an agent has to say.
    pub(crate) fn full_report(&mut self, host: usize) -> HostReport {
        let (now, served, scenario) = (self.now, self.served(host), Arc::clone(&self.options.scenario));
        self.hosts[host].report(now, &served, &scenario)
    }

    /// What an agent sees now.
    fn seen_by(&mut self, host: usize) -> Frame {
        let (now, served, scenario) = (self.now, self.served(host), Arc::clone(&self.options.scenario));
        let noise = self.options.seed ^ (host as u64).rotate_left(40);
        let mut frame = self.hosts[host].frame(now, &served, &scenario, noise);
        frame.waits = self.waits_of(host);
        frame
    }

    /// Something reaches the server.
    pub(crate) fn server_hears(&mut self, host: usize, stream: u64, up: Up) {
        let it = &self.hosts[host];
        let gone = it.stream.is_none_or(|it| it.number != stream || it.dead);
        if gone || self.server.engine.is_none() {
            return;
        }
        if it.is_cut(self.now) {
            self.break_stream(host);
            return;
        }
        let id = it.id.clone();
        let known = self.server.sessions[host].is_some_and(|session| session.stream == stream);
        match up {
            Up::Hello(report) => {
                self.server.sessions[host] = Some(Session { stream, since: self.now, sequence: 0 });
                self.step(Event::Connected { host: id.clone(), enrolment: 1, report });
                self.send_unsent(host);
            }
            // Nothing counts before a stream has begun.
            Up::Report(_) | Up::Frame(_) | Up::Accepted(_) | Up::Outcome(_) if !known => {}
            Up::Report(report) => self.step(Event::Reported { host: id, report }),
            Up::Frame(frame) => self.step(Event::Frame { host: id, frame }),
            Up::Accepted(command) => self.step(Event::Accepted { host: id, command }),
            Up::Outcome(report) => self.step(Event::Outcome { host: id, report }),
        }
    }

    /// Something reaches an agent.
    pub(crate) fn agent_hears(&mut self, host: usize, stream: u64, down: Down) {
        let it = &self.hosts[host];
        if !it.agent_runs || it.is_silent() || it.stream.is_none_or(|it| it.number != stream || it.dead) {
            return;
        }
        if it.is_cut(self.now) {
            self.break_stream(host);
            return;
        }
        match down {
            Down::Command(opened) => self.commanded(host, &opened),
            Down::Orders(opened) => {
                let (now, boot, delegation) = (self.now, self.boot_clock(), self.delegation());
                self.hosts[host].take_orders(*opened, &delegation, now, boot);
            }
            Down::Cancel(command) => {
                let running = self.hosts[host].executions.iter_mut().find(|it| it.command == command);
                if let Some(execution) = running {
                    execution.cancelled = true;
                }
            }
            Down::Probe(target) => {
                let mut frame = self.seen_by(host);
                if let Some(name) = &target {
                    frame.observations.retain(|seen| seen.target == *name);
                }
                self.say(host, Up::Frame(frame));
            }
            Down::Report => self.report_again(host),
            Down::Reconnect => self.break_stream(host),
            Down::Acknowledge(command) => {
                if let Some(entry) = self.hosts[host].ledger.get_mut(&command) {
                    entry.acknowledged = true;
                }
            }
        }
    }

    fn commanded(&mut self, host: usize, opened: &prunella_ward::seal::Opened) {
        let (now, boot, delegation) = (self.now, self.boot_clock(), self.delegation());
        let command = opened.intent.id;
        match self.hosts[host].judge(opened, &delegation, now, boot) {
            Err(Refusal::AlreadyKnown) => {
                // Says again what the ledger holds, and never a new outcome.
                let known = self.hosts[host].ledger.get(&command).and_then(|entry| entry.report.clone());
                if let Some(report) = known {
                    self.say(host, Up::Outcome(report));
                }
            }
            Err(refusal) => {
                self.report.refused += 1;
                let ended_at = self.hosts[host].clock(now);
                let report = prunella_model::outcome::OutcomeReport {
                    command,
                    outcome: Outcome::Refused(refusal),
                    started_at: None,
                    ended_at,
                    notes: Vec::new(),
                    confirmed_by: None,
                    by_order: None,
                };
                self.say(host, Up::Outcome(report));
            }
            Ok(()) => {
                self.say(host, Up::Accepted(command));
                self.judge_target(host, command);
                self.begin(host, command, false);
            }
        }
    }

    /// Begins to carry a command out, unless the agent ends first.
    pub(crate) fn begin(&mut self, host: usize, command: prunella_model::CommandId, again: bool) {
        if self.options.trouble && self.hands.chance(0.01) {
            self.kill_agent(host);
            return;
        }
        self.checks.executed(self.now, command, again);
        let Some(entry) = self.hosts[host].ledger.get_mut(&command) else { return };
        entry.executing = true;
        let started = self.now;
        self.hosts[host].executions.push(Execution { command, step: 0, cancelled: false, started });
        self.plan_step(host, command);
        if self.options.trouble && self.hands.chance(0.01) {
            self.kill_agent(host);
        }
    }

    /// Sends what was committed and never reached its agent.
    pub(crate) fn send_unsent(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        for record in self.server.unsent(&id) {
            // What waits for its commit goes out by itself.
            if self.server.committed.commands.contains_key(&record.intent.id) {
                self.dispatch(record.intent, record.generation);
            }
        }
    }

    /// For each target of a host, whether everything that it needs serves.
    pub(crate) fn served(&self, host: usize) -> Vec<bool> {
        self.hosts[host].targets.iter().map(|target| self.needs_served(target.needs.as_slice())).collect()
    }

    pub(crate) fn needs_served(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| match need {
            Need::One(place) => self.serves(*place),
            Need::Any(places) => places.iter().any(|place| self.serves(*place)),
        })
    }

    /// Whether a target does its service, as a user sees it. Needs form no cycle.
    pub(crate) fn serves(&self, (host, target): Place) -> bool {
        let it = &self.hosts[host].targets[target];
        it.is_able() && self.needs_served(&it.needs)
    }

    /// Something changed with a target: its probes, and those of what depends on it, will see it in their own time.
    pub(crate) fn changed(&mut self, place: Place) {
        let soon = self.hands.between(Duration::from_micros(50), Duration::from_millis(2));
        self.queue.push(self.now.after(soon), Item::Look(place, Probe::Process));
        self.queue.push(self.now.after(soon * 2), Item::Look(place, Probe::Config));
        let measured = self.hands.between(Duration::ZERO, crate::fleet::DIRECTORY_INTERVAL);
        self.queue.push(self.now.after(measured), Item::Look(place, Probe::Directory));
        let mut asked = vec![place];
        let mut next = 0;
        while let Some((host, target)) = asked.get(next).copied() {
            next += 1;
            for dependent in &self.hosts[host].targets[target].dependents {
                if !asked.contains(dependent) {
                    asked.push(*dependent);
                }
            }
        }
        for place in asked {
            self.feel(place);
            let asked = self.hands.between(Duration::ZERO, crate::fleet::SERVICE_INTERVAL);
            self.queue.push(self.now.after(asked), Item::Look(place, Probe::Service));
        }
    }

    /// An agent looks through one probe, and says what is new.
    pub(crate) fn looks(&mut self, (host, target): Place, probe: Probe) {
        if self.baseline.is_some() {
            // A service manager knows at once that a process ended, and nothing else before it looks.
            if probe == Probe::Process {
                self.poll((host, target));
            }
            return;
        }
        let served = self.needs_served(&self.hosts[host].targets[target].needs);
        let it = &mut self.hosts[host];
        if !it.agent_runs {
            return;
        }
        let seen = &it.targets[target];
        let (status, _) = seen.look(probe, served, self.now);
        if seen.said[probe.index()] == Some((status, seen.run)) {
            return;
        }
        let at = it.clock(self.now);
        let observation = it.targets[target].observe(probe, served, self.now, at, &it.names);
        let frame = Frame { at, observations: vec![observation], ..Frame::default() };
        self.say(host, Up::Frame(frame));
    }

    /// An agent says everything that its probes say.
    pub(crate) fn beats(&mut self, host: usize) {
        let next = self.now.after(self.beat());
        self.queue.push(next, Item::Beat(host));
        if !self.hosts[host].agent_runs || self.hosts[host].stream.is_none() {
            return;
        }
        let mut frame = self.seen_by(host);
        if self.has(Sabotage::LyingProbes) {
            let seen = frame.observations.iter_mut().filter(|seen| seen.kind == ProbeKind::Process);
            seen.for_each(|seen| (seen.status, seen.finding) = (Status::Down, Finding::NotRunning));
        }
        self.say(host, Up::Frame(frame));
    }

    /// Judges, by what is really the case, whether the command's target needed a repair.
    fn judge_target(&mut self, host: usize, command: prunella_model::CommandId) {
        let Some(entry) = self.hosts[host].ledger.get(&command) else { return };
        let (dry_run, undoes) = (entry.intent.dry_run, entry.intent.steps.is_empty());
        let Some(step) = entry.intent.steps.first().filter(|_| !dry_run && !undoes).cloned() else { return };
        let decided = self.server.committed.commands.get(&command).map_or(self.now, |record| record.decided_at);
        let Some(target) = self.hosts[host].targets.iter().position(|it| it.name == step.target) else { return };
        let it = &self.hosts[host].targets[target];
        // What had passed shortly before it was decided was still news on its way.
        if it.is_faulty() || it.last_faulty >= decided.before(Duration::from_secs(12)) {
            return;
        }
        let suffers = !self.needs_served(&it.needs);
        let what = format!("{} of {}/{} by command {command}", entry.intent.repair, self.hosts[host].id, it.name);
        let stopped = it.process == Process::Stopped;
        if suffers {
            self.report.collateral_repairs += 1;
            self.checks.violated(self.now, "no_collateral_repair", what);
        } else {
            self.report.false_repairs += 1;
            let why = if stopped { ", which was stopped on purpose" } else { ", which was well" };
            self.checks.violated(self.now, "only_the_faulty_are_repaired", format!("{what}{why}"));
        }
    }
}
