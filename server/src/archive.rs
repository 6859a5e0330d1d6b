//! Moves parcels out of the store into the audit log and the history. Off the hot path; safe to repeat after a crash.

use prunella_model::{Id, incident::Incident};

use crate::audit::{AuditError, AuditLog};
use crate::history::{History, HistoryError};
use crate::store::Store;
use crate::store::repository::{Parcel, Repository, RepositoryError};

/// Why parcels could not be moved. They stay in the store, and the next try begins with them.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store failed.
    #[error("parcels cannot be taken out of the store")]
    Repository(#[from] RepositoryError),
    /// The audit log failed.
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditError),
    /// The history failed.
    #[error("the history cannot be written")]
    History(#[from] HistoryError),
}

/// Moves everything that waits; returns how many parcels that were. First to disk, then out of the store: a crash in
/// between moves a parcel twice, and both files know what they have.
///
/// Blocks its thread for the disk: run it on a task of its own, a second or so after commits, and once before closing.
/// It takes locks on nothing, so one task at a time must own log and history.
///
/// # Errors
/// [`ArchiveError`]; nothing is lost.
pub async fn empty_outbox<S: Store>(
    repository: &Repository<S>,
    audit: &mut AuditLog,
    history: &mut History,
) -> Result<usize, ArchiveError> {
    let mut moved = 0;
    loop {
        let parcels = repository.parcels().await?;
        if parcels.is_empty() {
            return Ok(moved);
        }
        write(&parcels, audit, history)?;
        let ids: Vec<Id> = parcels.iter().map(|(id, _)| *id).collect();
        repository.remove_parcels(&ids).await?;
        moved += ids.len();
    }
}

fn write(parcels: &[(Id, Parcel)], audit: &mut AuditLog, history: &mut History) -> Result<(), ArchiveError> {
    audit.append(parcels.iter().map(|(id, parcel)| (*id, parcel.audit.as_slice())))?;
    let closed: Vec<Incident> = parcels.iter().flat_map(|(_, parcel)| parcel.closed.iter().cloned()).collect();
    history.append(&closed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use prunella_model::Timestamp;
    use prunella_model::record::Change;

    use super::*;
    use crate::store::MemoryStore;
    use crate::store::repository::tests::{entry, incident};

    #[tokio::test]
    async fn parcels_arrive_once_even_when_the_move_is_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::lead(MemoryStore::new(), Timestamp::from_secs(9), 0).await.unwrap();
        for n in 1..=100 {
            let changes = [Change::CloseIncident(Box::new(incident(n)))];
            repository.commit(&changes, &[entry("closed", Some(n))]).unwrap().await.unwrap();
        }
        // A crash after the files were written and before the parcels were removed.
        let first = repository.parcels().await.unwrap();
        let (audit_dir, history_dir) = (dir.path().join("audit"), dir.path().join("history"));
        write(
            &first,
            &mut AuditLog::open(&audit_dir, prunella_seal::Head::genesis(crate::audit::AUDIT_LOG)).unwrap(),
            &mut History::open(&history_dir).unwrap(),
        )
        .unwrap();
        let mut audit = AuditLog::open(&audit_dir, prunella_seal::Head::genesis(crate::audit::AUDIT_LOG)).unwrap();
        let mut history = History::open(&history_dir).unwrap();
        assert_eq!(empty_outbox(&repository, &mut audit, &mut history).await.unwrap(), 100);
        assert_eq!((audit.head().sequence, history.len()), (100, 100));
        assert_eq!(empty_outbox(&repository, &mut audit, &mut history).await.unwrap(), 0);
    }
}
