//! Caches: emptied, trimmed, filled anew, warmed up.

use prunella_model::part::Act;
use prunella_model::step::StepKind;

use super::Undo;
use super::uses_part::{GENTLE, HARSH, SLOW, Then, UsesPart, always, no_way_back};
use crate::cause::Cause;

/// A cache is trimmed to this share of its bound, so that it is not trimmed again soon.
const UNTIL_PERCENT: u8 = 60;

const UNDO: Undo = Undo::Irreversible("a cache holds nothing that cannot be made again");

/// Empties what may hold wrong contents.
pub(super) static CLEAR: UsesPart = UsesPart {
    name: "clear_cache",
    about: "Empties each declared cache of the target, and restarts the target: what is wrong in a cache stays wrong.",
    treats: &[(Cause::BadAnswers, 0.45), (Cause::Unknown, 0.2)],
    step: StepKind::ClearCache,
    act: |_, _| Some(Act::ClearCache),
    back: no_way_back,
    then: Then::Restart,
    suits: always,
    undo: UNDO,
    verify: "the target's own probes answer again",
    cost: HARSH,
};

/// Trims what has outgrown its bound.
pub(super) static OPTIMIZE: UsesPart = UsesPart {
    name: "optimize_cache",
    about: "Removes what of each declared cache was not used for longest, until 60 percent of its bound are in use.",
    treats: &[(Cause::CacheLarge, 0.9), (Cause::Exhaustion, 0.4)],
    step: StepKind::OptimizeCache,
    act: |_, _| Some(Act::OptimizeCache { until_percent: UNTIL_PERCENT }),
    back: no_way_back,
    then: Then::Nothing,
    suits: super::about_disk_or_cache,
    undo: UNDO,
    verify: "the cache is below its bound",
    cost: GENTLE,
};

/// Fills anew what may hold wrong contents.
pub(super) static REBUILD: UsesPart = UsesPart {
    name: "rebuild_cache",
    about: "Empties each declared cache that can be rebuilt, and runs its rebuilding program.",
    treats: &[(Cause::BadAnswers, 0.35)],
    step: StepKind::RebuildCache,
    act: |_, _| Some(Act::RebuildCache),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: UNDO,
    verify: "the target's own probes answer again",
    cost: SLOW,
};

/// Asks for what users will ask for.
pub(super) static WARM: UsesPart = UsesPart {
    name: "warm_cache",
    about: "Sends the declared warm-up requests of each cache.",
    treats: &[],
    step: StepKind::WarmCache,
    act: |_, _| Some(Act::WarmCache),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("nothing is changed but what the target keeps for the next request"),
    verify: "the target's own probes answer",
    cost: SLOW,
};
