//! What went into the engine, in the order in which it went in: bounded files for replay, not for recovery.
//!
//! Each segment begins with what the engine started from. Nothing is synced: after a crash the tail may be missing,
//! and the engine's truth is in the store anyway.
//!
//! ```text
//! "PRNJ" version u32 LE | records: length u32 LE, CRC-32 u32 LE, body (postcard)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use prunella_engine::Event;
use prunella_model::record::Stored;
use prunella_model::{FleetName, Timestamp};
use serde::{Deserialize, Serialize};

/// The format that this program writes. Postcard names no fields, so any change of [`Event`] or [`Stored`] needs a new one.
pub const JOURNAL_VERSION: u32 = 4;

/// When a segment is full, in bytes: about a day of a quiet fleet of a hundred hosts, and readable in one piece.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// How many segments are kept: 256 MiB in all.
pub const SEGMENTS_KEPT: usize = 16;

/// The longest record, in bytes: far above the largest full report of a host.
pub const RECORD_MAX: usize = 8 * 1024 * 1024;

const MAGIC: &[u8; 4] = b"PRNJ";
const FILE_HEADER: usize = 8;
const RECORD_HEADER: usize = 8;

/// What the engine knew when the segment began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The fleet.
    pub fleet: FleetName,
    /// The decider's epoch.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
    /// Whether the engine was started here. Otherwise it ran on, and knew more than `stored` says: replay is then
    /// exact only from an earlier segment on.
    pub exact: bool,
    /// What was stored, the policy included.
    pub stored: Stored,
}

/// A segment that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// How it begins.
    pub start: Start,
    /// What went in, and when.
    pub events: Vec<(Timestamp, Event)>,
    /// Where the last record is cut off, in bytes; null when it is whole.
    pub torn_at: Option<u64>,
}

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
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
    /// Not a segment of a journal.
    #[error("{path} is no journal segment: {why}")]
    NoJournal {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A record in the middle is not what was written.
    #[error(
        "{path} is damaged at byte {offset}, in record {record}: {why}; only the {record} records before it can be used"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its number, from 0.
        record: u64,
        /// What is wrong.
        why: String,
    },
    /// A record that is too long or cannot be written.
    #[error("the record cannot be written: {why}")]
    Unwritable {
        /// Why.
        why: String,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}

/// The journal of one server.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    number: u64,
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    /// Begins a new segment in `dir` with `start`, and removes the oldest ones beyond [`SEGMENTS_KEPT`].
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be written.
    pub fn open(dir: &Path, start: &Start) -> Result<Self, JournalError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let last = segments(dir)?.last().and_then(|path| number(path)).unwrap_or(0);
        Self::begin(dir, last + 1, start)
    }

    fn begin(dir: &Path, number: u64, start: &Start) -> Result<Self, JournalError> {
        let path = dir.join(format!("{number:010}.journal"));
        let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(io_error("create", &path))?;
        let mut journal = Self { dir: dir.to_owned(), number, path, file, bytes: 0 };
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&JOURNAL_VERSION.to_le_bytes());
        journal.write(&head)?;
        journal.record(start)?;
        let all = segments(dir)?;
        for old in all.iter().rev().skip(SEGMENTS_KEPT) {
            fs::remove_file(old).map_err(io_error("remove", old))?;
        }
        Ok(journal)
    }

    /// Whether the segment is full, so that [`Journal::rotate`] is due. Appending goes on all the same.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes >= SEGMENT_BYTES
    }

    /// Ends this segment and begins the next one with `start`.
    ///
    /// # Errors
    /// [`JournalError`]; appending then goes on in this segment.
    pub fn rotate(&mut self, start: &Start) -> Result<(), JournalError> {
        *self = Self::begin(&self.dir, self.number + 1, start)?;
        Ok(())
    }

    /// The file that is being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one event, before the engine takes it in.
    ///
    /// # Errors
    /// [`JournalError`]; a journal that fails is worth a warning, not an outage.
    pub fn append(&mut self, now: Timestamp, event: &Event) -> Result<(), JournalError> {
        self.record(&(now, event))
    }

    fn record<T: Serialize>(&mut self, value: &T) -> Result<(), JournalError> {
        let unwritable = |why: String| JournalError::Unwritable { why };
        let mut bytes =
            postcard::to_extend(value, vec![0; RECORD_HEADER]).map_err(|error| unwritable(error.to_string()))?;
        let body = &bytes[RECORD_HEADER..];
        if body.len() > RECORD_MAX {
            return Err(unwritable(format!("it has {} bytes; at most {RECORD_MAX} are allowed", body.len())));
        }
        let length = u32::try_from(body.len()).map_err(|error| unwritable(error.to_string()))?;
        let crc = crc32fast::hash(body);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..RECORD_HEADER].copy_from_slice(&crc.to_le_bytes());
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".journal")?.parse().ok()
}

