//! What `prunella learning` prints as JSON.

use prunella_proto::control::v1 as pb;
use serde::Serialize;

use crate::commands::millis;
use crate::names::short;
use crate::output::Time;

#[derive(Debug, Serialize)]
pub(super) struct Insights {
    pub(super) insights: Vec<InsightView>,
}

#[derive(Debug, Serialize)]
pub(super) struct Predictions {
    pub(super) predictions: Vec<PredictionView>,
}

#[derive(Debug, Serialize)]
pub(super) struct Recommendations {
    pub(super) recommendations: Vec<RecommendationView>,
}

#[derive(Debug, Serialize)]
pub(super) struct HealthOutlook {
    pub(super) name: String,
    pub(super) score: Option<f64>,
    pub(super) level: Option<String>,
    pub(super) risk: Option<String>,
    pub(super) reasons: Vec<String>,
    #[serde(flatten)]
    pub(super) insights: Insights,
    #[serde(flatten)]
    pub(super) predictions: Predictions,
}

#[derive(Debug, Serialize)]
pub(super) struct SubjectView {
    pub(super) rule: String,
    pub(super) kind: String,
    pub(super) class: String,
    pub(super) symptom: Option<String>,
    pub(super) cause: String,
}

#[derive(Debug, Serialize)]
pub(super) struct InsightView {
    pub(super) id: String,
    pub(super) fingerprint: String,
    pub(super) subject: SubjectView,
    pub(super) incidents: u64,
    pub(super) incidents_elsewhere: u64,
    pub(super) escalated: u64,
    pub(super) last_time: Time,
    pub(super) every_ms: Option<f64>,
    pub(super) self_recovery: SelfRecoveryView,
    pub(super) helps: Vec<HelpView>,
}

#[derive(Debug, Serialize)]
pub(super) struct SelfRecoveryView {
    pub(super) incidents: u64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) chance: f64,
    pub(super) within_ms: Option<f64>,
    pub(super) known: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct HelpView {
    pub(super) repair: String,
    pub(super) after: Vec<String>,
    pub(super) chance: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) healed: f64,
    pub(super) failed: f64,
    pub(super) censored: u64,
    pub(super) trials_elsewhere: f64,
    pub(super) mean_ms: Option<f64>,
    pub(super) mean_failure_ms: Option<f64>,
    pub(super) last_time: Time,
    pub(super) shadow: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct PredictionView {
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) subject: Option<SubjectView>,
    pub(super) expect_time: Time,
    pub(super) earliest_time: Time,
    pub(super) latest_time: Time,
    pub(super) confidence: f64,
    pub(super) summary: String,
    pub(super) evidence: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RecommendationView {
    pub(super) kind: String,
    pub(super) target: Option<String>,
    pub(super) subject: Option<SubjectView>,
    pub(super) rule: Option<String>,
    pub(super) text: String,
    pub(super) evidence: Vec<String>,
    pub(super) incidents: u64,
}

impl SubjectView {
    fn of(it: pb::Subject) -> Self {
        let pb::Subject { rule, kind, class, symptom, cause } = it;
        Self { rule, kind, class, symptom, cause }
    }
}

impl Insights {
    pub(super) fn of(all: Vec<pb::Insight>) -> Self {
        Self { insights: all.into_iter().map(InsightView::of).collect() }
    }
}

impl InsightView {
    fn of(it: pb::Insight) -> Self {
        let alone = it.self_recovery.unwrap_or_default();
        Self {
            id: short(&it.name),
            fingerprint: it.fingerprint,
            subject: SubjectView::of(it.subject.unwrap_or_default()),
            incidents: it.incidents,
            incidents_elsewhere: it.incidents_elsewhere,
            escalated: it.escalated,
            last_time: it.last_time.into(),
            every_ms: millis(it.every),
            self_recovery: SelfRecoveryView {
                incidents: alone.incidents,
                low: alone.low,
                high: alone.high,
                chance: alone.chance,
                within_ms: millis(alone.within),
                known: alone.known,
            },
            helps: it.helps.into_iter().map(HelpView::of).collect(),
        }
    }
}

impl HelpView {
    fn of(it: pb::Help) -> Self {
        Self {
            repair: it.repair,
            after: it.after,
            chance: it.chance,
            low: it.low,
            high: it.high,
            healed: it.healed,
            failed: it.failed,
            censored: it.censored,
            trials_elsewhere: it.trials_elsewhere,
            mean_ms: millis(it.mean_time),
            mean_failure_ms: millis(it.mean_failure_time),
            last_time: it.last_time.into(),
            shadow: it.shadow,
        }
    }
}

impl Predictions {
    pub(super) fn of(all: Vec<pb::Prediction>) -> Self {
        let one = |it: pb::Prediction| PredictionView {
            kind: it.kind,
            name: it.name.as_deref().map(short),
            subject: it.subject.map(SubjectView::of),
            expect_time: it.expect_time.into(),
            earliest_time: it.earliest_time.into(),
            latest_time: it.latest_time.into(),
            confidence: it.confidence,
            summary: it.summary,
            evidence: it.evidence,
        };
        Self { predictions: all.into_iter().map(one).collect() }
    }
}

impl Recommendations {
    pub(super) fn of(all: Vec<pb::Recommendation>) -> Self {
        let one = |it: pb::Recommendation| RecommendationView {
            kind: it.kind,
            target: it.target.as_deref().map(short),
            subject: it.subject.map(SubjectView::of),
            rule: it.rule,
            text: it.text,
            evidence: it.evidence,
            incidents: it.incidents,
        };
        Self { recommendations: all.into_iter().map(one).collect() }
    }
}

impl HealthOutlook {
    pub(super) fn of(it: pb::GetTargetHealthResponse) -> Self {
        let health = it.health.unwrap_or_default();
        Self {
            name: short(&health.name),
            score: health.score,
            level: health.level,
            risk: health.risk,
            reasons: health.reasons,
            insights: Insights::of(it.insights),
            predictions: Predictions::of(it.predictions),
        }
    }
}
