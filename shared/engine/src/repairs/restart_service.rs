//! Ends the run that was seen, if it still lives, and starts a new one.

use std::time::Duration;

use prunella_model::step::{Step, StepKind};

use super::{Cost, Patient, Repair, Undo};
use crate::cause::Cause;
use crate::target::Life;

/// How long a process may take to end by itself. A hung one does not react to being asked, so this is added to the
/// time to repair; two seconds let a healthy one finish its requests.
const GRACE: Duration = Duration::from_secs(2);

/// A process that hangs gets less: it has stopped serving already.
const GRACE_HUNG: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct RestartService;

impl Repair for RestartService {
    fn name(&self) -> &'static str {
        "restart_service"
    }

    fn about(&self) -> &'static str {
        "Restarts the target's process. The command names the run that was seen, so a run that is newer is never ended."
    }

    fn treats(&self) -> &'static [(Cause, f64)] {
        &[
            (Cause::Killed, 0.95),
            (Cause::Hung, 0.9),
            (Cause::Deadlock, 0.9),
            (Cause::BadAnswers, 0.7),
            (Cause::MemoryLeak, 0.85),
            (Cause::DescriptorLeak, 0.85),
            (Cause::ThreadLeak, 0.8),
            (Cause::MemoryGrowth, 0.7),
            (Cause::QueueBacklog, 0.6),
            (Cause::JobTimeout, 0.5),
            (Cause::QueueExhausted, 0.4),
            (Cause::JobSlow, 0.4),
            (Cause::Unknown, 0.4),
            (Cause::ConfigCorrupted, 0.05),
        ]
    }

    fn undo(&self) -> Undo {
        Undo::Irreversible("a run that ended cannot be taken up again; nothing on disk is touched")
    }

    fn verify(&self) -> &'static str {
        "the process runs, and the target's own probes answer again"
    }

    fn cost(&self, patient: &Patient<'_>) -> Cost {
        let harm = match patient.target.process.life {
            // A process that serves has most to lose; one that may come back by itself, what it was doing.
            Life::Running if serves(Cause::of(&patient.diagnosis.cause)) => Duration::from_secs(2),
            Life::Running if Cause::of(&patient.diagnosis.cause) == Cause::Hung => Duration::from_secs(1),
            Life::Running | Life::Unknown | Life::Ended | Life::Stopped => Duration::ZERO,
        };
        Cost { takes: Duration::from_secs(2), harm }
    }

    fn steps(&self, patient: &Patient<'_>) -> Result<Vec<Step>, String> {
        restart(patient).map(|step| vec![step])
    }
}

/// Whether a target with a fault from this cause still does its work, so that a restart takes something away.
const fn serves(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::MemoryLeak
            | Cause::DescriptorLeak
            | Cause::ThreadLeak
            | Cause::MemoryGrowth
            | Cause::JobTimeout
            | Cause::QueueExhausted
            | Cause::QueueBacklog
            | Cause::JobSlow
    )
}

/// The step that makes the target run anew: a start when there is no run to end.
///
/// # Errors
/// When the target has no process that anybody could start.
pub(super) fn restart(patient: &Patient<'_>) -> Result<Step, String> {
    let target = patient.target;
    let none = target.process.instance.is_none();
    if none && target.permits(StepKind::StartService) {
        return Ok(Step::StartService);
    }
    let grace = match Cause::of(&patient.diagnosis.cause) {
        Cause::Hung | Cause::Deadlock => GRACE_HUNG,
        Cause::Killed
        | Cause::BadAnswers
        | Cause::ConfigCorrupted
        | Cause::BadVersion
        | Cause::DirectoryFull
        | Cause::MemoryLeak
        | Cause::DescriptorLeak
        | Cause::ThreadLeak
        | Cause::Upstream
        | Cause::SharedDependency
        | Cause::SharedChange
        | Cause::SharedGroup
        | Cause::OutOfReach
        | Cause::Overload
        | Cause::PortStolen
        | Cause::CacheLarge
        | Cause::Contention
        | Cause::Starved
        | Cause::Untuned
        | Cause::OldGenerations
        | Cause::StoreLarge
        | Cause::DirectoryGrowth
        | Cause::MemoryGrowth
        | Cause::JobTimeout
        | Cause::QueueExhausted
        | Cause::QueueBacklog
        | Cause::JobSlow
        | Cause::Exhaustion
        | Cause::Unusual
        | Cause::CheckFailed
        | Cause::Certificate
        | Cause::Domain
        | Cause::NameWrong
        | Cause::OutOfMemory
        | Cause::Kernel
        | Cause::Drift
        | Cause::AgentStalled
        | Cause::ProbeBroken
        | Cause::AgentUnstable
        | Cause::ClockSkew
        | Cause::AgentObserves
        | Cause::NoAuthority
        | Cause::AgentOutdated
        | Cause::Declared
        | Cause::Unknown => GRACE,
    };
    if none && target.process.life == Life::Unknown {
        return Err(format!("{} has no process that was ever seen", target.report.name));
    }
    Ok(Step::RestartService { grace })
}
