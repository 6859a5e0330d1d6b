//! Faults from opening to closing, and repairs on request.

use std::sync::Arc;

use prunella_engine::{Reply, Request as Ask};
use prunella_model::incident::{Incident, Severity};
use prunella_model::question::Rehearsal;
use prunella_model::step::TargetStep;
use prunella_model::{HostId, IncidentId, OperatorName, RepairName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::incident_service_server::IncidentService;
use tonic::{Request, Response, Status};

use super::name::Within;
use super::{answer, ask, error, incident_view, name, operator, page, text};
use crate::closed::Archive;
use crate::driver::Inbox;
use crate::questions::Questions;
use crate::sessions::Sessions;

/// The longest name of a report, in bytes.
const REPORT_ID_MAX: usize = 128;

/// Serves `IncidentService`.
#[derive(Debug, Clone)]
pub struct Incidents {
    /// The way to the driver.
    pub inbox: Inbox,
    /// Closed incidents.
    pub history: Archive,
    /// Connected agents.
    pub sessions: Arc<Sessions>,
    /// Questions to them.
    pub questions: Arc<Questions>,
}

#[tonic::async_trait]
impl IncidentService for Incidents {
    async fn list_incidents(
        &self,
        request: Request<pb::ListIncidentsRequest>,
    ) -> Result<Response<pb::ListIncidentsResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let wanted = Wanted::read(&request)?;
        // Open ones come first and closed ones after them, each newest first. A token names the last one shown and
        // which part it was of, so that an incident which closes between two pages is not shown twice at once.
        let after = page::after("incidents", &request.page_token)?;
        let (closed_after, open_after) = match after.as_deref().map(|it| it.split_once('/')) {
            None => (None, None),
            Some(Some(("open", id))) => (None, Some(parse_after(id)?)),
            Some(Some(("closed", id))) => (Some(parse_after(id)?), None),
            Some(_) => return Err(error::invalid("page_token", "is not one that this listing gave out")),
        };
        let mut found: Vec<(&str, Incident)> = Vec::new();
        if closed_after.is_none() {
            let wanted = wanted.clone();
            let open = self.inbox.query(move |engine, _| {
                let mut open: Vec<Incident> =
                    engine.incidents().into_iter().filter(|it| wanted.holds(it)).cloned().collect();
                open.sort_by_key(|it| std::cmp::Reverse(it.id));
                open
            });
            let later = |it: &Incident| open_after.is_none_or(|after| it.id < after);
            found.extend(open.await?.into_iter().filter(later).map(|it| ("open", it)));
        }
        if !request.open_only && found.len() <= size {
            let want = size + 1 - found.len();
            // What closed before the engine was asked is on its way to the history: it must not be in neither.
            self.inbox.stored().await?;
            let closed = self.history.page(closed_after, want, move |it| wanted.holds(it)).await?;
            found.extend(closed.into_iter().map(|it| ("closed", it)));
        }
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next_page_token =
            last.map(|(part, it)| page::token("incidents", &format!("{part}/{}", it.id))).unwrap_or_default();
        let found = found.into_iter().map(|(_, it)| it).collect();
        let incidents = self.advised(found).await?;
        Ok(Response::new(pb::ListIncidentsResponse { incidents, next_page_token }))
    }

    async fn get_incident(&self, request: Request<pb::GetIncidentRequest>) -> Result<Response<pb::Incident>, Status> {
        let id = name::incident("name", &request.get_ref().name)?;
        let open = self.inbox.query(move |engine, _| engine.incident(id).cloned()).await?;
        let found = match open {
            Some(it) => Some(it),
            None => {
                self.inbox.stored().await?;
                self.history.get(id).await?
            }
        };
        let found = self.advised(found.into_iter().collect()).await?.pop();
        found.map(Response::new).ok_or_else(|| error::not_found(&request.get_ref().name))
    }

    async fn report_incident(
        &self,
        request: Request<pb::ReportIncidentRequest>,
    ) -> Result<Response<pb::ReportIncidentResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let target = name::target("target", &request.target)?;
        let severity = severity("severity", &request.severity)?;
        let summary = text("summary", request.summary)?;
        if summary.is_empty() {
            return Err(error::invalid("summary", "must say in a line what is wrong"));
        }
        let id = report_id(request.report_id)?;
        let asked = Ask::Report { target, id, severity, summary, dry_run: request.validate_only };
        let (incident, message) = answer(ask(&self.inbox, by, asked).await?)?;
        let incident = incident.map(name::of_incident).unwrap_or_default();
        Ok(Response::new(pb::ReportIncidentResponse { incident, message }))
    }

    async fn withdraw_report(
        &self,
        request: Request<pb::WithdrawReportRequest>,
    ) -> Result<Response<pb::WithdrawReportResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let target = name::target("target", &request.target)?;
        let (id, why) = (report_id(request.report_id)?, text("why", request.why)?);
        let asked = Ask::Withdraw { target, id, why, dry_run: request.validate_only };
        let (incident, message) = answer(ask(&self.inbox, by, asked).await?)?;
        let incident = incident.map(name::of_incident).unwrap_or_default();
        Ok(Response::new(pb::WithdrawReportResponse { incident, message }))
    }

    async fn cancel_incident(
        &self,
        request: Request<pb::CancelIncidentRequest>,
    ) -> Result<Response<pb::CancelIncidentResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let incident = name::incident("name", &request.name)?;
        let why = text("why", request.why)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::Cancel { incident, why }).await?)?;
        Ok(Response::new(pb::CancelIncidentResponse { message }))
    }

    async fn run_repair(
        &self,
        request: Request<pb::RunRepairRequest>,
    ) -> Result<Response<pb::RunRepairResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        self.repair(by, &request).await.map(Response::new)
    }
}

