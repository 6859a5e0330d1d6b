//! Contents that agents keep so that they can be put back.

use std::sync::Arc;

use prunella_engine::Request as Ask;
use prunella_model::snapshot::{SnapshotAsk, SnapshotKind, SnapshotReport};
use prunella_model::{HostId, TargetName, TargetRef};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::snapshot_service_server::SnapshotService;
use prunella_proto::wire::encode_time;
use tonic::{Request, Response, Status};

use super::name::{Within, of_incident, of_target, within};
use super::{answer, ask, error, operator, text};
use crate::driver::Inbox;
use crate::questions::Questions;
use crate::sessions::Sessions;

/// Serves `SnapshotService`.
#[derive(Debug, Clone)]
pub struct Snapshots {
    /// The way to the driver.
    pub inbox: Inbox,
    /// Connected agents.
    pub sessions: Arc<Sessions>,
    /// Questions to them.
    pub questions: Arc<Questions>,
}

impl Snapshots {
    async fn question(&self, host: &HostId, ask: SnapshotAsk) -> Result<Vec<SnapshotReport>, Status> {
        self.questions.snapshots(&self.sessions, host, ask).await
    }
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    async fn list_snapshots(
        &self,
        request: Request<pb::ListSnapshotsRequest>,
    ) -> Result<Response<pb::ListSnapshotsResponse>, Status> {
        let request = request.into_inner();
        let (host, target) = parent(&request.parent)?;
        let kind = wanted_kind(&request.kind)?;
        let mut all = self.question(&host, SnapshotAsk::List).await?;
        all.retain(|it| {
            target.as_ref().is_none_or(|target| it.target == *target) && kind.is_none_or(|kind| it.kind == kind)
        });
        Ok(Response::new(pb::ListSnapshotsResponse { snapshots: snapshots(&host, &all) }))
    }

    async fn create_snapshots(
        &self,
        request: Request<pb::CreateSnapshotsRequest>,
    ) -> Result<Response<pb::CreateSnapshotsResponse>, Status> {
        operator(&request)?;
        let request = request.into_inner();
        let (host, target) = parent(&request.parent)?;
        let kind = match wanted_kind(&request.kind)?.unwrap_or(SnapshotKind::Manual) {
            kind @ (SnapshotKind::Manual | SnapshotKind::Emergency) => kind,
            SnapshotKind::KnownGood | SnapshotKind::PreRepair | SnapshotKind::Scheduled | SnapshotKind::Listing => {
                return Err(error::invalid(
                    "kind",
                    "must be manual or emergency; the others the agent takes by itself",
                ));
            }
        };
        let taken = self.question(&host, SnapshotAsk::Take { target, kind }).await?;
        Ok(Response::new(pb::CreateSnapshotsResponse { snapshots: snapshots(&host, &taken) }))
    }

    async fn verify_snapshots(
        &self,
        request: Request<pb::VerifySnapshotsRequest>,
    ) -> Result<Response<pb::VerifySnapshotsResponse>, Status> {
        let name = request.into_inner().name;
        let (host, id) = match snapshot_name(&name) {
            Some((host, id)) => (host, Some(id)),
            None => (parent(&name)?.0, None),
        };
        let verified = self.question(&host, SnapshotAsk::Verify { id }).await?;
        Ok(Response::new(pb::VerifySnapshotsResponse { snapshots: snapshots(&host, &verified) }))
    }

    async fn restore_snapshot(
        &self,
        request: Request<pb::RestoreSnapshotRequest>,
    ) -> Result<Response<pb::RestoreSnapshotResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let wrong =
            || error::invalid("name", format!("{:?} must be like hosts/H/snapshots/N, as listed", request.name));
        let (host, id) = snapshot_name(&request.name).ok_or_else(wrong)?;
        // The content must be there and whole before anybody is asked to put it back.
        let found = self.question(&host, SnapshotAsk::Verify { id: Some(id) }).await?;
        let found = found.into_iter().next().ok_or_else(|| error::not_found(&request.name))?;
        if found.intact == Some(false) {
            return Err(error::refused("DAMAGED", format!("{}: the stored content has another digest", request.name)));
        }
        if found.kind == SnapshotKind::Listing {
            return Err(error::refused(
                "LISTING",
                format!("{} holds names of removed files, not contents", request.name),
            ));
        }
        let target = TargetRef { host, target: found.target };
        let why = text("why", request.why)?;
        let asked =
            Ask::Restore { target, file: found.part, snapshot: found.sha256, why, dry_run: request.validate_only };
        let (incident, message) = answer(ask(&self.inbox, by, asked).await?)?;
        let incident = incident.filter(|_| !request.validate_only).map(of_incident).unwrap_or_default();
        Ok(Response::new(pb::RestoreSnapshotResponse { incident, message }))
    }
}

/// Reads `hosts/H` or `hosts/H/targets/T`.
fn parent(name: &str) -> Result<(HostId, Option<TargetName>), Status> {
    match within("parent", name)? {
        Within::Host(host) => Ok((host, None)),
        Within::Target(it) => Ok((it.host, Some(it.target))),
        Within::All => Err(error::invalid("parent", "must be hosts/H or hosts/H/targets/T: one host is asked")),
    }
}

/// Reads `hosts/H/snapshots/N`; null when it is something else.
fn snapshot_name(name: &str) -> Option<(HostId, u64)> {
    let (host, id) = name.strip_prefix("hosts/")?.split_once("/snapshots/")?;
    Some((HostId::new(host).ok()?, id.parse().ok()?))
}

fn wanted_kind(name: &str) -> Result<Option<SnapshotKind>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = SnapshotKind::ALL.into_iter().find(|it| it.as_str() == name);
    let all = || SnapshotKind::ALL.map(SnapshotKind::as_str).join(", ");
    known.map(Some).ok_or_else(|| error::invalid("kind", format!("{name:?} is no kind; there are {}", all())))
}

fn snapshots(host: &HostId, all: &[SnapshotReport]) -> Vec<pb::Snapshot> {
    let one = |it: &SnapshotReport| pb::Snapshot {
        name: format!("hosts/{host}/snapshots/{}", it.id),
        target: of_target(&TargetRef { host: host.clone(), target: it.target.clone() }),
        part: it.part.to_string(),
        kind: it.kind.as_str().to_owned(),
        sha256: it.sha256.to_string(),
        size_bytes: it.bytes,
        take_time: Some(encode_time(it.taken_at)),
        held: it.held,
        intact: it.intact,
    };
    all.iter().map(one).collect()
}
