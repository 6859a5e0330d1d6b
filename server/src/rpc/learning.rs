//! What was learned, for people, and for other fleets.

use prunella_engine::view::{Help, Insight, Prediction, Recommendation, SelfRecovery};
use prunella_engine::{Reply, Request as Ask, lore};
use prunella_model::OperatorName;
use prunella_model::knowledge::{LORE_SCHEMA, Lore};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::learning_service_server::LearningService;
use prunella_proto::wire::{encode_span, encode_time};
use serde::Deserialize;
use tonic::{Request, Response, Status};

use super::name::{of_target, target};
use super::{answer, error, health, operator, page};
use crate::clock::Clock;
use crate::driver::Inbox;

/// The longest document of knowledge, in bytes.
const DOCUMENT_MAX: usize = 32 * 1024 * 1024;

/// The largest request: a document, and what is around it.
pub const MESSAGE_MAX: usize = DOCUMENT_MAX + 64 * 1024;

/// How many records the engine takes in at once: it must not be kept from its faults for long.
const PART: usize = 500;

/// Serves `LearningService`.
#[derive(Debug, Clone)]
pub struct Learning {
    /// The way to the driver.
    pub inbox: Inbox,
    /// The time.
    pub clock: Clock,
}

#[tonic::async_trait]
impl LearningService for Learning {
    async fn list_insights(
        &self,
        request: Request<pb::ListInsightsRequest>,
    ) -> Result<Response<pb::ListInsightsResponse>, Status> {
        let request = request.into_inner();
        let (size, after) = (page::size(request.page_size)?, page::after("insights", &request.page_token)?);
        let mut found =
            self.inbox.query(move |engine, now| engine.insights(now, after.as_deref(), size.saturating_add(1))).await?;
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|it| page::token("insights", &it.place())).unwrap_or_default();
        Ok(Response::new(pb::ListInsightsResponse { insights: found.iter().map(insight).collect(), next_page_token }))
    }

    async fn get_target_health(
        &self,
        request: Request<pb::GetTargetHealthRequest>,
    ) -> Result<Response<pb::GetTargetHealthResponse>, Status> {
        let name = request.into_inner().name;
        let wanted = target("name", &name)?;
        let found = self.inbox.query(move |engine, now| engine.outlook(&wanted, now)).await?;
        let found = found.ok_or_else(|| error::not_found(&name))?;
        Ok(Response::new(pb::GetTargetHealthResponse {
            health: Some(health::health(&found.health)),
            insights: found.insights.iter().map(insight).collect(),
            predictions: found.predictions.iter().map(prediction).collect(),
        }))
    }

    async fn list_predictions(
        &self,
        request: Request<pb::ListPredictionsRequest>,
    ) -> Result<Response<pb::ListPredictionsResponse>, Status> {
        let name = request.into_inner().name;
        let mut found = self.inbox.query(|engine, now| engine.predictions(now)).await?;
        if !name.is_empty() {
            let within = format!("{name}/");
            found.retain(|it| it.name.as_ref().is_some_and(|it| *it == name || it.starts_with(&within)));
        }
        Ok(Response::new(pb::ListPredictionsResponse { predictions: found.iter().map(prediction).collect() }))
    }

    async fn list_recommendations(
        &self,
        request: Request<pb::ListRecommendationsRequest>,
    ) -> Result<Response<pb::ListRecommendationsResponse>, Status> {
        let request = request.into_inner();
        let (size, after) = (page::size(request.page_size)?, page::after("recommendations", &request.page_token)?);
        let all = self.inbox.query(|engine, now| engine.recommendations(now)).await?;
        let (found, next_page_token) = page::cut("recommendations", all, after.as_deref(), size, Recommendation::place);
        let recommendations = found.iter().map(recommendation).collect();
        Ok(Response::new(pb::ListRecommendationsResponse { recommendations, next_page_token }))
    }

    async fn export_knowledge(
        &self,
        _: Request<pb::ExportKnowledgeRequest>,
    ) -> Result<Response<pb::ExportKnowledgeResponse>, Status> {
        let lore = self.inbox.query(|engine, _| engine.lore()).await?;
        let json = serde_json::to_string(&lore).map_err(|error| error::internal("writing the document", &error))?;
        let records = count(lore.knowledge.len() + lore.patterns.len());
        Ok(Response::new(pb::ExportKnowledgeResponse { json, id: lore.id, records }))
    }

    async fn import_knowledge(
        &self,
        request: Request<pb::ImportKnowledgeRequest>,
    ) -> Result<Response<pb::ImportKnowledgeResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        // Reading tens of megabytes would keep this thread from its other callers.
        let reading = tokio::task::spawn_blocking(move || read(&request.json));
        let lore = reading.await.map_err(|error| error::internal("reading the document", &error))??;
        lore::check(&lore, self.clock.now()).map_err(|wrong| error::invalid("json", wrong))?;
        if request.validate_only {
            return Ok(Response::new(pb::ImportKnowledgeResponse::default()));
        }
        self.import(&by, lore).await.map(Response::new)
    }
}

