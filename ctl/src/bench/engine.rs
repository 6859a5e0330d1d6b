//! What the engine costs: a sample through detection, and an event in a large fleet, through `Engine::step`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prunella_engine::{Decision, Engine, Event};
use prunella_model::command::BootId;
use prunella_model::host::{HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::id::BadName;
use prunella_model::observation::{Finding, Frame, Instance, Observation, ProbeKind, Sample, SeriesName, Status};
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::policy::{FleetPolicy, Profile};
use prunella_model::record::Stored;
use prunella_model::step::StepKind;
use prunella_model::{CommandId, FleetName, Generation, HostId, MetricName, ProbeName, TargetName, Timestamp};
use serde::Serialize;

use super::figures::Machine;
use crate::Common;

const EXAMPLE: &str = "\
Examples:
  prunella bench engine
  prunella bench engine --hosts 1000 --json

One thread, no network and no disk: the same code that decides in the server, with its shipped rules. What is counted is the
processor time of that thread, so that other work on the machine matters little.";

/// Series of each host: those of the host itself and of its targets, as an agent names them.
const SERIES: u32 = 30;

/// Frames of each host, one each five seconds: three minutes, so that what is done once a minute is in it.
const FRAMES: u32 = 36;

/// Arguments of `prunella bench engine`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct EngineArgs {
    /// How many hosts there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    hosts: u32,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    hosts: u32,
    series_per_host: u32,
    /// A sample through `Engine::step`, all shipped detectors included, in frames of 30.
    ns_per_sample: f64,
    samples: u64,
    /// An event that carries no sample (a death, an outcome, an observation, a timer) where one service after another
    /// dies and is repaired.
    us_per_event: f64,
    events: u64,
    /// The same where the services of nearly all hosts die at once, and causes that they share are looked for.
    us_per_event_of_storm: f64,
    storm_events: u64,
    /// What one host takes with all its series, in KiB of resident memory; null where the system does not say.
    kib_per_host: Option<f64>,
    machine: Machine,
}

