//! What an agent can do: a closed set of typed steps. No shell text is ever signed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::Sha256;
use crate::{PartName, TargetName};

/// The kinds of step, for policies that permit by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// See [`Step::StartService`].
    StartService,
    /// See [`Step::StopService`].
    StopService,
    /// See [`Step::RestartService`].
    RestartService,
    /// See [`Step::SignalProcess`].
    SignalProcess,
    /// See [`Step::CleanDirectory`].
    CleanDirectory,
    /// See [`Step::RestoreFile`].
    RestoreFile,
}

impl StepKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::StartService,
        Self::StopService,
        Self::RestartService,
        Self::SignalProcess,
        Self::CleanDirectory,
        Self::RestoreFile,
    ];

    /// The kind's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartService => "start_service",
            Self::StopService => "stop_service",
            Self::RestartService => "restart_service",
            Self::SignalProcess => "signal_process",
            Self::CleanDirectory => "clean_directory",
            Self::RestoreFile => "restore_file",
        }
    }
}

/// Signals that a step may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Ask to reload (SIGHUP).
    Hangup,
    /// Ask to end (SIGTERM).
    Terminate,
    /// End at once (SIGKILL).
    Kill,
    /// Go on after a stop (SIGCONT).
    Continue,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

/// One thing that an agent does to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Start the service; nothing happens when it runs already.
    StartService,
    /// Stop the service; nothing happens when it does not run.
    StopService {
        /// How long it may take to end by itself before it is killed.
        grace: Duration,
    },
    /// End the run that the command's precondition names, if it still lives, and start a new one.
    RestartService {
        /// How long it may take to end by itself before it is killed; zero kills at once.
        grace: Duration,
    },
    /// Send a signal to the service's main process.
    SignalProcess {
        /// The signal.
        signal: Signal,
    },
    /// Remove files of a named directory that its age rule covers, oldest first, until it is small enough.
    CleanDirectory {
        /// The directory, as the host's administrator named it.
        directory: PartName,
        /// Stop when at most this share of the quota is in use, in percent.
        until_percent: u8,
    },
    /// Put a named file back to the content of a snapshot.
    RestoreFile {
        /// The file, as the host's administrator named it.
        file: PartName,
        /// The digest of the content to put back.
        snapshot: Sha256,
    },
}

impl Step {
    /// The kind of this step.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::StartService => StepKind::StartService,
            Self::StopService { .. } => StepKind::StopService,
            Self::RestartService { .. } => StepKind::RestartService,
            Self::SignalProcess { .. } => StepKind::SignalProcess,
            Self::CleanDirectory { .. } => StepKind::CleanDirectory,
            Self::RestoreFile { .. } => StepKind::RestoreFile,
        }
    }

    /// The least risk that a command with this step must declare.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        match self {
            Self::StartService => Risk::Low,
            Self::RestartService { .. } | Self::RestoreFile { .. } => Risk::Medium,
            Self::StopService { .. } | Self::SignalProcess { .. } | Self::CleanDirectory { .. } => Risk::High,
        }
    }

    /// What may be done about this step when it is not known whether it happened.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            // What it leads to can be looked at: running or not, small or not, the digest or another.
            Self::StartService | Self::StopService { .. } | Self::CleanDirectory { .. } | Self::RestoreFile { .. } => {
                Effect::Idempotent
            }
            Self::RestartService { .. } | Self::SignalProcess { .. } => Effect::AtMostOnce,
        }
    }
}

/// A step and the target that it is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStep {
    /// The target, on the host that the command addresses.
    pub target: TargetName,
    /// What is done.
    pub step: Step,
}

/// How much harm a command can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// It can only add a service that should be there.
    Low,
    /// It interrupts one service, or changes what a snapshot can put back.
    Medium,
    /// It takes a service away, or removes what cannot be put back.
    High,
    /// It can take the host away. Needs operators' signatures, whatever any policy says.
    Dangerous,
}

impl Risk {
    /// The risk's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Dangerous => "dangerous",
        }
    }
}

/// Whether a step may run again when nobody knows if it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A probe can tell whether it is done, and doing it again changes nothing.
    Idempotent,
    /// It must not happen twice: when in doubt the outcome is Unknown, and a person is told.
    AtMostOnce,
}
