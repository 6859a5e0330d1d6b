//! What is really the case with a target. The engine never sees this; it only sees what probes say of it.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::{Finding, Instance, Observation, ProbeKind, Sha256, Status};
use prunella_model::step::StepKind;
use prunella_model::{ProbeName, TargetName, Timestamp};

use crate::scenario::primitive::{Answer, End};
use crate::scenario::{Effect, Gauge, Primitive, Role};

/// A target by the indexes of its host and of itself there.
pub(crate) type Place = (usize, usize);

/// The content that a target's configuration has while it is right.
pub(crate) const GOOD: Sha256 = Sha256([1; 32]);

/// The content that a corrupted configuration has.
pub(crate) const BAD: Sha256 = Sha256([2; 32]);

/// The quota of the directory of a target.
pub(crate) const QUOTA: u64 = 1_000_000;

/// The share of its quota, in percent, from which on a directory is a fault.
pub(crate) const FULL: f64 = 90.0;

/// The use of a directory in which nothing is wrong, in percent.
const USUAL: f64 = 20.0;

/// How long a service probe waits for an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// How long a well service takes to answer.
const LATENCY: Duration = Duration::from_millis(3);

/// How a target's process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// It runs.
    Running { since: Timestamp },
    /// It ended, and nobody asked it to.
    Ended { code: Option<i32>, signal: Option<i32>, ran: Duration },
    /// Its administrator stopped it.
    Stopped,
}

/// What a target needs in order to serve.
#[derive(Debug, Clone)]
pub(crate) enum Need {
    /// This one.
    One(Place),
    /// Any of these.
    Any(Vec<Place>),
}

/// Something that works on a target or a host until it is ended.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    /// The fault that it belongs to.
    pub(crate) fault: u32,
    /// What it is.
    pub(crate) effect: Arc<Effect>,
    /// Since when.
    pub(crate) since: Timestamp,
    /// Whether it makes a fault of what it works on.
    pub(crate) harms: bool,
}

impl Active {
    /// Whether a step of that kind ends it.
    pub(crate) fn ends_with(&self, step: StepKind) -> bool {
        let shipped = self.effect.primitive.ends_with();
        self.effect.ends_with.as_deref().unwrap_or(shipped).contains(&step)
    }
}

/// What measuring gives: the gauge at rest, changed by what works on it.
pub(crate) fn measure(gauge: &Gauge, active: &[Active], now: Timestamp, chance: f64) -> f64 {
    let (mut value, mut noise) = (gauge.rest, gauge.noise);
    for it in active {
        let Primitive::Metric(metric) = &it.effect.primitive else { continue };
        if metric.name == gauge.name {
            let hours = now.since(it.since).as_secs_f64() / 3600.0;
            value = metric.to.unwrap_or(value) + metric.by + metric.per_hour * hours;
            noise += metric.noise;
        }
    }
    value + noise * chance
}

/// One target as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: TargetName,
    pub(crate) role: Role,
    pub(crate) service: ProbeKind,
    pub(crate) needs: Vec<Need>,
    pub(crate) dependents: Vec<Place>,
    pub(crate) process: Process,
    /// Counts runs; names the instance.
    pub(crate) run: u32,
    pub(crate) instance: Instance,
    /// What works on it.
    pub(crate) active: Vec<Active>,
    /// The use of its directory before anything that fills it, in percent of the quota.
    pub(crate) directory: f64,
    /// The last time at which it was faulty; [`Timestamp::ZERO`] when it never was.
    pub(crate) last_faulty: Timestamp,
    /// What the agent has said last of each probe.
    pub(crate) said: [Option<(Status, u32)>; PROBES],
}

/// How many probes a target has.
pub(crate) const PROBES: usize = 4;

/// The probes of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Process,
    Service,
    Config,
    Directory,
}

