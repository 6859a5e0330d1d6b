//! Steps that are only rehearsed, and what is told of them.

use prunella_model::question::{Rehearsal, StepTold};
use prunella_model::step::TargetStep;

use super::error::WireError;
use super::field::{cut, list, prose};
use super::limits::INTENT_LIST_MAX;
use super::step::{encode_step, step};
use crate::agent::v1 as pb;

/// The question as it travels.
pub(super) fn encode_rehearse(number: u64, steps: &[TargetStep]) -> pb::Rehearse {
    pb::Rehearse { number, steps: steps.iter().map(encode_step).collect() }
}

/// Reads the question.
pub(super) fn rehearse(it: pb::Rehearse) -> Result<(u64, Vec<TargetStep>), WireError> {
    Ok((it.number, list("steps", INTENT_LIST_MAX, it.steps, step)?))
}

/// The answer as it travels.
pub(super) fn encode_rehearsal(number: u64, it: &Rehearsal) -> pb::Rehearsal {
    let (refused, steps) = match it {
        Rehearsal::Refused { why } => (Some(cut(why)), Vec::new()),
        Rehearsal::Told(all) => (None, all.iter().map(encode_told).collect()),
    };
    pb::Rehearsal { number, refused, steps }
}

fn encode_told(it: &StepTold) -> pb::StepTold {
    pb::StepTold { possible: it.possible, text: cut(&it.text) }
}

/// Reads the answer.
pub(super) fn rehearsal(it: pb::Rehearsal) -> Result<(u64, Rehearsal), WireError> {
    let told = |it: pb::StepTold| Ok(StepTold { possible: it.possible, text: prose("text", it.text)? });
    let rehearsal = match it.refused {
        Some(why) => Rehearsal::Refused { why: prose("refused", why)? },
        None => Rehearsal::Told(list("steps", INTENT_LIST_MAX, it.steps, told)?),
    };
    Ok((it.number, rehearsal))
}
