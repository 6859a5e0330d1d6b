//! From what agents say to what is believed.

use std::collections::BTreeSet;

use prunella_model::event::EventKind;
use prunella_model::host::HostReport;
use prunella_model::incident::Closing;
use prunella_model::observation::{Frame, Observation, ProbeKind, SeriesName};
use prunella_model::record::{Change, HostRecord};
use prunella_model::{HostId, IncidentId, OperatorName, TargetName, Timestamp};

use crate::Engine;
use crate::custom::{self, Custom};
use crate::detect::Watch;
use crate::detect::trend::{Keeps, Trend};
use crate::host::{Host, Link, Series};
use crate::key::{Key, at, next};
use crate::rules::{self, RULES};
use crate::timers::Timer;
use crate::unusual::Habit;

/// The series of a target, with the detectors and the custom rules that want it.
fn series(name: &SeriesName, target: u32, custom: &[Custom]) -> Series {
    let watches = RULES
        .iter()
        .enumerate()
        .filter_map(|(rule, it)| it.watches(name).map(|detector| Watch { rule, detector }))
        .collect();
    let (feeds, feeds_all) = custom::feeds(custom, name.metric.as_str(), name.target.is_host());
    let trend = trend(name).map(Box::new);
    Series {
        target,
        metric: name.metric.clone(),
        value: None,
        watches,
        feeds,
        feeds_all,
        trend,
        habit: Habit::default(),
    }
}

