//! What the host has too little of: memory given back, stores cleaned, priorities and parameters set.

use prunella_model::part::Act;
use prunella_model::step::StepKind;

use super::Undo;
use super::uses_part::{GENTLE, SLOW, Then, UsesPart, always, goal, no_way_back, now};
use crate::cause::Cause;

/// Memory that the kernel can give back.
pub(super) static FREE_MEMORY: UsesPart = UsesPart {
    name: "free_memory",
    about: "Makes the kernel give back memory that it can: of the declared control group, or the host's clean caches.",
    treats: &[(Cause::Overload, 0.3), (Cause::Exhaustion, 0.3), (Cause::MemoryLeak, 0.1)],
    step: StepKind::FreeMemory,
    act: |_, _| Some(Act::FreeMemory),
    back: no_way_back,
    then: Then::Nothing,
    suits: super::about_memory,
    undo: Undo::Irreversible("nothing to put back: what is needed again is read again"),
    verify: "less memory is in use",
    cost: GENTLE,
};

/// Stores that hold what nothing refers to.
pub(super) static COLLECT_GARBAGE: UsesPart = UsesPart {
    name: "collect_garbage",
    about: "Removes what nothing refers to from each declared store.",
    treats: &[(Cause::Exhaustion, 0.6), (Cause::Overload, 0.5)],
    step: StepKind::CollectGarbage,
    act: |_, _| Some(Act::CollectGarbage),
    back: no_way_back,
    then: Then::Nothing,
    suits: super::about_disk,
    undo: Undo::Irreversible("only what nothing refers to is removed"),
    verify: "less of the disk is in use",
    cost: SLOW,
};

/// Stores that hold equal files twice.
pub(super) static OPTIMIZE_STORE: UsesPart = UsesPart {
    name: "optimize_store",
    about: "Makes equal files of each declared store one.",
    treats: &[(Cause::StoreLarge, 0.7), (Cause::Exhaustion, 0.3)],
    step: StepKind::OptimizeStore,
    act: |_, _| Some(Act::OptimizeStore),
    back: no_way_back,
    then: Then::Nothing,
    suits: super::about_disk_or_optimisation,
    undo: Undo::Irreversible("no content changes, so there is nothing to put back"),
    verify: "less of the disk is in use",
    cost: SLOW,
};

/// A service that takes what others need gives way.
pub(super) static LOWER_PRIORITY: UsesPart = UsesPart {
    name: "lower_priority",
    about: "Sets the nice value and I/O priority of the target to what the administrator declared as better for the others.",
    treats: &[(Cause::Contention, 0.7)],
    step: StepKind::SetWeight,
    act: |_, part| goal(part).filter(|_| !is_group(&part.about)).map(|value| Act::SetWeight { value }),
    back: |_, part| Some((part.name.clone(), Act::SetWeight { value: now(part)? })),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the value from before"),
    verify: "what others take to answer is measured before and after",
    cost: GENTLE,
};

/// A service that others take from gets its share.
pub(super) static TUNE_SERVICE: UsesPart = UsesPart {
    name: "tune_service",
    about: "Sets the control group weights of the target to what the administrator declared as better for it.",
    treats: &[(Cause::Starved, 0.7)],
    step: StepKind::SetWeight,
    act: |_, part| goal(part).filter(|_| is_group(&part.about)).map(|value| Act::SetWeight { value }),
    back: |_, part| Some((part.name.clone(), Act::SetWeight { value: now(part)? })),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the value from before"),
    verify: "what it takes to answer is measured before and after",
    cost: GENTLE,
};

/// Kernel parameters.
pub(super) static TUNE_KERNEL: UsesPart = UsesPart {
    name: "tune_kernel",
    about: "Sets the declared kernel parameters to what the administrator declared as better.",
    treats: &[(Cause::Untuned, 0.7)],
    step: StepKind::SetSysctl,
    act: |_, part| goal(part).map(|value| Act::SetSysctl { value }),
    back: |_, part| Some((part.name.clone(), Act::SetSysctl { value: now(part)? })),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the value from before"),
    verify: "what targets take to answer is measured before and after",
    cost: GENTLE,
};

/// A weight of a control group is named by its file.
pub(crate) fn is_group(about: &str) -> bool {
    about.starts_with('/')
}
