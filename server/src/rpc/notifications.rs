//! Who is told of incidents, and whether that arrives.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::policy::Scope;
use prunella_model::record::AuditEntry;
use prunella_model::{FleetName, OperatorName, Timestamp};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::notification_service_server::NotificationService;
use tonic::{Request, Response, Status};

use super::{convert, error, name, operator, text, wanted_time};
use crate::clock::Clock;
use crate::notify::config::Receiver;
use crate::notify::{Desk, Silence};

/// The longest silence.
const SILENCE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Serves `NotificationService`.
#[derive(Debug, Clone)]
pub struct Notifications {
    /// The fleet's name.
    pub fleet: FleetName,
    /// Receivers, silences, and what was told.
    pub desk: Arc<Desk>,
    /// The time.
    pub clock: Clock,
}

#[tonic::async_trait]
impl NotificationService for Notifications {
    async fn list_receivers(
        &self,
        _: Request<pb::ListReceiversRequest>,
    ) -> Result<Response<pb::ListReceiversResponse>, Status> {
        let receivers = self.desk.config.receiver.iter().map(|it| self.receiver(it)).collect();
        Ok(Response::new(pb::ListReceiversResponse { receivers }))
    }

    async fn test_receiver(
        &self,
        request: Request<pb::TestReceiverRequest>,
    ) -> Result<Response<pb::TestReceiverResponse>, Status> {
        let by = operator(&request)?;
        let wanted = request.into_inner().name;
        let short = wanted.strip_prefix("receivers/").unwrap_or(&wanted);
        let receiver = self.desk.config.receiver.iter().find(|it| it.name == short);
        let receiver = receiver.ok_or_else(|| error::not_found(&format!("receivers/{short}")))?;
        let tested = self.desk.test(receiver, &self.fleet, self.clock.now(), &by).await;
        tested.map_err(|why| error::refused("NOT_DELIVERED", format!("the test did not arrive: {why}")))?;
        Ok(Response::new(pb::TestReceiverResponse { message: format!("receivers/{short} has taken the test") }))
    }

    async fn list_silences(
        &self,
        _: Request<pb::ListSilencesRequest>,
    ) -> Result<Response<pb::ListSilencesResponse>, Status> {
        let silences = self.desk.silences(self.clock.now()).iter().map(silence).collect();
        Ok(Response::new(pb::ListSilencesResponse { silences }))
    }

    async fn create_silence(
        &self,
        request: Request<pb::CreateSilenceRequest>,
    ) -> Result<Response<pb::Silence>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let scope = name::scope("scope", &request.scope)?;
        if let Scope::Group(_) | Scope::Operator(_) = scope {
            return Err(error::invalid("scope", "must be fleet, hosts/H or hosts/H/targets/T"));
        }
        let why = text("why", request.why)?;
        if why.is_empty() {
            return Err(error::invalid("why", "must say in a line why"));
        }
        let now = self.clock.now();
        let until = wanted_time("expire_time", request.expire_time)?;
        let until = until.filter(|it| *it > now && it.since(now) <= SILENCE_MAX);
        let until = until.ok_or_else(|| error::invalid("expire_time", "must be later than now and within 30 days"))?;
        let audit = audit(now, &by, "silence_created", scope.to_string(), why.clone());
        let made = Silence { id: 0, scope, why, by, since: now, until };
        let made = self.desk.silence(made, vec![audit]).await;
        let made = made.map_err(|error| error::internal("storing the silence", &error))?;
        Ok(Response::new(silence(&made)))
    }

    async fn delete_silence(
        &self,
        request: Request<pb::DeleteSilenceRequest>,
    ) -> Result<Response<pb::DeleteSilenceResponse>, Status> {
        let by = operator(&request)?;
        let name = request.into_inner().name;
        let id = name.strip_prefix("silences/").unwrap_or(&name).parse();
        let id: u64 = id.map_err(|_| error::invalid("name", "must be silences/ and a number, as listed"))?;
        let audit = audit(self.clock.now(), &by, "silence_ended", format!("silences/{id}"), String::new());
        let ended = self.desk.end_silence(id, vec![audit]).await;
        if !ended.map_err(|error| error::internal("ending the silence", &error))? {
            return Err(error::not_found(&format!("silences/{id}")));
        }
        Ok(Response::new(pb::DeleteSilenceResponse { message: format!("silences/{id} has ended") }))
    }
}

impl Notifications {
    fn receiver(&self, it: &Receiver) -> pb::Receiver {
        let progress = self.desk.progress(&it.name);
        let dead = |it: &crate::notify::Dead| pb::DeadLetter {
            time: convert::time(it.at),
            title: it.title.clone(),
            why: it.why.clone(),
        };
        pb::Receiver {
            name: format!("receivers/{}", it.name),
            kind: it.kind.as_str().to_owned(),
            sent: progress.sent,
            silenced: progress.silenced,
            failed: progress.failed,
            last_time: progress.last.and_then(convert::time),
            open: u32::try_from(progress.told.len()).unwrap_or(u32::MAX),
            dead_letters: progress.dead.iter().map(dead).collect(),
        }
    }
}

fn silence(it: &Silence) -> pb::Silence {
    pb::Silence {
        name: format!("silences/{}", it.id),
        scope: it.scope.to_string(),
        why: it.why.clone(),
        by: it.by.to_string(),
        create_time: convert::time(it.since),
        expire_time: convert::time(it.until),
    }
}

fn audit(at: Timestamp, by: &OperatorName, action: &str, subject: String, detail: String) -> AuditEntry {
    AuditEntry { at, actor: format!("operator/{by}"), action: action.to_owned(), subject, incident: None, detail }
}
