//! Whatever agents and people say, in whatever order, with whatever clocks: the engine does not panic, its invariants
//! hold after each step, the same events lead to the same decisions, and a restart from what was stored does no harm.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says why")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use prunella_engine::{Decision, Engine, Event, Request};
use prunella_model::command::BootId;
use prunella_model::host::{DirectoryReport, FileReport, HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::incident::Severity;
use prunella_model::observation::{
    Finding, Frame, Instance, Observation, ProbeKind, Sample, SeriesName, Sha256, Status,
};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::policy::{FleetPolicy, Mode, Profile, Scope};
use prunella_model::record::{Change, Stored};
use prunella_model::step::StepKind;
use prunella_model::{
    CommandId, FleetName, Generation, HostId, Id, IncidentId, MetricName, OperatorName, PartName, ProbeName,
    ServiceName, TargetName, TargetRef, Timestamp,
};

const HOSTS: [&str; 3] = ["h1", "h2", "stranger"];
const TARGETS: [&str; 4] = ["web", "db", "host", "nobody"];
const PROBES: [(&str, ProbeKind); 6] = [
    ("process", ProbeKind::Process),
    ("http", ProbeKind::Http),
    ("conf", ProbeKind::File),
    ("data", ProbeKind::Directory),
    ("log", ProbeKind::Log),
    ("ghost", ProbeKind::Unit),
];

fn target(name: &str, needs: &[&str]) -> TargetReport {
    TargetReport {
        name: TargetName::new(name).unwrap(),
        service: (name != "host").then(|| ServiceName::new("all").unwrap()),
        labels: BTreeMap::new(),
        depends_on: needs.iter().map(|it| it.parse().unwrap()).collect(),
        critical: name == "db",
        probes: PROBES
            .iter()
            .take(5)
            .map(|(name, kind)| ProbeReport {
                name: ProbeName::new(name).unwrap(),
                kind: *kind,
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
            })
            .collect(),
        permits: StepKind::ALL.iter().map(|step| Permit { step: *step, per_hour: 9, approvals: 0 }).collect(),
        directories: vec![DirectoryReport { name: PartName::new("data").unwrap(), path: "/d".into(), quota_bytes: 9 }],
        files: vec![FileReport { name: PartName::new("conf").unwrap(), path: "/c".into(), known_good: None }],
        parts: Vec::new(),
    }
}

fn report(shape: u8, observations: Vec<Observation>, outcomes: Vec<OutcomeReport>) -> HostReport {
    let mut targets = vec![target("host", &[]), target("web", &["db", "services/all", "hosts/h2/targets/web"])];
    if shape.is_multiple_of(2) {
        targets.push(target("db", &["web"]));
    }
    HostReport {
        agent_version: "1".into(),
        boot: BootId("b".into()),
        labels: BTreeMap::new(),
        targets,
        series: vec![
            SeriesName { number: 0, target: TargetName::host(), metric: MetricName::of("cpu.used_percent") },
            SeriesName {
                number: 1,
                target: TargetName::new("web").unwrap(),
                metric: MetricName::of("process.rss_bytes"),
            },
        ],
        observations,
        mark: Generation::default(),
        outcomes,
        paused: shape.is_multiple_of(7).then(|| "tea".into()),
        observe_only: shape.is_multiple_of(11).then(|| "clock".into()),
        config: None,
        program: None,
        drift: shape.is_multiple_of(13).then(|| "agent.toml has changed".into()),
        intervals: None,
    }
}

/// One random word of the agents' and people's language; the world gives it a time and a meaning.
#[derive(Debug, Clone)]
enum Word {
    Wait(u32),
    Back(u32),
    Connect(usize, u8, Vec<(usize, usize, u8, i32)>),
    Reported(usize, u8),
    Cut(usize, bool),
    Beat(usize),
    Saw(usize, i32, bool, Vec<(usize, usize, u8, i32)>),
    Sample(usize, u32, f64),
    Accepted(usize, u64),
    Outcome(usize, u64, u8, i32),
    Undelivered(u64),
    Ask(u8, usize, usize),
    Forget(usize),
    Policy(u8),
    Tick,
    Restart,
}

fn seen() -> impl Strategy<Value = Vec<(usize, usize, u8, i32)>> {
    prop::collection::vec((0..TARGETS.len(), 0..PROBES.len(), 0..9_u8, -2_000..200_i32), 0..4)
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        6 => (0..400_000_u32).prop_map(Word::Wait),
        6 => (0..2_000_u32).prop_map(Word::Wait),
        1 => (0..10_000_u32).prop_map(Word::Back),
        3 => (0..3_usize, any::<u8>(), seen()).prop_map(|(h, s, o)| Word::Connect(h, s, o)),
        1 => (0..3_usize, any::<u8>()).prop_map(|(h, s)| Word::Reported(h, s)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(h, o)| Word::Cut(h, o)),
        2 => (0..3_usize).prop_map(Word::Beat),
        12 => (0..3_usize, -9_000..9_000_i32, prop::bool::weighted(0.05), seen()).prop_map(|(h, t, l, o)| Word::Saw(h, t, l, o)),
        2 => (0..3_usize, 0..5_000_u32, prop::num::f64::ANY).prop_map(|(h, s, v)| Word::Sample(h, s, v)),
        3 => (0..3_usize, 0..100_u32).prop_map(|(h, v)| Word::Sample(h, v % 2, f64::from(v) * 1e7)),
        1 => (0..3_usize, 0..12_u64).prop_map(|(h, c)| Word::Accepted(h, c)),
        8 => (0..3_usize, 0..12_u64, 0..12_u8, -500..500_i32).prop_map(|(h, c, o, t)| Word::Outcome(h, c, o, t)),
        1 => (0..12_u64).prop_map(Word::Undelivered),
        3 => (0..14_u8, 0..3_usize, 0..4_usize).prop_map(|(k, h, t)| Word::Ask(k, h, t)),
        1 => (0..3_usize).prop_map(Word::Forget),
        1 => any::<u8>().prop_map(Word::Policy),
        4 => Just(Word::Tick),
        1 => Just(Word::Restart),
    ]
}

