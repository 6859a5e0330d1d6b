//! Makes room in a directory that nears its quota.

use std::time::Duration;

use prunella_model::observation::{Finding, ProbeKind};
use prunella_model::step::{Step, StepKind};

use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;
use crate::rules::percent;
use crate::target::Life;

/// Clean until this share of the quota is in use: well below where the rule speaks, so that it does not speak again soon.
const UNTIL_PERCENT: u8 = 70;

/// Clean until this share when that is no matter of urgency, so that it lasts.
pub(crate) const ROOMY_PERCENT: u8 = 60;

/// See the module.
pub(super) struct CleanDirectory;

impl Repair for CleanDirectory {
    fn name(&self) -> &'static str {
        "clean_directory"
    }

    fn about(&self) -> &'static str {
        "Removes files that the directory's age rule covers, oldest first, until 70 percent of the quota is in use, and \
         starts the target if its process has ended."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[(Cause::DirectoryFull, 0.9), (Cause::DirectoryGrowth, 0.7)]
    }

    fn undo(&self) -> Undo {
        Undo::Irreversible("removed files are gone; only files that the administrator's age rule covers are removed")
    }

    fn verify(&self) -> &'static str {
        "the directory is below its lower threshold"
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        Cost { takes: Duration::from_secs(2), harm: Duration::ZERO }
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        let target = patient.target;
        let directories = &target.report.directories;
        let probes: Vec<_> = target.of_kind(ProbeKind::Directory).collect();
        let urgent = Cause::of(&patient.diagnosis.cause) != Cause::DirectoryGrowth;
        let until_percent = if urgent { UNTIL_PERCENT } else { ROOMY_PERCENT };
        let lone = directories.len() == 1 && probes.len() == 1;
        let full = probes.iter().filter(|probe| match &probe.finding {
            Some(Finding::DirectoryUse { used_bytes, quota_bytes }) => {
                percent(*used_bytes, *quota_bytes) > f64::from(until_percent)
            }
            _ => false,
        });
        let mut steps: Vec<Step> = full
            .filter_map(|probe| directories.iter().find(|it| lone || it.name.as_str() == probe.report.name.as_str()))
            .map(|it| Step::CleanDirectory { directory: it.name.clone(), until_percent })
            .collect();
        if steps.is_empty() {
            return Err(format!("no directory of {} is declared in agent.toml for its probe", target.report.name));
        }
        match target.process.life {
            Life::Ended if target.permits(StepKind::StartService) => steps.push(Step::StartService),
            Life::Ended => steps.push(super::restart_service::restart(patient)?),
            Life::Running | Life::Stopped | Life::Unknown => {}
        }
        Ok(steps)
    }
}