impl Learning {
    /// Has the engine take a document in, part by part. What was taken in before a part failed stays: the same document
    /// may be imported again.
    async fn import(&self, by: &OperatorName, lore: Lore) -> Result<pb::ImportKnowledgeResponse, Status> {
        let mut sum = pb::ImportKnowledgeResponse::default();
        let Lore { schema, fleet, id, mut knowledge, mut patterns } = lore;
        while !knowledge.is_empty() || !patterns.is_empty() {
            let part = Lore {
                schema,
                fleet: fleet.clone(),
                id: id.clone(),
                knowledge: knowledge.split_off(knowledge.len().saturating_sub(PART)),
                patterns: patterns.split_off(patterns.len().saturating_sub(PART)),
            };
            match self.inbox.ask(by.clone(), Ask::Import { lore: Box::new(part) }).await? {
                Reply::Learned { new, restored, known } => {
                    sum.new_records = sum.new_records.saturating_add(count(new));
                    sum.restored_records = sum.restored_records.saturating_add(count(restored));
                    sum.known_records = sum.known_records.saturating_add(count(known));
                }
                other @ (Reply::Done { .. }
                | Reply::Rehearsed { .. }
                | Reply::Begun { .. }
                | Reply::NotFound { .. }
                | Reply::Refused { .. }) => {
                    answer(other)?;
                }
            }
        }
        Ok(sum)
    }
}

/// What tells one form of the document from another, whatever else there is in it.
#[derive(Deserialize)]
struct Form {
    schema: u32,
}

fn read(json: &str) -> Result<Lore, Status> {
    if json.len() > DOCUMENT_MAX {
        return Err(error::invalid("json", format!("has more than {DOCUMENT_MAX} bytes")));
    }
    let wrong = |wrong: serde_json::Error| error::invalid("json", format!("is no document of knowledge: {wrong}"));
    let Form { schema } = serde_json::from_str(json).map_err(wrong)?;
    if schema != LORE_SCHEMA {
        return Err(error::invalid("json", lore::BadLore::Schema { found: schema }));
    }
    serde_json::from_str(json).map_err(wrong)
}

fn count(it: usize) -> u32 {
    u32::try_from(it).unwrap_or(u32::MAX)
}

fn subject(it: &prunella_model::knowledge::Subject) -> pb::Subject {
    pb::Subject {
        rule: it.rule.to_string(),
        kind: it.kind.clone(),
        class: it.class.clone(),
        symptom: it.symptom.as_ref().map(ToString::to_string),
        cause: it.cause.to_string(),
    }
}

fn insight(it: &Insight) -> pb::Insight {
    pb::Insight {
        name: format!("insights/{}", it.id),
        fingerprint: it.fingerprint.0.clone(),
        subject: Some(subject(&it.subject)),
        incidents: it.incidents,
        incidents_elsewhere: it.elsewhere,
        escalated: it.escalated,
        last_time: it.last.map(encode_time),
        every: it.every.map(encode_span),
        self_recovery: Some(self_recovery(&it.self_recovery)),
        helps: it.helps.iter().map(help).collect(),
    }
}

fn self_recovery(it: &SelfRecovery) -> pb::SelfRecovery {
    pb::SelfRecovery {
        incidents: it.incidents,
        low: it.low,
        high: it.high,
        chance: it.chance,
        within: Some(encode_span(it.within)),
        known: it.known,
    }
}

fn help(it: &Help) -> pb::Help {
    pb::Help {
        repair: it.repair.to_string(),
        after: it.after.iter().map(ToString::to_string).collect(),
        chance: it.chance,
        low: it.low,
        high: it.high,
        healed: it.healed,
        failed: it.failed,
        censored: it.censored,
        trials_elsewhere: it.elsewhere,
        mean_time: it.mean_time.map(encode_span),
        mean_failure_time: it.mean_failure.map(encode_span),
        last_time: Some(encode_time(it.last)),
        shadow: it.shadow,
    }
}

fn prediction(it: &Prediction) -> pb::Prediction {
    pb::Prediction {
        kind: it.kind.as_str().to_owned(),
        name: it.name.clone(),
        subject: it.subject.as_ref().map(subject),
        expect_time: Some(encode_time(it.at)),
        earliest_time: it.earliest.map(encode_time),
        latest_time: it.latest.map(encode_time),
        confidence: it.confidence,
        summary: it.summary.clone(),
        evidence: it.evidence.clone(),
    }
}

fn recommendation(it: &Recommendation) -> pb::Recommendation {
    pb::Recommendation {
        kind: it.kind.as_str().to_owned(),
        target: it.target.as_ref().map(of_target),
        subject: it.subject.as_ref().map(subject),
        rule: it.rule.as_ref().map(ToString::to_string),
        text: it.text.clone(),
        evidence: it.evidence.clone(),
        incidents: it.incidents,
    }
}
