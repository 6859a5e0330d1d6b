//! Processes that are in the way, and connections that have gone bad.

use std::time::Duration;

use prunella_model::part::Act;
use prunella_model::step::{Step, StepKind};

use super::uses_part::{GENTLE, Then, UsesPart, always, no_way_back};
use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;

/// Ends whoever is in the way.
pub(super) static KILL: UsesPart = UsesPart {
    name: "kill_process",
    about: "Ends the stray processes that the target's declared rules match, for example one that holds its port, and starts \
            the target if its process has ended.",
    treats: &[(Cause::PortStolen, 0.9), (Cause::Unknown, 0.3)],
    step: StepKind::KillProcess,
    // How many it matches is known only while it matches some.
    act: |_, part| part.spare.filter(|spare| *spare > 0).map(|_| Act::KillProcess),
    back: no_way_back,
    then: Then::Start,
    suits: always,
    undo: Undo::Irreversible("a process that ended cannot be taken up again"),
    verify: "the process runs, and the target's own probes answer again",
    cost: GENTLE,
};

/// Opens connections anew.
pub(super) static REINIT: UsesPart = UsesPart {
    name: "reinit_connections",
    about: "Makes the target open its declared pools of connections anew.",
    treats: &[(Cause::BadAnswers, 0.3), (Cause::Hung, 0.2)],
    step: StepKind::ReinitConnections,
    act: |_, _| Some(Act::ReinitConnections),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("closed connections are gone; the target opens new ones"),
    verify: "the target's own probes answer again",
    cost: GENTLE,
};

/// Reads the configuration anew.
pub(super) static RELOAD: UsesPart = UsesPart {
    name: "reload_service",
    about: "Makes the target read its configuration anew, by its declared program or signal.",
    treats: &[],
    step: StepKind::ReloadService,
    act: |_, _| Some(Act::ReloadService),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("put the configuration back, and reload again"),
    verify: "the target's own probes answer",
    cost: GENTLE,
};

/// Runs what the administrator declared.
pub(super) static RUN: UsesPart = UsesPart {
    name: "run_declared",
    about: "Runs the declared programs of the target. Custom rules name it where a program is what helps.",
    treats: &[],
    step: StepKind::RunDeclared,
    // A program that only undoes another one is not run for itself.
    act: |patient, part| {
        let undoes = patient.target.report.parts.iter().any(|it| it.undo.as_ref() == Some(&part.name));
        (!undoes).then_some(Act::RunDeclared { risk: part.risk })
    },
    back: |patient, part| {
        let undo = part.undo.as_ref()?;
        let program = patient.target.report.part(StepKind::RunDeclared, undo)?;
        Some((undo.clone(), Act::RunDeclared { risk: program.risk }))
    },
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("what the program that is declared as the undo puts back; nothing without one"),
    verify: "the symptom that the rule names is gone",
    cost: super::uses_part::SLOW,
};

/// A restart that does not ask.
pub(super) struct ForceRestart;

impl Repair for ForceRestart {
    fn name(&self) -> &'static str {
        "force_restart"
    }

    fn about(&self) -> &'static str {
        "Kills the target's process at once, without asking it to end, and starts it anew."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[]
    }

    fn undo(&self) -> Undo {
        Undo::Irreversible("a run that was killed cannot be taken up again, nor what it had not written")
    }

    fn verify(&self) -> &'static str {
        "the process runs, and the target's own probes answer again"
    }

    fn cost(&self, _patient: &Patient<'_>) -> Cost {
        Cost { takes: Duration::from_secs(2), harm: Duration::from_secs(5) }
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        Ok(match super::restart_service::restart(patient)? {
            Step::RestartService { .. } => vec![Step::RestartService { grace: Duration::ZERO }],
            start => vec![start],
        })
    }
}