/// The segments in `dir`, oldest first; none when there is no such directory.
///
/// # Errors
/// [`JournalError::Io`].
pub fn segments(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error("list", dir))?.path();
        found.extend(number(&path).map(|number| (number, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads one segment. A last record that is cut off is left out, and said.
///
/// # Errors
/// [`JournalError::Damaged`] names the record that is not what was written.
pub fn read(path: &Path) -> Result<Segment, JournalError> {
    let limit = SEGMENT_BYTES * 4;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_error("open", path))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let no_journal = |why: String| JournalError::NoJournal { path: path.to_owned(), why };
    if bytes.len() as u64 > limit {
        return Err(no_journal(format!("it is larger than {limit} bytes")));
    }
    let version = match bytes.split_at_checked(FILE_HEADER) {
        Some((head, _)) if head.starts_with(MAGIC) => head[4..].try_into().map_or(0, u32::from_le_bytes),
        Some(_) | None => return Err(no_journal("it does not begin like one".to_owned())),
    };
    if version != JOURNAL_VERSION {
        let why = format!("its format is {version}; this program reads {JOURNAL_VERSION}");
        return Err(no_journal(why));
    }
    let mut records = Records { path, bytes: &bytes, at: FILE_HEADER, record: 0 };
    let Some(start) = records.next::<Start>()? else {
        return Err(no_journal("its beginning is cut off".to_owned()));
    };
    let mut events = Vec::new();
    while let Some(event) = records.next()? {
        events.push(event);
    }
    let torn_at = (records.at < bytes.len()).then_some(records.at as u64);
    Ok(Segment { start, events, torn_at })
}

struct Records<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
    record: u64,
}

impl Records<'_> {
    /// The next record; null at the end, and where the rest is what a crash leaves behind.
    fn next<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>, JournalError> {
        let rest = &self.bytes[self.at..];
        let Some((header, rest)) = rest.split_first_chunk::<RECORD_HEADER>() else { return Ok(None) };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = rest.get(..length) else {
            // Nothing tells a record that is cut off from a damaged length, except that none is this long.
            return if length > RECORD_MAX { Err(self.damaged("its length is senseless")) } else { Ok(None) };
        };
        if crc32fast::hash(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            let last = length == rest.len();
            return if last { Ok(None) } else { Err(self.damaged("its checksum does not match")) };
        }
        let value = postcard::from_bytes(body).map_err(|error| self.damaged(&error.to_string()))?;
        self.at += RECORD_HEADER + length;
        self.record += 1;
        Ok(Some(value))
    }

    fn damaged(&self, why: &str) -> JournalError {
        JournalError::Damaged {
            path: self.path.to_owned(),
            offset: self.at as u64,
            record: self.record,
            why: why.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::HostId;

    use super::*;

    fn start(epoch: u64) -> Start {
        let fleet = FleetName::new("test").unwrap();
        let stored = Stored { policy: Some(prunella_model::policy::FleetPolicy::default()), ..Stored::default() };
        Start { fleet, epoch, at: Timestamp::from_secs(5), exact: true, stored }
    }

    fn beat(n: u64) -> (Timestamp, Event) {
        (Timestamp::from_secs(n), Event::Heartbeat { host: HostId::new(&format!("h{n}")).unwrap() })
    }

    fn sample(dir: &Path) -> PathBuf {
        let mut journal = Journal::open(dir, &start(7)).unwrap();
        for n in 0..5 {
            let (now, event) = beat(n);
            journal.append(now, &event).unwrap();
        }
        journal.path().to_owned()
    }

    #[test]
    fn a_segment_reads_back_and_a_torn_tail_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample(dir.path());
        let whole = read(&path).unwrap();
        assert_eq!(whole.start, start(7));
        assert_eq!(whole.events, (0..5).map(beat).collect::<Vec<_>>());
        assert_eq!(whole.torn_at, None);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let torn = read(&path).unwrap();
        assert_eq!(torn.events.len(), 4);
        assert!(torn.torn_at.is_some());
    }

    #[test]
    fn a_damaged_record_is_named_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample(dir.path());
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            fs::write(&path, &damaged).unwrap();
            match read(&path) {
                Err(JournalError::Damaged { offset, .. }) => assert!(offset as usize <= at),
                Err(JournalError::NoJournal { .. }) => {}
                Err(error @ (JournalError::Io { .. } | JournalError::Unwritable { .. })) => panic!("{error}"),
                // A changed length may look like a tail that is cut off; nothing wrong may come out of it.
                Ok(segment) => {
                    assert!(segment.torn_at.is_some(), "a flip in byte {at} went unseen");
                    assert_eq!(segment.events, (0..segment.events.len() as u64).map(beat).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn only_the_newest_segments_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), &start(1)).unwrap();
        for epoch in 2..40 {
            journal.rotate(&start(epoch)).unwrap();
        }
        let all = segments(dir.path()).unwrap();
        assert_eq!(all.len(), SEGMENTS_KEPT);
        assert_eq!(read(&all[0]).unwrap().start.epoch, 40 - SEGMENTS_KEPT as u64);
        assert_eq!(read(&all[SEGMENTS_KEPT - 1]).unwrap().start.epoch, 39);
    }
}