/// What is remembered of the last day of a series, where it measures something that can run out.
fn trend(name: &SeriesName) -> Option<Trend> {
    let metric = name.metric.as_str();
    let share = ["memory.", "disk.", "directory."].iter().any(|it| metric.starts_with(it));
    match metric {
        "process.rss_bytes" => Some(Trend::new(Keeps::Floor)),
        _ if share && metric.ends_with("used_percent") => Some(Trend::new(Keeps::Mean)),
        _ => None,
    }
}

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

    fn take_report(&mut self, index: u32, mut report: HostReport) {
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
    }

    fn rename_series(&mut self, index: u32, names: &[SeriesName]) {
        let custom = &self.custom;
        let host = &mut self.hosts[at(index)];
        let mut old = host.renumber();
        for name in names {
            host.name_series(name, |target| {
                let mut known =
                    old.remove(&(target, name.metric.clone())).unwrap_or_else(|| series(name, target, custom));
                for watch in &mut known.watches {
                    watch.detector.gap();
                }
                if let Some(trend) = &mut known.trend {
                    trend.gap();
                }
                known
            });
        }
    }

    /// An agent saw something.
    pub(crate) fn frame(&mut self, host: &HostId, frame: &Frame) {
        let Some(index) = self.names.get(host).copied() else { return };
        if !self.hosts[at(index)].stream {
            return;
        }
        self.heard(index);
        for name in &frame.series {
            let custom = &self.custom;
            self.hosts[at(index)].name_series(name, |target| series(name, target, custom));
        }
        if frame.late {
            // What happened while nobody was listening is history. The report of the new stream says how it is now.
            return;
        }
        let it = &mut self.hosts[at(index)];
        if it.clock.learn(frame.at, self.now) {
            it.targets.iter_mut().for_each(crate::target::Target::clock_was_set);
            self.out.probes.insert((index, None));
        }
        it.last_frame = Some(frame.at);
        let seen_at = it.clock.to_server(frame.at, self.now);
        let mut touched: Vec<u32> = Vec::new();
        for seen in &frame.observations {
            touched.extend(self.observe(index, seen, true));
        }
        let stirred = self.measure(index, frame, seen_at, &mut touched);
        touched.extend(self.stir(index, &touched, stirred));
        let mut touched: BTreeSet<Key> = touched.into_iter().map(|target| Key { host: index, target }).collect();
        if let Some(waits) = &frame.waits {
            self.hosts[at(index)].waits_at = Some(frame.at);
            touched.extend(self.take_waits(index, seen_at, waits));
        }
        for key in touched {
            self.review(key);
        }
    }

    /// Feeds the samples of a frame to their detectors.
    ///
    /// Returns the targets and custom rules that a new value concerns.
    fn measure(&mut self, index: u32, frame: &Frame, seen_at: Timestamp, touched: &mut Vec<u32>) -> Stirred {
        let mut stirred = Stirred::new();
        let it = &mut self.hosts[at(index)];
        if let Some(tuning) = rules::index_of(rules::ANOMALY).and_then(|rule| self.tuning.get(rule))
            && it.close_minute(tuning, seen_at)
        {
            touched.push(it.ensure(&TargetName::host()));
        }
        if !frame.samples.is_empty() {
            it.agent.measured = Some(seen_at);
        }
        let targets = it.targets.len();
        for sample in &frame.samples {
            let Some(Some(series)) = it.series.get_mut(at(sample.series)) else { continue };
            if !sample.value.is_finite() || crate::rules::impossible(series.metric.as_str(), sample.value) {
                continue;
            }
            if let Some(trend) = &mut series.trend {
                trend.feed(seen_at, sample.value);
            }
            if series.value.replace(sample.value) != Some(sample.value) {
                Self::stirred_by(series, targets, &mut stirred);
            }
            series.habit.add(sample.value);
            for watch in &mut series.watches {
                let tuning = &self.tuning[watch.rule];
                if watch.detector.feed(tuning, seen_at, sample.value) {
                    touched.push(series.target);
                }
                if let Some(due) = watch.detector.deadline(tuning) {
                    self.timers.sooner(Timer::Series(index, sample.series), due, self.now);
                }
            }
        }
        stirred
    }

    /// Evaluates the custom rules that a frame concerns. Returns the targets that must be judged again.
    fn stir(&mut self, index: u32, touched: &[u32], mut stirred: Stirred) -> Vec<u32> {
        if self.custom.is_empty() {
            return Vec::new();
        }
        for target in touched {
            self.stirred_by_probes(Key { host: index, target: *target }, &mut stirred);
        }
        self.evaluate_all(index, stirred)
    }

    /// A measurement may have been beyond its threshold for long enough.
    pub(crate) fn series_due(&mut self, index: u32, number: u32) {
        let it = &mut self.hosts[at(index)];
        let contact = it.contact();
        let fresh = contact.is_some_and(|contact| self.now.since(contact) <= self.policy.verification.fresh);
        let Some(Some(series)) = it.series.get_mut(at(number)) else { return };
        let target = series.target;
        let mut raised = false;
        for watch in &mut series.watches {
            let tuning = &self.tuning[watch.rule];
            if fresh {
                raised |= watch.detector.pass(tuning, self.now);
            } else {
                watch.detector.gap();
            }
            if let Some(due) = watch.detector.deadline(tuning) {
                self.timers.sooner(Timer::Series(index, number), due, self.now);
            }
        }
        if raised {
            self.review(Key { host: index, target });
        }
    }

    /// Takes a verdict in. Returns the target that it is about, if it is known and the verdict is news.
    fn observe(&mut self, index: u32, seen: &Observation, live: bool) -> Option<u32> {
        let now = self.now;
        let it = &mut self.hosts[at(index)];
        let target = *it.names.get(&seen.target)?;
        let when = it.clock.to_server(seen.at, now);
        let before = it.targets[at(target)].probe(&seen.probe).and_then(|probe| probe.finding.clone());
        let new_run = it.targets[at(target)].see(seen, when, live)?;
        let changed = crate::changes::file_change(before.as_ref(), seen);
        if new_run {
            for number in it.targets[at(target)].series.clone() {
                if let Some(Some(series)) = it.series.get_mut(at(number)) {
                    series.watches.iter_mut().for_each(|watch| watch.detector.restart());
                    if let Some(trend) =
                        series.trend.as_mut().filter(|_| series.metric.as_str().starts_with("process."))
                    {
                        trend.restart();
                    }
                }
            }
        }
        if let Some(id) = it.targets[at(target)].incident {
            self.woken.insert(id);
        }
        if let Some(what) = changed {
            self.note_change(Key { host: index, target }, when, what);
        }
        Some(target)
    }

    /// A first bad answer is due to be confirmed.
    pub(crate) fn confirm(&mut self, key: Key) {
        self.probe(key);
        if self.target_at(key).incident.is_none() {
            // An order to look may go astray, so it is given again until the answer is known.
            self.confirm_later(key);
        }
    }

    /// Ends the cold start when enough hosts are back, or when it has lasted long enough.
    pub(crate) fn warm_up(&mut self) {
        let over = self.cold.as_ref().is_some_and(|cold| cold.back >= cold.needed || self.now >= cold.until);
        if over {
            self.cold = None;
            self.freed = true;
        }
    }

    /// Removes a host.
    pub(crate) fn forget(&mut self, host: &HostId, by: &OperatorName) {
        let Some(index) = self.names.get(host).copied() else { return };
        let incidents: Vec<IncidentId> = self.hosts[at(index)].incidents.iter().copied().collect();
        for id in incidents {
            self.close(id, Closing::TargetGone);
        }
        self.unlink(index);
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
        }
    }

    /// Whether a target is known to do its service: a fresh good verdict, and none to the contrary.
    pub(crate) fn serves(&self, key: Key) -> bool {
        let host = &self.hosts[at(key.host)];
        let target = self.target_at(key);
        let fresh = |probe: &crate::target::Probe| {
            let seen = probe.fresh(self.now, host.contact(), self.policy.verification.fresh)?;
            let tells = match probe.report.kind {
                ProbeKind::Process | ProbeKind::Unit | ProbeKind::Http | ProbeKind::Tcp => true,
                ProbeKind::Host | ProbeKind::Log | ProbeKind::Directory | ProbeKind::File => false,
            };
            tells.then_some(seen.status)
        };
        !self.ailing(key)
            && target.probes.iter().filter_map(fresh).any(|it| it == prunella_model::observation::Status::Up)
    }
}
