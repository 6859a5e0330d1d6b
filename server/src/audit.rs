//! The audit log: who did what to whom and why, in a hash chain, its heads signed with the server's key.
//!
//! Entries reach this file from the store, where they were committed together with what they speak of
//! ([`crate::store::repository::Parcel`]). So a decision and its entry survive a crash together or not at all, with one
//! wait for the disk; each line carries its place in the outbox, so that moving it twice writes it once.
//!
//! Files: `{number of the first record}.log`, one chain through all of them, and `heads.jsonl`, one signed head a line.
//! Nothing here is ever deleted. A chain alone cannot tell that its end is missing; the heads can, and a copy of a head
//! kept elsewhere can tell it even when somebody cuts both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prunella_model::Id;
use prunella_model::command::Envelope;
use prunella_model::record::AuditEntry;
use prunella_seal::chain::{self, Break, Records};
use prunella_seal::{Head, SecretKey, envelope_to_json, sign_head};
use serde::{Deserialize, Serialize};

mod read;
mod verify;

pub use read::newest;
pub use verify::{Finding, Report, verify};

/// The name of the chain. Part of its first hash, so that records of other logs are worthless here.
pub const AUDIT_LOG: &str = "audit";

/// When a file is full, in bytes: a verifier reads one file at a time.
pub const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

/// The file of signed heads.
const HEADS: &str = "heads.jsonl";

/// Why the audit log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file system failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Somebody, or a failing disk, has changed the log.
    #[error(
        "the audit log {path} was changed: {why}. See `prunella audit verify`; move the directory away to begin a new log"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// An entry that cannot be written.
    #[error("an audit entry cannot be written: {why}")]
    Unwritable {
        /// Why.
        why: String,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { what, path, source }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The parcel that it came in.
    pub parcel: Id,
    /// Its place in that parcel, from 0.
    pub index: u32,
    /// What it says.
    pub entry: AuditEntry,
}

/// The audit log of one server.
#[derive(Debug)]
pub struct AuditLog {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
    head: Head,
    last: Option<(Id, u32)>,
    signed: u64,
}

impl AuditLog {
    /// Opens the log in `dir`, or begins one where there is none, and cuts off a record that a crash left incomplete.
    ///
    /// `anchor` is the head that the store remembers; [`Head::genesis`] when it remembers none. A log that ends before it
    /// was removed or cut. It is then continued *after* the anchor, so that healing goes on and the hole stays to be seen
    /// for ever. Reads only the newest file; [`verify`] reads all of them.
    ///
    /// # Errors
    /// [`AuditError::Changed`] when that file is not what was written.
    pub fn open(dir: &Path, anchor: Head) -> Result<Self, AuditError> {
        let mut log = Self::open_as_found(dir)?;
        if anchor.sequence > log.head.sequence {
            let (there, of) = (log.head.sequence, anchor.sequence);
            tracing::error!(target: "prunella::audit", dir = %dir.display(), there, of, "audit entries are gone: the log was removed or cut; `prunella audit verify` will say so from now on");
            (log.path, log.file) = create(dir, anchor)?;
            (log.bytes, log.head) = (0, anchor);
        }
        Ok(log)
    }

