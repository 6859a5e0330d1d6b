//! Load that is moved elsewhere, and capacity that is added.

use prunella_model::part::{Act, PartReport};
use prunella_model::step::StepKind;

use super::uses_part::{GENTLE, SLOW, Then, UsesPart, always, goal, now};
use super::{Patient, Undo};
use crate::cause::Cause;

/// Less of the load.
pub(super) static SHIFT_LOAD: UsesPart = UsesPart {
    name: "shift_load",
    about: "Halves the share of work that the declared load balancers send to the target, or sets it to the declared goal.",
    treats: &[(Cause::Overload, 0.5), (Cause::QueueBacklog, 0.3), (Cause::JobSlow, 0.3)],
    step: StepKind::SetServerWeight,
    act: |_, part| lighter(part).map(|value| Act::SetServerWeight { value }),
    back: |_, part| Some((part.name.clone(), Act::SetServerWeight { value: now(part)? })),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the weight from before"),
    verify: "the target's own probes answer again",
    cost: GENTLE,
};

/// The declared goal, or half of what it is, never nothing.
fn lighter(part: &PartReport) -> Option<i64> {
    let half = || now(part).map(|it| it / 2).filter(|it| *it > 0);
    let least = part.setting?.least;
    goal(part).or_else(half).filter(|it| *it >= least)
}

/// None of the load.
pub(super) static DRAIN: UsesPart = UsesPart {
    name: "drain_server",
    about: "Makes the declared load balancers send no new work to the target.",
    treats: &[],
    step: StepKind::DrainServer,
    act: |_, _| Some(Act::DrainServer),
    back: |_, part| Some((part.name.clone(), Act::ReadyServer)),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the target gets work again"),
    verify: "the load balancer says that it is so",
    cost: super::uses_part::HARSH,
};

/// Its share of the load again.
pub(super) static READY: UsesPart = UsesPart {
    name: "ready_server",
    about: "Makes the declared load balancers send work to the target again.",
    treats: &[],
    step: StepKind::ReadyServer,
    act: |_, _| Some(Act::ReadyServer),
    back: |_, part| Some((part.name.clone(), Act::DrainServer)),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the target gets no new work again"),
    verify: "the load balancer says that it is so",
    cost: GENTLE,
};

/// One instance more, within the declared bounds.
pub(super) static SCALE: UsesPart = UsesPart {
    name: "scale_instances",
    about: "Starts one more instance of each declared template, or as many as the declared goal says, within its bounds.",
    treats: &[
        (Cause::QueueBacklog, 0.7),
        (Cause::QueueExhausted, 0.6),
        (Cause::JobSlow, 0.5),
        (Cause::JobTimeout, 0.3),
        (Cause::Overload, 0.2),
    ],
    step: StepKind::ScaleInstances,
    act: more,
    back: |_, part| Some((part.name.clone(), Act::ScaleInstances { value: now(part)? })),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("as many instances as before"),
    verify: "the target's own probes answer, and its queues drain",
    cost: SLOW,
};

fn more(_: &Patient<'_>, part: &PartReport) -> Option<Act> {
    let setting = part.setting?;
    let now = setting.now?;
    let wanted = setting.goal.filter(|goal| *goal > now).unwrap_or(now + 1);
    (wanted <= setting.most).then_some(Act::ScaleInstances { value: wanted })
}
