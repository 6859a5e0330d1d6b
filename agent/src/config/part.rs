//! Declared parts, checked: what of a target, besides its process, directories and files, a step may act on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use prunella_model::PartName;
use prunella_model::part::{PartKind, PartReport, Setting};
use prunella_model::step::{Risk, Signal, StepKind};

use super::{HostPort, Url};

/// One declared part of a target.
#[derive(Debug, Clone)]
pub struct PartConfig {
    /// Its name, unique in its kind on the target.
    pub name: PartName,
    /// The longest time that one act may take.
    pub limit: Duration,
    /// What it is.
    pub what: What,
}

/// What a part is. The table of kinds: each is carried out by the file of its family in `parts`.
#[derive(Debug, Clone)]
pub enum What {
    /// A way to make the service read its configuration anew.
    Reload(Way),
    /// A way to make it open its connections anew.
    Connections(Way),
    /// A program that may be run.
    Program {
        /// The program.
        run: Program,
        /// What the administrator thinks of it.
        risk: Risk,
        /// The program part that undoes it.
        undo: Option<PartName>,
    },
    /// A cache.
    Cache(Cache),
    /// A file with a validator or a source.
    Config(ConfigFile),
    /// A rule that tells stray processes.
    Stray(Stray),
    /// Memory that the kernel can take back.
    Memory(Memory),
    /// A store of packages or images.
    Store {
        /// Removes what nothing refers to.
        collect: Option<Program>,
        /// Makes equal files one.
        optimize: Option<Program>,
    },
    /// Releases, one of which a link names as the current one.
    Releases(Releases),
    /// A priority or weight of the service.
    Weight {
        /// Which.
        knob: Knob,
        /// How far it may be turned.
        bounds: Bounds,
    },
    /// A kernel parameter: its file.
    Sysctl {
        /// The file, below `/proc/sys`.
        path: PathBuf,
        /// How far it may be turned.
        bounds: Bounds,
    },
    /// The service's place in a load balancer.
    Balancer {
        /// HAProxy's runtime socket.
        socket: PathBuf,
        /// `BACKEND/SERVER`, as HAProxy calls it.
        server: String,
        /// How far its weight may be turned.
        bounds: Bounds,
    },
    /// Instances of a systemd template.
    Instances {
        /// The template up to its `@`, such as `worker@`.
        template: String,
        /// The program that starts and stops units.
        systemctl: String,
        /// How many there may be.
        bounds: Bounds,
    },
    /// A certificate.
    Certificate {
        /// Its file.
        path: PathBuf,
        /// The tool that renews it.
        renew: Program,
    },
    /// A PostgreSQL server that follows another one.
    Standby {
        /// Its data directory, in which `standby.signal` lies for as long as it follows.
        data_dir: PathBuf,
        /// What promotes it.
        promote: Program,
    },
    /// Paths that are backed up.
    Backup(Backup),
    /// The host as a whole.
    Machine(Machine),
}

/// A program that may be run: no shell reads it, and nothing is added to its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Program and arguments.
    pub run: Vec<String>,
    /// The user that it runs as; none means the agent's own.
    pub user: Option<String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Its environment, besides `PATH`, `HOME`, `USER` and `LANG`.
    pub env: BTreeMap<String, String>,
}

/// A declared program, or a signal to the main process.
#[derive(Debug, Clone)]
pub enum Way {
    /// A program.
    Run(Program),
    /// A signal.
    Signal(Signal),
}

/// A cache.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Where it is.
    pub place: CachePlace,
    /// How many bytes it may use; none means that it cannot be optimised.
    pub bound: Option<u64>,
    /// Fills it anew.
    pub rebuild: Option<Program>,
    /// Requests that warm it up.
    pub warm: Vec<Url>,
}

/// Where a cache is.
#[derive(Debug, Clone)]
pub enum CachePlace {
    /// A directory.
    Directory(PathBuf),
    /// One database of a Redis server.
    Redis {
        /// The server.
        address: HostPort,
        /// The number of the database.
        database: u32,
        /// A file that holds the password.
        password_file: Option<PathBuf>,
    },
}

/// A file with a validator or a source.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// Must succeed for a content to be accepted; `{file}` in its words stands for the file that holds the content.
    pub validate: Option<Program>,
    /// The file that holds the newer content.
    pub source: Option<PathBuf>,
}