fn host(index: usize) -> HostId {
    HostId::new(HOSTS[index]).unwrap()
}

fn shift(now: Timestamp, millis: i32) -> Timestamp {
    let span = Duration::from_millis(u64::from(millis.unsigned_abs()));
    if millis < 0 { now.before(span) } else { now.after(span) }
}

fn observation(now: Timestamp, (target, probe, what, at): (usize, usize, u8, i32)) -> Observation {
    let (name, kind) = PROBES[probe];
    let run = |n: u8| Instance(format!("run-{n}").into());
    let (status, finding) = match (kind, what) {
        (_, 0) => (Status::Unknown, Finding::ProbeBroken { why: "?".into() }),
        (ProbeKind::Process | ProbeKind::Unit, 1..=3) => (Status::Up, Finding::Running { instance: run(what), pid: 1 }),
        (ProbeKind::Process | ProbeKind::Unit, 4..=6) => {
            let signal = (what == 4).then_some(9);
            let ran = (what == 5).then_some(Duration::from_secs(1));
            (Status::Down, Finding::Exited { instance: run(what - 3), code: Some(1), signal, ran })
        }
        (ProbeKind::Process | ProbeKind::Unit, _) if what == 7 => (Status::Down, Finding::StoppedOnPurpose),
        (ProbeKind::File, 1..=4) => (Status::Up, Finding::FileAsKnown { sha256: Sha256([1; 32]) }),
        (ProbeKind::File, _) => {
            let known_good = (what != 8).then_some(Sha256([1; 32]));
            (Status::Down, Finding::FileChanged { sha256: (what != 7).then_some(Sha256([2; 32])), known_good })
        }
        (ProbeKind::Directory, _) => {
            (Status::Up, Finding::DirectoryUse { used_bytes: u64::from(what), quota_bytes: u64::from(what > 2) * 9 })
        }
        (_, _) if what < 5 => (Status::Up, Finding::Answered { latency: Duration::ZERO }),
        (_, 5) => (Status::Down, Finding::BadAnswer { code: None, why: String::new() }),
        // A verdict and evidence that do not fit each other.
        (_, 6) => (Status::Down, Finding::HostRead),
        (_, _) => (Status::Down, Finding::NoAnswer { waited: Duration::MAX }),
    };
    Observation {
        target: TargetName::new(TARGETS[target]).unwrap(),
        probe: ProbeName::new(name).unwrap(),
        kind,
        at: shift(now, at),
        status,
        finding,
    }
}

