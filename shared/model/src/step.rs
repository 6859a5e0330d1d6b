//! What an agent can do: a closed set of typed steps. No shell text is ever signed.
//!
//! [`StepKind`] is the one table of them: each kind with its risk, its effect, and what can be put back.

mod kind;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use kind::{StepKind, StepSpec};

use crate::observation::Sha256;
use crate::part::Act;
use crate::{PartName, TargetName};

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
    /// Do with a declared part what its kind can do.
    Use {
        /// The part, as the host's administrator named it.
        part: PartName,
        /// What is done with it.
        act: Act,
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
            Self::Use { act, .. } => act.kind(),
        }
    }

    /// The least risk that a command with this step must declare.
    #[must_use]
    pub fn risk(&self) -> Risk {
        let least = self.kind().spec().risk;
        match self {
            // The administrator knows what the program does; the ward compares what is stated with what is declared.
            Self::Use { act: Act::RunDeclared { risk }, .. } => least.max(*risk),
            Self::StartService
            | Self::StopService { .. }
            | Self::RestartService { .. }
            | Self::SignalProcess { .. }
            | Self::CleanDirectory { .. }
            | Self::RestoreFile { .. }
            | Self::Use { .. } => least,
        }
    }

    /// What may be done about this step when it is not known whether it happened.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.kind().spec().effect
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
