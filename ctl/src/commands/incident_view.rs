//! An incident as `-o json` says it.

use prunella_proto::control::v1 as pb;
use serde::Serialize;

use crate::names::short;
use crate::output::{Time, Tone};

/// An incident with its full record.
#[derive(Debug, Serialize)]
pub(super) struct IncidentView {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) state_detail: String,
    /// As the worst of its faults.
    pub(super) severity: String,
    pub(super) fault: FaultView,
    pub(super) also: Vec<FaultView>,
    pub(super) opened: Time,
    pub(super) recovered: Time,
    pub(super) closed: Time,
    pub(super) closing: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) diagnosis: Option<DiagnosisView>,
    /// What its victims share, when it stands for several hosts.
    pub(super) shared: Option<SharedView>,
    /// The chain of repairs that a person asked for to heal its target.
    pub(super) chain: Option<ChainView>,
    /// Its place in a chain, which may be that of another incident.
    pub(super) link: Option<ChainPlaceView>,
    /// How soon it must be responded to, and was.
    pub(super) response: ResponseView,
    /// What people and other monitoring said about its target.
    pub(super) reports: Vec<ReportView>,
    pub(super) attempts: Vec<AttemptView>,
    pub(super) holds: Vec<HoldView>,
    pub(super) released: Vec<HoldView>,
    pub(super) stages: Vec<StageView>,
    /// Null when the server is older.
    pub(super) advice: Option<AdviceView>,
}

