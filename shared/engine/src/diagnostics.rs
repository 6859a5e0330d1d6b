//! Sweeps: every probe of every host in a scope looks at once, and what was found is kept.
//!
//! What streams in tells what has changed; a sweep asks whether everything that is watched can still be seen at all. Hosts
//! are asked in small lots, so that neither the network nor the server meets all their answers in one moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prunella_model::diagnostics::{
    Diagnostic, DiagnosticsReport, LayerDiagnostic, ProbeDiagnostic, Tally, TargetDiagnostic,
};
use prunella_model::event::EventKind;
use prunella_model::observation::{Finding, Status};
use prunella_model::policy::Scope;
use prunella_model::record::Change;
use prunella_model::{HostId, Id, OperatorName, Timestamp};

use crate::Engine;
use crate::event::Reply;
use crate::host::Host;
use crate::key::{Key, at, next};
use crate::requests::refused;
use crate::target::Probe;
use crate::timers::Timer;

/// How often hosts are asked, and answers looked at.
const BEAT: Duration = Duration::from_millis(100);

/// A sweep of the whole fleet is asked for in so many lots: over ten seconds.
const LOTS: usize = 100;

/// The fewest hosts in a lot.
const LOT_LEAST: usize = 10;

/// How long a host gets beyond the longest time that its own probes may take.
const GRACE: Duration = Duration::from_secs(2);

/// No probe is waited for longer.
const WAIT_MOST: Duration = Duration::from_secs(60);

/// How many sweeps run at the same time.
const SWEEPS: usize = 4;

/// How many reports are kept of those that were due, and of those that were asked for.
const KEPT: usize = 12;

/// How many targets a report lists: enough for a person, and for a record of the store.
const LISTED: usize = 500;

/// A sweep that runs.
#[derive(Debug, Clone)]
struct Sweep {
    scope: Scope,
    by: Option<OperatorName>,
    started: Timestamp,
    /// Hosts to be asked, in order.
    ahead: VecDeque<u32>,
    lot: usize,
    /// Hosts that were asked: since when, and until when they have time.
    asked: BTreeMap<u32, (Timestamp, Timestamp)>,
}

/// How far a sweep has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepView {
    /// Its id.
    pub id: Id,
    /// What is swept.
    pub scope: Scope,
    /// Who asked; null for one that was due.
    pub by: Option<OperatorName>,
    /// When it began.
    pub started_at: Timestamp,
    /// How many hosts are in its scope.
    pub hosts: u32,
    /// How many of them have answered, or had their time.
    pub done: u32,
}

/// What the server may sign, as it has told the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    version: u64,
    not_after: Timestamp,
}

/// All sweeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diagnostics {
    running: BTreeMap<Id, Sweep>,
    /// Oldest first.
    reports: BTreeMap<Id, DiagnosticsReport>,
    made: u64,
    /// Null before the server has said it.
    authority: Option<Authority>,
}

impl Diagnostics {
    pub(crate) fn load(reports: Vec<DiagnosticsReport>) -> Self {
        Self { reports: reports.into_iter().map(|it| (it.id, it)).collect(), ..Self::default() }
    }
}

impl Engine {
    /// The server may sign until then.
    pub(crate) fn authorised(&mut self, version: u64, not_after: Timestamp) {
        self.diagnostics.authority = Some(Authority { version, not_after });
    }

    /// The sweeps that run, oldest first.
    #[must_use]
    pub fn sweeps(&self) -> Vec<SweepView> {
        let running = self.diagnostics.running.iter();
        let view = |(id, it): (&Id, &Sweep)| {
            let answered = it.asked.iter().filter(|(host, times)| self.has_answered(**host, **times)).count();
            SweepView {
                id: *id,
                scope: it.scope.clone(),
                by: it.by.clone(),
                started_at: it.started,
                hosts: next(it.asked.len() + it.ahead.len()),
                done: next(answered),
            }
        };
        running.map(view).collect()
    }

