//! Each do-no-harm rule alone: a plan that breaks just that one is stopped by just that one, whoever asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::{BootId, STEPS_MAX};
use prunella_model::host::{DirectoryReport, FileReport, HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::incident::{Attempt, IncidentState, Severity, Verdict};
use prunella_model::observation::{
    Finding, Frame, Instance, Observation, ProbeKind, Sample, SeriesName, Sha256, Status,
};
use prunella_model::outcome::Outcome;
use prunella_model::policy::{FleetPolicy, Mode, Scope};
use prunella_model::record::Stored;
use prunella_model::step::{Step, StepKind, TargetStep};
use prunella_model::{
    CommandId, FleetName, Generation, HostId, IncidentId, MetricName, OperatorName, PartName, ProbeName, RepairName,
    ServiceName, TargetName, TargetRef, Timestamp,
};

use crate::brakes::Ask;
use crate::cause::Cause;
use crate::incident::{Forced, REPORTED};
use crate::key::Key;
use crate::plan::Plan;
use crate::{Decision, Engine, Event, Request};

const KNOWN_GOOD: Sha256 = Sha256([1; 32]);
const START: Timestamp = Timestamp::from_secs(1_000);

fn at(host: &str, target: &str) -> TargetRef {
    TargetRef::new(HostId::new(host).unwrap(), TargetName::new(target).unwrap())
}

fn web(probes: &[(&str, ProbeKind)]) -> TargetReport {
    let second = Duration::from_secs(1);
    let probe = |(name, kind): &(&str, ProbeKind)| ProbeReport {
        name: ProbeName::new(name).unwrap(),
        kind: *kind,
        interval: second,
        timeout: second,
    };
    TargetReport {
        name: TargetName::of("web"),
        service: Some(ServiceName::of("web")),
        labels: BTreeMap::new(),
        depends_on: Vec::new(),
        critical: false,
        probes: probes.iter().map(probe).collect(),
        permits: StepKind::ALL.iter().map(|step| Permit { step: *step, per_hour: 9, approvals: 0 }).collect(),
        directories: vec![DirectoryReport { name: PartName::of("data"), path: "/data".to_owned(), quota_bytes: 100 }],
        files: vec![FileReport { name: PartName::of("conf"), path: "/conf".to_owned(), known_good: Some(KNOWN_GOOD) }],
        parts: Vec::new(),
    }
}

/// An engine in mode disabled, so that incidents stay where a test can look at them.
struct Rig(Engine);

impl Rig {
    fn new() -> Self {
        let mut engine = Engine::new(FleetName::of("test"), 1, START, Stored::default());
        let policy = FleetPolicy { mode: Mode::Disabled, ..FleetPolicy::default() };
        engine.step(START, Event::Policy(Arc::new(policy)));
        Self(engine)
    }

    fn connect(&mut self, host: &str, target: TargetReport) {
        let report = HostReport {
            agent_version: "1".to_owned(),
            boot: BootId("boot".to_owned()),
            labels: BTreeMap::new(),
            targets: vec![target],
            series: Vec::new(),
            observations: Vec::new(),
            mark: Generation::default(),
            outcomes: Vec::new(),
            paused: None,
            observe_only: None,
            config: None,
            program: None,
            drift: None,
            intervals: None,
        };
        let host = HostId::new(host).unwrap();
        self.0.step(START, Event::Connected { host, enrolment: 1, report: Box::new(report) });
    }

    fn see(&mut self, host: &str, probe: &str, kind: ProbeKind, status: Status, finding: Finding) {
        let it = at(host, "web");
        let probe = ProbeName::new(probe).unwrap();
        let now = self.0.now;
        let seen = Observation { target: it.target, probe, kind, at: now, status, finding };
        let frame = Frame { at: now, observations: vec![seen], ..Frame::default() };
        self.0.step(now, Event::Frame { host: it.host, frame });
    }

    fn running(&mut self, host: &str) {
        let finding = Finding::Running { instance: Instance("run-1".into()), pid: 1 };
        self.see(host, "process", ProbeKind::Process, Status::Up, finding);
    }

    fn killed(&mut self, host: &str) {
        let instance = Instance("run-1".into());
        let finding = Finding::Exited { instance, code: None, signal: Some(9), ran: None };
        self.see(host, "process", ProbeKind::Process, Status::Down, finding);
    }

    fn full(&mut self, host: &str) {
        let finding = Finding::DirectoryUse { used_bytes: 95, quota_bytes: 100 };
        self.see(host, "data", ProbeKind::Directory, Status::Down, finding);
    }

    fn key(&self, host: &str) -> Key {
        self.0.find(&at(host, "web")).unwrap()
    }

    fn incident(&self, host: &str) -> IncidentId {
        self.0.target_at(self.key(host)).incident.unwrap()
    }

    /// A web server that was killed, and its incident.
    fn with_killed() -> (Self, IncidentId) {
        let mut rig = Self::new();
        rig.connect("h1", web(&[("process", ProbeKind::Process)]));
        rig.running("h1");
        rig.killed("h1");
        let id = rig.incident("h1");
        (rig, id)
    }

    /// The rules that stop a plan. A person's request must change nothing.
    fn stopped(&mut self, id: IncidentId, plan: &Plan) -> Vec<String> {
        let own = self.ask(id, plan);
        let forced = Forced {
            by: OperatorName::of("ann"),
            why: "now".to_owned(),
            repair: Some(plan.repair.clone()),
            restore: None,
        };
        self.0.cases.get_mut(&id).unwrap().forced = Some(forced);
        assert_eq!(self.ask(id, plan), own, "a person's request changes nothing");
        own
    }

    fn ask(&self, id: IncidentId, plan: &Plan) -> Vec<String> {
        let case = &self.0.cases[&id];
        let (repair, severity) = (&plan.repair, Severity::High);
        let (key, cause, rollback) = (case.key, Cause::Killed, plan.undoes.is_some());
        let ask = Ask { engine: &self.0, case, key, repair, cause, severity, plan: Some(plan), rollback };
        let answer = super::ask(&ask);
        let holds = answer.holds.iter().map(|(hold, _)| hold.brake.to_string());
        holds.chain(answer.person.map(|(rule, _)| rule.to_owned())).collect()
    }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        repair: RepairName::of("restart_service"),
        steps: crate::plan::on(&TargetName::of("web"), steps),
        undo: None,
        because: String::new(),
        alternatives: Vec::new(),
        undoes: None,
        propensity: None,
        wish: None,
    }
}

