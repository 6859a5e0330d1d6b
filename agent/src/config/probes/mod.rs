//! The probes of a target or of the host, as they are written and as they are meant: one file for each kind, and the table.

mod certificate;
mod cgroup;
mod clock;
mod container;
mod dns;
mod domain;
mod drift;
mod grpc;
mod guide;
mod haproxy;
mod http;
mod kernel;
mod log;
mod metrics;
mod mount;
mod own;
mod plugin;
mod postgres;
mod queue;
mod redis;
mod tcp;
mod url;

use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_model::{PartName, ProbeName};
use prunella_settings::Spanned;

use super::check::{Checked, Checker};
use super::keys::{Entries, Key, Keys, kind_of};
use super::{ManagerConfig, ProbeConfig};

pub use certificate::CertificateSubject;
pub use cgroup::CgroupSubject;
pub use clock::ClockSubject;
pub use container::ContainerSubject;
pub use dns::{DnsSubject, RecordType};
pub use domain::DomainSubject;
pub use drift::DriftSubject;
pub use grpc::GrpcSubject;
pub use guide::guide;
pub use haproxy::HaproxySubject;
pub use http::HttpSubject;
pub use kernel::KernelSubject;
pub use log::LogSubject;
pub use metrics::{MetricsSubject, Selected};
pub use mount::MountSubject;
pub use plugin::{PluginSubject, Verdict};
pub use postgres::{PostgresAddress, PostgresLogin, PostgresSubject};
pub use queue::{QueueSource, QueueSubject};
pub use redis::{RedisLogin, RedisSubject};
pub use tcp::{HostPort, TcpSubject};
pub use url::Url;

/// The shortest interval: below it the probes themselves would be the load.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// The longest interval: a day without a look is no watch.
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// Probes with a longer interval do not look at the same beat on every host.
const JITTER_FROM: Duration = Duration::from_secs(10);

/// What a probe looks at.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The host itself.
    Host,
    /// The main process of the target.
    Process,
    /// The unit of the target.
    Unit,
    /// An HTTP address.
    Http(HttpSubject),
    /// An address that must accept a connection.
    Tcp(TcpSubject),
    /// A file that lines are appended to.
    Log(LogSubject),
    /// A directory of the target.
    Directory(PartName),
    /// A file of the target.
    File(PartName),
    /// What a check program looks at.
    Plugin(PluginSubject),
    /// A gRPC server's own health service.
    Grpc(GrpcSubject),
    /// A PostgreSQL server.
    Postgres(PostgresSubject),
    /// A Redis server.
    Redis(RedisSubject),
    /// A TLS server's certificate.
    Certificate(CertificateSubject),
    /// A name that must resolve.
    Dns(DnsSubject),
    /// The servers of a backend of HAProxy.
    Haproxy(HaproxySubject),
    /// Who waits for whose file locks.
    Locks,
    /// The kernel's log.
    Kernel(KernelSubject),
    /// The end of a domain's registration.
    Domain(DomainSubject),
    /// The host's clock.
    Clock(ClockSubject),
    /// Files against a baseline.
    Drift(DriftSubject),
    /// Measurements that the target exposes.
    Metrics(MetricsSubject),
    /// A queue of jobs.
    Queue(QueueSubject),
    /// A container.
    Container(ContainerSubject),
    /// A control group.
    Cgroup(CgroupSubject),
    /// A file system.
    Mount(MountSubject),
}

impl Subject {
    /// Whether the helper looks, when it is a process of its own: at what others may not see, or what belongs to the
    /// hands. What is seen over the network is not for a process that has none.
    #[must_use]
    pub const fn needs_helper(&self) -> bool {
        match self {
            Self::Process
            | Self::Unit
            | Self::Log(_)
            | Self::Directory(_)
            | Self::File(_)
            | Self::Container(_)
            | Self::Haproxy(_)
            | Self::Cgroup(_)
            | Self::Mount(_)
            | Self::Drift(_)
            | Self::Kernel(_)
            | Self::Locks => true,
            Self::Host
            | Self::Http(_)
            | Self::Tcp(_)
            | Self::Grpc(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Certificate(_)
            | Self::Dns(_)
            | Self::Domain(_)
            | Self::Metrics(_)
            | Self::Clock(_) => false,
            // Only with the privilege can a program run as another user.
            Self::Plugin(it) => it.user.is_some(),
            Self::Queue(it) => matches!(it.source, QueueSource::Directory(_)),
        }
    }

    /// The kind of probe that looks at it.
    #[must_use]
    pub const fn kind(&self) -> ProbeKind {
        match self {
            Self::Host => ProbeKind::Host,
            Self::Process => ProbeKind::Process,
            Self::Unit => ProbeKind::Unit,
            Self::Http(_) => ProbeKind::Http,
            Self::Tcp(_) => ProbeKind::Tcp,
            Self::Log(_) => ProbeKind::Log,
            Self::Directory(_) => ProbeKind::Directory,
            Self::File(_) => ProbeKind::File,
            Self::Plugin(PluginSubject { service: true, .. }) => ProbeKind::ServicePlugin,
            Self::Plugin(PluginSubject { service: false, .. }) => ProbeKind::Plugin,
            Self::Grpc(_) => ProbeKind::Grpc,
            Self::Postgres(_) => ProbeKind::Postgres,
            Self::Redis(_) => ProbeKind::Redis,
            Self::Certificate(_) => ProbeKind::Certificate,
            Self::Dns(_) => ProbeKind::Dns,
            Self::Haproxy(_) => ProbeKind::Haproxy,
            Self::Locks => ProbeKind::Locks,
            Self::Kernel(_) => ProbeKind::Kernel,
            Self::Domain(_) => ProbeKind::Domain,
            Self::Clock(_) => ProbeKind::Clock,
            Self::Drift(_) => ProbeKind::Drift,
            Self::Metrics(_) => ProbeKind::Metrics,
            Self::Queue(_) => ProbeKind::Queue,
            Self::Container(_) => ProbeKind::Container,
            Self::Cgroup(_) => ProbeKind::Cgroup,
            Self::Mount(_) => ProbeKind::Mount,
        }
    }
}

/// Where a probe may stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// `[[target.probe]]`.
    Target,
    /// `[[host.probe]]`.
    Host,
    /// Both.
    Anywhere,
}

