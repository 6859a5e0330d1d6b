//! Each incident that is over is told to a collector of traces. It decides nothing and holds nothing up: a collector that does
//! not answer misses traces, and that is logged.

pub mod otlp;

use std::time::Duration;

use prunella_identity::Role;
use prunella_model::event::EventKind;
use prunella_model::{FleetName, IncidentId, OperatorName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tonic::Request;

use crate::feed::Feed;
use crate::http::Services;
use crate::notify::format::Post;
use crate::notify::send::{Failed, Sender};
use crate::rpc::gate::Vouched;

/// Pauses between the tries of one trace, in seconds. The feed keeps some thousand events meanwhile.
const PAUSES: [u64; 5] = [1, 2, 5, 15, 30];

/// `[traces]` of `server.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`; null tells none.
    pub endpoint: Option<String>,
}

impl Traces {
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn check(&self) -> Result<(), String> {
        match &self.endpoint {
            Some(it) if !it.starts_with("http://") && !it.starts_with("https://") => {
                Err(format!("\"{it}\" is no address of a collector; write for example \"http://127.0.0.1:4318\""))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What the task needs.
pub(crate) struct Exporter {
    pub(crate) fleet: FleetName,
    pub(crate) services: Services,
    pub(crate) feed: std::sync::Arc<Feed>,
}

/// Starts the task, if there is a collector.
///
/// # Errors
/// When the system's certificates cannot be read.
pub(crate) fn start(config: &Traces, exporter: Exporter) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(endpoint) = &config.endpoint else { return Ok(None) };
    let sender = Sender::new()?;
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/').trim_end_matches("/v1/traces"));
    Ok(Some(tokio::spawn(exporter.run(sender, url))))
}

impl Exporter {
    async fn run(self, sender: Sender, url: String) {
        let mut cursor = self.feed.newest();
        loop {
            let mut subscription = self.feed.subscribe(cursor);
            if let Some(gap) = &subscription.gap {
                tracing::warn!(target: "prunella::traces", gap, "incidents may have been missed");
            }
            for told in std::mem::take(&mut subscription.backlog) {
                cursor = Some(told.event.id);
                self.take(&sender, &url, told.event.kind, told.event.incident).await;
            }
            loop {
                match subscription.live.recv().await {
                    Ok(event) => {
                        cursor = Some(event.id);
                        self.take(&sender, &url, event.kind, event.incident).await;
                    }
                    // The feed has kept what went by while a trace was being sent.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    async fn take(&self, sender: &Sender, url: &str, kind: EventKind, incident: Option<IncidentId>) {
        let Some(incident) = incident.filter(|_| kind == EventKind::IncidentClosed) else { return };
        if let Err(why) = self.export(sender, url, incident).await {
            tracing::warn!(target: "prunella::traces", %incident, why, "the trace of an incident was given up");
        }
    }

    async fn export(&self, sender: &Sender, url: &str, incident: IncidentId) -> Result<(), String> {
        let mut request = Request::new(pb::GetIncidentRequest { name: format!("incidents/{incident}") });
        request.extensions_mut().insert(Vouched { name: OperatorName::of("traces"), role: Role::Viewer });
        let found = IncidentServiceClient::new(self.services.clone()).get_incident(request).await;
        let found = found.map_err(|status| status.message().to_owned())?.into_inner();
        let body = otlp::export(self.fleet.as_str(), &found).ok_or("it is not closed")?;
        let post = Post { url: url.to_owned(), content_type: "application/json", authorization: None, body };
        let mut pauses = PAUSES.iter();
        loop {
            match (sender.send(&post).await, pauses.next()) {
                (Ok(_), _) => return Ok(()),
                (Err(Failed::Later(_)), Some(pause)) => tokio::time::sleep(Duration::from_secs(*pause)).await,
                (Err(failed), _) => return Err(failed.why().to_owned()),
            }
        }
    }
}
