//! The record of an incident, as the control services say it.

use prunella_engine::advice::Advice;
use prunella_model::incident::{
    Alternative, Attempt, Chain, ChainEnd, ChainLink, Closing, Diagnosis, Evidence, Fault, Gain, Hold, Incident,
    IncidentState, Release, Report, Response, SharedCause, StageRecord,
};
use prunella_model::outcome::Outcome;
use prunella_model::step::{Step, TargetStep};
use prunella_model::time::format_span;
use prunella_model::{IncidentId, Timestamp};
use prunella_proto::control::v1 as pb;
use prunella_proto::wire::encode_time;

use super::convert::{time, word};
use super::name::{of_incident, of_target};

/// The whole record, and what to do about it.
#[must_use]
pub fn incident(it: &Incident, advice: &Advice) -> pb::Incident {
    let (state, state_detail) = state(it);
    let (closing, closed_by) = match &it.state {
        IncidentState::Closed(closing) => {
            let (word, upstream) = self::closing(closing);
            (Some(word.to_owned()), upstream)
        }
        IncidentState::Upstream { incident } => (None, *incident),
        IncidentState::Diagnosing
        | IncidentState::Held
        | IncidentState::Repairing { .. }
        | IncidentState::Verifying { .. }
        | IncidentState::Probation { .. }
        | IncidentState::NeedsHuman { .. } => (None, None),
    };
    pb::Incident {
        name: of_incident(it.id),
        severity: word(&it.severity()),
        fault: Some(fault(&it.fault)),
        also: it.also.iter().map(fault).collect(),
        open_time: time(it.opened_at),
        state: state.into(),
        state_detail,
        diagnosis: it.diagnosis.as_ref().map(diagnosis),
        shared: it.shared.as_ref().map(shared),
        chain: it.chain.as_ref().map(chain),
        link: it.link.as_ref().map(|it| pb::ChainPlace {
            head: of_incident(it.head),
            position: it.position,
            length: it.length,
        }),
        response: Some(response(&it.response)),
        reports: it.reports.iter().map(report).collect(),
        stages: it.stages.iter().map(stage).collect(),
        attempts: it.attempts.iter().map(attempt).collect(),
        holds: it.holds.iter().map(|it| hold(it, None)).collect(),
        released: it.released.iter().map(|(it, at)| hold(it, Some(*at))).collect(),
        recover_time: it.recovered_at.map(encode_time),
        close_time: it.closed_at.map(encode_time),
        closing,
        upstream: closed_by.map(of_incident),
        advice: Some(pb::Advice {
            action: advice.action.as_str().to_owned(),
            text: advice.text.clone(),
            command: advice.command.clone(),
        }),
    }
}

fn report(it: &Report) -> pb::Report {
    pb::Report {
        report_id: it.id.clone(),
        by: it.by.to_string(),
        severity: word(&it.severity),
        summary: it.summary.clone(),
        file_time: time(it.filed_at),
        withdraw_time: it.withdrawn_at.map(encode_time),
    }
}

fn chain(it: &Chain) -> pb::Chain {
    let link = |it: &ChainLink| pb::ChainLink {
        target: of_target(&it.target),
        incident: it.incident.map(of_incident),
        state: it.state.as_str().to_owned(),
        why: it.state.why().map(str::to_owned),
    };
    let (end, end_detail) = match &it.end {
        None => (None, None),
        Some(ChainEnd::Done) => (Some("done"), None),
        Some(ChainEnd::Stopped { why }) => (Some("stopped"), Some(why.clone())),
        Some(ChainEnd::Cancelled { by }) => (Some("cancelled"), Some(format!("by {by}"))),
    };
    pb::Chain {
        by: it.by.to_string(),
        why: it.why.clone(),
        links: it.links.iter().map(link).collect(),
        end: end.map(str::to_owned),
        end_detail,
    }
}

fn response(it: &Response) -> pb::Response {
    pb::Response {
        due_time: it.due_at.map(encode_time),
        begin_time: it.begun_at.map(encode_time),
        miss_time: it.missed_at.map(encode_time),
    }
}

fn state(it: &Incident) -> (pb::incident::State, String) {
    use pb::incident::State;
    match &it.state {
        IncidentState::Diagnosing => (State::Diagnosing, "more evidence is needed before a cause can be named".into()),
        IncidentState::Upstream { incident: Some(id) } => {
            (State::Upstream, format!("left alone: the cause lies upstream, in incident {id}"))
        }
        IncidentState::Upstream { incident: None } => (State::Upstream, "left alone: the cause lies upstream".into()),
        IncidentState::Held => {
            let holds: Vec<String> = it.holds.iter().map(|hold| format!("{}: {}", hold.brake, hold.why)).collect();
            (State::Held, holds.join("; "))
        }
        IncidentState::Repairing { command } => (State::Repairing, format!("command {command} is under way")),
        IncidentState::Verifying { until } => (State::Verifying, with_end("the effect is being looked at", *until)),
        IncidentState::Probation { until } => (State::Probation, with_end("recovered; watched for a relapse", *until)),
        IncidentState::NeedsHuman { why } => (State::NeedsHuman, why.clone()),
        IncidentState::Closed(closing) => (State::Closed, self::closing(closing).0.to_owned()),
    }
}

fn with_end(what: &str, until: Timestamp) -> String {
    format!("{what}, until {}", encode_time(until))
}