/// A rule that tells stray processes. All that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// It listens on this TCP port.
    pub port: Option<u16>,
    /// It runs this program.
    pub executable: Option<PathBuf>,
    /// It belongs to this user.
    pub user: Option<String>,
    /// It began at least so long ago.
    pub older_than: Duration,
    /// More matches than these are a mistake of the rule, and nothing is ended.
    pub most: usize,
    /// How long it may take to end by itself before it is killed.
    pub grace: Duration,
}

/// Memory that the kernel can take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// The host's clean caches.
    Host,
    /// That of one control group, at most so many bytes at once.
    Group {
        /// The group's directory.
        path: PathBuf,
        /// How much is asked for at once.
        bytes: u64,
    },
}

/// Releases, one of which a link names as the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// The link.
    pub link: PathBuf,
    /// The directory that holds the releases.
    pub dir: PathBuf,
    /// Only entries that begin and end like this are releases.
    pub affixes: (String, String),
    /// How many are kept when the others are removed.
    pub keep: usize,
    /// A release is known to be good when the target has been well with it for this long.
    pub known_good_after: Duration,
    /// Runs after a switch; when it fails the link goes back.
    pub activate: Option<Program>,
}

/// What tells how much of the machine a service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knob {
    /// The nice value of its processes, −20 to 19.
    Nice,
    /// The I/O priority of its processes in the best-effort class, 0 (first) to 7.
    Io,
    /// A number in a file of its control group, for example `cpu.weight`.
    Group(PathBuf),
}

/// How far something may be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
    /// What is better when the target needs relief.
    pub goal: Option<i64>,
}

/// Paths that are backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Where contents and lists are kept.
    pub to: PathBuf,
    /// How many backups are kept.
    pub keep: usize,
    /// More bytes than these are not backed up.
    pub most: u64,
}

/// The host as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The program that shuts down and restarts the host; none means that neither can be done.
    pub systemctl: Option<String>,
    /// The program that sets packet filters; none means that there is no lockdown.
    pub nft: Option<String>,
    /// TCP ports that stay open from outside in a lockdown.
    pub allow: Vec<u16>,
    /// TCP ports of the control plane, which stay open to the outside.
    pub control: Vec<u16>,
}

/// What is known of a part at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartState {
    pub(crate) now: Option<i64>,
    pub(crate) current: Option<PartName>,
    pub(crate) known_good: Option<PartName>,
    pub(crate) spare: Option<u32>,
}

impl What {
    /// The kind of part.
    #[must_use]
    pub const fn kind(&self) -> PartKind {
        match self {
            Self::Reload(_) => PartKind::Reload,
            Self::Connections(_) => PartKind::Connections,
            Self::Program { .. } => PartKind::Program,
            Self::Cache(_) => PartKind::Cache,
            Self::Config(_) => PartKind::Config,
            Self::Stray(_) => PartKind::Stray,
            Self::Memory(_) => PartKind::Memory,
            Self::Store { .. } => PartKind::Store,
            Self::Releases(_) => PartKind::Releases,
            Self::Weight { .. } => PartKind::Weight,
            Self::Sysctl { .. } => PartKind::Sysctl,
            Self::Balancer { .. } => PartKind::Balancer,
            Self::Instances { .. } => PartKind::Instances,
            Self::Certificate { .. } => PartKind::Certificate,
            Self::Standby { .. } => PartKind::Standby,
            Self::Backup(_) => PartKind::Backup,
            Self::Machine(_) => PartKind::Machine,
        }
    }

    /// Whether it is declared well enough for this kind of step.
    fn can(&self, step: StepKind) -> bool {
        match self {
            Self::Cache(cache) => match step {
                StepKind::OptimizeCache => cache.bound.is_some(),
                StepKind::RebuildCache => cache.rebuild.is_some(),
                StepKind::WarmCache => !cache.warm.is_empty(),
                _ => true,
            },
            Self::Config(file) => match step {
                StepKind::ValidateConfig => file.validate.is_some(),
                StepKind::UpdateConfig => file.source.is_some(),
                _ => true,
            },
            Self::Store { collect, optimize } => match step {
                StepKind::CollectGarbage => collect.is_some(),
                StepKind::OptimizeStore => optimize.is_some(),
                _ => true,
            },
            Self::Machine(machine) => match step {
                StepKind::Lockdown | StepKind::EndLockdown => machine.nft.is_some(),
                _ => machine.systemctl.is_some(),
            },
            Self::Reload(_)
            | Self::Connections(_)
            | Self::Program { .. }
            | Self::Stray(_)
            | Self::Memory(_)
            | Self::Releases(_)
            | Self::Weight { .. }
            | Self::Sysctl { .. }
            | Self::Balancer { .. }
            | Self::Instances { .. }
            | Self::Certificate { .. }
            | Self::Standby { .. }
            | Self::Backup(_) => true,
        }
    }

