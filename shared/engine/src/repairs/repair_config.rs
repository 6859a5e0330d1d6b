//! Puts changed configuration files back to their known-good content and restarts the target.

use std::time::Duration;

use prunella_model::PartName;
use prunella_model::observation::{Finding, ProbeKind, Sha256, Status};
use prunella_model::step::Step;

use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;

/// See the module.
pub(super) struct RepairConfig;

/// A file that differs from its known-good content.
struct Changed {
    file: PartName,
    known_good: Sha256,
    /// What it holds now; null when it is missing.
    found: Option<Sha256>,
}

/// File probes carry the name of their file; with one probe and one file the names need not agree.
fn changed(patient: &Patient<'_>) -> Vec<Changed> {
    let files = &patient.target.report.files;
    let probes: Vec<_> = patient.target.of_kind(ProbeKind::File).collect();
    let lone = files.len() == 1 && probes.len() == 1;
    let differing = probes.iter().filter(|probe| probe.last().is_some_and(|seen| seen.status == Status::Down));
    differing
        .filter_map(|probe| {
            let Some(Finding::FileChanged { sha256, known_good: Some(known_good) }) = &probe.finding else {
                return None;
            };
            let file = files.iter().find(|file| lone || file.name.as_str() == probe.report.name.as_str())?;
            Some(Changed { file: file.name.clone(), known_good: *known_good, found: *sha256 })
        })
        .collect()
}

impl Repair for RepairConfig {
    fn name(&self) -> &'static str {
        "repair_config"
    }

    fn about(&self) -> &'static str {
        "Puts each configuration file that differs back to the content that it had while the target was verified \
         healthy, and restarts the target. The agent keeps what it replaces."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[(Cause::ConfigCorrupted, 0.9)]
    }

    fn undo(&self) -> Undo {
        Undo::Restores("the content of each file from before the repair, which the agent saved")
    }

    fn verify(&self) -> &'static str {
        "the process runs, and the target's own probes answer again"
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        Cost { takes: Duration::from_secs(2), harm: Duration::ZERO }
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        let changed = changed(patient);
        if changed.is_empty() {
            return Err(format!("no file of {} differs from a known-good content", patient.target.report.name));
        }
        let restore = |it: Changed| Step::RestoreFile { file: it.file, snapshot: it.known_good };
        let mut steps: Vec<Step> = changed.into_iter().map(restore).collect();
        steps.push(super::restart_service::restart(patient)?);
        Ok(steps)
    }

    fn undo_steps(&self, patient: &Patient<'_>) -> Option<Vec<Step>> {
        let put_back = |it: Changed| Some(Step::RestoreFile { file: it.file, snapshot: it.found? });
        let mut steps: Vec<Step> = changed(patient).into_iter().map(put_back).collect::<Option<_>>()?;
        steps.push(super::restart_service::restart(patient).ok()?);
        Some(steps)
    }
}
