//! Configuration files: reset whole, updated from their source, validated.

use prunella_model::observation::{Finding, ProbeKind};
use prunella_model::part::Act;
use prunella_model::step::{Step, StepKind};

use super::uses_part::{GENTLE, Then, UsesPart, always, no_way_back};
use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;

/// Brings what the administrator keeps elsewhere.
pub(super) static UPDATE: UsesPart = UsesPart {
    name: "update_config",
    about: "Puts the content of its declared source into each declared file, if the validator accepts it, and restarts the target.",
    treats: &[],
    step: StepKind::UpdateConfig,
    act: |_, _| Some(Act::UpdateConfig),
    // Which content was there before, the agent's snapshot tells; the files' own probes do too.
    back: no_way_back,
    then: Then::Restart,
    suits: always,
    undo: Undo::Restores("repair_config puts back the content that the agent saved before"),
    verify: "the validator accepts it, and the target's own probes answer",
    cost: GENTLE,
};

/// Only looks.
pub(super) static VALIDATE: UsesPart = UsesPart {
    name: "validate_config",
    about: "Runs the declared validator of each file. It changes nothing.",
    treats: &[],
    step: StepKind::ValidateConfig,
    act: |_, _| Some(Act::ValidateConfig),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("nothing is changed, so there is nothing to put back"),
    verify: "the validators succeed",
    cost: GENTLE,
};

/// Puts every file back, whether or not it is known to differ.
pub(super) struct ResetConfig;

impl Repair for ResetConfig {
    fn name(&self) -> &'static str {
        "reset_config"
    }

    fn about(&self) -> &'static str {
        "Puts every declared file of the target back to its known-good content, and restarts the target. The agent keeps \
         what it replaces."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[]
    }

    fn undo(&self) -> Undo {
        Undo::Restores("the content of each file from before, which the agent saved")
    }

    fn verify(&self) -> &'static str {
        "the process runs, and the target's own probes answer again"
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        GENTLE
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        let restore = |(file, good, _)| Step::RestoreFile { file, snapshot: good };
        let mut steps: Vec<Step> = baseline(patient).into_iter().map(restore).collect();
        if steps.is_empty() {
            return Err(format!("no file of {} has a known-good content", patient.target.report.name));
        }
        steps.push(super::restart_service::restart(patient)?);
        Ok(steps)
    }

    fn undo_steps(&self, patient: &Patient<'_>) -> Option<Vec<Step>> {
        let put_back = |(file, _, found): (_, _, Option<_>)| Some(Step::RestoreFile { file, snapshot: found? });
        let mut steps: Vec<Step> = baseline(patient).into_iter().map(put_back).collect::<Option<_>>()?;
        steps.push(super::restart_service::restart(patient).ok()?);
        Some(steps)
    }
}

/// Each file with its known-good content and what it holds now, where that is known.
fn baseline(
    patient: &Patient<'_>,
) -> Vec<(prunella_model::PartName, prunella_model::observation::Sha256, Option<prunella_model::observation::Sha256>)> {
    let target = patient.target;
    let lone = target.report.files.len() == 1;
    let of = |it: &prunella_model::host::FileReport| {
        let mut probes = target.of_kind(ProbeKind::File);
        let probe = probes.find(|probe| lone || probe.report.name.as_str() == it.name.as_str());
        let (good, found) = match probe.and_then(|probe| probe.finding.clone()) {
            Some(Finding::FileChanged { sha256, known_good }) => (known_good.or(it.known_good), sha256),
            Some(Finding::FileAsKnown { sha256 }) => (Some(sha256), Some(sha256)),
            Some(_) | None => (it.known_good, None),
        };
        Some((it.name.clone(), good?, found))
    };
    target.report.files.iter().filter_map(of).collect()
}

/// The name of the repair that puts one content back.
pub(crate) const RESTORE: &str = "restore_snapshot";

/// Puts one file back to a content that a person chose.
pub(super) struct RestoreSnapshot;

impl Repair for RestoreSnapshot {
    fn name(&self) -> &'static str {
        RESTORE
    }

    fn about(&self) -> &'static str {
        "Puts one file back to the content of a snapshot that a person chose (prunella snapshots restore), and reloads the \
         target where that is declared, or restarts it. The agent keeps what it replaces."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[]
    }

    fn undo(&self) -> Undo {
        Undo::Restores("the content from before, which the agent saved")
    }

    fn verify(&self) -> &'static str {
        "the target's own probes answer"
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        GENTLE
    }

    fn fits(&self, patient: &Patient<'_>) -> bool {
        patient.restore.is_some()
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        let (file, snapshot) = patient.restore.ok_or("choose the content: prunella snapshots restore HOST ID")?;
        let restore = Step::RestoreFile { file: file.clone(), snapshot: *snapshot };
        let target = patient.target;
        let mut reload =
            target.report.parts_for(StepKind::ReloadService).filter(|_| target.permits(StepKind::ReloadService));
        let after = match reload.next() {
            Some(part) => Step::Use { part: part.name.clone(), act: Act::ReloadService },
            None => super::restart_service::restart(patient)?,
        };
        Ok(vec![restore, after])
    }

    fn undo_steps(&self, patient: &Patient<'_>) -> Option<Vec<Step>> {
        let (file, _) = patient.restore?;
        let (_, _, found) = baseline(patient).into_iter().find(|(name, ..)| name == file)?;
        let mut steps = self.steps(patient).ok()?;
        if let Some(first) = steps.first_mut() {
            *first = Step::RestoreFile { file: file.clone(), snapshot: found? };
        }
        Some(steps)
    }
}