fn closing(it: &Closing) -> (&'static str, Option<IncidentId>) {
    match it {
        Closing::Repaired { .. } => ("repaired", None),
        Closing::SelfRecovered => ("self_recovered", None),
        Closing::UpstreamRecovered { incident } => ("upstream_recovered", *incident),
        Closing::Cancelled { .. } => ("cancelled", None),
        Closing::TargetGone => ("target_gone", None),
        Closing::Disproved { by } => ("disproved", *by),
        Closing::Optimised { gain, .. } => match gain {
            Gain::Helped => ("optimised", None),
            Gain::NotHelped => ("not_improved", None),
            Gain::Inconclusive => ("inconclusive", None),
            Gain::Withdrawn => ("withdrawn", None),
        },
    }
}

fn fault(it: &Fault) -> pb::Fault {
    pb::Fault {
        rule: it.rule.to_string(),
        target: of_target(&it.target),
        symptom: it.symptom.as_ref().map(ToString::to_string),
        severity: word(&it.severity),
        fingerprint: it.fingerprint.0.clone(),
        since_time: time(it.since),
        summary: it.summary.clone(),
    }
}

fn diagnosis(it: &Diagnosis) -> pb::Diagnosis {
    let rejected = |(cause, why): &(prunella_model::CauseName, String)| pb::RejectedCause {
        cause: cause.to_string(),
        why: why.clone(),
    };
    pb::Diagnosis {
        category: word(&it.category),
        cause: it.cause.to_string(),
        cause_target: of_target(&it.cause_target),
        confidence: it.confidence,
        affected: it.affected.iter().map(of_target).collect(),
        evidence: it.evidence.iter().map(evidence).collect(),
        rejected: it.rejected.iter().map(rejected).collect(),
        recommended: it.recommended.iter().map(ToString::to_string).collect(),
        priority: word(&it.priority),
    }
}

fn shared(it: &SharedCause) -> pb::SharedCause {
    pb::SharedCause {
        kind: word(&it.attribute.kind),
        attribute: it.attribute.to_string(),
        cause: it.cause.to_string(),
        failing: it.failing,
        sharing: it.sharing,
        others_failing: it.others_failing,
        others: it.others,
        rate: it.rate,
        base_rate: it.base_rate,
        chance: it.chance,
    }
}

pub(super) fn evidence(it: &Evidence) -> pb::Evidence {
    pb::Evidence {
        time: time(it.at),
        target: of_target(&it.target),
        probe: it.probe.as_ref().map(ToString::to_string),
        status: it.status.as_ref().map(word),
        text: it.text.clone(),
    }
}

fn stage(it: &StageRecord) -> pb::StageRecord {
    pb::StageRecord {
        stage: word(&it.stage),
        start_time: time(it.started_at),
        end_time: it.ended_at.map(encode_time),
        result: it.result.clone(),
        health_before: it.health_before,
        health_after: it.health_after,
    }
}

fn attempt(it: &Attempt) -> pb::Attempt {
    let (outcome, outcome_detail) = it.outcome.as_ref().map(outcome).unzip();
    pb::Attempt {
        number: it.number,
        repair: it.repair.to_string(),
        command: it.command.to_string(),
        steps: it.steps.iter().map(step).collect(),
        because: it.because.clone(),
        alternatives: it.alternatives.iter().map(alternative).collect(),
        decide_time: time(it.decided_at),
        outcome: outcome.map(str::to_owned),
        outcome_detail: outcome_detail.flatten(),
        outcome_time: it.outcome_at.map(encode_time),
        verdict: it.verdict.as_ref().map(word),
        verdict_time: it.verdict_at.map(encode_time),
        verdict_evidence: it.verdict_evidence.iter().map(evidence).collect(),
        undoes: it.undoes,
    }
}

fn alternative(it: &Alternative) -> pb::Alternative {
    pb::Alternative {
        repair: it.repair.as_ref().map(ToString::to_string),
        score: it.score,
        rejected: it.rejected.clone(),
    }
}

fn outcome(it: &Outcome) -> (&'static str, Option<String>) {
    match it {
        Outcome::Done => ("done", None),
        Outcome::Refused(refusal) => ("refused", Some(format!("{}: {refusal}", refusal.code()))),
        Outcome::Failed { step, why } => ("failed", Some(format!("step {}: {why}", step + 1))),
        Outcome::Unknown { why } => ("unknown", Some(why.clone())),
        Outcome::Cancelled { done } => ("cancelled", Some(format!("{done} steps had been carried out"))),
        Outcome::Lost => ("lost", Some("no report before the deadline".to_owned())),
    }
}

fn step(it: &TargetStep) -> String {
    let target = &it.target;
    match &it.step {
        Step::StartService => format!("start {target}"),
        Step::StopService { grace } => format!("stop {target}, and kill it after {}", format_span(*grace)),
        Step::RestartService { grace } => format!("restart {target}, killing it after {}", format_span(*grace)),
        Step::SignalProcess { signal } => format!("send the signal {} to {target}", word(signal)),
        Step::CleanDirectory { directory, until_percent } => {
            format!("clean directory {directory} of {target} until {until_percent} % of its quota are in use")
        }
        Step::RestoreFile { file, snapshot } => format!("put file {file} of {target} back to snapshot {snapshot:?}"),
        Step::Use { part, act } => format!("{} of {target}", act.text(part)),
    }
}

fn hold(it: &Hold, released: Option<Timestamp>) -> pb::Hold {
    let (release_time, release_when) = release(&it.release);
    pb::Hold {
        brake: it.brake.to_string(),
        why: it.why.clone(),
        since_time: time(it.since),
        release_time: released.map(encode_time).or(release_time),
        release_when,
    }
}

/// When a hold ends: at a time, or when something happens.
pub(super) fn release(it: &Release) -> (Option<prost_types::Timestamp>, Option<String>) {
    match it {
        Release::At(at) => (time(*at), None),
        Release::When(what) => (None, Some(what.clone())),
    }
}