impl Probe {
    pub(crate) const ALL: [Self; PROBES] = [Self::Process, Self::Service, Self::Config, Self::Directory];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Process => 0,
            Self::Service => 1,
            Self::Config => 2,
            Self::Directory => 3,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Service => "service",
            Self::Config => "config",
            Self::Directory => "spool",
        }
    }
}

/// The names of all probes, made once.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) [ProbeName; PROBES]);

pub(crate) fn instance(run: u32) -> Instance {
    Instance(Arc::from(format!("run-{run}")))
}

impl Target {
    pub(crate) fn new(name: TargetName, role: Role, service: ProbeKind, needs: Vec<Need>, now: Timestamp) -> Self {
        Self {
            name,
            role,
            service,
            needs,
            dependents: Vec::new(),
            process: Process::Running { since: now },
            run: 1,
            instance: instance(1),
            active: Vec::new(),
            directory: USUAL,
            last_faulty: Timestamp::ZERO,
            said: [None; PROBES],
        }
    }

    /// Whether it is broken by itself, whatever it depends on.
    pub(crate) fn is_faulty(&self) -> bool {
        let ended = match self.process {
            Process::Ended { .. } => true,
            Process::Running { .. } | Process::Stopped => false,
        };
        ended || self.active.iter().any(|it| it.harms)
    }

    fn works(&self, what: impl Fn(&Primitive) -> bool) -> bool {
        self.active.iter().any(|it| what(&it.effect.primitive))
    }

    /// Whether its process gives no answer, for whatever reason.
    pub(crate) fn hangs(&self) -> bool {
        self.works(|it| matches!(it, Primitive::Hang | Primitive::Lock(_)))
    }

    fn config_good(&self) -> bool {
        !self.works(|it| matches!(it, Primitive::Corrupt))
    }

    /// The time that it takes to answer.
    fn latency(&self) -> Duration {
        let slow = self.active.iter().filter_map(|it| {
            let Primitive::Slow(slow) = &it.effect.primitive else { return None };
            Some(slow.to.0)
        });
        slow.max().unwrap_or(LATENCY)
    }

    fn bad_answer(&self) -> Option<&Answer> {
        self.active.iter().find_map(|it| {
            let Primitive::Answer(answer) = &it.effect.primitive else { return None };
            Some(answer)
        })
    }

    /// Whether its process answers, and wrongly by itself.
    pub(crate) fn answers_wrongly(&self) -> bool {
        !self.hangs() && self.bad_answer().is_some()
    }

    /// Whether it could serve if everything that it needs does.
    pub(crate) fn is_able(&self) -> bool {
        let runs = matches!(self.process, Process::Running { .. });
        runs && (self.active.is_empty() || !self.hangs() && self.bad_answer().is_none() && self.latency() < TIMEOUT)
    }

    /// How its new runs end, and how soon, if they do.
    pub(crate) fn doom(&self) -> Option<(Duration, Option<i32>, Option<i32>)> {
        self.active.iter().find_map(|it| {
            let Primitive::End(End { again: Some(again), code, signal }) = &it.effect.primitive else { return None };
            Some((again.0, *code, *signal))
        })
    }

    /// Whether steps of that kind fail.
    pub(crate) fn jams(&self, step: StepKind) -> bool {
        self.works(|it| matches!(it, Primitive::Jam(jam) if jam.steps.contains(&step)))
    }

    /// The use of its directory, in percent of the quota.
    pub(crate) fn directory_use(&self, now: Timestamp) -> f64 {
        let filled = self.active.iter().filter_map(|it| {
            let Primitive::Fill(fill) = &it.effect.primitive else { return None };
            let to = f64::from(fill.to_percent);
            let hours = now.since(it.since).as_secs_f64() / 3600.0;
            Some(fill.per_hour.map_or(to, |rate| (self.directory + rate * hours).min(to)))
        });
        filled.fold(self.directory, f64::max)
    }

    /// Removes files until this much is in use, in percent. What goes on filling begins anew.
    pub(crate) fn clean(&mut self, until: f64, now: Timestamp) {
        self.directory = self.directory_use(now).min(until);
        let fills = self.active.iter_mut().filter(|it| matches!(it.effect.primitive, Primitive::Fill(_)));
        fills.for_each(|it| it.since = now);
    }

