//! The steps, one file each: what an agent can do.
//!
//! By the time a step comes here it has been signed, permitted and noted; nothing is decided any more.

mod clean_directory;
mod restore_file;
mod service;

use std::time::Duration;

use prunella_model::step::{Step, TargetStep};
use prunella_model::{PartName, TargetName};

use crate::config::TargetConfig;
use crate::senses::Senses;
use crate::services::ServiceError;
use crate::snapshot::SnapshotError;

/// The longest grace that a step may ask for: a command must end while somebody still waits for its outcome.
const GRACE_MAX: Duration = Duration::from_secs(60);

/// Why a step was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The host's administrator has not named what it is about.
    #[error("agent.toml names no {what}")]
    NotNamed {
        /// What is missing.
        what: String,
    },
    /// The service manager failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The snapshot could not be put back.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory could not be cleaned.
    #[error("{directory} of {target} cannot be cleaned: {why}")]
    Clean {
        /// The target.
        target: TargetName,
        /// The directory.
        directory: PartName,
        /// What went wrong.
        why: String,
    },
    /// The work was lost: the agent is stopping.
    #[error("the work was broken off: the agent is stopping")]
    BrokenOff,
}

/// Carries steps out.
#[derive(Clone)]
pub struct Hands {
    senses: Senses,
}

impl Hands {
    /// Hands that act on what these senses watch.
    #[must_use]
    pub fn new(senses: &Senses) -> Self {
        Self { senses: senses.clone() }
    }

    /// Carries one step out, and says in a line what was done.
    ///
    /// It must not be dropped half way: what it began would go unreported.
    ///
    /// # Errors
    /// [`StepError`] when it was not done, or not to its end.
    pub async fn carry_out(&self, it: &TargetStep) -> Result<String, StepError> {
        let target = self.target(&it.target)?;
        let services = self.senses.services();
        match &it.step {
            Step::StartService => service::start(services, &target.name).await,
            Step::StopService { grace } => service::stop(services, &target.name, (*grace).min(GRACE_MAX)).await,
            Step::RestartService { grace } => service::restart(services, &target.name, (*grace).min(GRACE_MAX)).await,
            Step::SignalProcess { signal } => service::signal(services, &target.name, *signal).await,
            Step::CleanDirectory { directory, until_percent } => {
                let named = target.directory(directory).ok_or_else(|| not_named(&it.target, "directory", directory))?;
                clean_directory::clean(self.senses.snapshots(), target, named, *until_percent).await
            }
            Step::RestoreFile { file, snapshot } => {
                let named = target.file(file).ok_or_else(|| not_named(&it.target, "file", file))?;
                restore_file::restore(self.senses.snapshots(), target, named, *snapshot).await
            }
        }
    }

    fn target(&self, name: &TargetName) -> Result<&TargetConfig, StepError> {
        let missing = || StepError::NotNamed { what: format!("target {name}") };
        self.senses.config().target(name).ok_or_else(missing)
    }
}

fn not_named(target: &TargetName, kind: &str, part: &PartName) -> StepError {
    StepError::NotNamed { what: format!("{kind} {part} of target {target}") }
}

#[cfg(test)]
mod tests;