/// One kind of probe.
pub(crate) struct Row {
    pub(crate) kind: ProbeKind,
    /// What it looks at and how it judges, for a person.
    pub(crate) about: &'static str,
    pub(crate) stands: Stands,
    /// How often it looks when nothing else is said.
    pub(crate) interval: Duration,
    /// How long it waits when nothing else is said.
    pub(crate) timeout: Duration,
    /// Its own keys.
    pub(crate) keys: &'static [Key],
    /// The series that it measures, with what they are.
    pub(crate) series: &'static [(&'static str, &'static str)],
    /// Its keys in an example.
    pub(crate) example: &'static str,
    /// Reads its keys.
    pub(crate) check: fn(&Keys<'_>) -> Checked<Subject>,
}

/// Keys that every probe has.
pub(crate) static COMMON: [Key; 5] = [
    Key::needed("kind", "tcp", "what it looks at: one of the kinds below"),
    Key::maybe("name", "its kind", "its name, unique in its target"),
    Key::maybe("interval", "as said below", "how often it looks: 20ms to 1d"),
    Key::maybe("timeout", "as said below", "how long one look may take: 20ms to 1d"),
    Key::maybe(
        "jitter",
        "a tenth of an interval of 10s or more, otherwise none",
        "by how much the beat of each host is shifted, so that not all of them look at the same moment",
    ),
];

/// All kinds of probe that a `[[target.probe]]` or a `[[host.probe]]` may have.
pub(crate) static ROWS: [&Row; 23] = [
    &own::PROCESS,
    &own::UNIT,
    &http::ROW,
    &tcp::ROW,
    &grpc::ROW,
    &postgres::ROW,
    &redis::ROW,
    &plugin::PLUGIN,
    &plugin::SERVICE,
    &log::ROW,
    &certificate::ROW,
    &dns::ROW,
    &domain::ROW,
    &container::ROW,
    &cgroup::ROW,
    &mount::ROW,
    &drift::ROW,
    &haproxy::ROW,
    &queue::ROW,
    &metrics::ROW,
    &clock::ROW,
    &kernel::KERNEL,
    &kernel::LOCKS,
];

/// The row of a kind; none for those that stand elsewhere in the file.
pub(crate) fn row(kind: ProbeKind) -> Option<&'static Row> {
    ROWS.into_iter().find(|row| row.kind == kind)
}

impl Checker<'_> {
    pub(super) fn add_probe(
        &self,
        probes: &mut Vec<ProbeConfig>,
        table: &Spanned<Entries>,
        manager: &ManagerConfig,
        of_host: bool,
    ) -> Checked<()> {
        let (kind, kind_at) = kind_of(self, table)?;
        let Some(row) = row(kind) else {
            let what = match kind {
                ProbeKind::Directory => "a directory is probed by itself: write [[target.directory]]",
                ProbeKind::File => "a file is probed by itself: write [[target.file]]",
                _ => "the host is probed by itself; its interval is set in [host]",
            };
            return Err(self.source.at(kind_at, what));
        };
        match (row.stands, of_host) {
            (Stands::Target, true) => {
                return Err(self.source.at(kind_at, format!("a {} probe goes under a [[target]]", kind.as_str())));
            }
            (Stands::Host, false) => {
                let what = format!("a {} probe looks at the whole host: write [[host.probe]]", kind.as_str());
                return Err(self.source.at(kind_at, what));
            }
            (Stands::Target, false) | (Stands::Host, true) | (Stands::Anywhere, _) => {}
        }
        let keys = Keys { checker: self, row, kind_at: kind_at.clone(), entries: table.get_ref(), manager };
        keys.all_known()?;
        let subject = (row.check)(&keys)?;
        let interval = keys.span_within("interval", INTERVAL_MIN, INTERVAL_MAX)?.unwrap_or(row.interval);
        let timeout = keys.span_within("timeout", INTERVAL_MIN, INTERVAL_MAX)?.unwrap_or(row.timeout);
        let spread = if interval < JITTER_FROM { Duration::ZERO } else { interval / 10 };
        let jitter = keys.span_within("jitter", Duration::ZERO, interval)?.unwrap_or(spread);
        let (name, span) = match keys.text("name")? {
            Some(name) => (self.probe_name(name.get_ref(), name.span())?, name.span()),
            None => (ProbeName::of(kind.as_str()), kind_at),
        };
        self.insert(probes, ProbeConfig { name, interval, timeout, jitter, subject }, span)
    }
}
