//! How well the fleet and everything in it is.

use prunella_engine::view::{HealthName, HealthView};
use prunella_model::ServiceName;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::health_service_server::HealthService;
use prunella_proto::wire::encode_span;
use tonic::{Request, Response, Status};

use super::name::Within;
use super::{convert, error, name, page};
use crate::driver::Inbox;

/// Serves `HealthService`.
#[derive(Debug, Clone)]
pub struct Health {
    /// The way to the driver.
    pub inbox: Inbox,
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn get_health(
        &self,
        request: Request<pb::GetHealthRequest>,
    ) -> Result<Response<pb::GetHealthResponse>, Status> {
        let wanted = wanted(&request.get_ref().name)?;
        let found = self.inbox.query(move |engine, _| engine.health_of(&wanted)).await?;
        let found = found.ok_or_else(|| error::not_found(&request.get_ref().name))?;
        Ok(Response::new(pb::GetHealthResponse { health: Some(health(&found)) }))
    }

    async fn list_health(
        &self,
        request: Request<pb::ListHealthRequest>,
    ) -> Result<Response<pb::ListHealthResponse>, Status> {
        let request = request.into_inner();
        let (size, after) = (page::size(request.page_size)?, page::after("health", &request.page_token)?);
        let all = match request.kind.as_str() {
            "layers" => self.inbox.query(|engine, _| engine.layer_healths()).await?,
            "hosts" => self.inbox.query(|engine, _| engine.host_healths()).await?,
            "services" => self.inbox.query(|engine, _| engine.service_healths()).await?,
            "targets" => self.inbox.query(|engine, _| engine.target_healths()).await?,
            other => {
                let what = format!("{other:?} is none; there are layers, hosts, services and targets");
                return Err(error::invalid("kind", what));
            }
        };
        let (all, next_page_token) = page::cut("health", all, after.as_deref(), size, |it| it.name.clone());
        let brief = |it: &HealthView| pb::Health { history: Vec::new(), ..health(it) };
        Ok(Response::new(pb::ListHealthResponse { healths: all.iter().map(brief).collect(), next_page_token }))
    }
}

fn wanted(text: &str) -> Result<HealthName, Status> {
    if text.is_empty() || text == "fleet" {
        return Ok(HealthName::Fleet);
    }
    if let Some(layer) = text.strip_prefix("layers/") {
        return Ok(HealthName::Layer(layer.to_owned()));
    }
    if let Some(service) = text.strip_prefix("services/") {
        let service = ServiceName::new(service).map_err(|error| error::invalid("name", error))?;
        return Ok(HealthName::Service(service));
    }
    Ok(match name::within("name", text)? {
        Within::All => HealthName::Fleet,
        Within::Host(host) => HealthName::Host(host),
        Within::Target(target) => HealthName::Target(target),
    })
}

/// The health of one thing, with its history.
pub(super) fn health(it: &HealthView) -> pb::Health {
    let part = |it: &prunella_engine::view::PartView| pb::HealthPart {
        name: it.name.to_owned(),
        score: it.score,
        about: it.about.clone(),
    };
    pb::Health {
        name: it.name.clone(),
        score: it.score,
        level: it.level.map(|it| it.as_str().to_owned()),
        trend: it.trend.map(|it| pb::HealthTrend {
            course: it.course.as_str().to_owned(),
            slope_per_hour: it.slope_per_hour,
            confidence: it.confidence,
            prediction: it.prediction,
            ahead: Some(encode_span(it.ahead)),
            scores: u32::try_from(it.scores).unwrap_or(u32::MAX),
        }),
        weight: it.weight,
        parts: it.parts.iter().map(part).collect(),
        risk: it.risk.map(|it| it.as_str().to_owned()),
        reasons: it.reasons.clone(),
        history: it
            .history
            .iter()
            .map(|(at, score)| pb::HealthScore { time: convert::time(*at), score: *score })
            .collect(),
    }
}
