//! Releases: back to the one that was well, and away with those that nobody needs.

use prunella_model::part::Act;
use prunella_model::step::StepKind;

use super::Undo;
use super::uses_part::{GENTLE, SLOW, Then, UsesPart, always, no_way_back};
use crate::cause::Cause;

/// Back to the release that was known to be good.
pub(super) static ROLLBACK: UsesPart = UsesPart {
    name: "rollback_generation",
    about: "Points the target's releases back to the one that was known to be good before the current one, and restarts the \
            target.",
    treats: &[(Cause::BadVersion, 0.9), (Cause::Unknown, 0.3)],
    step: StepKind::SwitchGeneration,
    act: |_, part| Some(Act::SwitchGeneration { to: part.known_good.clone()? }),
    back: |_, part| Some((part.name.clone(), Act::SwitchGeneration { to: part.current.clone()? })),
    then: Then::Restart,
    suits: always,
    undo: Undo::Restores("the release from before"),
    verify: "the process runs, and the target's own probes answer again",
    cost: GENTLE,
};

/// Removes releases beyond those that are kept.
pub(super) static PRUNE: UsesPart = UsesPart {
    name: "prune_generations",
    about: "Removes the oldest releases beyond the number that the administrator wants to keep, never the current nor the \
            known-good one.",
    treats: &[(Cause::OldGenerations, 0.95), (Cause::Exhaustion, 0.4), (Cause::Overload, 0.3)],
    step: StepKind::PruneGenerations,
    act: |_, part| part.spare.filter(|spare| *spare > 0).map(|_| Act::PruneGenerations),
    back: no_way_back,
    then: Then::Nothing,
    suits: super::about_disk_or_optimisation,
    undo: Undo::Irreversible("only releases beyond those that are to be kept are removed"),
    verify: "there are no more releases than are to be kept",
    cost: SLOW,
};
