//! What the engine costs: time for each sample and each event in a fleet of 10,000 hosts, and memory for each host.
//!
//! `cargo run --release -p prunella-engine --example cost -- 10000`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prunella_engine::{Decision, Engine, Event};
use prunella_model::command::BootId;
use prunella_model::host::{HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::observation::{Finding, Frame, Instance, Observation, ProbeKind, Sample, SeriesName, Status};
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::policy::{FleetPolicy, Profile};
use prunella_model::record::Stored;
use prunella_model::step::StepKind;
use prunella_model::{FleetName, Generation, HostId, MetricName, ProbeName, TargetName, Timestamp};

/// Series of each host: those of the host itself and of its targets, as the agent names them.
const SERIES: u32 = 30;

#[expect(clippy::disallowed_methods, reason = "it measures the engine from outside")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hosts: u32 = std::env::args().nth(1).map_or(Ok(10_000), |it| it.parse())?;
    let begun = Timestamp::from_secs(1_000_000);
    let mut engine = Engine::new(FleetName::new("cost")?, 1, begun, Stored::default());
    let mut policy = FleetPolicy::of(Profile::Rapid);
    policy.heartbeat = Duration::from_secs(600);
    engine.step(begun, Event::Policy(policy.into()));
    let names: Vec<HostId> = (0..hosts).map(|i| HostId::new(&format!("h{i}"))).collect::<Result<_, _>>()?;

    let resident = resident();
    let clock = Instant::now();
    for name in &names {
        let report = Box::new(report()?);
        engine.step(begun, Event::Connected { host: name.clone(), enrolment: 1, report });
    }
    let each = clock.elapsed() / hosts;
    println!("connect:  {each:?} a host, {} KiB a host", self::resident().saturating_sub(resident) / u64::from(hosts));

    let mut now = begun;
    let rounds = 10;
    let clock = Instant::now();
    let mut building = Duration::ZERO;
    for round in 0..rounds {
        now = now.after(Duration::from_secs(1));
        for (i, name) in (0_u32..).zip(&names) {
            let t = Instant::now();
            let value = |series| f64::from((series * 7 + round * 13 + i) % 50) + 20.0;
            let samples = (0..SERIES).map(|series| Sample { series, value: value(series) }).collect();
            let event = Event::Frame { host: name.clone(), frame: Frame { at: now, samples, ..Frame::default() } };
            building += t.elapsed();
            engine.step(now, event);
        }
    }
    let spent = clock.elapsed().saturating_sub(building);
    println!(
        "samples:  {:?} each, {:?} a frame of {SERIES}",
        spent / (hosts * rounds * SERIES),
        spent / (hosts * rounds)
    );

    now = now.after(Duration::from_secs(30));
    let clock = Instant::now();
    let mut commands = Vec::new();
    for name in &names {
        let decisions = engine.step(now, Event::Frame { host: name.clone(), frame: died(now)? });
        collect(decisions, &mut commands);
    }
    println!("deaths:   {:?} each, all hosts at once; {} repaired at once", clock.elapsed() / hosts, commands.len());

    let clock = Instant::now();
    let mut steps = 0_u32;
    while let Some((host, command)) = commands.pop() {
        now = now.after(Duration::from_micros(100));
        let report = OutcomeReport {
            command,
            outcome: Outcome::Done,
            started_at: Some(now),
            ended_at: now,
            notes: Vec::new(),
            confirmed_by: None,
        };
        steps += 3;
        let outcome = engine.step(now, Event::Outcome { host: host.clone(), report });
        collect(outcome, &mut commands);
        for at in [now, now.after(Duration::from_micros(1))] {
            let decisions = engine.step(at, Event::Frame { host: host.clone(), frame: lives(at)? });
            collect(decisions, &mut commands);
        }
        if let Some(due) = engine.next_deadline().filter(|due| *due <= now || commands.is_empty()) {
            now = now.max(due);
            let decisions = engine.step(now, Event::Tick);
            collect(decisions, &mut commands);
            steps += 1;
        }
    }
    println!("repairs:  {:?} an event, {steps} events", clock.elapsed() / steps.max(1));
    let fleet = engine.fleet(now);
    println!(
        "open {}, repaired {}, held {}, needs a person {}",
        fleet.open, fleet.repaired, fleet.held, fleet.needs_human
    );
    Ok(())
}

fn collect(decisions: Vec<Decision>, commands: &mut Vec<(HostId, prunella_model::CommandId)>) {
    for decision in decisions {
        if let Decision::Dispatch { intent, .. } = decision {
            commands.push((intent.host.clone(), intent.id));
        }
    }
}

fn report() -> Result<HostReport, prunella_model::id::BadName> {
    let probe = |name: &str, kind| {
        let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
        Ok(ProbeReport { name: ProbeName::new(name)?, kind, interval, timeout })
    };
    let target = |name: &str, probes| {
        Ok(TargetReport {
            name: TargetName::new(name)?,
            service: None,
            labels: BTreeMap::new(),
            depends_on: Vec::new(),
            critical: false,
            probes,
            permits: vec![Permit { step: StepKind::RestartService, per_hour: 9, approvals: 0 }],
            directories: Vec::new(),
            files: Vec::new(),
        })
    };
    let mut series = Vec::new();
    for number in 0..SERIES {
        let (target, metric) = match number {
            0 => ("host", "cpu.used_percent".to_owned()),
            1 => ("host", "memory.used_percent".to_owned()),
            2 => ("host", "disk.used_percent".to_owned()),
            3 => ("web", "process.rss_bytes".to_owned()),
            _ => ("host", format!("other.{number}")),
        };
        series.push(SeriesName { number, target: TargetName::new(target)?, metric: MetricName::new(&metric)? });
    }
    let web = target("web", vec![probe("process", ProbeKind::Process)?])?;
    Ok(HostReport {
        agent_version: "1".to_owned(),
        boot: BootId("boot".to_owned()),
        labels: BTreeMap::new(),
        targets: vec![target("host", vec![probe("host", ProbeKind::Host)?])?, web],
        series,
        observations: vec![process(Timestamp::ZERO, Status::Up, "run-1")?],
        mark: Generation::default(),
        outcomes: Vec::new(),
        paused: None,
        observe_only: None,
    })
}

fn process(at: Timestamp, status: Status, run: &str) -> Result<Observation, prunella_model::id::BadName> {
    let instance = Instance(run.into());
    let finding = match status {
        Status::Up => Finding::Running { instance, pid: 1 },
        Status::Down | Status::Unknown => Finding::Exited { instance, code: None, signal: Some(9), ran: None },
    };
    let (target, probe) = (TargetName::new("web")?, ProbeName::new("process")?);
    Ok(Observation { target, probe, kind: ProbeKind::Process, at, status, finding })
}

fn died(at: Timestamp) -> Result<Frame, prunella_model::id::BadName> {
    Ok(Frame { at, observations: vec![process(at, Status::Down, "run-1")?], ..Frame::default() })
}

fn lives(at: Timestamp) -> Result<Frame, prunella_model::id::BadName> {
    Ok(Frame { at, observations: vec![process(at, Status::Up, "run-2")?], ..Frame::default() })
}

/// Resident memory of this process, in KiB; zero where `/proc` does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
