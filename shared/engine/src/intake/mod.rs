//! From what agents say to what is believed.

mod declare;
mod frame;

use std::collections::BTreeSet;

use prunella_model::event::EventKind;
use prunella_model::host::HostReport;
use prunella_model::{CommandId, HostId};

use crate::Engine;
use crate::event::Decision;
use crate::host::{Host, Link};
use crate::key::{Key, at, next};
use crate::timers::Timer;

/// Targets of a host and the numbers of custom rules to evaluate on them.
type Stirred = BTreeSet<(u32, u32)>;

impl Engine {
    /// An agent's stream began.
    pub(crate) fn connected(&mut self, host: &HostId, enrolment: u64, report: HostReport) {
        let index = self.host_or_new(host, enrolment);
        let it = &mut self.hosts[at(index)];
        if enrolment < it.enrolment {
            let detail = format!("enrolment {enrolment} is older than {}", it.enrolment);
            self.audit_as(format!("agent/{host}"), "stale_enrolment", format!("hosts/{host}"), None, detail);
            return;
        }
        let taken_over = it.stream;
        it.enrolment = enrolment;
        it.clock.reset();
        it.last_frame = None;
        it.waits_at = None;
        it.usage.gap();
        it.link = Link::Online;
        it.stream = true;
        let first = !std::mem::replace(&mut it.reported, true);
        if taken_over {
            self.agent_broke(index);
        }
        self.agent_came(index);
        self.heard(index);
        if first {
            if let Some(cold) = &mut self.cold {
                cold.back += 1;
            }
            self.warm_up();
        }
        self.audit_as(
            format!("agent/{host}"),
            "connected",
            format!("hosts/{host}"),
            None,
            report.agent_version.clone(),
        );
        self.announce_host(EventKind::HostConnected, index, format!("{host} is connected"));
        self.take_report(index, report);
        // A new stream has a new challenge: what was ordered in the old one may not have arrived.
        self.hosts[at(index)].orders = None;
        self.issue_orders(index);
        self.hosts[at(index)].intervals = None;
        self.ask_intervals(index);
        self.cancel_again(index);
    }

    /// What was cancelled while its agent could not be told, or just before the server ended, is told now.
    fn cancel_again(&mut self, index: u32) {
        let under_way = self.in_flight.iter().filter(|(key, _)| key.host == index).map(|(_, command)| *command);
        let is_cancelled = |command: &CommandId| self.commands.get(command).is_some_and(|it| it.cancelled);
        let cancelled: Vec<CommandId> = under_way.filter(is_cancelled).collect();
        let host = self.hosts[at(index)].id.clone();
        self.out.acts.extend(cancelled.into_iter().map(|command| Decision::Cancel { host: host.clone(), command }));
    }

    /// An agent said everything again.
    pub(crate) fn reported(&mut self, host: &HostId, report: HostReport) {
        let Some(index) = self.names.get(host).copied() else { return };
        if !self.hosts[at(index)].stream {
            return;
        }
        self.heard(index);
        self.take_report(index, report);
    }

    /// An agent's stream ended.
    pub(crate) fn disconnected(&mut self, host: &HostId, orderly: bool) {
        let Some(index) = self.names.get(host).copied() else { return };
        let it = &mut self.hosts[at(index)];
        if !std::mem::take(&mut it.stream) {
            return;
        }
        it.link = if orderly { Link::Left } else { Link::Away };
        let text = if orderly { "said goodbye" } else { "lost its connection" };
        self.out.hosts.insert(index);
        self.audit_as(format!("agent/{host}"), "disconnected", format!("hosts/{host}"), None, text.to_owned());
        self.announce_host(EventKind::HostLost, index, format!("{host} {text}"));
        if orderly {
            self.timers.clear(&Timer::Silence(index));
        } else {
            self.timers.ensure(Timer::Silence(index), self.now.after(self.policy.heartbeat), self.now);
            self.agent_broke(index);
        }
        self.wake_host(index);
    }

    /// An agent lives.
    pub(crate) fn heartbeat(&mut self, host: &HostId) {
        if let Some(index) = self.names.get(host).copied().filter(|index| self.hosts[at(*index)].stream) {
            self.heard(index);
        }
    }

    /// Something was heard of a host. Its timer is only moved when it fires.
    fn heard(&mut self, index: u32) {
        let it = &mut self.hosts[at(index)];
        it.last_seen = self.now;
        if self.policy.quiet.enabled && it.count_use(index, self.now) {
            self.out.hosts.insert(index);
        }
        let due = self.now.after(self.policy.heartbeat);
        self.timers.ensure(Timer::Silence(index), due, self.now);
        if it.link == Link::Silent {
            // Its stream had only been quiet.
            it.link = Link::Online;
            let line = format!("{} is heard again", it.id);
            let key = Key { host: index, target: it.ensure(&prunella_model::TargetName::host()) };
            self.announce_host(EventKind::HostConnected, index, line);
            self.out.probes.insert((index, None));
            self.review(key);
            self.wake_host(index);
        }
    }

    /// A host may have been silent for too long.
    pub(crate) fn silence(&mut self, index: u32) {
        let it = &mut self.hosts[at(index)];
        match it.link {
            Link::Left | Link::Silent => return,
            Link::Online | Link::Away => {}
        }
        // After a start everybody is away at first; the fleet is given time to come back.
        let (heard, patience) = if it.reported {
            (it.last_seen, self.policy.heartbeat)
        } else {
            (self.started, self.policy.heartbeat.max(self.policy.limits.cold_start))
        };
        let due = heard.after(patience);
        if due > self.now {
            self.timers.set(Timer::Silence(index), due, self.now);
            self.watch_agent(index);
            return;
        }
        it.link = Link::Silent;
        let line = format!("{} has fallen silent", it.id);
        let key = Key { host: index, target: it.ensure(&prunella_model::TargetName::host()) };
        self.out.hosts.insert(index);
        self.announce_host(EventKind::HostLost, index, line);
        self.review(key);
        self.wake_host(index);
    }

    /// Everything about a host may have changed: look at its incidents and at those that stand on its targets.
    pub(crate) fn wake_host(&mut self, index: u32) {
        self.woken.extend(self.hosts[at(index)].incidents.iter().copied());
        for target in 0..next(self.hosts[at(index)].targets.len()) {
            self.wake_watchers(Key { host: index, target });
        }
    }

    fn host_or_new(&mut self, host: &HostId, enrolment: u64) -> u32 {
        if let Some(index) = self.names.get(host) {
            return *index;
        }
        let index = next(self.hosts.len());
        self.hosts.push(Host::new(host.clone(), enrolment, self.now));
        self.names.insert(host.clone(), index);
        index
    }

    /// Ends the cold start when enough hosts are back, or when it has lasted long enough.
    pub(crate) fn warm_up(&mut self) {
        let over = self.cold.as_ref().is_some_and(|cold| cold.back >= cold.needed || self.now >= cold.until);
        if over {
            self.cold = None;
            self.freed = true;
        }
    }

    /// Whether a target is known to do its service: a fresh good verdict, and none to the contrary.
    pub(crate) fn serves(&self, key: Key) -> bool {
        let host = &self.hosts[at(key.host)];
        let target = self.target_at(key);
        let fresh = |probe: &crate::target::Probe| {
            let seen = probe.fresh(self.now, host.contact(), self.policy.verification.fresh)?;
            probe.report.kind.speaks_for_users().then_some(seen.status)
        };
        !self.ailing(key)
            && target.probes.iter().filter_map(fresh).any(|it| it == prunella_model::observation::Status::Up)
    }
}