fn outcome(what: u8) -> Outcome {
    match what {
        0..5 => Outcome::Done,
        5 => Outcome::Failed { step: u32::MAX, why: "no".into() },
        6 => Outcome::Unknown { why: "no".into() },
        7 => Outcome::Cancelled { done: 0 },
        8 => Outcome::Cancelled { done: 1 },
        9 => Outcome::Lost,
        10 => Outcome::Refused(Refusal::Precondition { why: "no".into() }),
        _ => Outcome::Refused(Refusal::Replayed { found: 1, last: 1 }),
    }
}

struct World {
    engine: Engine,
    now: Timestamp,
    epoch: u64,
    stored: Stored,
    trace: Vec<Decision>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_secs(1_000_000);
        let fleet = FleetName::new("test").unwrap();
        let engine = Engine::new(fleet, 1, now, Stored::default()).with_compiler(prunella_expr::compiler());
        Self { engine, now, epoch: 1, stored: Stored::default(), trace: Vec::new() }
    }

    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let decisions = self.engine.step(self.now, event);
        for decision in &decisions {
            if let Decision::Store(change) = decision {
                self.store(change.clone());
            }
        }
        self.trace.extend(decisions);
        let broken = self.engine.check_invariants();
        prop_assert!(broken.is_empty(), "{broken:?}");
        // What is stored is what is believed: a decider that starts now knows the same incidents and commands.
        let stored: Vec<IncidentId> = self.stored.incidents.iter().map(|it| it.id).collect();
        let open: Vec<IncidentId> = self.engine.incidents().iter().map(|it| it.id).collect();
        let mut sorted = stored.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, open);
        for command in self.engine.commands() {
            prop_assert!(self.stored.commands.iter().any(|it| it.intent == command.intent));
        }
        if let Some(due) = self.engine.next_deadline() {
            prop_assert!(due > self.now, "a deadline in the past keeps the driver spinning");
        }
        Ok(())
    }

    fn store(&mut self, change: Change) {
        self.stored.apply(change);
    }

    fn wait(&mut self, millis: u32) -> Result<(), TestCaseError> {
        let end = self.now.after(Duration::from_millis(u64::from(millis)));
        for _ in 0..300 {
            let Some(due) = self.engine.next_deadline().filter(|due| *due <= end) else { break };
            self.now = due;
            self.step(Event::Tick)?;
        }
        self.now = end;
        Ok(())
    }

    fn command(&self, number: u64) -> CommandId {
        let open: Vec<CommandId> = self.engine.commands().iter().map(|it| it.intent.id).collect();
        let index = usize::try_from(number).unwrap_or(0);
        open.get(index).copied().unwrap_or(CommandId(Id { epoch: 1, counter: number }))
    }

    fn say(&mut self, word: Word) -> Result<(), TestCaseError> {
        let now = self.now;
        let event = match word {
            Word::Wait(millis) => return self.wait(millis),
            Word::Back(millis) => {
                // A time before the last one: the later one counts.
                let real = self.now;
                self.now = now.before(Duration::from_millis(u64::from(millis)));
                let decisions = self.engine.step(self.now, Event::Tick);
                self.now = real;
                for decision in decisions {
                    if let Decision::Store(change) = decision {
                        self.store(change);
                    }
                }
                return Ok(());
            }
            Word::Connect(h, shape, seen) => {
                let observations = seen.into_iter().map(|it| observation(now, it)).collect();
                let outcomes = if shape.is_multiple_of(3) { self.reports(h) } else { Vec::new() };
                let report = Box::new(report(shape, observations, outcomes));
                Event::Connected { host: host(h), enrolment: u64::from(shape % 3), report }
            }
            Word::Reported(h, shape) => {
                Event::Reported { host: host(h), report: Box::new(report(shape, Vec::new(), Vec::new())) }
            }
            Word::Cut(h, orderly) => Event::Disconnected { host: host(h), orderly },
            Word::Beat(h) => Event::Heartbeat { host: host(h) },
            Word::Saw(h, at, late, seen) => {
                let at = shift(now, at);
                let observations = seen.into_iter().map(|it| observation(at, it)).collect();
                Event::Frame { host: host(h), frame: Frame { at, observations, late, ..Frame::default() } }
            }
            Word::Sample(h, series, value) => {
                let samples = vec![Sample { series, value }];
                Event::Frame { host: host(h), frame: Frame { at: now, samples, ..Frame::default() } }
            }
            Word::Accepted(h, c) => Event::Accepted { host: host(h), command: self.command(c) },
            Word::Outcome(h, c, what, at) => {
                let report = OutcomeReport {
                    command: self.command(c),
                    outcome: outcome(what),
                    started_at: None,
                    ended_at: shift(now, at),
                    notes: Vec::new(),
                    confirmed_by: None,
                    by_order: None,
                };
                Event::Outcome { host: host(h), report }
            }
            Word::Undelivered(c) => Event::Undelivered { command: self.command(c), why: "gone".into() },
            Word::Ask(kind, h, t) => self.ask(kind, h, t),
            Word::Forget(h) => Event::Forget { host: host(h), by: OperatorName::of("ann") },
            Word::Policy(shape) => {
                let mut policy =
                    FleetPolicy::of(if shape.is_multiple_of(2) { Profile::Rapid } else { Profile::Standard });
                policy.version = 2 + u64::from(shape);
                policy.custom = custom_rules(shape);
                policy.groups.entry("web".parse().unwrap()).or_default().hosts = vec![host(0), host(1)];
                if shape.is_multiple_of(3) {
                    Event::Policy(policy.into())
                } else {
                    Event::Proposed { policy: policy.into(), by: OperatorName::of("ann") }
                }
            }
            Word::Tick => Event::Tick,
            Word::Restart => {
                self.epoch += 1;
                let fleet = FleetName::new("test").unwrap();
                self.engine =
                    Engine::new(fleet, self.epoch, now, self.stored.clone()).with_compiler(prunella_expr::compiler());
                Event::Tick
            }
        };
        self.step(event)
    }

    fn reports(&self, h: usize) -> Vec<OutcomeReport> {
        let open = self.engine.commands();
        let mine = open.iter().filter(|it| it.intent.host == host(h));
        mine.map(|it| OutcomeReport {
            command: it.intent.id,
            outcome: Outcome::Done,
            started_at: None,
            ended_at: self.now,
            notes: Vec::new(),
            confirmed_by: None,
            by_order: None,
        })
        .collect()
    }

    fn ask(&self, kind: u8, h: usize, t: usize) -> Event {
        let it = TargetRef::new(host(h), TargetName::new(TARGETS[t]).unwrap());
        let scope = match t {
            0 => Scope::Fleet,
            1 => Scope::Host(host(h)),
            _ => Scope::Target(it.host.clone(), it.target.clone()),
        };
        let incidents = self.engine.incidents();
        let request = match kind {
            0 => Request::Pause { scope, why: "tea".into(), until: None },
            1 => Request::Pause { scope, why: "tea".into(), until: Some(self.now.after(Duration::from_secs(60))) },
            2 | 3 => Request::Resume { scope },
            4 => Request::Repair {
                target: it,
                repair: None,
                why: "now".into(),
                dry_run: false,
                chain: t.is_multiple_of(2),
            },
            5 => Request::Repair {
                target: it,
                repair: Some("clean_directory".parse().unwrap()),
                why: "now".into(),
                dry_run: false,
                chain: false,
            },
            6 => Request::Repair { target: it, repair: None, why: "now".into(), dry_run: true, chain: t == 1 },
            7 => Request::Cancel { incident: incidents.get(t).map(|it| it.id).unwrap_or_default(), why: "mine".into() },
            8 => Request::SetMode {
                scope: Scope::Group("web".parse().unwrap()),
                mode: Mode::ALL.get(t).copied(),
                why: "tea".into(),
            },
            9 => Request::SetMode { scope: Scope::Fleet, mode: None, why: "tea".into() },
            10 => Request::Maintain {
                name: "tea".parse().unwrap(),
                scope,
                why: "tea".into(),
                from: self.now.after(Duration::from_secs(5)),
                until: Some(self.now.after(Duration::from_secs(50))),
            },
            11 => Request::EndMaintenance { name: "tea".parse().unwrap() },
            12 => Request::StopRollout { why: "tea".into() },
            13 => Request::Withdraw { target: it, id: String::new(), why: "tea".into(), dry_run: false },
            _ => Request::Report {
                target: it,
                id: "slow".into(),
                severity: Severity::Low,
                summary: "slow".into(),
                dry_run: false,
            },
        };
        Event::Request { token: 7, by: OperatorName::of("ann"), request }
    }
}