    fn open_as_found(dir: &Path) -> Result<Self, AuditError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let all = segments(dir)?;
        let Some((_, path)) = all.last() else {
            let head = Head::genesis(AUDIT_LOG);
            let (path, file) = create(dir, head)?;
            return Ok(Self { dir: dir.to_owned(), path, file, bytes: 0, head, last: None, signed: 0 });
        };
        let tail = Tail::read(path)?;
        // A crash right after a new file was begun leaves it empty: then the one before says where the chain stands.
        let (head, last) = match (tail.head, all.iter().rev().nth(1)) {
            (Some(head), _) => (head, tail.last),
            (None, Some((_, before))) => {
                let before = Tail::read(before)?;
                (before.head.unwrap_or_else(|| Head::genesis(AUDIT_LOG)), before.last)
            }
            (None, None) => (Head::genesis(AUDIT_LOG), None),
        };
        let file = OpenOptions::new().append(true).open(path).map_err(io_error("open", path))?;
        if tail.cut {
            tracing::warn!(target: "prunella::audit", path = %path.display(), at = tail.end, "cut off an incomplete record");
            file.set_len(tail.end).and_then(|()| file.sync_all()).map_err(io_error("cut", path))?;
        }
        Ok(Self { dir: dir.to_owned(), path: path.clone(), file, bytes: tail.end, head, last, signed: 0 })
    }

    /// Where the chain stands.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Appends the entries of parcels, in their order; on disk when this returns. Entries that are there already are
    /// left out, so it may be called again with the same parcels after any failure.
    ///
    /// # Errors
    /// [`AuditError`]; the log then has to be opened again.
    pub fn append<'a>(&mut self, parcels: impl IntoIterator<Item = (Id, &'a [AuditEntry])>) -> Result<(), AuditError> {
        let mut bytes = Vec::new();
        let (mut head, mut last) = (self.head, self.last);
        for (parcel, entries) in parcels {
            for (index, entry) in (0..).zip(entries) {
                if last.is_some_and(|last| (parcel, index) <= last) {
                    continue;
                }
                let line = Line { parcel, index, entry: entry.clone() };
                let unwritable = |why: String| AuditError::Unwritable { why };
                let body = serde_json::to_vec(&line).map_err(|error| unwritable(error.to_string()))?;
                chain::append(&mut head, &body, &mut bytes).map_err(|error| unwritable(error.to_string()))?;
                last = Some((parcel, index));
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.path.exists() {
            // Its descriptor would take the entries, and nobody could ever read them.
            let why = "it was removed while the server ran".to_owned();
            return Err(AuditError::Changed { path: self.path.clone(), why });
        }
        if self.bytes >= SEGMENT_BYTES {
            (self.path, self.file) = create(&self.dir, self.head)?;
            self.bytes = 0;
        }
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(io_error("write", &self.path))?;
        self.bytes += bytes.len() as u64;
        (self.head, self.last) = (head, last);
        Ok(())
    }

    /// Signs where the chain stands and keeps that beside it; null when it has not grown since the last time.
    ///
    /// Call it now and then, and before closing. Give the result to a witness if there is one.
    ///
    /// # Errors
    /// [`AuditError`] when the head cannot be written.
    pub fn sign(&mut self, key: &SecretKey) -> Result<Option<Envelope>, AuditError> {
        if self.head.sequence == self.signed {
            return Ok(None);
        }
        let envelope = sign_head(AUDIT_LOG, &self.head, key);
        let text = envelope_to_json(&envelope);
        let mut line: Vec<u8> = text.bytes().filter(|byte| *byte != b'\n').collect();
        line.push(b'\n');
        let path = self.dir.join(HEADS);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("open", &path))?;
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(io_error("write", &path))?;
        self.signed = self.head.sequence;
        Ok(Some(envelope))
    }
}

/// What the newest file says about the state of the chain.
struct Tail {
    /// Null when the file holds no record.
    head: Option<Head>,
    last: Option<(Id, u32)>,
    end: u64,
    cut: bool,
}

impl Tail {
    fn read(path: &Path) -> Result<Self, AuditError> {
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let changed = |why: String| AuditError::Changed { path: path.to_owned(), why };
        let Some(start) = start_of(&bytes) else {
            // Less than one header: nothing in it was ever acknowledged.
            return Ok(Self { head: None, last: None, end: 0, cut: !bytes.is_empty() });
        };
        let mut records = Records::new(&bytes, start);
        let mut tail = Self { head: None, last: None, end: 0, cut: false };
        while let Some(next) = records.next() {
            match next {
                Ok(record) => {
                    let line: Line = serde_json::from_slice(record.body).map_err(|error| changed(error.to_string()))?;
                    tail.last = Some((line.parcel, line.index));
                    tail.head = Some(records.head());
                }
                Err(Break::Torn { .. }) => break,
                Err(damaged @ Break::Damaged { .. }) => return Err(changed(damaged.to_string())),
            }
        }
        tail.end = records.at() as u64;
        tail.cut = tail.end < bytes.len() as u64;
        Ok(tail)
    }
}

/// What the first record of a file says it follows. Whether it really does, only [`verify`] can tell.
fn start_of(bytes: &[u8]) -> Option<Head> {
    // See the frame in `prunella_seal::chain`: the sequence number, a check of four bytes, the hash before.
    let sequence = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    let hash: [u8; 32] = bytes.get(20..52)?.try_into().ok()?;
    Some(Head { sequence: sequence.checked_sub(1)?, hash })
}

fn create(dir: &Path, after: Head) -> Result<(PathBuf, File), AuditError> {
    let path = dir.join(format!("{:020}.log", after.sequence + 1));
    let open = OpenOptions::new().create(true).append(true).open(&path);
    let file = open.map_err(io_error("create", &path))?;
    File::open(dir).and_then(|it| it.sync_all()).map_err(io_error("sync", dir))?;
    Ok((path, file))
}

/// The files of the log by the number of their first record, oldest first.
fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // Removed with all that was in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    for entry in entries {
        let path = entry.map_err(io_error("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".log").and_then(|name| name.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