    /// What measuring a gauge of it gives.
    pub(crate) fn measure(&self, gauge: &Gauge, now: Timestamp, chance: f64) -> f64 {
        measure(gauge, &self.active, now, chance)
    }

    /// Begins a new run.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.run += 1;
        self.instance = instance(self.run);
        self.process = Process::Running { since: now };
    }

    /// Ends the run. A process that is gone neither hangs nor leaks; what a new run meets again stays.
    pub(crate) fn end(&mut self, now: Timestamp, code: Option<i32>, signal: Option<i32>) {
        if let Process::Running { since } = self.process {
            self.process = Process::Ended { code, signal, ran: now.since(since) };
        }
    }

    /// What a probe finds. `needs_served` tells whether everything that it needs serves.
    pub(crate) fn look(&self, probe: Probe, needs_served: bool, now: Timestamp) -> (Status, Finding) {
        match probe {
            Probe::Process => match self.process {
                Process::Running { .. } => {
                    (Status::Up, Finding::Running { instance: self.instance.clone(), pid: self.run })
                }
                Process::Ended { code, signal, ran } => {
                    let instance = self.instance.clone();
                    (Status::Down, Finding::Exited { instance, code, signal, ran: Some(ran) })
                }
                Process::Stopped => (Status::Down, Finding::StoppedOnPurpose),
            },
            Probe::Service => self.answer(needs_served),
            Probe::Config if self.config_good() => (Status::Up, Finding::FileAsKnown { sha256: GOOD }),
            Probe::Config => (Status::Down, Finding::FileChanged { sha256: Some(BAD), known_good: Some(GOOD) }),
            Probe::Directory => {
                let percent = self.directory_use(now);
                let status = if percent >= FULL { Status::Down } else { Status::Up };
                // Whole hundredths of a percent, so that nothing hangs on rounding.
                let hundredths = Duration::from_secs_f64(percent.max(0.0) * 100.0).as_secs();
                (status, Finding::DirectoryUse { used_bytes: QUOTA / 10_000 * hundredths, quota_bytes: QUOTA })
            }
        }
    }

    fn answer(&self, needs_served: bool) -> (Status, Finding) {
        match self.process {
            Process::Ended { .. } | Process::Stopped => {
                (Status::Down, Finding::Unreachable { why: "connection refused".to_owned() })
            }
            Process::Running { .. } if self.hangs() => (Status::Down, Finding::NoAnswer { waited: TIMEOUT }),
            Process::Running { .. } => {
                let latency = self.latency();
                if latency >= TIMEOUT {
                    return (Status::Down, Finding::NoAnswer { waited: TIMEOUT });
                }
                if let Some(answer) = self.bad_answer() {
                    return (Status::Down, Finding::BadAnswer { code: Some(answer.code), why: answer.why.clone() });
                }
                if !needs_served {
                    let why = "what it needs does not answer".to_owned();
                    return (Status::Down, Finding::BadAnswer { code: Some(502), why });
                }
                (Status::Up, Finding::Answered { latency })
            }
        }
    }

    /// What the agent says of a probe, looking at `now` and reading `at` on its clock. Notes that it was said.
    pub(crate) fn observe(
        &mut self,
        probe: Probe,
        needs_served: bool,
        now: Timestamp,
        at: Timestamp,
        names: &Names,
    ) -> Observation {
        let (status, finding) = self.look(probe, needs_served, now);
        self.said[probe.index()] = Some((status, self.run));
        let kind = match probe {
            Probe::Process => ProbeKind::Process,
            Probe::Service => self.service,
            Probe::Config => ProbeKind::File,
            Probe::Directory => ProbeKind::Directory,
        };
        let name = names.0[probe.index()].clone();
        Observation { target: self.name.clone(), probe: name, kind, at, status, finding }
    }
}
