//! `agent.toml`: what exists on this host, and what may ever be done to it. Only its administrator writes it.
//!
//! The file is read strictly and checked whole before anything starts; every error names line and column.

mod check;
mod check_parts;
mod file;
mod file_parts;
pub(crate) mod keys;
pub(crate) mod part;
pub(crate) mod probes;
pub mod reference;
mod size;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::GlobSet;
use prunella_model::host::{Dependency, DirectoryReport, FileReport, IntervalRange, Permit, ProbeReport, TargetReport};
use prunella_model::observation::Sha256;
use prunella_model::part::{PartKind, PartReport};
use prunella_model::{HostId, PartName, ProbeName, ServiceName, TargetName};
use prunella_settings::{Located, Source, environment};

pub use part::PartConfig;
pub(crate) use part::PartState;

pub use probes::{
    CertificateSubject, CgroupSubject, ClockSubject, ContainerSubject, DnsSubject, DomainSubject, DriftSubject,
    GrpcSubject, HaproxySubject, HostPort, HttpSubject, KernelSubject, LogSubject, MetricsSubject, MountSubject,
    PluginSubject, PostgresAddress, PostgresLogin, PostgresSubject, QueueSource, QueueSubject, RecordType, RedisLogin,
    RedisSubject, Selected, Subject, TcpSubject, Url, Verdict, guide,
};

/// Why `agent.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}; write one, or name another with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] Located),
}

/// The whole of `agent.toml`, checked; every path is absolute or relative to the current directory.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The name of this host in the fleet.
    pub host: HostId,
    /// The socket of the privileged helper; none when one process is the whole agent.
    pub helper: Option<PathBuf>,
    /// Where the agent keeps its key, ledger, spool, snapshots and what it knows of running services.
    pub state_dir: PathBuf,
    /// Control addresses of servers (`host:port`), for enrolling and renewing.
    pub control: Vec<String>,
    /// Addresses for agents' streams (`host:port`); empty means: those that enrolment names.
    pub agents: Vec<String>,
    /// How often a snapshot of each declared file is taken; none means never.
    pub snapshot_every: Option<Duration>,
    /// Free labels of the host.
    pub labels: BTreeMap<String, String>,
    /// Limits that hold for the whole host.
    pub limits: HostLimits,
    /// How the host itself is probed: its own probe first, then those of the file.
    pub host_probes: Vec<ProbeConfig>,
    /// Parts of the host itself that steps may act on.
    pub host_parts: Vec<PartConfig>,
    /// What may be done to the host itself.
    pub host_permits: Vec<Permit>,
    /// The targets, without the one that stands for the host itself.
    pub targets: Vec<TargetConfig>,
}

/// Limits that hold for the whole host, whatever the fleet's policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLimits {
    /// Commands with an effect in any hour.
    pub repairs_per_hour: u32,
    /// Observe and report, refuse every command.
    pub observe_only: bool,
    /// While this file exists the agent refuses every command; it is looked at before each step.
    pub pause_file: PathBuf,
    /// Within which bounds the fleet's policy may say how often probes look; none when it may not.
    pub intervals: Option<IntervalRange>,
}

/// One target.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// Its name, unique on the host; never `host`.
    pub name: TargetName,
    /// The service that it is a member of.
    pub service: Option<ServiceName>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What it needs in order to work.
    pub depends_on: Vec<Dependency>,
    /// Whether its loss is a critical matter.
    pub critical: bool,
    /// What starts and stops it.
    pub manager: ManagerConfig,
    /// Its probes: those of the file, then one for its process or unit, its directories and its files.
    pub probes: Vec<ProbeConfig>,
    /// Directories that may be cleaned.
    pub directories: Vec<DirectoryConfig>,
    /// Files that may be put back.
    pub files: Vec<FileConfig>,
    /// Whatever else of it steps may act on.
    pub parts: Vec<PartConfig>,
    /// What may be done to it.
    pub permits: Vec<Permit>,
}

/// What starts and stops a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagerConfig {
    /// Nothing here: the target is only watched.
    None,
    /// The agent itself, as the parent of the target's process.
    Command(CommandConfig),
    /// systemd.
    Systemd {
        /// The unit, for example `nginx.service`.
        unit: String,
    },
}

/// A target whose process the agent starts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// Program and arguments; no shell reads them.
    pub start: Vec<String>,
    /// A program that asks the service to end; none means SIGTERM.
    pub stop: Option<Vec<String>>,
    /// A file in which the service itself writes the id of its main process; for services that detach.
    pub pid_file: Option<PathBuf>,
    /// Where it runs; none means the directory of `agent.toml`.
    pub working_dir: PathBuf,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// Where its output goes, appended, and moved aside when it grows large; none means nowhere.
    pub output: Option<PathBuf>,
    /// Start it when the agent starts and no earlier run of it is known in this boot.
    pub start_with_agent: bool,
    /// Stop it when the agent stops in good order.
    pub stop_with_agent: bool,
}

/// One probe.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// Its name, unique in the target. The probe of a directory or a file bears its part's name.
    pub name: ProbeName,
    /// How often it looks.
    pub interval: Duration,
    /// How long it waits for an answer.
    pub timeout: Duration,
    /// By at most how much its beat is shifted on this host.
    pub jitter: Duration,
    /// What it looks at.
    pub subject: Subject,
}

