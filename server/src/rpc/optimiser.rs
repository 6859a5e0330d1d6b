//! What is well and could be better, and what will run out.

use prunella_engine::Request as Ask;
use prunella_engine::view::{Capacity, Opportunity, QuietState, QuietView};
use prunella_model::week::{WeekHours, WeekSpan};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::optimiser_service_server::OptimiserService;
use prunella_proto::wire::{encode_span, encode_time};
use tonic::{Request, Response, Status};

use super::name::{of_incident, of_target};
use super::{answer, ask, error, incident_view, operator, text};
use crate::driver::Inbox;

/// What the name of an opportunity begins with.
const COLLECTION: &str = "opportunities/";

/// The digits in the name of an opportunity.
const DIGITS: usize = 16;

/// Serves `OptimiserService`.
#[derive(Debug, Clone)]
pub struct Optimiser {
    /// The way to the driver.
    pub inbox: Inbox,
}

#[tonic::async_trait]
impl OptimiserService for Optimiser {
    async fn list_opportunities(
        &self,
        _: Request<pb::ListOpportunitiesRequest>,
    ) -> Result<Response<pb::ListOpportunitiesResponse>, Status> {
        let found = self.inbox.query(|engine, _| engine.opportunities()).await?;
        let opportunities = found.iter().map(opportunity).collect();
        Ok(Response::new(pb::ListOpportunitiesResponse { opportunities }))
    }

    async fn apply_opportunity(
        &self,
        request: Request<pb::ApplyOpportunityRequest>,
    ) -> Result<Response<pb::ApplyOpportunityResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let opportunity = request.name.strip_prefix(COLLECTION).unwrap_or(&request.name).to_owned();
        if opportunity.len() != DIGITS || !opportunity.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(error::invalid("name", "must be opportunities/ and 16 hexadecimal digits, as listed"));
        }
        let why = text("why", request.why)?;
        let asked = Ask::Optimise { opportunity, why, dry_run: request.validate_only };
        let (incident, message) = answer(ask(&self.inbox, by, asked).await?)?;
        let incident = incident.map(of_incident).unwrap_or_default();
        Ok(Response::new(pb::ApplyOpportunityResponse { incident, message }))
    }

    async fn list_capacities(
        &self,
        _: Request<pb::ListCapacitiesRequest>,
    ) -> Result<Response<pb::ListCapacitiesResponse>, Status> {
        let found = self.inbox.query(|engine, now| engine.capacities(now)).await?;
        Ok(Response::new(pb::ListCapacitiesResponse { capacities: found.iter().map(capacity).collect() }))
    }

    async fn list_quiet_hours(
        &self,
        _: Request<pb::ListQuietHoursRequest>,
    ) -> Result<Response<pb::ListQuietHoursResponse>, Status> {
        let found = self.inbox.query(|engine, now| engine.quiet_hours(now)).await?;
        Ok(Response::new(pb::ListQuietHoursResponse { quiet_hours: found.iter().map(quiet_hours).collect() }))
    }
}

fn quiet_hours(it: &QuietView) -> pb::QuietHours {
    let state = match it.state {
        QuietState::Off => pb::quiet_hours::State::Off,
        QuietState::Unknown => pb::quiet_hours::State::Unknown,
        QuietState::None => pb::quiet_hours::State::None,
        QuietState::Known => pb::quiet_hours::State::Known,
    };
    let window = |it: WeekSpan| pb::WeekWindow {
        day: it.day.as_str().to_ascii_lowercase(),
        from_hour: u32::from(it.from),
        hours: u32::from(it.hours),
    };
    pb::QuietHours {
        name: it.name.clone(),
        state: state.into(),
        about: it.about.clone(),
        windows: it.hours.iter().flat_map(WeekHours::spans).map(window).collect(),
        open_time: it.opens.map(encode_time),
        close_time: it.closes.map(encode_time),
        watched: Some(encode_span(it.watched)),
        use_percent: it.share.map(|it| it * 100.0),
        regularity: it.alike,
    }
}

fn opportunity(it: &Opportunity) -> pb::Opportunity {
    pb::Opportunity {
        name: format!("{COLLECTION}{}", it.id),
        kind: it.kind.to_owned(),
        target: of_target(&it.target),
        summary: it.summary.clone(),
        priority: it.priority,
        confidence: it.confidence,
        score: it.score,
        repair: it.repair.to_string(),
        metric: it.metric.to_owned(),
        present_value: it.now,
        expected_value: it.expected,
        effect: it.effect.clone(),
        evidence: it.evidence.iter().map(incident_view::evidence).collect(),
        safe_to_automate: it.safe,
        not_automatic: it.not_automatic.clone(),
        obstacle: it.obstacle.clone(),
        open_time: it.opens.map(encode_time),
        waits_for: it.waits.clone(),
    }
}

fn capacity(it: &Capacity) -> pb::Capacity {
    pb::Capacity {
        target: of_target(&it.target),
        metric: it.metric.to_string(),
        used_percent: it.used_percent,
        last_percent: it.last_percent,
        points_per_day: it.per_day,
        confidence: it.confidence,
        watched: Some(encode_span(it.watched)),
        exhaustion_time: it.exhausted_at.map(encode_time),
        total_bytes: it.total_bytes,
        bytes_per_day: it.bytes_per_day,
        earliest_exhaustion_time: it.exhausted_earliest.map(encode_time),
        latest_exhaustion_time: it.exhausted_latest.map(encode_time),
    }
}