fn restart() -> Plan {
    plan(vec![Step::RestartService { grace: Duration::ZERO }])
}

#[test]
fn a_sound_repair_is_stopped_by_none() {
    let (mut rig, id) = Rig::with_killed();
    assert_eq!(rig.stopped(id, &restart()), [""; 0]);
}

#[test]
fn never_stale() {
    let (mut rig, id) = Rig::with_killed();
    rig.0.step(START.after(Duration::from_secs(120)), Event::Tick);
    assert_eq!(rig.stopped(id, &restart()), ["never_stale"]);
}

#[test]
fn never_healthy() {
    let mut rig = Rig::new();
    rig.connect("h1", web(&[("process", ProbeKind::Process)]));
    rig.running("h1");
    let key = rig.key("h1");
    let fault = rig.0.filed(key, "requested", Severity::Medium, "asked for".to_owned());
    let id = rig.0.open(key, fault, Vec::new());
    assert_eq!(rig.stopped(id, &restart()), ["never_healthy"]);
    // What a person has seen counts, and what a rule sees does.
    let fault = rig.0.filed(key, REPORTED, Severity::Medium, "pages are slow".to_owned());
    rig.0.cases.get_mut(&id).unwrap().it.also.push(fault);
    assert_eq!(rig.stopped(id, &restart()), [""; 0]);
}

