//! What an agent saw.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{MetricName, ProbeName, TargetName, TargetRef, Timestamp};

/// What a probe looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Processor, memory, disks, load, pressure and network of the host.
    Host,
    /// The target's main process: alive or not, and what it uses.
    Process,
    /// An HTTP address that must answer with an expected status.
    Http,
    /// A TCP address that must accept a connection.
    Tcp,
    /// Lines of a log file that match a pattern.
    Log,
    /// A directory's size against its quota.
    Directory,
    /// A file's content against its known-good snapshot.
    File,
    /// A unit of the host's service manager.
    Unit,
    /// A check program of any kind, by the Nagios plugin convention; it looks at a part of the target.
    Plugin,
    /// The same for a program that asks the target for its service, as a user would.
    ServicePlugin,
    /// A gRPC server that must say that it serves.
    Grpc,
    /// A PostgreSQL server that must let in and answer a query.
    Postgres,
    /// A Redis server that must answer PING.
    Redis,
    /// A container of a Docker-compatible engine: running or not, and what its own health check says.
    Container,
    /// A TLS server's certificate: its end, its names and its chain.
    Certificate,
    /// A name that must resolve to expected answers at a given server.
    Dns,
    /// The host's clock against a time server.
    Clock,
    /// The end of a domain's registration, by RDAP.
    Domain,
    /// A file system: its space and its inodes.
    Mount,
    /// A control group: its memory, its kills for want of memory, and its throttling.
    Cgroup,
    /// What the kernel says of kills for want of memory and of failing hardware.
    Kernel,
    /// Files against a recorded baseline.
    Drift,
    /// The length of a queue of jobs.
    Queue,
    /// Measurements that the target itself exposes as text for Prometheus.
    Metrics,
    /// Who waits for whose file locks.
    Locks,
    /// The servers of a backend of HAProxy.
    Haproxy,
}

/// What a probe's verdict is evidence of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tells {
    /// Whether the target's process lives.
    Life,
    /// Whether the target does its service for those who need it.
    Service,
    /// How it stands with a part of the target, or with what it uses.
    Part,
}

impl ProbeKind {
    /// Every kind.
    pub const ALL: [Self; 26] = [
        Self::Host,
        Self::Process,
        Self::Http,
        Self::Tcp,
        Self::Log,
        Self::Directory,
        Self::File,
        Self::Unit,
        Self::Plugin,
        Self::ServicePlugin,
        Self::Grpc,
        Self::Postgres,
        Self::Redis,
        Self::Container,
        Self::Certificate,
        Self::Dns,
        Self::Clock,
        Self::Domain,
        Self::Mount,
        Self::Cgroup,
        Self::Kernel,
        Self::Drift,
        Self::Queue,
        Self::Metrics,
        Self::Locks,
        Self::Haproxy,
    ];

    /// The kind's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Process => "process",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Log => "log",
            Self::Directory => "directory",
            Self::File => "file",
            Self::Unit => "unit",
            Self::Plugin => "plugin",
            Self::ServicePlugin => "service_plugin",
            Self::Grpc => "grpc",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Container => "container",
            Self::Certificate => "certificate",
            Self::Dns => "dns",
            Self::Clock => "clock",
            Self::Domain => "domain",
            Self::Mount => "mount",
            Self::Cgroup => "cgroup",
            Self::Kernel => "kernel",
            Self::Drift => "drift",
            Self::Queue => "queue",
            Self::Metrics => "metrics",
            Self::Locks => "locks",
            Self::Haproxy => "haproxy",
        }
    }

    /// What its verdict is evidence of.
    #[must_use]
    pub const fn tells(self) -> Tells {
        match self {
            Self::Process | Self::Unit => Tells::Life,
            Self::Http
            | Self::Tcp
            | Self::ServicePlugin
            | Self::Grpc
            | Self::Postgres
            | Self::Redis
            | Self::Container => Tells::Service,
            Self::Host
            | Self::Log
            | Self::Directory
            | Self::File
            | Self::Plugin
            | Self::Certificate
            | Self::Dns
            | Self::Clock
            | Self::Domain
            | Self::Mount
            | Self::Cgroup
            | Self::Kernel
            | Self::Drift
            | Self::Queue
            | Self::Metrics
            | Self::Locks
            | Self::Haproxy => Tells::Part,
        }
    }

    /// Whether the probe asks the target for its service, as a user would.
    ///
    /// Such a probe also fails when something the target depends on is broken; the others see the target alone.
    #[must_use]
    pub const fn sees_through(self) -> bool {
        matches!(self.tells(), Tells::Service)
    }

    /// Whether its verdict says if the target works for those who need it.
    #[must_use]
    pub const fn speaks_for_users(self) -> bool {
        matches!(self.tells(), Tells::Life | Tells::Service)
    }
}

/// A probe's verdict on its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The target does what the probe expects.
    Up,
    /// The target does not.
    Down,
    /// The probe could not tell. This is evidence of nothing: neither of a fault nor of recovery.
    Unknown,
}

/// One run of a target's process, never the same for two runs.
///
/// Opaque: the agent makes it (from the process id and its start time, or a unit's invocation id).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub Arc<str>);

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A SHA-256 digest of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a check judges what it looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Not as it should be, or not for much longer; it still works.
    Warning,
    /// It does not work, or will not in a moment.
    Critical,
}

