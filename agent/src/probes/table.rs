//! The table: every kind of probe, how it is made, and how it looks.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::{HostId, ProbeName, TargetName};
use tokio::sync::Semaphore;

use super::kit::measures::{SERIES_MAX, plain};
use super::kit::tls::Roots;
use super::{
    Probe, certificate, cgroup, clock, container, directory, dns, domain, drift, events, file, grpc, haproxy, host,
    http, kernel, locks, log, metrics, mount, plugin, postgres, process, queue, redis, series, tcp,
};
use crate::board::{Board, Look, Slot};
use crate::config::{
    AgentConfig, CgroupSubject, HaproxySubject, ProbeConfig, QueueSource, QueueSubject, Selected, Subject, TargetConfig,
};
use crate::senses::Part;
use crate::services::Services;
use crate::snapshot::Snapshots;

/// Every kind of probe and its state between looks.
pub(super) enum Kind {
    Host(host::Host),
    Process(process::Process),
    /// A unit is seen by its bus signals; there is nothing to look at between them.
    Unit,
    Http(http::Http),
    Tcp(tcp::Tcp),
    Log(log::Log),
    Directory(directory::Directory),
    File(file::File),
    Plugin(plugin::Plugin),
    Grpc(grpc::Grpc),
    Postgres(postgres::Postgres),
    Redis(redis::Redis),
    Certificate(certificate::Certificate),
    Dns(dns::Dns),
    Domain(domain::Domain),
    Container(container::Container),
    Cgroup(cgroup::Cgroup),
    Mount(mount::Mount),
    Drift(drift::Drift),
    Queue(queue::Queue),
    Metrics(metrics::Metrics),
    Clock(clock::Clock),
    Kernel(kernel::Kernel),
    Locks(locks::Locks),
    Haproxy(haproxy::Haproxy),
}

/// All probes of the host, before they begin.
pub(crate) struct Set {
    probes: Vec<Probe>,
    /// Where the service manager of each target says what it sees.
    pub(crate) process_slots: BTreeMap<TargetName, Slot>,
    /// Probes that look in the other half of the agent.
    pub(crate) foreign: Vec<(TargetName, ProbeName)>,
    /// What probes want to hear of between their looks.
    pub(crate) events: Vec<events::Wanted>,
}

/// What probes are made with.
struct Maker<'a> {
    config: &'a AgentConfig,
    board: &'a Board,
    snapshots: &'a Arc<Snapshots>,
    plugins: Arc<Semaphore>,
    roots: Arc<Roots>,
    kernel: Arc<kernel::KernelLog>,
}

impl Set {
    pub(crate) fn new(config: &AgentConfig, board: &Board, snapshots: &Arc<Snapshots>, part: &Part) -> Self {
        let mut set =
            Self { probes: Vec::new(), process_slots: BTreeMap::new(), foreign: Vec::new(), events: Vec::new() };
        let plugins = Arc::new(Semaphore::new(plugin::AT_ONCE));
        let maker = Maker { config, board, snapshots, plugins, roots: Arc::default(), kernel: Arc::default() };
        for probe in &config.host_probes {
            if !part.looks(&probe.subject) {
                set.foreign(&TargetName::host(), probe, board, part);
                continue;
            }
            set.events.extend(maker.events(&TargetName::host(), probe));
            set.probes.extend(maker.probe(&TargetName::host(), None, probe));
        }
        for target in &config.targets {
            for config in &target.probes {
                if !part.looks(&config.subject) {
                    set.foreign(&target.name, config, board, part);
                    continue;
                }
                set.events.extend(maker.events(&target.name, config));
                let Some(probe) = maker.probe(&target.name, Some(target), config) else { continue };
                if matches!(probe.kind, Kind::Process(_) | Kind::Unit) {
                    set.process_slots.insert(target.name.clone(), probe.slot);
                }
                set.probes.push(probe);
            }
        }
        set
    }