#[test]
fn never_beyond_named() {
    let (mut rig, id) = Rig::with_killed();
    assert_eq!(rig.stopped(id, &plan(Vec::new())), ["never_beyond_named"]);
    assert_eq!(rig.stopped(id, &plan(vec![Step::StartService; STEPS_MAX + 1])), ["never_beyond_named"]);
    assert_eq!(rig.stopped(id, &plan(vec![Step::StartService; STEPS_MAX])), [""; 0]);
    let mut other = restart();
    other.steps.push(TargetStep { target: TargetName::of("db"), step: Step::StartService });
    assert_eq!(rig.stopped(id, &other), ["never_beyond_named"]);
}

#[test]
fn never_last_healthy() {
    let mut rig = Rig::new();
    for host in ["h1", "h2"] {
        rig.connect(host, web(&[("process", ProbeKind::Process), ("data", ProbeKind::Directory)]));
        rig.running(host);
    }
    rig.full("h1");
    let id = rig.incident("h1");
    assert_eq!(rig.stopped(id, &restart()), [""; 0]);
    rig.killed("h2");
    assert_eq!(rig.stopped(id, &restart()), ["never_last_healthy"]);
}

#[test]
fn never_uncovered_deletion() {
    let (mut rig, id) = Rig::with_killed();
    let clean = |name| plan(vec![Step::CleanDirectory { directory: PartName::of(name), until_percent: 70 }]);
    assert_eq!(rig.stopped(id, &clean("data")), [""; 0]);
    assert_eq!(rig.stopped(id, &clean("home")), ["never_uncovered_deletion"]);
    let restore = |name, snapshot| plan(vec![Step::RestoreFile { file: PartName::of(name), snapshot }]);
    assert_eq!(rig.stopped(id, &restore("conf", KNOWN_GOOD)), [""; 0]);
    assert_eq!(rig.stopped(id, &restore("conf", Sha256([2; 32]))), ["never_uncovered_deletion"]);
    assert_eq!(rig.stopped(id, &restore("passwd", KNOWN_GOOD)), ["never_uncovered_deletion"]);
    let undo = Plan { undoes: Some(1), ..restore("conf", Sha256([2; 32])) };
    assert_eq!(rig.stopped(id, &undo), [""; 0], "what a repair replaced it had saved");
}

#[test]
fn never_held_by_person() {
    for scope in [Scope::Fleet, Scope::Host(HostId::of("h1")), Scope::Target(HostId::of("h1"), TargetName::of("web"))] {
        let (mut rig, id) = Rig::with_killed();
        let by = OperatorName::of("bob");
        let request = Request::Pause { scope, why: "looking".to_owned(), until: None };
        rig.0.step(START, Event::Request { token: 1, by, request });
        assert_eq!(rig.stopped(id, &restart()), ["never_held_by_person"]);
    }
    let (mut rig, id) = Rig::with_killed();
    let (name, scope) = ("disks".parse().unwrap(), Scope::Fleet);
    let request = Request::Maintain { name, scope, why: "disks".to_owned(), from: START, until: None };
    rig.0.step(START, Event::Request { token: 1, by: OperatorName::of("bob"), request });
    assert_eq!(rig.stopped(id, &restart()), ["never_held_by_person"]);
}

#[test]
fn never_what_made_it_worse() {
    let (mut rig, id) = Rig::with_killed();
    rig.0.cases.get_mut(&id).unwrap().it.attempts.push(Attempt {
        number: 1,
        repair: RepairName::of("restart_service"),
        command: CommandId::default(),
        steps: Vec::new(),
        because: String::new(),
        alternatives: Vec::new(),
        decided_at: START,
        outcome: Some(Outcome::Done),
        outcome_at: Some(START),
        verdict: Some(Verdict::Worse),
        verdict_at: Some(START),
        verdict_evidence: Vec::new(),
        undoes: None,
        undo: Vec::new(),
        propensity: None,
    });
    assert_eq!(rig.stopped(id, &restart()), ["never_what_made_it_worse"]);
    assert_eq!(rig.stopped(id, &Plan { undoes: Some(1), ..restart() }), [""; 0], "putting back is not repeating");
    let other = Plan { repair: RepairName::of("repair_config"), ..restart() };
    assert_eq!(rig.stopped(id, &other), [""; 0]);
    // Another incident of the same target within a day remembers it.
    rig.0.cases.get_mut(&id).unwrap().it.attempts.clear();
    let key = rig.key("h1");
    rig.0.target_mut(key).remember(START, RepairName::of("restart_service"), Cause::Killed, Vec::new());
    rig.0.target_mut(key).made_worse(&RepairName::of("restart_service"));
    assert_eq!(rig.stopped(id, &restart()), ["never_what_made_it_worse"]);
}

