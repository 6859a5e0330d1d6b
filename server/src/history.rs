//! Closed incidents: append-only files outside the store, so that the store stays small however old the fleet is.
//!
//! ```text
//! "PRNH" version u32 LE | records: length u32, CRC-32 u32, id epoch u64, id counter u64 (all LE), body (JSON)
//! ```
//! The CRC covers everything after itself. The id stands in front, so that opening need not read any JSON.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use prunella_model::incident::Incident;
use prunella_model::{Id, IncidentId};

/// The format that this program writes.
pub const HISTORY_VERSION: u32 = 1;

/// When a segment is full, in bytes; also how much is forgotten at once.
pub const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// How much is kept in all, in bytes: some hundred thousand incidents.
pub const HISTORY_BYTES: u64 = 512 * 1024 * 1024;

/// The longest record, in bytes: as large as a value of the store, where every incident has been before.
const RECORD_MAX: usize = crate::store::VALUE_MAX + 1024;

/// The most incidents that one page holds.
pub const PAGE_MAX: usize = 1_000;

const MAGIC: &[u8; 4] = b"PRNH";
const FILE_HEADER: u64 = 8;
const RECORD_HEADER: usize = 24;

/// Why the history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
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
    /// A record is not what was written.
    #[error("{path} is damaged at byte {offset}: {why}; move the file away to go on without it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// An incident that cannot be written.
    #[error("incident {id} cannot be written: {why}")]
    Unwritable {
        /// Its id.
        id: IncidentId,
        /// Why.
        why: String,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HistoryError {
    let path = path.to_owned();
    move |source| HistoryError::Io { what, path, source }
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    length: u32,
}

/// The closed incidents of one fleet.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    limit: u64,
    segments: BTreeMap<u64, Segment>,
    places: BTreeMap<IncidentId, (u64, Place)>,
    order: BTreeMap<u64, IncidentId>,
    next: u64,
}

impl History {
    /// Opens the history in `dir`, which is made if it is missing, and cuts off a record that a crash left incomplete.
    ///
    /// # Errors
    /// [`HistoryError::Damaged`] when a record is not what was written.
    pub fn open(dir: &Path) -> Result<Self, HistoryError> {
        Self::open_with(dir, HISTORY_BYTES)
    }

