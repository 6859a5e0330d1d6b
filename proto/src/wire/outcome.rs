//! What became of commands.

use prunella_model::CommandId;
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};

use super::command::{encode_probe_name, probe_name};
use super::error::{WireError, Within as _};
use super::field::{cut, encode_id, id, list, prose, required, text};
use super::limits::{NOTES_MAX, OPAQUE_ID_MAX, REFUSAL_DETAIL_MAX};
use super::standing::{encode_order_run, order_run};
use super::time::{encode_time, optional_time, time};
use crate::agent::v1 as pb;

/// An outcome as it travels.
///
/// [`Outcome::Lost`] is the engine's own word and never travels; were an agent to say it, it goes out as Unknown.
pub(super) fn encode_outcome_report(it: &OutcomeReport) -> pb::OutcomeReport {
    use pb::outcome_report as wire;
    use pb::outcome_report::Outcome as Wire;
    let outcome = match &it.outcome {
        Outcome::Done => Wire::Done(wire::Done {}),
        Outcome::Refused(refusal) => Wire::Refused(encode_refusal(refusal)),
        Outcome::Failed { step, why } => Wire::Failed(wire::Failed { step: *step, why: cut(why) }),
        Outcome::Unknown { why } => Wire::Unknown(wire::Unknown { why: cut(why) }),
        Outcome::Cancelled { done } => Wire::Cancelled(wire::Cancelled { done: *done }),
        Outcome::Lost => Wire::Unknown(wire::Unknown { why: "no report before the deadline".to_owned() }),
    };
    pb::OutcomeReport {
        command: Some(encode_id(it.command.0)),
        outcome: Some(outcome),
        start_time: it.started_at.map(encode_time),
        end_time: Some(encode_time(it.ended_at)),
        notes: it.notes.iter().map(|note| cut(note)).collect(),
        confirmed_by: it.confirmed_by.as_ref().map(encode_probe_name),
        by_order: it.by_order.as_ref().map(encode_order_run),
    }
}

/// Reads an outcome.
pub(super) fn outcome_report(it: pb::OutcomeReport) -> Result<OutcomeReport, WireError> {
    use pb::outcome_report as wire;
    use pb::outcome_report::Outcome as Wire;
    let outcome = match required("outcome", it.outcome)? {
        Wire::Done(wire::Done {}) => Outcome::Done,
        Wire::Refused(it) => Outcome::Refused(refusal(it).within("refused")?),
        Wire::Failed(it) => Outcome::Failed { step: it.step, why: prose("failed.why", it.why)? },
        Wire::Unknown(it) => Outcome::Unknown { why: prose("unknown.why", it.why)? },
        Wire::Cancelled(it) => Outcome::Cancelled { done: it.done },
    };
    Ok(OutcomeReport {
        command: CommandId(id("command", it.command)?),
        outcome,
        started_at: optional_time("start_time", it.start_time)?,
        ended_at: time("end_time", it.end_time)?,
        notes: list("notes", NOTES_MAX, it.notes, |it| prose("", it))?,
        confirmed_by: it.confirmed_by.map(|it| probe_name(it).within("confirmed_by")).transpose()?,
        by_order: it.by_order.map(|it| order_run(it).within("by_order")).transpose()?,
    })
}

/// A refusal as it travels: its code, its words, and its figures as JSON.
pub(super) fn encode_refusal(it: &Refusal) -> pb::outcome_report::Refused {
    let (reason, message) = match it {
        Refusal::Other { code, message } => (code.clone(), cut(message)),
        known => (known.code().to_owned(), cut(&known.to_string())),
    };
    // Without its figures the reader keeps code and words, which is better than no refusal at all.
    let detail = serde_json::to_string(it).ok().filter(|json| json.len() <= REFUSAL_DETAIL_MAX).unwrap_or_default();
    pb::outcome_report::Refused { reason, message, detail }
}

fn refusal(it: pb::outcome_report::Refused) -> Result<Refusal, WireError> {
    let reason = text("reason", OPAQUE_ID_MAX, it.reason)?;
    let message = prose("message", it.message)?;
    let detail = text("detail", REFUSAL_DETAIL_MAX, it.detail)?;
    let known = serde_json::from_str::<Refusal>(&detail).ok().filter(|it| match it {
        Refusal::Other { code, .. } => *code == reason,
        known => known.code() == reason,
    });
    // A newer agent may know reasons that this program does not: its code and words are kept.
    Ok(known.unwrap_or(Refusal::Other { code: reason, message }))
}
