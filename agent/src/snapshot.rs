//! Contents that a repair may have to put back, named by their digest.
//!
//! `objects/HEX` holds contents, `index.json` says which content is what. A content is KNOWN-GOOD when its target was
//! verified healthy with it, PRE-REPAIR when a repair replaced it; the other kinds say who wanted it kept.

mod ask;

pub(crate) use ask::ANSWERS_MAX;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::observation::Sha256;
use prunella_model::snapshot::SnapshotKind;
use prunella_model::{PartName, TargetName, Timestamp};
use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::{clock, safe_dir};

/// How many snapshots are kept. The known-good ones that are current are kept in any case.
const SNAPSHOTS_MAX: usize = 50;
/// How long what a repair replaced is held: an incident that is open for longer is a person's.
const HELD_FOR: Duration = Duration::from_secs(24 * 3600);
/// How much of one file is held: an incident makes three attempts, and each may have to be put back.
const HELD_OF_FILE: usize = 5;
/// The largest file that is kept: configuration is far smaller, and what is larger is no configuration.
pub(crate) const FILE_MAX: u64 = 16 * 1024 * 1024;
/// Contents may be secret: only the agent's user reads them.
const PRIVATE: u32 = 0o600;

/// Why a snapshot cannot be taken or put back.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system did not let it happen.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not one that can be kept.
    #[error("{} {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// There is no such snapshot of this file.
    #[error("there is no snapshot {digest} of {target} {file}")]
    Missing {
        /// The target.
        target: TargetName,
        /// The file.
        file: PartName,
        /// The digest that was asked for.
        digest: Sha256,
    },
    /// The store does not hold what it should.
    #[error("the snapshot {digest} is damaged: its content has another digest")]
    Damaged {
        /// The digest that it should have.
        digest: Sha256,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    /// Never given out twice.
    id: u64,
    target: TargetName,
    file: PartName,
    kind: SnapshotKind,
    /// The digest in hexadecimal.
    sha256: String,
    mode: u32,
    uid: u32,
    gid: u32,
    bytes: u64,
    taken_at: Timestamp,
}

/// The store of snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    /// Oldest first.
    entries: Mutex<Vec<Entry>>,
}

/// A file's content with what else a restore must put back.
struct Content {
    bytes: Vec<u8>,
    digest: Sha256,
    mode: u32,
    uid: u32,
    gid: u32,
}

fn io_error<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> SnapshotError + use<'p> {
    move |source| SnapshotError::Io { what, path: path.to_owned(), source }
}

