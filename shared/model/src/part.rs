//! Declared parts: what of a target, besides its process, directories and files, a step may act on.
//!
//! Only the host's administrator declares them, with everything that decides what really happens: paths, programs,
//! bounds. A command names a part and says which of the few things it can do shall be done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::PartName;
use crate::step::{Risk, StepKind};

/// The kinds of part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A way to make the service read its configuration anew.
    Reload,
    /// A pool of connections that can be opened anew.
    Connections,
    /// A program that may be run.
    Program,
    /// A cache.
    Cache,
    /// A file with a validator or a source.
    Config,
    /// A rule that tells stray processes.
    Stray,
    /// Memory that the kernel can take back.
    Memory,
    /// A store of packages or images.
    Store,
    /// Releases, one of which a link names as the current one.
    Releases,
    /// A priority or weight of the service.
    Weight,
    /// A kernel parameter.
    Sysctl,
    /// The service's place in a load balancer.
    Balancer,
    /// Instances of a systemd template.
    Instances,
    /// A certificate.
    Certificate,
    /// A database server that follows another one.
    Standby,
    /// Paths that are backed up.
    Backup,
    /// The host as a whole.
    Machine,
}

impl PartKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::Reload,
        Self::Connections,
        Self::Program,
        Self::Cache,
        Self::Config,
        Self::Stray,
        Self::Memory,
        Self::Store,
        Self::Releases,
        Self::Weight,
        Self::Sysctl,
        Self::Balancer,
        Self::Instances,
        Self::Certificate,
        Self::Standby,
        Self::Backup,
        Self::Machine,
    ];

    /// The kind's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Connections => "connections",
            Self::Program => "program",
            Self::Cache => "cache",
            Self::Config => "config",
            Self::Stray => "stray",
            Self::Memory => "memory",
            Self::Store => "store",
            Self::Releases => "releases",
            Self::Weight => "weight",
            Self::Sysctl => "sysctl",
            Self::Balancer => "balancer",
            Self::Instances => "instances",
            Self::Certificate => "certificate",
            Self::Standby => "standby",
            Self::Backup => "backup",
            Self::Machine => "machine",
        }
    }
}

/// What is done with a part. Each is a kind of step of its own; see [`StepKind`] for what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// See [`StepKind::ReloadService`].
    ReloadService,
    /// See [`StepKind::ReinitConnections`].
    ReinitConnections,
    /// See [`StepKind::RunDeclared`].
    RunDeclared {
        /// The risk that the administrator declared for the program. A command that states less is refused.
        risk: Risk,
    },
    /// See [`StepKind::ClearCache`].
    ClearCache,
    /// See [`StepKind::OptimizeCache`].
    OptimizeCache {
        /// Stop when at most this share of the size bound is in use, in percent.
        until_percent: u8,
    },
    /// See [`StepKind::RebuildCache`].
    RebuildCache,
    /// See [`StepKind::WarmCache`].
    WarmCache,
    /// See [`StepKind::UpdateConfig`].
    UpdateConfig,
    /// See [`StepKind::ValidateConfig`].
    ValidateConfig,
    /// See [`StepKind::KillProcess`].
    KillProcess,
    /// See [`StepKind::FreeMemory`].
    FreeMemory,
    /// See [`StepKind::CollectGarbage`].
    CollectGarbage,
    /// See [`StepKind::OptimizeStore`].
    OptimizeStore,
    /// See [`StepKind::SwitchGeneration`].
    SwitchGeneration {
        /// The release that shall be the current one.
        to: PartName,
    },
    /// See [`StepKind::PruneGenerations`].
    PruneGenerations,
    /// See [`StepKind::SetWeight`].
    SetWeight {
        /// The value that it shall have.
        value: i64,
    },
    /// See [`StepKind::SetSysctl`].
    SetSysctl {
        /// The value that it shall have.
        value: i64,
    },
    /// See [`StepKind::DrainServer`].
    DrainServer,
    /// See [`StepKind::ReadyServer`].
    ReadyServer,
    /// See [`StepKind::SetServerWeight`].
    SetServerWeight {
        /// The weight that it shall have, 0 to 256.
        value: i64,
    },
    /// See [`StepKind::ScaleInstances`].
    ScaleInstances {
        /// How many instances shall run.
        value: i64,
    },
    /// See [`StepKind::RenewCertificate`].
    RenewCertificate,
    /// See [`StepKind::PromoteStandby`].
    PromoteStandby,
    /// See [`StepKind::MakeBackup`].
    MakeBackup,
    /// See [`StepKind::Lockdown`].
    Lockdown,
    /// See [`StepKind::EndLockdown`].
    EndLockdown,
    /// See [`StepKind::ShutDownHost`].
    ShutDownHost,
    /// See [`StepKind::RebootHost`].
    RebootHost,
}

