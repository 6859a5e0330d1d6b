//! What is really the case with a target. The engine never sees this; it only sees what probes say of it.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::{Finding, Instance, Observation, ProbeKind, Sha256, Status};
use prunella_model::{ProbeName, TargetName, Timestamp};

/// A target by the indexes of its host and of itself there.
pub(crate) type Place = (usize, usize);

/// The content that a target's configuration has while it is right.
pub(crate) const GOOD: Sha256 = Sha256([1; 32]);

/// The content that a corrupted configuration has.
pub(crate) const BAD: Sha256 = Sha256([2; 32]);

/// The quota of the directory of a target.
pub(crate) const QUOTA: u64 = 1_000_000;

/// The share of its quota, in percent, from which on a directory is a fault.
const FULL: u64 = 90;

/// What a target uses of memory when it has just started, in bytes.
const MEMORY: f64 = 100.0 * 1024.0 * 1024.0;

/// What a leak adds in an hour, in bytes.
const LEAK_PER_HOUR: f64 = 60.0 * 1024.0 * 1024.0;

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

/// The kinds of fault that are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    Killed,
    Crashed,
    Hung,
    ConfigCorrupted,
    DirectoryFull,
    MemoryLeak,
}

impl FaultKind {
    /// Its name in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::ConfigCorrupted => "config_corrupted",
            Self::DirectoryFull => "directory_full",
            Self::MemoryLeak => "memory_leak",
        }
    }
}

/// A fault that lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) since: Timestamp,
    pub(crate) detected: bool,
}

/// One target as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: TargetName,
    pub(crate) service: ProbeKind,
    pub(crate) needs: Vec<Need>,
    pub(crate) dependents: Vec<Place>,
    pub(crate) process: Process,
    /// Counts runs; names the instance.
    pub(crate) run: u32,
    pub(crate) instance: Instance,
    pub(crate) hung: bool,
    pub(crate) config_good: bool,
    /// The use of its directory, in percent of the quota.
    pub(crate) directory: u64,
    pub(crate) leaking: Option<Timestamp>,
    pub(crate) fault: Option<Fault>,
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
    pub(crate) fn new(name: TargetName, service: ProbeKind, needs: Vec<Need>, now: Timestamp) -> Self {
        Self {
            name,
            service,
            needs,
            dependents: Vec::new(),
            process: Process::Running { since: now },
            run: 1,
            instance: instance(1),
            hung: false,
            config_good: true,
            directory: 20,
            leaking: None,
            fault: None,
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
        ended || self.hung || !self.config_good || self.directory >= FULL || self.leaking.is_some()
    }

    /// Whether it could serve if everything that it needs does.
    pub(crate) fn is_able(&self) -> bool {
        matches!(self.process, Process::Running { .. }) && !self.hung
    }

    /// Begins a new run.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.run += 1;
        self.instance = instance(self.run);
        self.process = Process::Running { since: now };
        self.hung = false;
        self.leaking = None;
    }

    /// Ends the run.
    pub(crate) fn end(&mut self, now: Timestamp, code: Option<i32>, signal: Option<i32>) {
        if let Process::Running { since } = self.process {
            self.process = Process::Ended { code, signal, ran: now.since(since) };
            self.hung = false;
            self.leaking = None;
        }
    }

    /// What its process uses of memory, in bytes.
    pub(crate) fn memory(&self, now: Timestamp) -> f64 {
        let leaked = self.leaking.map_or(0.0, |since| now.since(since).as_secs_f64() / 3600.0 * LEAK_PER_HOUR);
        MEMORY + leaked
    }

    /// What a probe finds. `serves` tells whether everything that it needs serves.
    pub(crate) fn look(&self, probe: Probe, needs_served: bool) -> (Status, Finding) {
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
            Probe::Service => match self.process {
                Process::Ended { .. } | Process::Stopped => {
                    (Status::Down, Finding::Unreachable { why: "connection refused".to_owned() })
                }
                Process::Running { .. } if self.hung => {
                    (Status::Down, Finding::NoAnswer { waited: Duration::from_secs(1) })
                }
                Process::Running { .. } if !needs_served => {
                    let why = "what it needs does not answer".to_owned();
                    (Status::Down, Finding::BadAnswer { code: Some(502), why })
                }
                Process::Running { .. } => (Status::Up, Finding::Answered { latency: Duration::from_millis(3) }),
            },
            Probe::Config if self.config_good => (Status::Up, Finding::FileAsKnown { sha256: GOOD }),
            Probe::Config => (Status::Down, Finding::FileChanged { sha256: Some(BAD), known_good: Some(GOOD) }),
            Probe::Directory => {
                let status = if self.directory >= FULL { Status::Down } else { Status::Up };
                let used_bytes = QUOTA / 100 * self.directory;
                (status, Finding::DirectoryUse { used_bytes, quota_bytes: QUOTA })
            }
        }
    }

    /// What the agent says of a probe now. Notes that it was said.
    pub(crate) fn observe(&mut self, probe: Probe, needs_served: bool, at: Timestamp, names: &Names) -> Observation {
        let (status, finding) = self.look(probe, needs_served);
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
