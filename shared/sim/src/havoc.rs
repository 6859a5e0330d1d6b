//! What goes wrong with the control plane itself: cut links, ended agents, a killed server, pauses.

use std::time::Duration;

use prunella_engine::{Event, Request};
use prunella_model::policy::Scope;

use crate::options::Sabotage;
use crate::server::Doom;
use crate::world::{Item, World};

/// The mean time between two troubles of the control plane, for each host: cut links and ended agents.
const TROUBLE_EACH: Duration = Duration::from_secs(24 * 3600);

/// The mean time between two kills of the server.
const KILL_EVERY: Duration = Duration::from_secs(3 * 3600);

/// The mean time between two pauses.
const PAUSE_EVERY: Duration = Duration::from_secs(4 * 3600);

impl World {
    pub(crate) fn plan_trouble(&mut self) {
        let hosts = f64::from(self.options.hosts);
        let rate = hosts / TROUBLE_EACH.as_secs_f64() + 1.0 / KILL_EVERY.as_secs_f64();
        let at = self.now.after(self.havoc.exponential(Duration::from_secs_f64(1.0 / rate)));
        self.queue.push(at, Item::Trouble);
    }

    pub(crate) fn next_trouble(&mut self) {
        self.plan_trouble();
        let hosts = f64::from(self.options.hosts) / TROUBLE_EACH.as_secs_f64();
        let kills = 1.0 / KILL_EVERY.as_secs_f64();
        if self.havoc.chance(kills / (hosts + kills)) {
            self.trouble_server();
            return;
        }
        let host = self.havoc.index(self.hosts.len());
        match self.havoc.below(10) {
            0..4 => {
                let time = self.havoc.between(Duration::from_secs(1), Duration::from_secs(900));
                self.hosts[host].cut_until = self.now.after(time);
                self.hosts[host].troubled = self.now.after(time);
                self.report.cuts += 1;
            }
            4..8 => self.kill_agent(host),
            _ => {
                // Somebody sets the clock.
                let by = i64::try_from(self.havoc.below(240_000_000)).unwrap_or(0) - 120_000_000;
                self.hosts[host].skew = by;
            }
        }
    }

    fn trouble_server(&mut self) {
        if self.havoc.chance(0.5) {
            let persisted = self.havoc.index(self.server.pending.len() + 1);
            self.kill_server(persisted);
        } else {
            let effects = self.havoc.index(6);
            self.server.doom = Doom::AfterCommit(effects);
        }
    }

    /// The agent ends without warning. What its host does goes on.
    pub(crate) fn kill_agent(&mut self, host: usize) {
        if !self.hosts[host].agent_runs {
            return;
        }
        self.report.agent_kills += 1;
        let boot = self.boot_clock();
        self.break_stream(host);
        let it = &mut self.hosts[host];
        it.agent_runs = false;
        it.life += 1;
        it.close_stream(boot);
        it.executions.clear();
        it.spool.clear();
        let down = self.hands.between(Duration::from_millis(50), Duration::from_secs(20));
        self.hosts[host].troubled = self.now.after(down);
        self.queue.push(self.now.after(down), Item::AgentStarts(host));
    }

    /// The agent starts again, and goes on from its ledger.
    pub(crate) fn agent_starts(&mut self, host: usize) {
        let now = self.now;
        let forgets = self.has(Sabotage::ForgottenLedger);
        let it = &mut self.hosts[host];
        it.agent_runs = true;
        if forgets {
            it.ledger.clear();
        }
        let again = it.recover(now);
        self.plan_connect(host);
        for command in again {
            let begun = self.hosts[host].ledger.get(&command).is_some_and(|entry| entry.executing);
            self.begin(host, command, begun);
        }
    }

    pub(crate) fn plan_pause(&mut self) {
        let at = self.now.after(self.havoc.exponential(PAUSE_EVERY));
        self.queue.push(at, Item::Pause);
    }

    pub(crate) fn next_pause(&mut self) {
        self.plan_pause();
        let host = self.havoc.index(self.hosts.len());
        let scope = match self.havoc.below(3) {
            0 => Scope::Fleet,
            1 => Scope::Host(self.hosts[host].id.clone()),
            _ => Scope::Target(self.hosts[host].id.clone(), self.hosts[host].targets[0].name.clone()),
        };
        let time = self.havoc.between(Duration::from_secs(60), Duration::from_secs(900));
        if self.server.engine.is_none()
            || self.pauses.iter().any(|(other, _, until)| *other == scope && self.now < *until)
        {
            return;
        }
        let until = self.now.after(time);
        let token = self.asked.len() as u64 + self.report.steps;
        self.asked.push((token, scope.clone(), until));
        if self.has(Sabotage::UnheardPause) {
            self.replied(token);
            return;
        }
        let request = Request::Pause { scope, why: "simulated".to_owned(), until: Some(until) };
        let by = self.operator.clone();
        self.step(Event::Request { token, by, request });
    }

    /// A pause is confirmed: from here on it must hold, whatever happens to the server.
    pub(crate) fn replied(&mut self, token: u64) {
        let now = self.now;
        self.pauses.retain(|(_, _, until)| now < *until);
        if let Some(index) = self.asked.iter().position(|(asked, _, _)| *asked == token) {
            let (_, scope, until) = self.asked.swap_remove(index);
            self.pauses.push((scope, now, until));
        }
    }
}
