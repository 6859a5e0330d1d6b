//! Sweeps through the fleet, and what they found.

use prunella_engine::diagnostics::SweepView;
use prunella_engine::{Reply, Request as Ask};
use prunella_model::Id;
use prunella_model::diagnostics::{DiagnosticsReport, ProbeDiagnostic, TargetDiagnostic};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::diagnostics_service_server::DiagnosticsService;
use prunella_proto::wire::{encode_span, encode_time};
use tonic::{Request, Response, Status};

use super::{answer, ask, error, name, operator, page};
use crate::driver::Inbox;

/// Serves `DiagnosticsService`.
#[derive(Debug, Clone)]
pub struct Sweeps {
    /// The way to the driver.
    pub inbox: Inbox,
}

#[tonic::async_trait]
impl DiagnosticsService for Sweeps {
    async fn run_diagnostics(
        &self,
        request: Request<pb::RunDiagnosticsRequest>,
    ) -> Result<Response<pb::RunDiagnosticsResponse>, Status> {
        let by = operator(&request)?;
        let scope = name::scope("scope", &request.get_ref().scope)?;
        match ask(&self.inbox, by, Ask::Diagnose { scope }).await? {
            Reply::Begun { run, message } => Ok(Response::new(pb::RunDiagnosticsResponse { name: of(run), message })),
            other @ (Reply::Done { .. }
            | Reply::Rehearsed { .. }
            | Reply::Learned { .. }
            | Reply::NotFound { .. }
            | Reply::Refused { .. }) => {
                let (_, message) = answer(other)?;
                Ok(Response::new(pb::RunDiagnosticsResponse { name: String::new(), message }))
            }
        }
    }

    async fn list_diagnostics(
        &self,
        request: Request<pb::ListDiagnosticsRequest>,
    ) -> Result<Response<pb::ListDiagnosticsResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let before = page::after("diagnostics", &request.page_token)?.map(|it| id("page_token", &it)).transpose()?;
        let mut all: Vec<(Id, pb::Diagnostics)> = self
            .inbox
            .query(|engine, _| {
                let brief = |it: &DiagnosticsReport| pb::Diagnostics { found: Vec::new(), ..ended(it) };
                let past = engine.diagnostics().into_iter().map(|it| (it.id, brief(it)));
                past.chain(engine.sweeps().iter().map(|it| (it.id, running(it)))).collect()
            })
            .await?;
        all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        all.retain(|(id, _)| before.is_none_or(|before| *id < before));
        let more = all.len() > size;
        all.truncate(size);
        let last = all.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |(id, _)| page::token("diagnostics", &id.to_string()));
        let diagnostics = all.into_iter().map(|(_, it)| it).collect();
        Ok(Response::new(pb::ListDiagnosticsResponse { diagnostics, next_page_token }))
    }

    async fn get_diagnostics(
        &self,
        request: Request<pb::GetDiagnosticsRequest>,
    ) -> Result<Response<pb::Diagnostics>, Status> {
        let wanted = id("name", &request.get_ref().name)?;
        let found = self.inbox.query(move |engine, _| {
            let past = engine.diagnostics_report(wanted).map(ended);
            past.or_else(|| engine.sweeps().iter().find(|it| it.id == wanted).map(running))
        });
        found.await?.map(Response::new).ok_or_else(|| error::not_found(&request.get_ref().name))
    }
}

fn of(id: Id) -> String {
    format!("diagnostics/{id}")
}

fn id(field: &str, text: &str) -> Result<Id, Status> {
    let text = text.strip_prefix("diagnostics/").unwrap_or(text);
    text.parse().map_err(|_| error::invalid(field, "is no name like diagnostics/6740e3a0-17"))
}

fn running(it: &SweepView) -> pb::Diagnostics {
    pb::Diagnostics {
        name: of(it.id),
        scope: it.scope.to_string(),
        by: it.by.as_ref().map(ToString::to_string),
        start_time: Some(encode_time(it.started_at)),
        hosts: it.hosts,
        hosts_done: it.done,
        ..pb::Diagnostics::default()
    }
}

fn ended(it: &DiagnosticsReport) -> pb::Diagnostics {
    let layer = |it: &prunella_model::diagnostics::LayerDiagnostic| pb::LayerDiagnostic {
        layer: it.layer.clone(),
        found: it.found.as_str().to_owned(),
        text: it.text.clone(),
    };
    let tally = &it.targets;
    pb::Diagnostics {
        name: of(it.id),
        scope: it.scope.to_string(),
        by: it.by.as_ref().map(ToString::to_string),
        start_time: Some(encode_time(it.started_at)),
        end_time: Some(encode_time(it.ended_at)),
        hosts: it.hosts,
        hosts_done: it.hosts,
        targets: Some(pb::DiagnosticsTally {
            ok: tally.ok,
            unknown: tally.unknown,
            unreachable: tally.unreachable,
            broken: tally.broken,
        }),
        layers: it.layers.iter().map(layer).collect(),
        found: it.found.iter().map(target).collect(),
        omitted: it.omitted,
    }
}

fn target(it: &TargetDiagnostic) -> pb::TargetDiagnostic {
    let probe = |it: &ProbeDiagnostic| pb::ProbeDiagnostic {
        probe: it.probe.to_string(),
        found: it.found.as_str().to_owned(),
        age: it.age.map(encode_span),
        why: it.why.clone(),
    };
    pb::TargetDiagnostic {
        target: name::of_target(&it.target),
        found: it.found.as_str().to_owned(),
        probes: it.probes.iter().map(probe).collect(),
    }
}