impl EngineArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let before = resident();
        let mut fleet = Fleet::connect(self.hosts)?;
        let (samples, sampling) = fleet.measure();
        let kib = before.zip(resident()).map(|(before, after)| after.saturating_sub(before) as f64);
        let few = fleet.names.len() / 10;
        let (events, deciding) = fleet.one_by_one(few)?;
        let (storm_events, storm) = fleet.all_at_once(few)?;
        let micros = |spent: Duration, events: u64| (spent.as_secs_f64() * 1e8 / events as f64).round() / 100.0;
        let it = Figures {
            hosts: self.hosts,
            series_per_host: SERIES,
            ns_per_sample: (sampling.as_secs_f64() * 1e10 / samples as f64).round() / 10.0,
            samples,
            us_per_event: micros(deciding, events),
            events,
            us_per_event_of_storm: micros(storm, storm_events),
            storm_events,
            kib_per_host: kib.map(|it| (it / f64::from(self.hosts) * 10.0).round() / 10.0),
            machine,
        };
        if let Some(format) = common.format(self.json) {
            format.print(&it)?;
        } else {
            println!("The engine with {} hosts of {SERIES} series, all shipped rules:", it.hosts);
            println!("  a sample   {:>8.1} ns   ({} samples)", it.ns_per_sample, it.samples);
            println!("  an event   {:>8.2} µs   ({} events, one fault after another)", it.us_per_event, it.events);
            println!("  in a storm {:>8.2} µs   ({} events, all at once)", it.us_per_event_of_storm, it.storm_events);
            let kib = it.kib_per_host.map_or_else(|| "unknown".to_owned(), |it| format!("{it:.1} KiB"));
            println!("  a host     {kib:>8}");
            println!("{}", it.machine.line());
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Fleet {
    engine: Engine,
    names: Vec<HostId>,
    now: Timestamp,
    spent: Duration,
    steps: u64,
    commands: Vec<(HostId, CommandId)>,
}

impl Fleet {
    fn connect(hosts: u32) -> anyhow::Result<Self> {
        let now = Timestamp::from_secs(1_000_000);
        let mut engine = Engine::new(FleetName::new("bench")?, 1, now, Stored::default());
        // Without pacing, so that repairs are decided too; and a host need not say that it lives in between.
        let mut policy = FleetPolicy::of(Profile::Rapid);
        policy.heartbeat = Duration::from_secs(3_600);
        engine.step(now, Event::Policy(policy.into()));
        let names = (0..hosts).map(|i| HostId::new(&format!("h{i}"))).collect::<Result<Vec<_>, _>>()?;
        let mut fleet = Self { engine, names, now, spent: Duration::ZERO, steps: 0, commands: Vec::new() };
        for name in fleet.names.clone() {
            let report = Box::new(report(now)?);
            fleet.step(Event::Connected { host: name, enrolment: 1, report });
        }
        (fleet.spent, fleet.steps) = (Duration::ZERO, 0);
        Ok(fleet)
    }

    /// One step; only the processor time in the engine counts.
    fn step(&mut self, event: Event) {
        let began = processor_time();
        let decisions = self.engine.step(self.now, event);
        self.spent += processor_time().saturating_sub(began);
        self.steps += 1;
        for decision in decisions {
            if let Decision::Dispatch { intent, .. } = decision {
                self.commands.push((intent.host.clone(), intent.id));
            }
        }
    }

    /// Samples of healthy hosts. How many there were, and what they took.
    fn measure(&mut self) -> (u64, Duration) {
        for round in 0..FRAMES {
            self.now = self.now.after(Duration::from_secs(5));
            for (salt, host) in (0_u32..).zip(self.names.clone()) {
                let value = |series| f64::from((series * 7 + round * 13 + salt) % 50) + 10.0;
                let samples = (0..SERIES).map(|series| Sample { series, value: value(series) }).collect();
                self.step(Event::Frame { host, frame: Frame { at: self.now, samples, ..Frame::default() } });
            }
        }
        (std::mem::take(&mut self.steps) * u64::from(SERIES), std::mem::take(&mut self.spent))
    }

    /// The services of the first hosts die one after another, and each is repaired. How many events, and what they took.
    fn one_by_one(&mut self, hosts: usize) -> Result<(u64, Duration), BadName> {
        for host in self.names.iter().take(hosts).cloned().collect::<Vec<_>>() {
            self.pass(Duration::from_secs(2));
            let frame = seen(self.now, Status::Down, "run-1")?;
            self.step(Event::Frame { host, frame });
            self.heal()?;
        }
        Ok((std::mem::take(&mut self.steps), std::mem::take(&mut self.spent)))
    }

    /// The services of all hosts but the first die at once; what is let through is repaired.
    fn all_at_once(&mut self, but: usize) -> Result<(u64, Duration), BadName> {
        self.pass(Duration::from_secs(600));
        for host in self.names.iter().skip(but).cloned().collect::<Vec<_>>() {
            let frame = seen(self.now, Status::Down, "run-1")?;
            self.step(Event::Frame { host, frame });
        }
        self.heal()?;
        Ok((std::mem::take(&mut self.steps), std::mem::take(&mut self.spent)))
    }

    /// Rings the timers that are due within `span`, a bounded number of them.
    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        for _ in 0..100 {
            let Some(due) = self.engine.next_deadline().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.step(Event::Tick);
        }
        self.now = end;
    }

    /// Carries out what was sent, and shows that the services live again.
    fn heal(&mut self) -> Result<(), BadName> {
        let most = self.steps + 10 * self.names.len() as u64;
        while let Some((host, command)) = self.commands.pop().filter(|_| self.steps < most) {
            self.pass(Duration::from_micros(100));
            let report = OutcomeReport {
                command,
                outcome: Outcome::Done,
                started_at: Some(self.now),
                ended_at: self.now,
                notes: Vec::new(),
                confirmed_by: None,
                by_order: None,
            };
            self.step(Event::Outcome { host: host.clone(), report });
            for _ in 0..2 {
                let frame = seen(self.now, Status::Up, "run-2")?;
                self.step(Event::Frame { host: host.clone(), frame });
                self.now = self.now.after(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

fn report(at: Timestamp) -> Result<HostReport, BadName> {
    let probe = |name: &str, kind| {
        let (interval, timeout) = (Duration::from_secs(3_600), Duration::from_secs(1));
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
            parts: Vec::new(),
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
        observations: vec![process(at, Status::Up, "run-1")?],
        mark: Generation::default(),
        outcomes: Vec::new(),
        paused: None,
        observe_only: None,
        config: None,
        program: None,
        drift: None,
        intervals: None,
    })
}

fn process(at: Timestamp, status: Status, run: &str) -> Result<Observation, BadName> {
    let instance = Instance(run.into());
    let finding = match status {
        Status::Up => Finding::Running { instance, pid: 1 },
        Status::Down | Status::Unknown => Finding::Exited { instance, code: None, signal: Some(9), ran: None },
    };
    let (target, probe) = (TargetName::new("web")?, ProbeName::new("process")?);
    Ok(Observation { target, probe, kind: ProbeKind::Process, at, status, finding })
}

fn seen(at: Timestamp, status: Status, run: &str) -> Result<Frame, BadName> {
    Ok(Frame { at, observations: vec![process(at, status, run)?], ..Frame::default() })
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process, in KiB; null where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_measured_and_healed() {
        let mut fleet = Fleet::connect(20).unwrap();
        let (samples, sampling) = fleet.measure();
        assert_eq!(samples, 20 * u64::from(SERIES * FRAMES));
        assert!(sampling > Duration::ZERO);
        let (events, _) = fleet.one_by_one(2).unwrap();
        assert!(events >= 2 * 4, "two die, two outcomes, and each is seen again twice: {events}");
        let (storm, _) = fleet.all_at_once(2).unwrap();
        assert!(storm >= 18, "{storm}");
    }
}
