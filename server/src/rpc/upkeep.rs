//! What an administrator does for the server itself: its log, and copies of its store.

use std::time::Duration;

use prunella_model::OperatorName;
use prunella_model::record::AuditEntry;
use prunella_proto::control::v1 as pb;
use tonic::{Request, Response, Status};

use super::admin::Admin;
use super::{convert, error, operator, wanted_span};
use crate::logs::{self, LevelError};
use crate::store::{Store as _, export};

/// How long another log level lasts when nobody says: long enough to look, too short to be forgotten.
const LEVEL_LIFE: Duration = Duration::from_secs(3600);

/// The longest life of another log level.
const LEVEL_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The longest text that a log level may be.
const LEVEL_MAX: usize = 256;

/// Changes what is in the log. Audited before it is done: the audit log says what was wanted even if the log says nothing.
pub(super) async fn set_log_level(
    admin: &Admin,
    request: Request<pb::SetLogLevelRequest>,
) -> Result<Response<pb::SetLogLevelResponse>, Status> {
    let by = operator(&request)?;
    let request = request.into_inner();
    if request.level.len() > LEVEL_MAX || request.level.chars().any(char::is_control) {
        return Err(error::invalid("level", format!("must be a line of at most {LEVEL_MAX} bytes")));
    }
    let life = wanted_span("lifetime", request.lifetime, LEVEL_LIFE, LEVEL_LIFE_MAX)?;
    let wanted = request.level.trim();
    let said =
        if wanted.is_empty() { "the usual one".to_owned() } else { format!("{wanted} for {} s", life.as_secs()) };
    audit(admin, &by, "log_level_set", said).await?;
    let filter = logs::set(wanted, life).map_err(|wrong| match &wrong {
        LevelError::Wrong { .. } => error::invalid("level", wrong.to_string()),
        LevelError::NotOurs => error::refused("LOGS_NOT_OURS", wrong.to_string()),
    })?;
    let expire_time = (!wanted.is_empty()).then(|| convert::time(admin.clock.now().after(life))).flatten();
    Ok(Response::new(pb::SetLogLevelResponse { filter, expire_time }))
}

/// Writes an export of the store beside those that are made now and then.
pub(super) async fn export_store(
    admin: &Admin,
    request: Request<pb::ExportStoreRequest>,
) -> Result<Response<pb::ExportStoreResponse>, Status> {
    let by = operator(&request)?;
    let exported = admin.repository.store().export().await;
    let exported = exported.map_err(|error| error::internal("exporting the store", &error))?;
    let (revision, dir) = (exported.revision, admin.exports.clone());
    let written = tokio::task::spawn_blocking(move || export::write(&dir, &exported)).await;
    let path = match written {
        Ok(Ok(path)) => path,
        Ok(Err(error)) => return Err(error::internal("writing the export", &error)),
        Err(error) => return Err(error::internal("writing the export", &error)),
    };
    audit(admin, &by, "store_exported", format!("revision {}", revision.0)).await?;
    Ok(Response::new(pb::ExportStoreResponse { path: path.display().to_string(), revision: revision.0 }))
}

async fn audit(admin: &Admin, by: &OperatorName, action: &str, detail: String) -> Result<(), Status> {
    let entry = AuditEntry {
        at: admin.clock.now(),
        actor: format!("operator/{by}"),
        action: action.to_owned(),
        subject: "server".to_owned(),
        incident: None,
        detail,
    };
    let stored = async { admin.repository.commit(&[], &[entry])?.await };
    stored.await.map_err(|error| error::internal("auditing it", &error))
}
