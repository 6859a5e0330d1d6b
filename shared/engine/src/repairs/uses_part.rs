//! Repairs that do one thing with every declared part of the target that it fits.

use std::time::Duration;

use prunella_model::PartName;
use prunella_model::part::{Act, PartReport};
use prunella_model::step::{Risk, Step, StepKind};

use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;
use crate::target::Life;

/// What is done about the target's process after the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: it need not notice.
    Nothing,
    /// It is started when it has ended; a run that lives goes on.
    Start,
    /// It runs anew.
    Restart,
}

/// What is done with one part; null when there is nothing to do with it.
pub(super) type Choose = fn(&Patient<'_>, &PartReport) -> Option<Act>;

/// See the module.
pub(super) struct UsesPart {
    /// The repair's name.
    pub(super) name: &'static str,
    /// What it does, for people.
    pub(super) about: &'static str,
    /// The causes that it treats, with the chance that it helps.
    pub(super) treats: &'static [(Cause, f64)],
    /// The kind of its steps.
    pub(super) step: StepKind,
    /// What is done with a part.
    pub(super) act: Choose,
    /// The part and act that put it back; null when nothing does.
    pub(super) back: fn(&Patient<'_>, &PartReport) -> Option<(PartName, Act)>,
    /// What is done about the process afterwards.
    pub(super) then: Then,
    /// Whether it is of use for what is wrong, beyond its cause.
    pub(super) suits: fn(&Patient<'_>) -> bool,
    /// What can be done when it made things worse.
    pub(super) undo: Undo,
    /// How its effect is verified.
    pub(super) verify: &'static str,
    /// What it costs.
    pub(super) cost: Cost,
}

/// Where nothing puts a part back.
pub(super) const fn no_way_back(_: &Patient<'_>, _: &PartReport) -> Option<(PartName, Act)> {
    None
}

/// Where the cause alone decides.
pub(super) const fn always(_: &Patient<'_>) -> bool {
    true
}

/// The declared goal of a number, when it is another value than now.
pub(crate) fn goal(part: &PartReport) -> Option<i64> {
    let setting = part.setting?;
    setting.goal.filter(|goal| setting.now != Some(*goal))
}

/// The value that a number has now.
pub(super) fn now(part: &PartReport) -> Option<i64> {
    part.setting?.now
}

/// What repairs of a part cost that take no service away.
pub(super) const GENTLE: Cost = Cost { takes: Duration::from_secs(2), harm: Duration::ZERO };

/// What repairs cost that run another program.
pub(super) const SLOW: Cost = Cost { takes: Duration::from_secs(15), harm: Duration::ZERO };

/// What repairs cost that take some service away.
pub(super) const HARSH: Cost = Cost { takes: Duration::from_secs(2), harm: Duration::from_secs(2) };

impl UsesPart {
    fn chosen<'p>(&self, patient: &'p Patient<'_>) -> Vec<(&'p PartReport, Act)> {
        let parts = patient.target.report.parts_for(self.step);
        parts.filter_map(|part| Some((part, (self.act)(patient, part)?))).collect()
    }

    /// The step that follows, if one does.
    fn after(&self, patient: &Patient<'_>) -> Result<Option<Step>, String> {
        let target = patient.target;
        let unmanaged = !target.permits(StepKind::StartService) && !target.permits(StepKind::RestartService);
        match (self.then, target.process.life) {
            (Then::Nothing, _) | (Then::Start, Life::Running | Life::Stopped | Life::Unknown) => Ok(None),
            // A target without a process of its own, such as the host.
            (Then::Restart, Life::Unknown) if unmanaged => Ok(None),
            (Then::Start, Life::Ended) if target.permits(StepKind::StartService) => Ok(Some(Step::StartService)),
            (Then::Start, Life::Ended) | (Then::Restart, _) => super::restart_service::restart(patient).map(Some),
        }
    }
}

impl Repair for UsesPart {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        self.treats
    }

    fn undo(&self) -> Undo {
        self.undo
    }

    fn verify(&self) -> &'static str {
        self.verify
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        self.cost
    }

    fn fits(&self, patient: &Patient<'_>) -> bool {
        (self.suits)(patient) && !self.chosen(patient).is_empty()
    }

    fn gentle(&self) -> bool {
        self.then == Then::Nothing && self.step.spec().risk == Risk::Low
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        let chosen = self.chosen(patient);
        if chosen.is_empty() {
            let name = &patient.target.report.name;
            return Err(format!(
                "agent.toml declares nothing of {name} that {} could now be done with",
                self.step.as_str()
            ));
        }
        let mut steps: Vec<Step> =
            chosen.into_iter().map(|(part, act)| Step::Use { part: part.name.clone(), act }).collect();
        steps.extend(self.after(patient)?);
        Ok(steps)
    }

    fn undo_steps(&self, patient: &Patient<'_>) -> Option<Vec<Step>> {
        let back =
            |(part, _): (&PartReport, Act)| (self.back)(patient, part).map(|(part, act)| Step::Use { part, act });
        // In the opposite order: what was done last goes back first.
        let mut steps: Vec<Step> = self.chosen(patient).into_iter().rev().map(back).collect::<Option<_>>()?;
        steps.extend(self.after(patient).ok()?);
        Some(steps)
    }
}