impl Snapshots {
    /// Opens the store in `dir`, which is made if it is missing.
    pub(crate) fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let objects = dir.join("objects");
        fs::create_dir_all(&objects).map_err(io_error("cannot make", &objects))?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(io_error("cannot protect", dir))?;
        let index = dir.join("index.json");
        let entries = match fs::read(&index) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| io_error("cannot read", &index)(error.into()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_error("cannot read", &index)(error)),
        };
        Ok(Self { dir: dir.to_owned(), entries: Mutex::new(entries) })
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of the file's current known-good content; none before the first.
    pub(crate) fn known_good(&self, target: &TargetName, file: &PartName) -> Option<Sha256> {
        let entries = self.entries();
        let is = |it: &&Entry| it.kind == SnapshotKind::KnownGood && it.target == *target && it.file == *file;
        entries.iter().rev().find(is).and_then(|it| unhex(&it.sha256))
    }

    /// Keeps the content of the file at `path` as known-good, provided that it still is the one that was verified.
    pub(crate) fn keep_known_good(
        &self,
        target: &TargetName,
        file: &PartName,
        path: &Path,
        verified: Sha256,
    ) -> Result<bool, SnapshotError> {
        let content = read(path)?;
        if content.digest != verified {
            return Ok(false);
        }
        self.keep(target, file, SnapshotKind::KnownGood, &content)?;
        Ok(true)
    }

    /// Puts the file at `path` back to the content `digest`, keeping what is there now first. Says what it did.
    pub(crate) fn restore(
        &self,
        target: &TargetName,
        file: &PartName,
        path: &Path,
        digest: Sha256,
    ) -> Result<String, SnapshotError> {
        let wanted = digest.to_string();
        let is = |it: &&Entry| {
            it.kind != SnapshotKind::Listing && it.target == *target && it.file == *file && it.sha256 == wanted
        };
        let missing = || SnapshotError::Missing { target: target.clone(), file: file.clone(), digest };
        let entry = self.entries().iter().rev().find(is).cloned().ok_or_else(missing)?;
        let object = self.object(digest);
        let bytes = fs::read(&object).map_err(io_error("cannot read", &object))?;
        if sha256(&bytes) != digest {
            return Err(SnapshotError::Damaged { digest });
        }
        let before = match read(path) {
            Ok(now) if now.digest == digest => return Ok(format!("{file} has that content already")),
            Ok(now) => {
                self.keep(target, file, SnapshotKind::PreRepair, &now)?;
                now.digest.to_string()
            }
            Err(SnapshotError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => "nothing".to_owned(),
            Err(error) => return Err(error),
        };
        let owner = Some((entry.uid, entry.gid));
        replace(path, &bytes, entry.mode, owner).map_err(io_error("cannot replace", path))?;
        Ok(format!("{file} put back to {digest}; before it was {before}"))
    }

    /// Keeps what is at `path` now, before something else than a restore replaces it.
    pub(crate) fn keep_before_repair(
        &self,
        target: &TargetName,
        file: &PartName,
        path: &Path,
    ) -> Result<(), SnapshotError> {
        let content = read(path)?;
        self.keep(target, file, SnapshotKind::PreRepair, &content)
    }

    /// Puts the content of `source`, which must have this digest, in the place of `path`; keeps what is there now first.
    pub(crate) fn copy(
        &self,
        target: &TargetName,
        file: &PartName,
        source: &Path,
        path: &Path,
        digest: Sha256,
    ) -> Result<(), SnapshotError> {
        let new = read(source)?;
        if new.digest != digest {
            return Err(SnapshotError::Unfit { path: source.to_owned(), why: "changed while it was looked at" });
        }
        // Whoever may read the file may go on reading it.
        let (mode, owner) = match read(path) {
            Ok(now) => {
                self.keep(target, file, SnapshotKind::PreRepair, &now)?;
                (now.mode, (now.uid, now.gid))
            }
            Err(SnapshotError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                (new.mode, (new.uid, new.gid))
            }
            Err(error) => return Err(error),
        };
        replace(path, &new.bytes, mode, Some(owner)).map_err(io_error("cannot replace", path))
    }

    /// The content of a snapshot, whole, and the mode that a restore would give it.
    pub(crate) fn content(
        &self,
        target: &TargetName,
        file: &PartName,
        digest: Sha256,
    ) -> Result<(Vec<u8>, u32), SnapshotError> {
        let wanted = digest.to_string();
        let is = |it: &&Entry| {
            it.kind != SnapshotKind::Listing && it.target == *target && it.file == *file && it.sha256 == wanted
        };
        let missing = || SnapshotError::Missing { target: target.clone(), file: file.clone(), digest };
        let entry = self.entries().iter().rev().find(is).cloned().ok_or_else(missing)?;
        let object = self.object(digest);
        let bytes = fs::read(&object).map_err(io_error("cannot read", &object))?;
        if sha256(&bytes) == digest { Ok((bytes, entry.mode)) } else { Err(SnapshotError::Damaged { digest }) }
    }

    /// Keeps the names of what is about to be removed from a directory.
    pub(crate) fn keep_listing(&self, target: &TargetName, dir: &PartName, text: &str) -> Result<(), SnapshotError> {
        let bytes = text.as_bytes().to_owned();
        let content = Content { digest: sha256(&bytes), bytes, mode: PRIVATE, uid: 0, gid: 0 };
        self.keep(target, dir, SnapshotKind::Listing, &content)
    }

    fn object(&self, digest: Sha256) -> PathBuf {
        self.dir.join("objects").join(digest.to_string())
    }

    fn keep(
        &self,
        target: &TargetName,
        file: &PartName,
        kind: SnapshotKind,
        content: &Content,
    ) -> Result<(), SnapshotError> {
        let object = self.object(content.digest);
        // A damaged object of the same name must not stand in for it: it is written anew.
        if !fs::read(&object).is_ok_and(|it| sha256(&it) == content.digest) {
            replace(&object, &content.bytes, PRIVATE, None).map_err(io_error("cannot write", &object))?;
        }
        let mut entries = self.entries();
        let sha256 = content.digest.to_string();
        entries.retain(|it| !(it.target == *target && it.file == *file && it.kind == kind && it.sha256 == sha256));
        let (target, file) = (target.clone(), file.clone());
        // Numbers rise through all lives of the agent, for the newest entry is never dropped.
        let id = entries.iter().map(|it| it.id).max().unwrap_or(0) + 1;
        let (bytes, taken_at) = (content.bytes.len() as u64, clock::wall_now());
        let Content { mode, uid, gid, .. } = *content;
        entries.push(Entry { id, target, file, kind, sha256, mode, uid, gid, bytes, taken_at });
        let dropped = drop_oldest(&mut entries, taken_at);
        let index = self.dir.join("index.json");
        let text = serde_json::to_vec(&*entries).map_err(|error| io_error("cannot write", &index)(error.into()))?;
        replace(&index, &text, PRIVATE, None).map_err(io_error("cannot write", &index))?;
        // Only now, when no index on the disk names them any more.
        for sha256 in dropped.into_iter().filter(|it| !entries.iter().any(|entry| entry.sha256 == *it)) {
            let _ = fs::remove_file(self.dir.join("objects").join(sha256));
        }
        Ok(())
    }
}