    /// Only the helper judges, so only there it matters what the other half's probes see.
    fn foreign(&mut self, target: &TargetName, probe: &ProbeConfig, board: &Board, part: &Part) {
        match part {
            Part::Whole | Part::Network => {}
            Part::Helper(_) => {
                board.add_foreign(target, &probe.name, probe.subject.kind());
                self.foreign.push((target.clone(), probe.name.clone()));
            }
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Probe> {
        std::mem::take(&mut self.probes)
    }
}

impl Maker<'_> {
    fn probe(&self, target: &TargetName, of: Option<&TargetConfig>, config: &ProbeConfig) -> Option<Probe> {
        let slot = self.board.add_probe(target, &config.name, config.subject.kind());
        let kind = self.kind(target, of, config)?;
        let shift = shift(&self.config.host, target, config);
        let (target, name, interval) = (target.clone(), config.name.clone(), config.interval);
        Some(Probe { target, name, looks_at: config.subject.kind(), interval, slot, shift, kind })
    }

    /// What a probe wants to hear of between its looks.
    fn events(&self, target: &TargetName, config: &ProbeConfig) -> Vec<events::Wanted> {
        let sources = match &config.subject {
            Subject::Host => ["cpu", "memory", "io"].map(events::Source::Pressure).to_vec(),
            Subject::Kernel(_) => vec![events::Source::Kernel(Arc::clone(&self.kernel))],
            Subject::Cgroup(subject) => match &subject.path {
                Some(path) if cgroup::unified(Path::new(cgroup::ROOT)) => {
                    vec![events::Source::Modified(Path::new(cgroup::ROOT).join(path).join("memory.events"))]
                }
                Some(_) | None => Vec::new(),
            },
            _ => Vec::new(),
        };
        let wanted = |source| events::Wanted { target: target.clone(), probe: config.name.clone(), source };
        sources.into_iter().map(wanted).collect()
    }

    fn kind(&self, target: &TargetName, of: Option<&TargetConfig>, config: &ProbeConfig) -> Option<Kind> {
        let board = self.board;
        let own_series = |metric: &str| series(board, target, &format!("{}.{metric}", config.name));
        Some(match &config.subject {
            Subject::Host => Kind::Host(host::Host::new(board)),
            Subject::Process => Kind::Process(process::Process::new(board, target)),
            Subject::Unit => Kind::Unit,
            Subject::Http(subject) => {
                let age = !subject.expect_headers.is_empty() || subject.expect_text.is_some();
                let age = if age { own_series("age_seconds") } else { None };
                Kind::Http(http::Http::new(subject, config.timeout, &self.roots, own_series("latency_seconds"), age))
            }
            Subject::Tcp(subject) => Kind::Tcp(tcp::Tcp::new(&subject.address, config.timeout)),
            Subject::Log(subject) => Kind::Log(log::Log::new(&subject.path, &subject.pattern)),
            Subject::Directory(part) => {
                let of = of?;
                let part = of.directory(part)?;
                let metric = match of.directories.len() {
                    1 => "directory.used_percent".to_owned(),
                    _ => format!("directory.{}.used_percent", part.name),
                };
                Kind::Directory(directory::Directory::new(part, series(board, target, &metric)))
            }
            Subject::File(part) => Kind::File(file::File::new(target, of?.file(part)?, self.snapshots)),
            Subject::Plugin(subject) => {
                self.board.reserve(SERIES_MAX);
                Kind::Plugin(plugin::Plugin::new(subject, config.timeout, target, &config.name, &self.plugins))
            }
            Subject::Grpc(subject) => {
                Kind::Grpc(grpc::Grpc::new(subject, config.timeout, &self.roots, own_series("latency_seconds")))
            }
            Subject::Postgres(subject) => {
                Kind::Postgres(postgres::Postgres::new(subject, config.timeout, own_series("latency_seconds")))
            }
            Subject::Redis(subject) => {
                let series = redis::AllSeries {
                    latency: own_series("latency_seconds"),
                    used: own_series("used_memory_bytes"),
                    used_percent: own_series("memory_used_percent"),
                    clients: own_series("clients"),
                    evicted: own_series("evicted_per_second"),
                };
                Kind::Redis(redis::Redis::new(subject, config.timeout, series))
            }
            Subject::Certificate(subject) => Kind::Certificate(certificate::Certificate::new(
                subject,
                config.timeout,
                &self.roots,
                own_series("days_left"),
            )),
            Subject::Dns(subject) => Kind::Dns(dns::Dns::new(subject, config.timeout, own_series("latency_seconds"))),
            Subject::Domain(subject) => {
                Kind::Domain(domain::Domain::new(subject, config.timeout, &self.roots, own_series("days_left")))
            }
            Subject::Container(subject) => {
                Kind::Container(container::Container::new(subject, config.timeout, own_series("restarts")))
            }
            Subject::Mount(subject) => {
                let label = plain(&subject.path.display().to_string());
                let share = |what: &str| series(board, target, &format!("{what}.{label}.used_percent"));
                Kind::Mount(mount::Mount::new(subject, config.timeout, share("disk"), share("inodes")))
            }
            Subject::Drift(subject) => {
                let own = self.config.state_dir.join("baselines").join(format!("{target}.{}", config.name));
                Kind::Drift(drift::Drift::new(subject, own, own_series("differences")))
            }
            Subject::Metrics(subject) => {
                let name = |it: &Selected| format!("{}{}", it.series, if it.rate { "_per_second" } else { "" });
                let all = subject.select.iter().map(|it| own_series(&name(it))).collect();
                Kind::Metrics(metrics::Metrics::new(subject, config.timeout, &self.roots, all))
            }
            Subject::Clock(subject) => {
                Kind::Clock(clock::Clock::new(subject, config.timeout, own_series("offset_seconds")))
            }
            Subject::Kernel(subject) => {
                Kind::Kernel(kernel::Kernel::new(subject, &self.kernel, own_series("complaints")))
            }
            Subject::Locks => {
                let targets = self.config.targets.iter().map(|it| it.name.clone()).collect();
                Kind::Locks(locks::Locks::new(&self.config.host, targets))
            }
            Subject::Cgroup(subject) => Kind::Cgroup(self.cgroup(target, subject)),
            Subject::Haproxy(subject) => Kind::Haproxy(self.haproxy(target, config, subject)),
            Subject::Queue(subject) => Kind::Queue(self.queue(target, config, subject)),
        })
    }
}

impl Maker<'_> {
    fn cgroup(&self, target: &TargetName, subject: &CgroupSubject) -> cgroup::Cgroup {
        let series = |metric: &str| series(self.board, target, &format!("cgroup.{metric}"));
        let all = cgroup::AllSeries {
            memory: series("memory_bytes"),
            memory_percent: series("memory_used_percent"),
            throttled: series("throttled_percent"),
            processes: series("processes_used_percent"),
            kills: series("oom_kills"),
        };
        cgroup::Cgroup::new(Path::new(cgroup::ROOT), subject, all)
    }