/// A directory of a target that may be cleaned.
#[derive(Debug, Clone)]
pub struct DirectoryConfig {
    /// Its name.
    pub name: PartName,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it may use.
    pub quota_bytes: u64,
    /// Only files that have not been written for this long may be removed.
    pub older_than: Duration,
    /// Only files whose name relative to the directory matches may be removed.
    pub matching: GlobSet,
}

/// A file of a target that may be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// Its name.
    pub name: PartName,
    /// Where it is.
    pub path: PathBuf,
    /// Its content is known to be good when every probe of the target has been Up for this long with it.
    pub known_good_after: Duration,
}

impl AgentConfig {
    /// Reads and checks the file at `path`, with what the environment says over it.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read, or at the first place where it is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let kernel_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = path.display().to_string();
        let variables = std::env::vars_os();
        let texts = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Self::read(&name, &text, path.parent().unwrap_or(Path::new("")), kernel_name.trim(), texts)?)
    }

    /// The same as [`AgentConfig::parse`] with the variables over it that begin with [`reference::PREFIX`].
    ///
    /// # Errors
    /// [`Located`] at the first place where it is wrong; its file is the variable when one is.
    pub fn read(
        name: &str,
        text: &str,
        dir: &Path,
        kernel_name: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Located> {
        let merged = environment::merge(text, &reference::keys(), reference::PREFIX, variables)?;
        let source = Source::merged(name, text, &merged);
        check::Checker { source, dir, kernel_name }.config(source.read()?)
    }

    /// Checks a text as if it were the file `name` in the directory `dir` of a host that the kernel calls `kernel_name`.
    ///
    /// # Errors
    /// [`Located`] at the first place where it is wrong.
    pub fn parse(name: &str, text: &str, dir: &Path, kernel_name: &str) -> Result<Self, Located> {
        let source = Source::new(name, text);
        check::Checker { source, dir, kernel_name }.config(source.read()?)
    }

    /// The target `name`, if the file has it.
    #[must_use]
    pub fn target(&self, name: &TargetName) -> Option<&TargetConfig> {
        self.targets.iter().find(|it| it.name == *name)
    }

    /// Everything that the agent tells of its targets, the host itself first. `known_good` says the digest of a
    /// file's known-good snapshot, `part` what is known of a part.
    pub(crate) fn reports(
        &self,
        known_good: impl Fn(&TargetName, &PartName) -> Option<Sha256>,
        part: impl Fn(&TargetName, PartKind, &PartName) -> PartState,
    ) -> Vec<TargetReport> {
        let host = TargetReport {
            name: TargetName::host(),
            service: None,
            labels: self.labels.clone(),
            depends_on: Vec::new(),
            critical: true,
            probes: self.host_probes.iter().map(ProbeConfig::report).collect(),
            permits: self.host_permits.clone(),
            directories: Vec::new(),
            files: Vec::new(),
            parts: reports_of(&self.host_parts, &TargetName::host(), &part),
        };
        std::iter::once(host).chain(self.targets.iter().map(|it| it.report(&known_good, &part))).collect()
    }

    /// The parts of a target, of the host itself too.
    pub(crate) fn parts(&self, target: &TargetName) -> &[PartConfig] {
        match self.target(target) {
            Some(target) => &target.parts,
            None if target.is_host() => &self.host_parts,
            None => &[],
        }
    }

    /// The part of that kind and name, if the target has it.
    pub(crate) fn part(&self, target: &TargetName, kind: PartKind, name: &PartName) -> Option<&PartConfig> {
        self.parts(target).iter().find(|it| it.what.kind() == kind && it.name == *name)
    }
}

impl TargetConfig {
    /// The directory `name` of this target, if it has it.
    #[must_use]
    pub fn directory(&self, name: &PartName) -> Option<&DirectoryConfig> {
        self.directories.iter().find(|it| it.name == *name)
    }

    /// The file `name` of this target, if it has it.
    #[must_use]
    pub fn file(&self, name: &PartName) -> Option<&FileConfig> {
        self.files.iter().find(|it| it.name == *name)
    }

    fn report(
        &self,
        known_good: &impl Fn(&TargetName, &PartName) -> Option<Sha256>,
        part: &impl Fn(&TargetName, PartKind, &PartName) -> PartState,
    ) -> TargetReport {
        TargetReport {
            name: self.name.clone(),
            service: self.service.clone(),
            labels: self.labels.clone(),
            depends_on: self.depends_on.clone(),
            critical: self.critical,
            probes: self.probes.iter().map(ProbeConfig::report).collect(),
            permits: self.permits.clone(),
            directories: self
                .directories
                .iter()
                .map(|it| DirectoryReport {
                    name: it.name.clone(),
                    path: it.path.display().to_string(),
                    quota_bytes: it.quota_bytes,
                })
                .collect(),
            files: self
                .files
                .iter()
                .map(|it| FileReport {
                    name: it.name.clone(),
                    path: it.path.display().to_string(),
                    known_good: known_good(&self.name, &it.name),
                })
                .collect(),
            parts: reports_of(&self.parts, &self.name, part),
        }
    }
}

fn reports_of(
    parts: &[PartConfig],
    target: &TargetName,
    state: &impl Fn(&TargetName, PartKind, &PartName) -> PartState,
) -> Vec<PartReport> {
    parts.iter().map(|it| it.report(state(target, it.what.kind(), &it.name))).collect()
}

impl ProbeConfig {
    fn report(&self) -> ProbeReport {
        ProbeReport {
            name: self.name.clone(),
            kind: self.subject.kind(),
            interval: self.interval,
            timeout: self.timeout,
        }
    }
}

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod tests;