/// Drops the oldest entries beyond the limit, those that are held aside; returns their digests.
fn drop_oldest(entries: &mut Vec<Entry>, now: Timestamp) -> Vec<String> {
    let mut dropped = Vec::new();
    let mut at = 0;
    while entries.len() > SNAPSHOTS_MAX && at + 1 < entries.len() {
        if is_held(entries, at, now) {
            at += 1;
        } else {
            dropped.push(entries.remove(at).sha256);
        }
    }
    dropped
}

/// Whether an entry is kept however many there are: the current known-good content of a file, and the latest of what
/// repairs have replaced, which an incident may still put back.
fn is_held(entries: &[Entry], at: usize, now: Timestamp) -> bool {
    let Some(it) = entries.get(at) else { return false };
    let newer = entries.iter().skip(at + 1);
    let same = newer.filter(|other| other.kind == it.kind && other.target == it.target && other.file == it.file);
    match it.kind {
        SnapshotKind::KnownGood => same.count() == 0,
        SnapshotKind::PreRepair => now.since(it.taken_at) < HELD_FOR && same.count() < HELD_OF_FILE,
        SnapshotKind::Manual | SnapshotKind::Emergency | SnapshotKind::Scheduled | SnapshotKind::Listing => false,
    }
}

/// The digest of the file at `path`; none when there is no file.
pub(crate) fn digest_of(path: &Path) -> Result<Option<Sha256>, SnapshotError> {
    match read(path) {
        Ok(content) => Ok(Some(content.digest)),
        Err(SnapshotError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Content, SnapshotError> {
    let opened = place(path).and_then(|(dir, name)| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(dir, name, flags, Mode::empty())?))
    });
    let file = opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => {
            SnapshotError::Unfit { path: path.to_owned(), why: "is a link; name the file that it leads to" }
        }
        _ => io_error("cannot read", path)(error),
    })?;
    let meta = file.metadata().map_err(io_error("cannot read", path))?;
    if !meta.is_file() {
        return Err(SnapshotError::Unfit { path: path.to_owned(), why: "is not a regular file" });
    }
    let mut bytes = Vec::new();
    let read = (&file).take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(io_error("cannot read", path))?;
    if u64::try_from(read).is_ok_and(|it| it > FILE_MAX) {
        return Err(SnapshotError::Unfit { path: path.to_owned(), why: "is larger than the 16 MiB that are kept" });
    }
    let digest = sha256(&bytes);
    Ok(Content { bytes, digest, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid() })
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

fn unhex(text: &str) -> Option<Sha256> {
    let mut digest = [0u8; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Sha256(digest))
}

/// The directory of a file, and the file's name in it. Everything below goes by that directory, not by its path, which
/// may lead elsewhere a moment later.
fn place(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((safe_dir::open(dir)?, name))
}

/// Replaces the file at `path` whole: whoever reads it sees the old content or the new one, also after a power loss.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let (dir, name) = place(path)?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".prunella-{}", std::process::id()));
    let written = write_new(&dir, &beside, bytes, mode, owner).and_then(|()| Ok(renameat(&dir, &beside, &dir, name)?));
    if written.is_err() {
        let _ = unlinkat(&dir, &beside, AtFlags::empty());
    }
    written?;
    Ok(fsync(&dir)?)
}

fn write_new(dir: &OwnedFd, name: &OsStr, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    // A leftover of a crash may lie there; never write through what somebody else put in its place.
    let _ = unlinkat(dir, name, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, name, flags, Mode::from_raw_mode(PRIVATE))?);
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        let meta = file.metadata()?;
        if (meta.uid(), meta.gid()) != (uid, gid) {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
    }
    // After the owner, because a change of owner takes the set-id bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
