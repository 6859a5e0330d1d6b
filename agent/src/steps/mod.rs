//! The steps, one file each: what an agent can do.
//!
//! By the time a step comes here it has been signed, permitted and noted; nothing is decided any more. What acts on a
//! declared part is carried out by [`parts`](crate::parts).

mod clean_directory;
mod restore_file;
mod service;

use std::time::Duration;

use prunella_model::step::{Step, TargetStep};
use prunella_model::{PartName, TargetName};

use crate::config::TargetConfig;
use crate::parts::Mode;
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
    /// The declared part could not be acted on, or not to the end.
    #[error("{act} on {target}: {why}")]
    Part {
        /// The target.
        target: TargetName,
        /// What was to be done with which part.
        act: String,
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
        self.step(it, Mode::Act).await
    }

    /// Says in a line what carrying a step out would do now: which files, bytes, processes. Nothing is done.
    ///
    /// # Errors
    /// [`StepError`] when it could not be done as things are.
    pub async fn rehearse(&self, it: &TargetStep) -> Result<String, StepError> {
        self.step(it, Mode::Rehearse).await
    }

    async fn step(&self, it: &TargetStep, mode: Mode) -> Result<String, StepError> {
        if let Step::Use { part, act } = &it.step {
            let done = self.senses.parts().carry_out(&it.target, part, act, mode).await;
            return done.map_err(|why| StepError::Part { target: it.target.clone(), act: act.text(part), why });
        }
        let target = self.target(&it.target)?;
        let (services, name) = (self.senses.services(), &target.name);
        let acts = mode == Mode::Act;
        match &it.step {
            Step::StartService if acts => service::start(services, name).await,
            Step::StopService { grace } if acts => service::stop(services, name, (*grace).min(GRACE_MAX)).await,
            Step::RestartService { grace } if acts => service::restart(services, name, (*grace).min(GRACE_MAX)).await,
            Step::SignalProcess { signal } if acts => service::signal(services, name, *signal).await,
            Step::StartService
            | Step::StopService { .. }
            | Step::RestartService { .. }
            | Step::SignalProcess { .. } => service::rehearse(services, target, &it.step),
            Step::CleanDirectory { directory, until_percent } => {
                let named = target.directory(directory).ok_or_else(|| not_named(&it.target, "directory", directory))?;
                clean_directory::clean(self.senses.snapshots(), target, named, *until_percent, mode).await
            }
            Step::RestoreFile { file, snapshot } => {
                let named = target.file(file).ok_or_else(|| not_named(&it.target, "file", file))?;
                restore_file::restore(self.senses.snapshots(), target, named, *snapshot, mode).await
            }
            Step::Use { part, .. } => Err(not_named(&it.target, "part", part)),
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
mod conformance;
#[cfg(test)]
mod tests;