impl Act {
    /// The kind of step that it is.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::ReloadService => StepKind::ReloadService,
            Self::ReinitConnections => StepKind::ReinitConnections,
            Self::RunDeclared { .. } => StepKind::RunDeclared,
            Self::ClearCache => StepKind::ClearCache,
            Self::OptimizeCache { .. } => StepKind::OptimizeCache,
            Self::RebuildCache => StepKind::RebuildCache,
            Self::WarmCache => StepKind::WarmCache,
            Self::UpdateConfig => StepKind::UpdateConfig,
            Self::ValidateConfig => StepKind::ValidateConfig,
            Self::KillProcess => StepKind::KillProcess,
            Self::FreeMemory => StepKind::FreeMemory,
            Self::CollectGarbage => StepKind::CollectGarbage,
            Self::OptimizeStore => StepKind::OptimizeStore,
            Self::SwitchGeneration { .. } => StepKind::SwitchGeneration,
            Self::PruneGenerations => StepKind::PruneGenerations,
            Self::SetWeight { .. } => StepKind::SetWeight,
            Self::SetSysctl { .. } => StepKind::SetSysctl,
            Self::DrainServer => StepKind::DrainServer,
            Self::ReadyServer => StepKind::ReadyServer,
            Self::SetServerWeight { .. } => StepKind::SetServerWeight,
            Self::ScaleInstances { .. } => StepKind::ScaleInstances,
            Self::RenewCertificate => StepKind::RenewCertificate,
            Self::PromoteStandby => StepKind::PromoteStandby,
            Self::MakeBackup => StepKind::MakeBackup,
            Self::Lockdown => StepKind::Lockdown,
            Self::EndLockdown => StepKind::EndLockdown,
            Self::ShutDownHost => StepKind::ShutDownHost,
            Self::RebootHost => StepKind::RebootHost,
        }
    }

    /// The value that is to be set, of those acts that set one.
    #[must_use]
    pub const fn value(&self) -> Option<i64> {
        match self {
            Self::SetWeight { value }
            | Self::SetSysctl { value }
            | Self::SetServerWeight { value }
            | Self::ScaleInstances { value } => Some(*value),
            Self::ReloadService
            | Self::ReinitConnections
            | Self::RunDeclared { .. }
            | Self::ClearCache
            | Self::OptimizeCache { .. }
            | Self::RebuildCache
            | Self::WarmCache
            | Self::UpdateConfig
            | Self::ValidateConfig
            | Self::KillProcess
            | Self::FreeMemory
            | Self::CollectGarbage
            | Self::OptimizeStore
            | Self::SwitchGeneration { .. }
            | Self::PruneGenerations
            | Self::DrainServer
            | Self::ReadyServer
            | Self::RenewCertificate
            | Self::PromoteStandby
            | Self::MakeBackup
            | Self::Lockdown
            | Self::EndLockdown
            | Self::ShutDownHost
            | Self::RebootHost => None,
        }
    }

    /// What it does with a part, in a few words: `switch_generation releases to v41`.
    #[must_use]
    pub fn text(&self, part: &PartName) -> String {
        let kind = self.kind().as_str();
        match (self, self.value()) {
            (Self::OptimizeCache { until_percent }, _) => format!("{kind} {part} until {until_percent} %"),
            (Self::SwitchGeneration { to }, _) => format!("{kind} {part} to {to}"),
            (_, Some(value)) => format!("{kind} {part} to {value}"),
            (_, None) => format!("{kind} {part}"),
        }
    }

    /// Whether it and `other`, done to the same part, undo each other.
    #[must_use]
    pub fn opposes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DrainServer, Self::ReadyServer)
            | (Self::ReadyServer, Self::DrainServer)
            | (Self::Lockdown, Self::EndLockdown)
            | (Self::EndLockdown, Self::Lockdown) => true,
            (Self::SwitchGeneration { to }, Self::SwitchGeneration { to: other }) => to != other,
            (one, other) => one.kind() == other.kind() && one.value() != other.value(),
        }
    }
}

/// A number that a part has, and within which bounds it may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is now; null when that is not known.
    pub now: Option<i64>,
    /// The least that it may be set to.
    pub least: i64,
    /// The most that it may be set to.
    pub most: i64,
    /// What the administrator thinks is better when the target needs relief; null when nothing was declared.
    pub goal: Option<i64>,
}

/// A declared part, as an agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its name, unique in its kind on the target.
    pub name: PartName,
    /// What it is.
    pub kind: PartKind,
    /// What it is about, for people: a path, an address, a unit.
    pub about: String,
    /// What can be done with it as it is declared: a cache without a rebuilding program cannot be rebuilt.
    pub acts: Vec<StepKind>,
    /// The risk that was declared for it; low where none was.
    pub risk: Risk,
    /// The longest time that one act may take.
    pub limit: Duration,
    /// The number that can be set, where there is one.
    pub setting: Option<Setting>,
    /// The current release; null when there is none, or for other kinds.
    pub current: Option<PartName>,
    /// The release before it that was known to be good; null when none is known.
    pub known_good: Option<PartName>,
    /// How many releases there are beyond those that shall be kept; null for other kinds.
    pub spare: Option<u32>,
    /// The program that undoes this one; null when nothing does.
    pub undo: Option<PartName>,
}

impl PartReport {
    /// Whether `kind` can be done with it.
    #[must_use]
    pub fn can(&self, kind: StepKind) -> bool {
        self.acts.contains(&kind)
    }
}
