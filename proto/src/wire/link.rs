//! The messages of the one stream between an agent and its server.

use prunella_model::CommandId;
use prunella_model::command::Challenge;
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::question::{Answer, Question};

use super::command::{
    decode_envelope, decode_signed_command, decode_trust, encode_envelope, encode_signed_command, encode_trust,
};
use super::error::{WireError, Within as _};
use super::field::{bytes32, cut, encode_id, id, list, nested, optional_name, prose, required};
use super::host::{encode_report, report};
use super::limits::{OUTCOMES_MAX, PROBES_MAX};
use super::observation::{encode_frame, frame};
use super::outcome::{encode_outcome_report, outcome_report};
use super::rehearsal::{encode_rehearsal, encode_rehearse, rehearsal, rehearse};
use super::snapshot::{answer, ask, encode_answer, encode_ask};
use super::step::{encode_probe_kind, probe_kind};
use super::time::{encode_span, encode_time, span, time};
use crate::agent::v1 as pb;

/// What an agent says, as it travels.
#[must_use]
pub fn encode_agent(sequence: u64, it: &AgentMessage) -> pb::StreamRequest {
    use pb::stream_request::Message as Wire;
    let message = match it {
        AgentMessage::Hello { protocol, challenge, at, report } => Wire::Hello(pb::Hello {
            protocol: *protocol,
            challenge: challenge.0.to_vec(),
            time: Some(encode_time(*at)),
            report: Some(encode_report(report)),
        }),
        AgentMessage::Report(it) => Wire::Report(encode_report(it)),
        AgentMessage::Frame(it) => Wire::Frame(encode_frame(it)),
        AgentMessage::Heartbeat { at } => Wire::Heartbeat(pb::Heartbeat { time: Some(encode_time(*at)) }),
        AgentMessage::Accepted { command } => Wire::Accepted(pb::Accepted { command: Some(encode_id(command.0)) }),
        AgentMessage::Outcome(it) => Wire::Outcome(encode_outcome_report(it)),
        AgentMessage::Answer { number, answer } => match answer {
            Answer::Snapshots(it) => Wire::Snapshots(encode_answer(*number, it)),
            Answer::Rehearsed(it) => Wire::Rehearsal(encode_rehearsal(*number, it)),
        },
        AgentMessage::Goodbye { reason } => Wire::Goodbye(pb::Goodbye { reason: cut(reason) }),
    };
    pb::StreamRequest { sequence, message: Some(message) }
}

/// Reads what an agent says, and its sequence number.
///
/// # Errors
/// The field that is missing, malformed or too large.
pub fn decode_agent(it: pb::StreamRequest) -> Result<(u64, AgentMessage), WireError> {
    use pb::stream_request::Message as Wire;
    let message = match required("message", it.message)? {
        Wire::Hello(it) => hello(it).within("hello")?,
        Wire::Report(it) => AgentMessage::Report(Box::new(report(it).within("report")?)),
        Wire::Frame(it) => AgentMessage::Frame(frame(it).within("frame")?),
        Wire::Heartbeat(it) => AgentMessage::Heartbeat { at: time("heartbeat.time", it.time)? },
        Wire::Accepted(it) => AgentMessage::Accepted { command: CommandId(id("accepted.command", it.command)?) },
        Wire::Outcome(it) => AgentMessage::Outcome(outcome_report(it).within("outcome")?),
        Wire::Snapshots(it) => {
            let (number, answer) = answer(it).within("snapshots")?;
            AgentMessage::Answer { number, answer: Answer::Snapshots(answer) }
        }
        Wire::Rehearsal(it) => {
            let (number, rehearsed) = rehearsal(it).within("rehearsal")?;
            AgentMessage::Answer { number, answer: Answer::Rehearsed(rehearsed) }
        }
        Wire::Goodbye(it) => AgentMessage::Goodbye { reason: prose("goodbye.reason", it.reason)? },
    };
    Ok((it.sequence, message))
}

fn hello(it: pb::Hello) -> Result<AgentMessage, WireError> {
    Ok(AgentMessage::Hello {
        protocol: it.protocol,
        challenge: Challenge(bytes32("challenge", &it.challenge)?),
        at: time("time", it.time)?,
        report: Box::new(nested("report", it.report, report)?),
    })
}

