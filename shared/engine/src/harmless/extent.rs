//! Nothing is done beyond what is named, and nothing is removed that is not covered.

use prunella_model::PartName;
use prunella_model::command::STEPS_MAX;
use prunella_model::observation::{Finding, ProbeKind, Sha256};
use prunella_model::step::Step;

use crate::brakes::{Ask, Brake, Class, Stop};
use crate::plan::wanted;
use crate::target::Target;

/// Never on more than is named.
pub(super) struct NeverBeyondNamed;

impl Brake for NeverBeyondNamed {
    fn name(&self) -> &'static str {
        "never_beyond_named"
    }

    fn about(&self) -> &'static str {
        "Never act on more than is named: a command has at least one step and at most 16, all of them on the one target of \
         its incident."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let steps = &ask.plan?.steps;
        let own = &ask.engine.target_at(ask.key).report.name;
        let why = if steps.is_empty() {
            format!("{} has no step", ask.repair)
        } else if steps.len() > STEPS_MAX {
            format!("{} has {} steps; {STEPS_MAX} are the most", ask.repair, steps.len())
        } else {
            let other = steps.iter().find(|it| it.target != *own)?;
            format!("{} has a step on {}, but its incident is about {own}", ask.repair, other.target)
        };
        Some(Stop::Person { why })
    }
}

/// Never delete what no snapshot or age rule covers.
pub(super) struct NeverUncoveredDeletion;

impl Brake for NeverUncoveredDeletion {
    fn name(&self) -> &'static str {
        "never_uncovered_deletion"
    }

    fn about(&self) -> &'static str {
        "Never delete or overwrite what no snapshot or age rule covers: only directories that the host's administrator \
         declares, with their age rule, and only files whose known-good content or earlier content was saved."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let plan = ask.plan?;
        let target = ask.engine.target_at(ask.key);
        let report = &target.report;
        let why = plan.steps.iter().find_map(|it| match &it.step {
            Step::CleanDirectory { directory, .. } => {
                let declared = report.directories.iter().any(|known| known.name == *directory);
                (!declared).then(|| format!("no age rule covers the directory {directory}"))
            }
            Step::RestoreFile { file, snapshot } => {
                let known = report.files.iter().find(|known| known.name == *file);
                let good = known
                    .is_some_and(|known| known.known_good == Some(*snapshot) || holds(target, &known.name, *snapshot));
                // What is put back after a repair was saved by that repair.
                let saved = known.is_some() && plan.undoes.is_some();
                // A person chose it, from what the agent says that it holds.
                let chosen = wanted(ask.case).is_some_and(|(named, content)| named == file && content == snapshot);
                (!good && !saved && !chosen).then(|| format!("{snapshot:?} is no snapshot of the file {file}"))
            }
            Step::Use { part, act } => {
                let known = report.part(act.kind(), part);
                let can = known.is_some_and(|known| known.can(act.kind()));
                (!can).then(|| format!("agent.toml declares no {part} for {}", act.kind().as_str()))
            }
            Step::StartService
            | Step::StopService { .. }
            | Step::RestartService { .. }
            | Step::SignalProcess { .. } => None,
        })?;
        Some(Stop::Person { why })
    }
}

/// Whether the agent says that it holds that content as the known-good one of the file. Reports are sent at the start of a
/// stream, and snapshots are taken later, so what its file probes found last counts as well.
fn holds(target: &Target, file: &PartName, snapshot: Sha256) -> bool {
    let lone = target.report.files.len() == 1 && target.of_kind(ProbeKind::File).count() == 1;
    target.of_kind(ProbeKind::File).filter(|probe| lone || probe.report.name.as_str() == file.as_str()).any(|probe| {
        match &probe.finding {
            Some(Finding::FileChanged { known_good, .. }) => *known_good == Some(snapshot),
            Some(Finding::FileAsKnown { sha256 }) => *sha256 == snapshot,
            Some(_) | None => false,
        }
    })
}