impl Incidents {
    /// Incidents with what to do about each.
    async fn advised(&self, found: Vec<Incident>) -> Result<Vec<pb::Incident>, Status> {
        let advised = self.inbox.query(move |engine, _| {
            found.iter().map(|it| incident_view::incident(it, &engine.advice(it))).collect::<Vec<_>>()
        });
        Ok(advised.await?)
    }

    async fn repair(&self, by: OperatorName, request: &pb::RunRepairRequest) -> Result<pb::RunRepairResponse, Status> {
        let target = name::target("target", &request.target)?;
        let repair = request.repair.as_deref().filter(|it| !it.is_empty()).map(RepairName::new).transpose();
        let repair = repair.map_err(|error| error::invalid("repair", error))?;
        let why = text("why", request.why.clone())?;
        let asked = Ask::Repair { target, repair, why, dry_run: request.validate_only, chain: request.chain };
        let reply = ask(&self.inbox, by, asked).await?;
        let rehearsal = match &reply {
            Reply::Rehearsed { host, steps, .. } => Some(self.rehearse(host, steps).await),
            Reply::Done { .. }
            | Reply::Learned { .. }
            | Reply::Begun { .. }
            | Reply::NotFound { .. }
            | Reply::Refused { .. } => None,
        };
        let (incident, message) = answer(reply)?;
        Ok(pb::RunRepairResponse { incident: incident.map(name::of_incident).unwrap_or_default(), message, rehearsal })
    }

    /// What the host's agent says of the steps. That it is away is an answer, too: the rest holds without it.
    async fn rehearse(&self, host: &HostId, steps: &[TargetStep]) -> pb::Rehearsal {
        let names = steps.iter().map(|it| it.step.kind().as_str().to_owned());
        let mut it = pb::Rehearsal { host: name::of_host(host), ..Default::default() };
        let told = match self.questions.rehearse(&self.sessions, host, steps.to_vec()).await {
            Err(status) => {
                it.unanswered = Some(status.message().to_owned());
                Vec::new()
            }
            Ok(Rehearsal::Refused { why }) => {
                it.refused = Some(why);
                Vec::new()
            }
            Ok(Rehearsal::Told(all)) => all,
        };
        it.steps = names
            .zip(told)
            .map(|(step, told)| pb::RehearsedStep { step, possible: told.possible, text: told.text })
            .collect();
        it
    }
}

/// What a listing is narrowed to.
#[derive(Debug, Clone)]
struct Wanted {
    within: Within,
    /// Empty means all.
    severities: Vec<Severity>,
    attempted: bool,
}

impl Wanted {
    fn read(request: &pb::ListIncidentsRequest) -> Result<Self, Status> {
        Ok(Self {
            within: name::within("target", &request.target)?,
            severities: request.severities.iter().map(|it| severity("severities", it)).collect::<Result<_, _>>()?,
            attempted: request.attempted_only,
        })
    }

    fn holds(&self, it: &Incident) -> bool {
        self.within.holds(Some(&it.fault.target.host), Some(&it.fault.target.target))
            && (self.severities.is_empty() || self.severities.contains(&it.severity()))
            && !(self.attempted && it.attempts.is_empty())
    }
}

fn parse_after(id: &str) -> Result<IncidentId, Status> {
    id.parse().map_err(|_| error::invalid("page_token", "is not one that this listing gave out"))
}

fn report_id(id: String) -> Result<String, Status> {
    match id.len() > REPORT_ID_MAX {
        true => Err(error::invalid("report_id", format!("must have at most {REPORT_ID_MAX} bytes"))),
        false => text("report_id", id),
    }
}

fn severity(field: &str, word: &str) -> Result<Severity, Status> {
    Severity::ALL
        .into_iter()
        .find(|it| it.as_str() == word)
        .ok_or_else(|| error::invalid(field, format!("{word:?} is none of info, low, medium, high and critical")))
}
