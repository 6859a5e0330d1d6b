//! What can be done about a cause: one file for each repair, and the table of them.

mod clean_directory;
pub(crate) use clean_directory::ROOMY_PERCENT;
mod caches;
mod capacity;
mod configs;
mod generations;
mod host_wide;
mod processes;
mod repair_config;
mod resources;
pub(crate) use resources::is_group;
mod restart_service;
mod uses_part;
pub(crate) use uses_part::goal;

use std::time::Duration;

use prunella_model::PartName;
use prunella_model::incident::{Diagnosis, Fault};
use prunella_model::observation::Sha256;
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
    /// The fault that shows it.
    pub(crate) fault: &'a Fault,
    /// The content that a person wants a file put back to.
    pub(crate) restore: Option<&'a (PartName, Sha256)>,
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
    /// Whether it is any use here at all. One that is not is not even mentioned, unless somebody asks for it.
    fn fits(&self, _patient: &Patient<'_>) -> bool {
        true
    }
    /// Whether it takes nothing away, so that a person may ask for it on a target that is well.
    fn gentle(&self) -> bool {
        false
    }
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

/// Whether a fault is about memory.
fn about_memory(patient: &Patient<'_>) -> bool {
    let fault = patient.fault;
    fault.rule.as_str().starts_with("memory") || fault.summary.starts_with("memory.")
}

/// Whether a fault is about the space of a disk.
fn about_disk(patient: &Patient<'_>) -> bool {
    let fault = patient.fault;
    ["disk.", "inodes."].iter().any(|it| fault.summary.starts_with(it)) || fault.rule.as_str().starts_with("disk_")
}

/// Whether it is about the space of a disk, or nothing is wrong and something could be better.
fn about_disk_or_optimisation(patient: &Patient<'_>) -> bool {
    let cause = Cause::of(&patient.diagnosis.cause);
    about_disk(patient) || matches!(cause, Cause::OldGenerations | Cause::StoreLarge)
}

/// The same for a cache.
fn about_disk_or_cache(patient: &Patient<'_>) -> bool {
    about_disk(patient) || Cause::of(&patient.diagnosis.cause) == Cause::CacheLarge
}

pub(crate) use configs::RESTORE;

/// All repairs. Their order is that of the ladder where nothing else decides: gentlest first.
pub(crate) static REPAIRS: [&dyn Repair; 35] = [
    &restart_service::RestartService,
    &repair_config::RepairConfig,
    &processes::REINIT,
    &processes::RELOAD,
    &generations::ROLLBACK,
    &processes::KILL,
    &caches::OPTIMIZE,
    &caches::CLEAR,
    &caches::REBUILD,
    &caches::WARM,
    &resources::FREE_MEMORY,
    &resources::LOWER_PRIORITY,
    &resources::TUNE_SERVICE,
    &resources::TUNE_KERNEL,
    &capacity::SHIFT_LOAD,
    &capacity::SCALE,
    &capacity::DRAIN,
    &capacity::READY,
    &clean_directory::CleanDirectory,
    &generations::PRUNE,
    &resources::OPTIMIZE_STORE,
    &resources::COLLECT_GARBAGE,
    &configs::VALIDATE,
    &configs::UPDATE,
    &configs::ResetConfig,
    &configs::RestoreSnapshot,
    &processes::ForceRestart,
    &processes::RUN,
    &host_wide::RENEW_CERTIFICATE,
    &host_wide::MAKE_BACKUP,
    &host_wide::PROMOTE_STANDBY,
    &host_wide::LOCKDOWN,
    &host_wide::END_LOCKDOWN,
    &host_wide::REBOOT_HOST,
    &host_wide::SHUT_DOWN_HOST,
];

/// The repair of that name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn Repair> {
    REPAIRS.iter().find(|repair| repair.name() == name).copied()
}