/// What a person should do about it now.
#[derive(Debug, Serialize)]
pub(super) struct AdviceView {
    pub(super) action: String,
    pub(super) text: String,
    pub(super) command: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct FaultView {
    pub(super) rule: String,
    pub(super) target: String,
    pub(super) symptom: Option<String>,
    pub(super) severity: String,
    pub(super) fingerprint: String,
    pub(super) since: Time,
    pub(super) summary: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DiagnosisView {
    pub(super) category: String,
    pub(super) cause: String,
    pub(super) cause_target: String,
    pub(super) confidence: f64,
    pub(super) priority: String,
    pub(super) affected: Vec<String>,
    pub(super) evidence: Vec<EvidenceView>,
    pub(super) rejected: Vec<RejectedView>,
    pub(super) recommended: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SharedView {
    pub(super) kind: String,
    pub(super) attribute: String,
    pub(super) cause: String,
    pub(super) failing: u32,
    pub(super) sharing: u32,
    pub(super) others_failing: u32,
    pub(super) others: u32,
    pub(super) rate: f64,
    pub(super) base_rate: f64,
    pub(super) chance: f64,
}

impl SharedView {
    fn of(it: pb::SharedCause) -> Self {
        Self {
            kind: it.kind,
            attribute: it.attribute,
            cause: it.cause,
            failing: it.failing,
            sharing: it.sharing,
            others_failing: it.others_failing,
            others: it.others,
            rate: it.rate,
            base_rate: it.base_rate,
            chance: it.chance,
        }
    }
}

/// What somebody who is no probe said.
#[derive(Debug, Serialize)]
pub(super) struct ReportView {
    pub(super) report_id: String,
    pub(super) by: String,
    pub(super) severity: String,
    pub(super) summary: String,
    pub(super) filed: Time,
    pub(super) withdrawn: Time,
}

impl ReportView {
    fn of(it: pb::Report) -> Self {
        Self {
            report_id: it.report_id,
            by: it.by,
            severity: it.severity,
            summary: it.summary,
            filed: it.file_time.into(),
            withdrawn: it.withdraw_time.into(),
        }
    }
}

/// A repair of a target and of everything broken that it needs.
#[derive(Debug, Serialize)]
pub(super) struct ChainView {
    pub(super) by: String,
    pub(super) why: String,
    pub(super) links: Vec<ChainLinkView>,
    /// Null while it goes on.
    pub(super) end: Option<String>,
    pub(super) end_detail: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChainLinkView {
    pub(super) target: String,
    pub(super) incident: Option<String>,
    pub(super) state: String,
    pub(super) why: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChainPlaceView {
    pub(super) head: String,
    pub(super) position: u32,
    pub(super) length: u32,
}

impl ChainView {
    fn of(it: pb::Chain) -> Self {
        let link = |it: pb::ChainLink| ChainLinkView {
            target: short(&it.target),
            incident: it.incident.as_deref().map(short),
            state: it.state,
            why: it.why,
        };
        let links = it.links.into_iter().map(link).collect();
        Self { by: it.by, why: it.why, links, end: it.end, end_detail: it.end_detail }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ResponseView {
    pub(super) due: Time,
    pub(super) begun: Time,
    pub(super) missed: Time,
}

impl ResponseView {
    fn of(it: pb::Response) -> Self {
        Self { due: it.due_time.into(), begun: it.begin_time.into(), missed: it.miss_time.into() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct RejectedView {
    pub(super) cause: String,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct EvidenceView {
    pub(super) time: Time,
    pub(super) target: String,
    pub(super) probe: Option<String>,
    pub(super) status: Option<String>,
    pub(super) text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct AttemptView {
    pub(super) number: u32,
    pub(super) repair: String,
    pub(super) command: String,
    pub(super) steps: Vec<String>,
    pub(super) because: String,
    pub(super) decided: Time,
    pub(super) outcome: Option<String>,
    pub(super) outcome_detail: Option<String>,
    pub(super) outcome_time: Time,
    pub(super) verdict: Option<String>,
    pub(super) verdict_time: Time,
    pub(super) verdict_evidence: Vec<EvidenceView>,
    pub(super) undoes: Option<u32>,
    pub(super) alternatives: Vec<AlternativeView>,
}

#[derive(Debug, Serialize)]
pub(super) struct AlternativeView {
    /// Null is "do nothing".
    pub(super) repair: Option<String>,
    pub(super) score: Option<f64>,
    pub(super) rejected: String,
}

#[derive(Debug, Serialize)]
pub(super) struct HoldView {
    pub(super) brake: String,
    pub(super) why: String,
    pub(super) since: Time,
    pub(super) release_time: Time,
    pub(super) release_when: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct StageView {
    pub(super) stage: String,
    pub(super) start: Time,
    pub(super) end: Time,
    pub(super) result: String,
    pub(super) health_before: Option<f64>,
    pub(super) health_after: Option<f64>,
}

/// The word for a state. An unknown one is shown, not hidden: the server may be newer.
pub(super) const fn state_word(state: pb::incident::State) -> &'static str {
    use pb::incident::State;
    match state {
        State::Unspecified => "unspecified",
        State::Diagnosing => "diagnosing",
        State::Upstream => "upstream",
        State::Held => "held",
        State::Repairing => "repairing",
        State::Verifying => "verifying",
        State::Probation => "probation",
        State::NeedsHuman => "needs_human",
        State::Closed => "closed",
    }
}

impl IncidentView {
    pub(super) fn of(it: pb::Incident) -> Self {
        let state = state_word(it.state());
        Self {
            id: short(&it.name),
            state,
            state_detail: it.state_detail,
            severity: it.severity,
            fault: FaultView::of(it.fault.unwrap_or_default()),
            also: it.also.into_iter().map(FaultView::of).collect(),
            opened: it.open_time.into(),
            recovered: it.recover_time.into(),
            closed: it.close_time.into(),
            closing: it.closing,
            upstream: it.upstream.as_deref().map(short),
            diagnosis: it.diagnosis.map(DiagnosisView::of),
            shared: it.shared.map(SharedView::of),
            chain: it.chain.map(ChainView::of),
            link: it.link.map(|it| ChainPlaceView { head: short(&it.head), position: it.position, length: it.length }),
            response: ResponseView::of(it.response.unwrap_or_default()),
            reports: it.reports.into_iter().map(ReportView::of).collect(),
            attempts: it.attempts.into_iter().map(AttemptView::of).collect(),
            holds: it.holds.into_iter().map(HoldView::of).collect(),
            released: it.released.into_iter().map(HoldView::of).collect(),
            stages: it.stages.into_iter().map(StageView::of).collect(),
            advice: it.advice.map(|it| AdviceView { action: it.action, text: it.text, command: it.command }),
        }
    }

    pub(super) fn tone(&self) -> Tone {
        match self.state {
            "needs_human" => Tone::Bad,
            "held" | "repairing" | "verifying" | "diagnosing" => Tone::Warning,
            "closed" => Tone::Faint,
            _ => Tone::Plain,
        }
    }

    /// The cause and where it lies, or null before it is known.
    pub(super) fn cause(&self) -> Option<String> {
        let it = self.diagnosis.as_ref()?;
        Some(if it.cause_target == self.fault.target {
            it.cause.clone()
        } else {
            format!("{} on {}", it.cause, it.cause_target)
        })
    }

    /// The latest repair tried, and what came of it.
    pub(super) fn latest_attempt(&self) -> Option<String> {
        let it = self.attempts.last()?;
        let end = it.verdict.as_deref().or(it.outcome.as_deref()).unwrap_or("under way");
        Some(format!("{}: {end}", it.repair))
    }
}

impl FaultView {
    fn of(it: pb::Fault) -> Self {
        Self {
            rule: it.rule,
            target: short(&it.target),
            symptom: it.symptom,
            severity: it.severity,
            fingerprint: it.fingerprint,
            since: it.since_time.into(),
            summary: it.summary,
        }
    }
}

impl DiagnosisView {
    fn of(it: pb::Diagnosis) -> Self {
        Self {
            category: it.category,
            cause: it.cause,
            cause_target: short(&it.cause_target),
            confidence: it.confidence,
            priority: it.priority,
            affected: it.affected.iter().map(|it| short(it)).collect(),
            evidence: it.evidence.into_iter().map(EvidenceView::of).collect(),
            rejected: it.rejected.into_iter().map(|it| RejectedView { cause: it.cause, why: it.why }).collect(),
            recommended: it.recommended,
        }
    }
}

impl EvidenceView {
    fn of(it: pb::Evidence) -> Self {
        Self { time: it.time.into(), target: short(&it.target), probe: it.probe, status: it.status, text: it.text }
    }
}

impl AttemptView {
    fn of(it: pb::Attempt) -> Self {
        let alternative =
            |it: pb::Alternative| AlternativeView { repair: it.repair, score: it.score, rejected: it.rejected };
        Self {
            number: it.number,
            repair: it.repair,
            command: it.command,
            steps: it.steps,
            because: it.because,
            decided: it.decide_time.into(),
            outcome: it.outcome,
            outcome_detail: it.outcome_detail,
            outcome_time: it.outcome_time.into(),
            verdict: it.verdict,
            verdict_time: it.verdict_time.into(),
            verdict_evidence: it.verdict_evidence.into_iter().map(EvidenceView::of).collect(),
            undoes: it.undoes,
            alternatives: it.alternatives.into_iter().map(alternative).collect(),
        }
    }
}

impl HoldView {
    fn of(it: pb::Hold) -> Self {
        Self {
            brake: it.brake,
            why: it.why,
            since: it.since_time.into(),
            release_time: it.release_time.into(),
            release_when: it.release_when,
        }
    }

    /// When it ends, for a person.
    pub(super) fn release(&self, now: Time) -> String {
        match &self.release_when {
            Some(when) => when.clone(),
            None => self.release_time.relative(now),
        }
    }
}

impl StageView {
    fn of(it: pb::StageRecord) -> Self {
        Self {
            stage: it.stage,
            start: it.start_time.into(),
            end: it.end_time.into(),
            result: it.result,
            health_before: it.health_before,
            health_after: it.health_after,
        }
    }
}