    fn haproxy(&self, target: &TargetName, config: &ProbeConfig, subject: &HaproxySubject) -> haproxy::Haproxy {
        let series = |metric: &str| series(self.board, target, &format!("{}.{metric}", config.name));
        let all = haproxy::AllSeries {
            healthy: series("servers_healthy"),
            down: series("servers_down"),
            away: series("servers_away"),
            queue: series("queue"),
            sessions: series("sessions"),
        };
        haproxy::Haproxy::new(subject, config.timeout, all)
    }

    fn queue(&self, target: &TargetName, config: &ProbeConfig, subject: &QueueSubject) -> queue::Queue {
        let series = |metric: &str| match config.name.as_str() {
            "queue" => series(self.board, target, &format!("queue.{metric}")),
            name => series(self.board, target, &format!("queue.{name}.{metric}")),
        };
        let oldest = match subject.source {
            QueueSource::Directory(_) => series("oldest_seconds"),
            QueueSource::Redis(..) | QueueSource::Postgres(..) => None,
        };
        let used = subject.limit.and_then(|_| series("used_percent"));
        queue::Queue::new(subject, config.timeout, [series("length"), oldest, used])
    }
}

/// By how much a probe's beat is shifted: always the same on one host, another on each.
fn shift(host: &HostId, target: &TargetName, config: &ProbeConfig) -> Duration {
    // Without a seed of its own this hasher gives the same figures in each run of one build; nothing more is needed here.
    let mut hasher = DefaultHasher::new();
    (host.as_str(), target.as_str(), config.name.as_str()).hash(&mut hasher);
    let most = u64::try_from(config.jitter.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(hasher.finish().checked_rem(most).unwrap_or(0))
}

impl Kind {
    /// One look; none when there is nothing to say. Dropping it half way does no harm.
    pub(super) async fn look(&mut self, target: &TargetName, board: &Board, services: &Services) -> Option<Look> {
        match self {
            Self::Host(it) => Some(it.look(board)),
            Self::Process(it) => it.look(target, board, services),
            Self::Unit => services.seen(target),
            Self::Http(it) => Some(it.look(board).await),
            Self::Tcp(it) => Some(it.look().await),
            Self::Log(it) => Some(it.look().await),
            Self::Directory(it) => Some(it.look(board).await),
            Self::File(it) => Some(it.look().await),
            Self::Plugin(it) => Some(it.look(board).await),
            Self::Grpc(it) => Some(it.look(board).await),
            Self::Postgres(it) => Some(it.look(board).await),
            Self::Redis(it) => Some(it.look(board).await),
            Self::Certificate(it) => Some(it.look(board).await),
            Self::Dns(it) => Some(it.look(board).await),
            Self::Domain(it) => Some(it.look(board).await),
            Self::Container(it) => Some(it.look(board).await),
            Self::Cgroup(it) => it.look(target, board, services),
            Self::Mount(it) => Some(it.look(board).await),
            Self::Drift(it) => Some(it.look(board).await),
            Self::Queue(it) => Some(it.look(board).await),
            Self::Metrics(it) => Some(it.look(board).await),
            Self::Clock(it) => Some(it.look(board).await),
            Self::Kernel(it) => Some(it.look(board)),
            Self::Locks(it) => Some(it.look(board, services)),
            Self::Haproxy(it) => Some(it.look(board).await),
        }
    }
}
