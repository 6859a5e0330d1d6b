//! What is over: closed incidents and the audit log, for those who ask.

use prunella_model::IncidentId;
use prunella_model::incident::Incident;
use prunella_model::record::AuditEntry;
use prunella_proto::control::v1 as pb;
use tonic::Status;

/// Closed incidents.
#[derive(Debug, Clone, Default)]
pub struct Closed;

impl Closed {
    /// Closed incidents that `wanted` holds of, newest first, at most so many: those before `before`, or the newest.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn page(
        &self,
        _before: Option<IncidentId>,
        _most: usize,
        _wanted: impl Fn(&Incident) -> bool + Send,
    ) -> Result<Vec<Incident>, Status> {
        Ok(Vec::new())
    }

    /// One closed incident.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn get(&self, _id: IncidentId) -> Result<Option<Incident>, Status> {
        Ok(None)
    }
}

/// The audit log.
#[derive(Debug, Clone, Default)]
pub struct Trail;

impl Trail {
    /// Checks the whole log.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn verify(&self) -> Result<pb::VerifyAuditResponse, Status> {
        Err(Status::unimplemented("the audit log"))
    }

    /// Entries before a number, newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn before(&self, _before: Option<u64>, _most: usize) -> Result<Vec<(u64, AuditEntry)>, Status> {
        Ok(Vec::new())
    }
}