    /// What it is about, for people.
    #[must_use]
    pub fn about(&self) -> String {
        let path = |it: &PathBuf| it.display().to_string();
        match self {
            Self::Reload(Way::Run(program)) | Self::Connections(Way::Run(program)) => program.run.join(" "),
            Self::Reload(Way::Signal(signal)) | Self::Connections(Way::Signal(signal)) => format!("signal {signal:?}"),
            Self::Program { run, .. } => run.run.join(" "),
            Self::Cache(Cache { place: CachePlace::Directory(it), .. }) => path(it),
            Self::Cache(Cache { place: CachePlace::Redis { address, database, .. }, .. }) => {
                format!("redis://{address}/{database}")
            }
            Self::Config(file) => path(&file.path),
            Self::Stray(rule) => rule.to_string(),
            Self::Memory(Memory::Host) => "clean caches of the host".to_owned(),
            Self::Memory(Memory::Group { path: it, .. }) => path(it),
            Self::Store { collect, optimize } => {
                collect.as_ref().or(optimize.as_ref()).map_or_else(String::new, |it| it.run.join(" "))
            }
            Self::Releases(releases) => path(&releases.link),
            Self::Weight { knob: Knob::Nice, .. } => "nice value".to_owned(),
            Self::Weight { knob: Knob::Io, .. } => "I/O priority".to_owned(),
            Self::Weight { knob: Knob::Group(it), .. } | Self::Sysctl { path: it, .. } => path(it),
            Self::Balancer { socket, server, .. } => format!("{server} at {}", socket.display()),
            Self::Instances { template, .. } => format!("{template}N.service"),
            Self::Certificate { path: it, .. } | Self::Standby { data_dir: it, .. } => path(it),
            Self::Backup(backup) => backup.paths.iter().map(path).collect::<Vec<_>>().join(" "),
            Self::Machine(_) => "the host".to_owned(),
        }
    }

    /// How much of its bound a cache uses, in percent, is a number of it, though none that can be set.
    const fn used(&self) -> Option<Bounds> {
        match self {
            Self::Cache(Cache { bound: Some(_), .. }) => Some(Bounds { least: 0, most: 100, goal: None }),
            _ => None,
        }
    }

    const fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Weight { bounds, .. }
            | Self::Sysctl { bounds, .. }
            | Self::Balancer { bounds, .. }
            | Self::Instances { bounds, .. } => Some(*bounds),
            Self::Reload(_)
            | Self::Connections(_)
            | Self::Program { .. }
            | Self::Cache(_)
            | Self::Config(_)
            | Self::Stray(_)
            | Self::Memory(_)
            | Self::Store { .. }
            | Self::Releases(_)
            | Self::Certificate { .. }
            | Self::Standby { .. }
            | Self::Backup(_)
            | Self::Machine(_) => None,
        }
    }
}

impl PartConfig {
    /// What the server is told of it.
    pub(crate) fn report(&self, state: PartState) -> PartReport {
        let kind = self.what.kind();
        let mine = StepKind::ALL.iter().copied().filter(|it| it.spec().part == Some(kind));
        let (risk, undo) = match &self.what {
            What::Program { risk, undo, .. } => (*risk, undo.clone()),
            _ => (Risk::Low, None),
        };
        let setting = |it: Bounds| Setting { now: state.now, least: it.least, most: it.most, goal: it.goal };
        PartReport {
            name: self.name.clone(),
            kind,
            about: self.what.about(),
            acts: mine.filter(|it| self.what.can(*it)).collect(),
            risk,
            limit: self.limit,
            setting: self.what.bounds().or(self.what.used()).map(setting),
            current: state.current,
            known_good: state.known_good,
            spare: state.spare,
            undo,
        }
    }
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("processes")?;
        if let Some(port) = self.port {
            write!(f, " that listen on port {port}")?;
        }
        if let Some(executable) = &self.executable {
            write!(f, " of {}", executable.display())?;
        }
        if let Some(user) = &self.user {
            write!(f, " of user {user}")?;
        }
        if !self.older_than.is_zero() {
            write!(f, " older than {} s", self.older_than.as_secs())?;
        }
        Ok(())
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
