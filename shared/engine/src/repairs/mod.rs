//! What can be done about a cause: one file for each repair, and the table of them.

mod clean_directory;
pub(crate) use clean_directory::ROOMY_PERCENT;
mod repair_config;
mod restart_service;

use std::time::Duration;

use prunella_model::incident::Diagnosis;
use prunella_model::step::Step;

use crate::cause::Cause;
use crate::target::Target;

/// What can be done about a repair that made things worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    /// It puts back what was there before.
    Restores(&'static str),
    /// Nothing can be put back.
    Irreversible(&'static str),
}

impl Undo {
    /// What is put back, or why nothing can be.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Restores(what) | Self::Irreversible(what) => what,
        }
    }
}

/// What a repair may look at to make its steps.
pub(crate) struct Patient<'a> {
    /// The target.
    pub(crate) target: &'a Target,
    /// What is wrong with it.
    pub(crate) diagnosis: &'a Diagnosis,
}

/// What a repair costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// How long it takes until its effect is verified, before anything is known from experience.
    pub(crate) takes: Duration,
    /// How much service it takes away, as a time of full loss.
    pub(crate) harm: Duration,
}

/// One repair.
pub(crate) trait Repair: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it does, for people.
    fn about(&self) -> &'static str;
    /// The causes that it treats, each with the chance that it helps before anything is known from experience.
    fn treats(&self) -> &'static [(Cause, f64)];
    /// What can be done when it made things worse.
    fn undo(&self) -> Undo;
    /// How its effect is verified.
    fn verify(&self) -> &'static str;
    /// What it costs this patient.
    fn cost(&self, patient: &Patient<'_>) -> Cost;
    /// Its steps for this patient.
    ///
    /// # Errors
    /// Why it cannot be done here, for a person.
    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String>;
    /// The steps that would put back what [`Repair::steps`] changes; null when nothing can be.
    fn undo_steps(&self, _patient: &Patient<'_>) -> Option<Vec<Step>> {
        None
    }
}

/// All repairs. Their order is that of the ladder where nothing else decides: gentlest first.
pub(crate) static REPAIRS: [&dyn Repair; 3] =
    [&restart_service::RestartService, &repair_config::RepairConfig, &clean_directory::CleanDirectory];

/// The repair of that name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn Repair> {
    REPAIRS.iter().find(|repair| repair.name() == name).copied()
}