/// What exactly a probe found. It is the evidence under a [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Finding {
    /// The process runs.
    Running {
        /// Which run it is.
        instance: Instance,
        /// Its process id.
        pid: u32,
    },
    /// The process ended and nobody asked it to.
    Exited {
        /// Which run ended.
        instance: Instance,
        /// Its exit code, when it ended by itself and the agent was its parent.
        code: Option<i32>,
        /// The signal that ended it, when the agent was its parent.
        signal: Option<i32>,
        /// How long it had run; null when the agent did not see it start.
        ran: Option<Duration>,
    },
    /// There is no process, and the agent did not see one end.
    NotRunning,
    /// The process was stopped on purpose, by a command of this fleet or by the host's administrator.
    StoppedOnPurpose,
    /// The target answered as expected.
    Answered {
        /// From the first byte sent to the verdict.
        latency: Duration,
    },
    /// The target answered, but not as expected.
    BadAnswer {
        /// The HTTP status, where there is one.
        code: Option<u16>,
        /// What was wrong, in a few words.
        why: String,
    },
    /// The target did not answer in time.
    NoAnswer {
        /// How long the probe waited.
        waited: Duration,
    },
    /// The address could not be reached.
    Unreachable {
        /// The system's own words.
        why: String,
    },
    /// The file has the content of its known-good snapshot.
    FileAsKnown {
        /// The digest of the content.
        sha256: Sha256,
    },
    /// The file differs from its known-good snapshot, or there is no snapshot yet.
    FileChanged {
        /// The digest of the content; null when the file is missing.
        sha256: Option<Sha256>,
        /// The digest of the known-good snapshot; null before the first one.
        known_good: Option<Sha256>,
    },
    /// The directory's size.
    DirectoryUse {
        /// Bytes in use.
        used_bytes: u64,
        /// The quota, in bytes.
        quota_bytes: u64,
    },
    /// Lines of a log matched.
    LinesMatched {
        /// How many since the last observation.
        count: u64,
        /// The last of them, cut to 200 bytes.
        last: String,
    },
    /// The host answered its own questions.
    HostRead,
    /// A check came to a judgement of its own.
    Checked {
        /// How it judges.
        level: Level,
        /// What it says, in a line.
        text: String,
    },
    /// The probe itself is broken, which says nothing about the target.
    ProbeBroken {
        /// Why it cannot look.
        why: String,
    },
}

impl Finding {
    /// The name of the kind of finding, in expressions and output.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running { .. } => "running",
            Self::Exited { .. } => "exited",
            Self::NotRunning => "not_running",
            Self::StoppedOnPurpose => "stopped_on_purpose",
            Self::Answered { .. } => "answered",
            Self::BadAnswer { .. } => "bad_answer",
            Self::NoAnswer { .. } => "no_answer",
            Self::Unreachable { .. } => "unreachable",
            Self::FileAsKnown { .. } => "file_as_known",
            Self::FileChanged { .. } => "file_changed",
            Self::DirectoryUse { .. } => "directory_use",
            Self::LinesMatched { .. } => "lines_matched",
            Self::HostRead => "host_read",
            Self::Checked { .. } => "checked",
            Self::ProbeBroken { .. } => "probe_broken",
        }
    }

    /// Every name that [`Finding::as_str`] may give.
    pub const NAMES: [&'static str; 15] = [
        "running",
        "exited",
        "not_running",
        "stopped_on_purpose",
        "answered",
        "bad_answer",
        "no_answer",
        "unreachable",
        "file_as_known",
        "file_changed",
        "directory_use",
        "lines_matched",
        "host_read",
        "checked",
        "probe_broken",
    ];
}

/// What one probe saw of one target at one time. Sent when it changes, and at least once a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The target on the agent's host.
    pub target: TargetName,
    /// The probe.
    pub probe: ProbeName,
    /// What the probe looks at.
    pub kind: ProbeKind,
    /// When the probe looked, by the host's clock.
    pub at: Timestamp,
    /// The verdict.
    pub status: Status,
    /// The evidence.
    pub finding: Finding,
}

/// A series of measurements, named once for each stream; samples then carry only its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesName {
    /// The number, chosen by the agent, dense from 0, good for one stream.
    pub number: u32,
    /// The target that is measured.
    pub target: TargetName,
    /// The quantity; its last part is its unit (`_percent`, `_bytes`, `_seconds`, `_per_second`, or a count).
    pub metric: MetricName,
}

/// One measurement of one series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The number of a [`SeriesName`] of the same stream.
    pub series: u32,
    /// The value. Never NaN: what could not be read is not sent.
    pub value: f64,
}

/// One target was seen to wait for another, for example for a lock that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Who waits, on the agent's host.
    pub waiter: TargetName,
    /// Who holds what it waits for.
    pub on: TargetRef,
    /// What is waited for, in a few words.
    pub what: String,
}

/// What an agent saw at one time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Frame {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// Series that are named from here on.
    pub series: Vec<SeriesName>,
    /// Measurements; a series without one has not changed since the frame before.
    pub samples: Vec<Sample>,
    /// Verdicts that changed, or were asked for.
    pub observations: Vec<Observation>,
    /// Everything that the host's targets wait for at this time; null when nobody looked.
    #[serde(default)]
    pub waits: Option<Vec<Wait>>,
    /// Held back while the agent could not reach a server: history, not the present.
    pub late: bool,
}
