//! Entries of the log for those who look something up, newest first.

use std::fs;
use std::path::Path;

use prunella_model::record::AuditEntry;
use prunella_seal::chain::Records;

use super::{AuditError, Line, io_error, segments, start_of};

/// Entries with their numbers, newest first, at most `limit`: those before the number `before`, or the newest.
///
/// It does not verify what it reads: a file that was changed yields the entries before the change.
///
/// # Errors
/// [`AuditError::Io`] when the log cannot be read.
pub fn newest(dir: &Path, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditEntry)>, AuditError> {
    let end = before.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    for (_, path) in segments(dir)?.into_iter().rev().filter(|(first, _)| *first < end) {
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let Some(start) = start_of(&bytes) else { continue };
        let records = Records::new(&bytes, start).map_while(Result::ok).take_while(|it| it.sequence < end);
        let wanted: Vec<_> = records.map(|it| (it.sequence, it.body)).collect();
        for (sequence, body) in wanted.into_iter().rev() {
            if found.len() == limit {
                return Ok(found);
            }
            if let Ok(line) = serde_json::from_slice::<Line>(body) {
                found.push((sequence, line.entry));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use prunella_model::Id;

    use super::*;
    use crate::audit::AuditLog;
    use crate::store::repository::tests::entry;

    #[test]
    fn pages_go_back_to_the_first_entry() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(dir.path(), prunella_seal::Head::genesis(crate::audit::AUDIT_LOG)).unwrap();
        assert_eq!(newest(dir.path(), None, 10).unwrap(), []);
        let entries: Vec<AuditEntry> = (1..=25).map(|n| entry("paused", Some(n))).collect();
        log.append([(Id { epoch: 1, counter: 1 }, entries.as_slice())]).unwrap();
        let (mut numbers, mut before) = (Vec::new(), None);
        loop {
            let page = newest(dir.path(), before, 10).unwrap();
            let Some((last, _)) = page.last() else { break };
            before = Some(*last);
            numbers.extend(page.iter().map(|(number, _)| *number));
        }
        assert_eq!(numbers, (1..=25).rev().collect::<Vec<u64>>());
        assert_eq!(newest(dir.path(), Some(8), 1).unwrap()[0].1, entries[6]);
    }
}