    /// The reports of the past, oldest first.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<&DiagnosticsReport> {
        self.diagnostics.reports.values().collect()
    }

    /// One report of the past.
    #[must_use]
    pub fn diagnostics_report(&self, id: Id) -> Option<&DiagnosticsReport> {
        self.diagnostics.reports.get(&id)
    }

    /// Has the next sweep that is due made when the policy wants it.
    pub(crate) fn plan_diagnostics(&mut self) {
        self.timers.clear(&Timer::Diagnostics);
        if self.policy.diagnostics.enabled {
            self.timers.set(Timer::Diagnostics, self.now.after(self.policy.diagnostics.interval), self.now);
        }
    }

    /// A sweep of the fleet is due.
    pub(crate) fn diagnostics_due(&mut self) {
        let due_runs = self.diagnostics.running.values().any(|it| it.by.is_none());
        // Asking hosts that are just coming back would say more of the start than of them.
        if !due_runs && self.cold.is_none() && !self.names.is_empty() {
            self.sweep(Scope::Fleet, None);
        }
        self.plan_diagnostics();
    }

    /// Somebody wants a sweep.
    pub(crate) fn ask_sweep(&mut self, by: &OperatorName, scope: Scope) -> Reply {
        match &scope {
            Scope::Fleet | Scope::Group(_) | Scope::Host(_) => {}
            Scope::Target(..) | Scope::Operator(_) => {
                return refused("NO_SWEEP", format!("{scope} cannot be swept: only the fleet, groups and hosts can"));
            }
        }
        if let Some(missing) = self.missing(&scope) {
            return Reply::NotFound { what: missing };
        }
        if self.diagnostics.running.len() >= SWEEPS {
            return refused(
                "TOO_MANY_SWEEPS",
                format!("{SWEEPS} sweeps run already; look at theirs, or ask again in a moment"),
            );
        }
        self.audit_as(format!("operator/{by}"), "diagnostics_asked", scope.to_string(), None, String::new());
        let run = self.sweep(scope.clone(), Some(by.clone()));
        Reply::Begun { run, message: format!("every probe of {} looks now", scope.spoken()) }
    }

    fn sweep(&mut self, scope: Scope, by: Option<OperatorName>) -> Id {
        self.diagnostics.made += 1;
        let id = Id { epoch: self.epoch, counter: self.diagnostics.made };
        let ahead: VecDeque<u32> = self.names.values().copied().filter(|host| self.swept(&scope, *host)).collect();
        let lot = ahead.len().div_ceil(LOTS).max(LOT_LEAST);
        let sweep = Sweep { scope, by, started: self.now, ahead, lot, asked: BTreeMap::new() };
        self.diagnostics.running.insert(id, sweep);
        self.sweep_on();
        id
    }

    /// Whether a host belongs to a sweep.
    fn swept(&self, scope: &Scope, host: u32) -> bool {
        let it = &self.hosts[at(host)];
        match scope {
            Scope::Fleet => true,
            Scope::Host(id) => it.id == *id,
            Scope::Group(_) => (0..next(it.targets.len())).any(|target| self.covers(scope, Key { host, target })),
            Scope::Target(..) | Scope::Operator(_) => false,
        }
    }

    /// Asks the next hosts of each sweep, and ends those that are over.
    pub(crate) fn sweep_on(&mut self) {
        let now = self.now;
        let ids: Vec<Id> = self.diagnostics.running.keys().copied().collect();
        for id in ids {
            let Some(mut sweep) = self.diagnostics.running.remove(&id) else { continue };
            for _ in 0..sweep.lot {
                let Some(host) = sweep.ahead.pop_front() else { break };
                let it = &self.hosts[at(host)];
                // What cannot be reached need not be waited for.
                let patience = if it.online() { patience(it) } else { Duration::ZERO };
                self.out.probes.insert((host, None));
                sweep.asked.insert(host, (now, now.after(patience)));
            }
            let over =
                sweep.ahead.is_empty() && sweep.asked.iter().all(|(host, times)| self.has_answered(*host, *times));
            if over {
                self.swept_all(id, &sweep);
            } else {
                self.diagnostics.running.insert(id, sweep);
            }
        }
        if !self.diagnostics.running.is_empty() {
            self.timers.set(Timer::Sweep, now.after(BEAT), now);
        }
    }

    /// Whether every probe of a host has answered since it was asked, or had its time.
    fn has_answered(&self, host: u32, (asked, until): (Timestamp, Timestamp)) -> bool {
        let it = &self.hosts[at(host)];
        let probes = it.targets.iter().filter(|target| !target.gone).flat_map(|target| &target.probes);
        self.now >= until || !it.online() || probes.into_iter().all(|probe| answered(probe, asked))
    }

    fn swept_all(&mut self, id: Id, sweep: &Sweep) {
        let mut targets = Tally::default();
        let mut worst: Vec<(Diagnostic, Key, Timestamp)> = Vec::new();
        for (host, (asked, _)) in &sweep.asked {
            for target in 0..next(self.hosts[at(*host)].targets.len()) {
                let key = Key { host: *host, target };
                let Some(found) = self.level(key, *asked) else { continue };
                targets.add(found);
                worst.push((found, key, *asked));
            }
        }
        let omitted = next(worst.len().saturating_sub(LISTED));
        let named = |key: Key| (&self.hosts[at(key.host)].id, &self.target_at(key).report.name);
        let order = |a: &(Diagnostic, Key, Timestamp), b: &(Diagnostic, Key, Timestamp)| {
            b.0.cmp(&a.0).then_with(|| named(a.1).cmp(&named(b.1)))
        };
        // In a large fleet most are well and not listed; only those that are get their texts.
        if worst.len() > LISTED {
            worst.select_nth_unstable_by(LISTED, order);
            worst.truncate(LISTED);
        }
        worst.sort_by(order);
        let found = worst.iter().filter_map(|(_, key, asked)| self.diagnosed(*key, *asked)).collect();
        let report = DiagnosticsReport {
            id,
            scope: sweep.scope.clone(),
            by: sweep.by.clone(),
            started_at: sweep.started,
            ended_at: self.now,
            hosts: next(sweep.asked.len()),
            targets,
            layers: self.own_layers(),
            found,
            omitted,
        };
        self.say_swept(&report);
        self.out.changes.push(Change::PutDiagnostics(Box::new(report.clone())));
        self.diagnostics.reports.insert(id, report);
        self.forget_reports(sweep.by.is_some());
    }

    /// Announces what was asked for, and what is not as it was the last time.
    fn say_swept(&mut self, report: &DiagnosticsReport) {
        let states = |it: &DiagnosticsReport| {
            let layers: Vec<Diagnostic> = it.layers.iter().map(|layer| layer.found).collect();
            (it.targets.unknown, it.targets.unreachable, it.targets.broken, layers)
        };
        let before = self.diagnostics.reports.values().rev().find(|it| it.by.is_none()).map(states);
        if report.by.is_none() && before.is_none_or(|before| before == states(report)) {
            return;
        }
        let Tally { ok, unknown, unreachable, broken } = report.targets;
        let own: Vec<&str> =
            report.layers.iter().filter(|it| it.found != Diagnostic::Ok).map(|it| it.layer.as_str()).collect();
        let own = if own.is_empty() { String::new() } else { format!("; not ok: {}", own.join(", ")) };
        let line = format!(
            "diagnostics {} of {}: {ok} targets ok, {broken} broken, {unknown} unknown, {unreachable} unreachable{own}",
            report.id,
            report.scope.spoken()
        );
        self.announce(EventKind::DiagnosticsEnded, None, None, line);
    }

    /// Keeps the latest reports of either kind.
    fn forget_reports(&mut self, asked: bool) {
        let alike = self.diagnostics.reports.values().filter(|it| it.by.is_some() == asked).map(|it| it.id);
        let alike: Vec<Id> = alike.collect();
        for id in alike.iter().take(alike.len().saturating_sub(KEPT)) {
            self.diagnostics.reports.remove(id);
            self.out.changes.push(Change::DropDiagnostics(*id));
        }
    }

    /// How a target was found since it was asked, by its worst probe; null for one that nobody probes.
    fn level(&self, key: Key, asked: Timestamp) -> Option<Diagnostic> {
        let (host, target) = (&self.hosts[at(key.host)], self.target_at(key));
        let probes = target.probes.iter().filter(|_| !target.gone);
        probes.map(|probe| Self::found(host, probe, asked)).max()
    }

    /// How a probe was found.
    fn found(host: &Host, probe: &Probe, asked: Timestamp) -> Diagnostic {
        if !host.online() {
            return Diagnostic::Unreachable;
        }
        match probe.last().filter(|_| answered(probe, asked)).map(|last| last.status) {
            Some(Status::Up) => Diagnostic::Ok,
            Some(Status::Down) => Diagnostic::Broken,
            Some(Status::Unknown) | None => Diagnostic::Unknown,
        }
    }

    /// What was found of a target since it was asked; null for one that nobody probes.
    fn diagnosed(&self, key: Key, asked: Timestamp) -> Option<TargetDiagnostic> {
        let host = &self.hosts[at(key.host)];
        let target = self.target_at(key);
        if target.gone || target.probes.is_empty() {
            return None;
        }
        let look = |probe: &Probe| {
            let (found, why) = (Self::found(host, probe, asked), self.why(host, probe, asked));
            let age = probe.last().map(|last| self.now.since(last.at));
            ProbeDiagnostic { probe: probe.report.name.clone(), found, age, why }
        };
        let probes: Vec<ProbeDiagnostic> = target.probes.iter().map(look).collect();
        let found = probes.iter().map(|it| it.found).max().unwrap_or(Diagnostic::Unknown);
        Some(TargetDiagnostic { target: self.reference(key), found, probes })
    }

    /// Why nothing better is known of a probe; empty where its verdict says enough.
    fn why(&self, host: &Host, probe: &Probe, asked: Timestamp) -> String {
        if !host.online() {
            return "its host is not connected".to_owned();
        }
        let Some(last) = probe.last().filter(|_| answered(probe, asked)) else {
            return format!("no answer within {}", crate::text::span(self.now.since(asked)));
        };
        match (last.status, &probe.finding) {
            (Status::Up | Status::Down, _) => String::new(),
            (Status::Unknown, Some(Finding::ProbeBroken { why })) => why.clone(),
            (Status::Unknown, Some(_) | None) => "it cannot tell yet".to_owned(),
        }
    }

    /// The control plane's own parts.
    fn own_layers(&self) -> Vec<LayerDiagnostic> {
        let layer =
            |name: &str, (found, text): (Diagnostic, String)| LayerDiagnostic { layer: name.to_owned(), found, text };
        vec![
            layer("signing", self.signing()),
            layer("policy", self.policy_layer()),
            layer("telemetry", self.telemetry()),
            layer("inventory", self.inventory()),
        ]
    }

    fn signing(&self) -> (Diagnostic, String) {
        let Some(Authority { version, not_after }) = self.diagnostics.authority else {
            return (Diagnostic::Unknown, "the server has not said what it may sign".to_owned());
        };
        if self.now > not_after {
            let since = crate::text::span(self.now.since(not_after));
            return (
                Diagnostic::Broken,
                format!("delegation {version} expired {since} ago: agents refuse every command"),
            );
        }
        let left = crate::text::span(not_after.since(self.now));
        (Diagnostic::Ok, format!("delegation {version} is good for another {left}"))
    }

    fn policy_layer(&self) -> (Diagnostic, String) {
        let version = self.policy.version;
        let wrong = self.policy.out_of_range();
        if let Some(first) = wrong.first() {
            return (Diagnostic::Broken, format!("version {version}: {first}"));
        }
        match self.custom.iter().filter(|rule| rule.broken.is_some()).count() {
            0 => (Diagnostic::Ok, format!("version {version}, and every rule of it can be evaluated")),
            count => (Diagnostic::Broken, format!("version {version}: {count} custom rules cannot be evaluated")),
        }
    }

    /// Hosts that are connected and send no measurements.
    fn telemetry(&self) -> (Diagnostic, String) {
        let fresh = self.policy.verification.fresh;
        let online = || self.names.values().map(|host| &self.hosts[at(*host)]).filter(|host| host.online());
        let measures = |host: &&Host| host.series.iter().flatten().next().is_some();
        let stale = |host: &&Host| host.agent.measured.is_none_or(|at| self.now.since(at) > fresh);
        let (all, late) = (online().filter(measures).count(), online().filter(measures).filter(stale).count());
        match (all, late) {
            (0, _) => (Diagnostic::Unknown, "no connected host measures anything".to_owned()),
            (all, 0) => (Diagnostic::Ok, format!("all {all} connected hosts that measure sent something lately")),
            (all, late) => {
                (Diagnostic::Broken, format!("{late} of {all} connected hosts that measure sent nothing lately"))
            }
        }
    }

    /// Hosts that are expected against those that are seen.
    fn inventory(&self) -> (Diagnostic, String) {
        let missing: Vec<&HostId> =
            self.names.iter().filter(|(_, host)| !self.hosts[at(**host)].online()).map(|(id, _)| id).collect();
        let all = self.names.len();
        if all == 0 {
            return (Diagnostic::Unknown, "no host has joined yet".to_owned());
        }
        if missing.is_empty() {
            return (Diagnostic::Ok, format!("all {all} hosts are connected"));
        }
        let named: Vec<&str> = missing.iter().take(5).map(|it| it.as_str()).collect();
        let more = if missing.len() > named.len() { ", …" } else { "" };
        let text = format!("{} of {all} hosts are not connected: {}{more}", missing.len(), named.join(", "));
        (Diagnostic::Broken, text)
    }
}

/// Whether a probe has looked since it was asked.
fn answered(probe: &Probe, asked: Timestamp) -> bool {
    probe.began().is_some_and(|at| at >= asked)
}

/// How long a host is waited for.
fn patience(host: &Host) -> Duration {
    let probes = host.targets.iter().filter(|target| !target.gone).flat_map(|target| &target.probes);
    let slowest = probes.map(|probe| probe.report.timeout).max().unwrap_or_default();
    (slowest + GRACE).min(WAIT_MOST)
}