#[test]
fn never_upstream() {
    let (mut rig, id) = Rig::with_killed();
    rig.0.cases.get_mut(&id).unwrap().it.diagnosis.as_mut().unwrap().cause_target = at("h9", "db");
    assert_eq!(rig.stopped(id, &restart()), ["never_upstream"]);
}

#[test]
fn never_disable_security() {
    let stop = || Step::StopService { grace: Duration::ZERO };
    let (mut rig, id) = Rig::with_killed();
    assert_eq!(rig.stopped(id, &plan(vec![stop()])), [""; 0], "what guards nothing may be stopped");
    let mut guard = web(&[("process", ProbeKind::Process)]);
    guard.labels.insert("security".to_owned(), "true".to_owned());
    rig.connect("h1", guard);
    rig.killed("h1");
    assert_eq!(rig.stopped(id, &plan(vec![stop()])), ["never_disable_security"]);
    assert_eq!(rig.stopped(id, &restart()), [""; 0]);
    assert_eq!(rig.stopped(id, &plan(vec![stop(), Step::StartService])), [""; 0]);
    let mut known = web(&[("process", ProbeKind::Process)]);
    known.service = Some(ServiceName::of("auditd"));
    rig.connect("h1", known);
    rig.killed("h1");
    let kill = Step::SignalProcess { signal: prunella_model::step::Signal::Kill };
    assert_eq!(rig.stopped(id, &plan(vec![kill])), ["never_disable_security"]);
}

#[test]
fn never_unverifiable() {
    let mut rig = Rig::new();
    rig.connect("h1", web(&[]));
    let (number, metric) = (0, MetricName::of("process.rss_bytes"));
    let frame = Frame {
        at: START,
        series: vec![SeriesName { number, target: TargetName::of("web"), metric }],
        samples: vec![Sample { series: number, value: 1.0 }],
        ..Frame::default()
    };
    rig.0.step(START, Event::Frame { host: HostId::of("h1"), frame });
    let key = rig.key("h1");
    let fault = rig.0.filed(key, REPORTED, Severity::Medium, "pages are slow".to_owned());
    let id = rig.0.open(key, fault, Vec::new());
    assert_eq!(rig.stopped(id, &restart()), ["never_unverifiable"]);
}

/// Whatever leads to it, a command that would break a rule is not made.
#[test]
fn the_last_gate_makes_no_harmful_command() {
    let (mut rig, id) = Rig::with_killed();
    rig.0.dispatch(id, Cause::Killed, plan(Vec::new()));
    let sent = rig.0.finish().into_iter().any(|it| matches!(it, Decision::Dispatch { .. }));
    assert!(!sent && rig.0.commands.is_empty());
    let state = &rig.0.cases[&id].it.state;
    let IncidentState::NeedsHuman { why } = state else { panic!("{state:?}") };
    assert!(why.contains("never_beyond_named"), "{why}");
    rig.0.dispatch(id, Cause::Killed, restart());
    assert!(rig.0.finish().into_iter().any(|it| matches!(it, Decision::Dispatch { .. })), "a sound one is");
}

/// The table is what operators are told, each once.
#[test]
fn there_are_ten_each_named_once() {
    let mut names: Vec<&str> = super::RULES.iter().map(|it| it.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 10);
    assert!(names.iter().all(|name| name.starts_with("never_")));
}