    fn open_with(dir: &Path, limit: u64) -> Result<Self, HistoryError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let (segments, places, order) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut history = Self { dir: dir.to_owned(), limit, segments, places, order, next: 0 };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
            let name = entry.map_err(io_error("list", dir))?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".history")?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        for number in numbers {
            history.load(number)?;
        }
        Ok(history)
    }

    /// How many incidents are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether this incident is kept.
    #[must_use]
    pub fn contains(&self, id: IncidentId) -> bool {
        self.places.contains_key(&id)
    }

    /// One closed incident; null when it is not kept.
    ///
    /// # Errors
    /// [`HistoryError`] when its record cannot be read.
    pub fn get(&self, id: IncidentId) -> Result<Option<Incident>, HistoryError> {
        self.places.get(&id).map(|(_, place)| self.read(*place)).transpose()
    }

    /// Closed incidents, the last one to be closed first, at most `limit` (and [`PAGE_MAX`]) of them.
    ///
    /// `before` names the last one of the page before; null begins with the newest. When it is no longer kept,
    /// neither is anything older, and the page is empty.
    ///
    /// # Errors
    /// [`HistoryError`] when a record cannot be read.
    pub fn newest(&self, before: Option<IncidentId>, limit: usize) -> Result<Vec<Incident>, HistoryError> {
        let end = match before {
            None => self.next,
            Some(id) => self.places.get(&id).map_or(0, |(position, _)| *position),
        };
        let wanted = self.order.range(..end).rev().take(limit.min(PAGE_MAX));
        let found = wanted.filter_map(|(_, id)| self.get(*id).transpose());
        found.collect()
    }

    /// Appends closed incidents, on disk when this returns. One that is kept already is left as it is.
    ///
    /// # Errors
    /// [`HistoryError`]; the caller then keeps them and tries again.
    pub fn append(&mut self, incidents: &[Incident]) -> Result<(), HistoryError> {
        let mut touched = false;
        for incident in incidents {
            if !self.contains(incident.id) {
                self.write(incident)?;
                touched = true;
            }
        }
        if touched && let Some((_, segment)) = self.segments.last_key_value() {
            segment.file.sync_data().map_err(io_error("sync", &segment.path))?;
        }
        Ok(())
    }

    fn write(&mut self, incident: &Incident) -> Result<(), HistoryError> {
        let unwritable = |why: String| HistoryError::Unwritable { id: incident.id, why };
        let body = serde_json::to_vec(incident).map_err(|error| unwritable(error.to_string()))?;
        if body.len() > RECORD_MAX {
            return Err(unwritable(format!("it has {} bytes; at most {RECORD_MAX} are allowed", body.len())));
        }
        let length = u32::try_from(body.len()).map_err(|error| unwritable(error.to_string()))?;
        let mut record = vec![0; RECORD_HEADER];
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&incident.id.0.epoch.to_le_bytes());
        record[16..24].copy_from_slice(&incident.id.0.counter.to_le_bytes());
        record.extend_from_slice(&body);
        let crc = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        let number = self.writable()?;
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(unwritable("there is no segment".to_owned()));
        };
        let place = Place { segment: number, offset: segment.bytes, length };
        segment.file.write_all_at(&record, place.offset).map_err(io_error("write", &segment.path))?;
        segment.bytes += record.len() as u64;
        self.note(incident.id, place);
        Ok(())
    }

    fn note(&mut self, id: IncidentId, place: Place) {
        if let Some((older, _)) = self.places.insert(id, (self.next, place)) {
            self.order.remove(&older);
        }
        self.order.insert(self.next, id);
        self.next += 1;
    }

    /// The segment that is written next; begins a new one, and forgets the oldest, when needed.
    fn writable(&mut self) -> Result<u64, HistoryError> {
        let last = self.segments.last_key_value().map(|(number, segment)| (*number, segment.bytes));
        if let Some((number, bytes)) = last
            && bytes < SEGMENT_BYTES.min(self.limit / 4)
        {
            return Ok(number);
        }
        if let Some((_, full)) = self.segments.last_key_value() {
            full.file.sync_data().map_err(io_error("sync", &full.path))?;
        }
        let number = last.map_or(1, |(number, _)| number + 1);
        let path = self.dir.join(format!("{number:010}.history"));
        let open = OpenOptions::new().create_new(true).read(true).write(true).open(&path);
        let mut file = open.map_err(io_error("create", &path))?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&HISTORY_VERSION.to_le_bytes());
        file.write_all(&head).and_then(|()| file.sync_all()).map_err(io_error("write", &path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &self.dir))?;
        self.segments.insert(number, Segment { path, file, bytes: FILE_HEADER });
        self.forget()?;
        Ok(number)
    }

    fn forget(&mut self) -> Result<(), HistoryError> {
        while self.segments.len() > 1 && self.segments.values().map(|it| it.bytes).sum::<u64>() > self.limit {
            let Some((number, oldest)) = self.segments.pop_first() else { return Ok(()) };
            fs::remove_file(&oldest.path).map_err(io_error("remove", &oldest.path))?;
            self.places.retain(|_, (_, place)| place.segment != number);
            let places = &self.places;
            self.order.retain(|_, id| places.contains_key(id));
        }
        Ok(())
    }

    fn load(&mut self, number: u64) -> Result<(), HistoryError> {
        let path = self.dir.join(format!("{number:010}.history"));
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let damaged = |offset: usize, why: &str| HistoryError::Damaged {
            path: path.clone(),
            offset: offset as u64,
            why: why.to_owned(),
        };
        let header = [MAGIC.as_slice(), &HISTORY_VERSION.to_le_bytes()].concat();
        if !bytes.starts_with(&header) {
            return Err(damaged(0, "it does not begin like a history of this version"));
        }
        let mut at = header.len();
        while let Some((head, rest)) = bytes[at..].split_first_chunk::<RECORD_HEADER>() {
            let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = *head;
            let length = u32::from_le_bytes([l0, l1, l2, l3]);
            let whole = rest.get(..length as usize);
            let end = RECORD_HEADER + length as usize;
            let right =
                whole.is_some() && crc32fast::hash(&bytes[at + 8..at + end]) == u32::from_le_bytes([c0, c1, c2, c3]);
            if !right && (whole.is_none() && length as usize <= RECORD_MAX || at + end == bytes.len()) {
                break;
            }
            if !right {
                return Err(damaged(at, "its checksum does not match"));
            }
            let number_at =
                |from: usize| head.get(from..from + 8).and_then(|it| it.try_into().ok()).map(u64::from_le_bytes);
            let (Some(epoch), Some(counter)) = (number_at(8), number_at(16)) else {
                return Err(damaged(at, "its id is cut off"));
            };
            self.note(IncidentId(Id { epoch, counter }), Place { segment: number, offset: at as u64, length });
            at += end;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        if at < bytes.len() {
            // It was never acknowledged, so its parcel is still in the store.
            tracing::warn!(target: "prunella::store", path = %path.display(), at, "cut off an incomplete record");
            file.set_len(at as u64).and_then(|()| file.sync_all()).map_err(io_error("cut", &path))?;
        }
        self.segments.insert(number, Segment { path, file, bytes: at as u64 });
        Ok(())
    }

    fn read(&self, place: Place) -> Result<Incident, HistoryError> {
        let Some(segment) = self.segments.get(&place.segment) else {
            let why = "its segment is gone".to_owned();
            return Err(HistoryError::Damaged { path: self.dir.clone(), offset: place.offset, why });
        };
        let mut record = vec![0; RECORD_HEADER + place.length as usize];
        segment.file.read_exact_at(&mut record, place.offset).map_err(io_error("read", &segment.path))?;
        let damaged = |why: String| HistoryError::Damaged { path: segment.path.clone(), offset: place.offset, why };
        if record[4..8] != crc32fast::hash(&record[8..]).to_le_bytes() {
            return Err(damaged("its checksum does not match".to_owned()));
        }
        serde_json::from_slice(&record[RECORD_HEADER..]).map_err(|error| damaged(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