/// What a server says, as it travels.
#[must_use]
pub fn encode_server(sequence: u64, it: &ServerMessage) -> pb::StreamResponse {
    use pb::stream_response::Message as Wire;
    let message = match it {
        ServerMessage::Welcome { at, heartbeat, trust } => Wire::Welcome(pb::Welcome {
            time: Some(encode_time(*at)),
            heartbeat: Some(encode_span(*heartbeat)),
            trust: Some(encode_trust(trust)),
        }),
        ServerMessage::Trust(it) => Wire::Trust(encode_trust(it)),
        ServerMessage::Command(it) => Wire::Command(encode_signed_command(it)),
        ServerMessage::Standing(it) => Wire::StandingOrders(encode_envelope(it)),
        ServerMessage::Cancel { command } => Wire::Cancel(pb::Cancel { command: Some(encode_id(command.0)) }),
        ServerMessage::Acknowledge { sequence, outcomes } => Wire::Acknowledge(pb::Acknowledge {
            sequence: *sequence,
            outcomes: outcomes.iter().map(|it| encode_id(it.0)).collect(),
        }),
        ServerMessage::ReportFully => Wire::ReportFully(pb::ReportFully {}),
        ServerMessage::ProbeNow { target } => {
            Wire::ProbeNow(pb::ProbeNow { target: target.as_ref().map(|it| it.as_str().to_owned()) })
        }
        ServerMessage::Intervals(it) => Wire::ProbeIntervals(pb::ProbeIntervals {
            intervals: it
                .iter()
                .map(|(kind, interval)| pb::ProbeInterval {
                    kind: encode_probe_kind(*kind),
                    interval: Some(encode_span(*interval)),
                })
                .collect(),
        }),
        ServerMessage::Ask { number, question } => match question {
            Question::Snapshots(ask) => Wire::AskSnapshots(encode_ask(*number, ask)),
            Question::Rehearse(steps) => Wire::Rehearse(encode_rehearse(*number, steps)),
        },
        ServerMessage::Reconnect { after, reason } => {
            Wire::Reconnect(pb::Reconnect { after: Some(encode_span(*after)), reason: cut(reason) })
        }
    };
    pb::StreamResponse { sequence, message: Some(message) }
}

/// Reads what a server says, and its sequence number.
///
/// # Errors
/// The field that is missing, malformed or too large.
pub fn decode_server(it: pb::StreamResponse) -> Result<(u64, ServerMessage), WireError> {
    use pb::stream_response::Message as Wire;
    let message = match required("message", it.message)? {
        Wire::Welcome(it) => ServerMessage::Welcome {
            at: time("welcome.time", it.time)?,
            heartbeat: span("welcome.heartbeat", it.heartbeat)?,
            trust: Box::new(nested("trust", it.trust, decode_trust).within("welcome")?),
        },
        Wire::Trust(it) => ServerMessage::Trust(Box::new(decode_trust(it).within("trust")?)),
        Wire::Command(it) => ServerMessage::Command(Box::new(decode_signed_command(it).within("command")?)),
        Wire::StandingOrders(it) => ServerMessage::Standing(Box::new(decode_envelope(it).within("standing_orders")?)),
        Wire::Cancel(it) => ServerMessage::Cancel { command: CommandId(id("cancel.command", it.command)?) },
        Wire::Acknowledge(it) => ServerMessage::Acknowledge {
            sequence: it.sequence,
            outcomes: list("acknowledge.outcomes", OUTCOMES_MAX, it.outcomes, |it| id("", Some(it)).map(CommandId))?,
        },
        Wire::ReportFully(pb::ReportFully {}) => ServerMessage::ReportFully,
        Wire::ProbeNow(it) => {
            ServerMessage::ProbeNow { target: optional_name("probe_now.target", it.target.as_ref())? }
        }
        Wire::ProbeIntervals(it) => {
            let read = |it: pb::ProbeInterval| Ok((probe_kind("kind", it.kind)?, span("interval", it.interval)?));
            ServerMessage::Intervals(list("probe_intervals.intervals", PROBES_MAX, it.intervals, read)?)
        }
        Wire::AskSnapshots(it) => {
            let (number, ask) = ask(it).within("ask_snapshots")?;
            ServerMessage::Ask { number, question: Question::Snapshots(ask) }
        }
        Wire::Rehearse(it) => {
            let (number, steps) = rehearse(it).within("rehearse")?;
            ServerMessage::Ask { number, question: Question::Rehearse(steps) }
        }
        Wire::Reconnect(it) => ServerMessage::Reconnect {
            after: span("reconnect.after", it.after)?,
            reason: prose("reconnect.reason", it.reason)?,
        },
    };
    Ok((it.sequence, message))
}