fn play(words: &[Word]) -> Result<Vec<Decision>, TestCaseError> {
    let mut world = World::new();
    for word in words {
        world.say(word.clone())?;
    }
    // Views must not panic either.
    let now = world.now;
    let _ = (world.engine.groups(now), world.engine.maintenances(now), world.engine.rollout(now));
    let _ = (world.engine.fleet(now), world.engine.brakes(now), world.engine.knowledge());
    let _ = (world.engine.insights(now, None, 9), world.engine.predictions(now), world.engine.recommendations(now));
    for host in world.engine.hosts(now) {
        let _ = world.engine.targets(now, &host.host);
    }
    Ok(world.trace)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_said_breaks_the_engine(words in prop::collection::vec(word(), 1..160)) {
        let first = play(&words)?;
        let second = play(&words)?;
        prop_assert!(first == second, "the same events led to other decisions");
    }
}

/// Custom rules of every sort: with a repair and without, in shadow, with a defect, and one that does not compile.
fn custom_rules(shape: u8) -> Vec<prunella_model::policy::CustomRule> {
    let all = [
        ("low", "metrics.exists(m, metrics[m] > 50.0)", Some("restart_service"), false),
        ("late", "probes.http.status == 'down' && probes.http.since > 1.0", None, false),
        ("shy", "target.critical", None, true),
        ("odd", "int(target.name) == 1", None, false),
        ("wrong", "target.", None, false),
    ];
    let rule = |(name, when, action, shadow): (&str, &str, Option<&str>, bool)| prunella_model::policy::CustomRule {
        name: prunella_model::RuleName::new(name).unwrap(),
        when: when.to_owned(),
        hold: std::time::Duration::from_secs(u64::from(shape % 3)),
        severity: prunella_model::incident::Severity::High,
        summary: String::new(),
        actions: action.into_iter().map(|it| it.parse().unwrap()).collect(),
        scope: prunella_model::policy::RuleScope::default(),
        interval: None,
        shadow,
    };
    all.into_iter().skip(usize::from(shape % 4)).map(rule).collect()
}
