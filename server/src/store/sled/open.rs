//! Opening a sled store without trusting it: lock, guarded open, a look at every value, and a refusal that helps.
//!
//! sled panics on a cut-off file and fails on a damaged snapshot of its own, and a store that opens may still have
//! lost its tail. So a store is only used when everything in it adds up to what was acknowledged.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ::sled::Db;

use super::envelope::{self, Head, Kind, SCHEMA};
use super::mark::{Mark, Marked};
use crate::store::{Revision, export};

/// How long sled may take to open. A store within its limits takes a second or two; a damaged one may never return.
const OPEN_TIME: Duration = Duration::from_secs(60);

/// How long to wait for a lock. A process that is ending, or one that is just being started by this one, holds it for
/// some milliseconds more.
const LOCK_TIME: Duration = Duration::from_secs(1);

/// How often a lock is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// What sled may keep in memory, in bytes: all of the content that the store is meant for.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;

/// Where everything lies under the server's state directory.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) state: PathBuf,
    pub(super) sled: PathBuf,
    pub(super) mark: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) exports: PathBuf,
}

impl Places {
    pub(super) fn under(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            sled: state.join("store"),
            mark: state.join("store.mark"),
            lock: state.join("store.lock"),
            exports: state.join("export"),
        }
    }

    /// The command that puts the newest intact export in place of the store.
    fn remedy(&self) -> String {
        let dir = self.state.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match export::newest(&self.exports) {
            Some(file) => format!("prunella store import --dir {} {}", dir.display(), file.display()),
            None => format!(
                "prunella store import --dir {} FILE (there is no intact export in {}; take one from a backup)",
                dir.display(),
                self.exports.display()
            ),
        }
    }
}

/// Why the server does not start with this store. It never starts with an empty one in its place.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process uses the store in {path}; stop it first")]
    Locked {
        /// The state directory.
        path: PathBuf,
    },
    /// What was stored is not there, or not whole.
    #[error("the store in {path} is damaged: {why}. {kept}. To go on from the newest export: {remedy}")]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What looking at it has changed.
        kept: &'static str,
        /// The command that helps.
        remedy: String,
    },
    /// Written by a newer program.
    #[error("the store in {path} has schema {found}; this program knows {SCHEMA}: use the newer program again")]
    Newer {
        /// Its directory.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
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
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}

/// A store that has been looked through.
pub(super) struct Checked {
    pub(super) db: Db,
    pub(super) head: Head,
    pub(super) mark: Mark,
    pub(super) lock: File,
}

pub(super) fn lock(places: &Places) -> Result<File, OpenError> {
    fs::create_dir_all(&places.state).map_err(io_error("create", &places.state))?;
    let file = File::options().create(true).truncate(false).write(true).open(&places.lock);
    let file = file.map_err(io_error("open", &places.lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: places.state.clone() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { what: "lock", path: places.lock.clone(), source }),
    }
}

/// Opens the store, or makes a new one where there never was one.
pub(super) fn open(places: &Places) -> Result<Checked, OpenError> {
    let lock = lock(places)?;
    let damaged = |kept, why| OpenError::Damaged { path: places.sled.clone(), why, kept, remedy: places.remedy() };
    let (mark, marked) = Mark::open(&places.mark).map_err(io_error("open", &places.mark))?;
    let there = places.sled.join("db").exists();
    let at_least = match marked {
        Marked::Damaged => {
            return Err(damaged(UNTOUCHED, "its mark cannot be read, so nobody can tell what it must hold".into()));
        }
        Marked::At(_) if !there => return Err(damaged(UNTOUCHED, "it is gone, and there was one".to_owned())),
        Marked::At(revision) => Some(revision),
        Marked::Never => None,
    };
    let found = Found::keep(places);
    let (db, head) = match open_either_way(places, at_least) {
        Ok(opened) => opened,
        Err(OpenFault::Error(error)) => return Err(error),
        Err(OpenFault::Damaged(why)) => return Err(damaged(found.put_back(places), why)),
    };
    found.forget();
    let mut checked = Checked { db, head, mark, lock };
    let io = io_error("write", &places.mark);
    checked.mark.write(head.revision).and_then(|()| checked.mark.sync()).map_err(io)?;
    let state = File::open(&places.state).and_then(|it| it.sync_all());
    state.map_err(io_error("sync", &places.state))?;
    Ok(checked)
}

enum OpenFault {
    Damaged(String),
    Error(OpenError),
}

/// Opens the store with sled's own snapshots and, if that fails, without them.
fn open_either_way(places: &Places, at_least: Option<Revision>) -> Result<(Db, Head), OpenFault> {
    let newer = |found| OpenFault::Error(OpenError::Newer { path: places.sled.clone(), found });
    let first = match try_open(&places.sled, at_least) {
        Ok(opened) => return Ok(opened),
        Err(Fault::Newer(found)) => return Err(newer(found)),
        Err(Fault::Damaged(why)) => why,
    };
    // sled's snapshots only save time: without them it reads its whole log.
    let moved = quarantine_snapshots(places).map_err(io_error("move aside snapshots of", &places.sled));
    if moved.map_err(OpenFault::Error)? == 0 {
        return Err(OpenFault::Damaged(first));
    }
    tracing::warn!(target: "prunella::store", reason = %first, "opening without the store's own snapshots");
    match try_open(&places.sled, at_least) {
        Ok(opened) => Ok(opened),
        Err(Fault::Newer(found)) => Err(newer(found)),
        Err(Fault::Damaged(_)) => Err(OpenFault::Damaged(first)),
    }
}

/// What is said of a damaged store that is as it was found.
const UNTOUCHED: &str = "Nothing was changed";

/// The store as it was found. sled repairs what it opens: of a log with one wrong byte it may keep nothing, and with it
/// would go what somebody could still read out of it.
struct Found(Option<PathBuf>);

impl Found {
    fn keep(places: &Places) -> Self {
        let copy = places.state.join("store.found");
        // Left by a start that was killed while it opened the store.
        let _ = fs::remove_dir_all(&copy);
        if !places.sled.exists() {
            return Self(None);
        }
        if let Err(error) = copy_all(&places.sled, &copy) {
            tracing::warn!(target: "prunella::store", %error, "there is no copy of the store while it is opened; if it is damaged it may change");
            let _ = fs::remove_dir_all(&copy);
            return Self(None);
        }
        Self(Some(copy))
    }

    /// Puts it back, and says what it now is.
    fn put_back(self, places: &Places) -> &'static str {
        let Some(copy) = self.0 else {
            return "It may have changed while it was opened: there was no room for a copy";
        };
        let opened = places.state.join("store.opened");
        let swap = || {
            fs::rename(&places.sled, &opened)?;
            fs::rename(&copy, &places.sled)?;
            fs::remove_dir_all(&opened)
        };
        match swap() {
            Ok(()) => UNTOUCHED,
            Err(error) => {
                tracing::error!(target: "prunella::store", %error, copy = %copy.display(), "the store cannot be put back as it was found");
                "It may have changed while it was opened; as it was found it is in store.found beside it"
            }
        }
    }

    fn forget(self) {
        if let Some(copy) = self.0
            && let Err(error) = fs::remove_dir_all(&copy)
        {
            tracing::warn!(target: "prunella::store", %error, copy = %copy.display(), "a copy that is not needed any more cannot be removed");
        }
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

enum Fault {
    Newer(u32),
    Damaged(String),
}

fn try_open(path: &Path, at_least: Option<Revision>) -> Result<(Db, Head), Fault> {
    let (send, receive) = mpsc::sync_channel(1);
    let owned = path.to_owned();
    // On a thread of its own, because on damaged files sled may panic and may also never return.
    let opener = thread::Builder::new().name("store-open".to_owned()).spawn(move || {
        let opened = open_raw(&owned).and_then(|db| check(&db, at_least).map(|head| (db, head)));
        // The receiver is gone only when it gave up waiting.
        drop(send.send(opened));
    });
    if let Err(error) = opener {
        return Err(Fault::Damaged(format!("no thread could be started to open it: {error}")));
    }
    match receive.recv_timeout(OPEN_TIME) {
        Ok(opened) => opened,
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Fault::Damaged("reading it fails".to_owned())),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(Fault::Damaged(format!("reading it does not end within {} s", OPEN_TIME.as_secs())))
        }
    }
}

fn open_raw(path: &Path) -> Result<Db, Fault> {
    let mut waited = Duration::ZERO;
    loop {
        match raw(path) {
            Ok(db) => return Ok(db),
            // sled has a lock of its own, and no error of its own for it.
            Err(error) if waited < LOCK_TIME && error.to_string().contains("could not acquire lock") => {
                thread::sleep(LOCK_RETRY);
                waited += LOCK_RETRY;
            }
            Err(error) => return Err(Fault::Damaged(format!("it cannot be opened: {error}"))),
        }
    }
}

/// Opens sled itself, as this program always does.
pub(super) fn raw(path: &Path) -> ::sled::Result<Db> {
    ::sled::Config::default().path(path).flush_every_ms(None).cache_capacity(CACHE_BYTES).open()
}

/// Looks at everything in the store and compares it with what must be there.
fn check(db: &Db, at_least: Option<Revision>) -> Result<Head, Fault> {
    let damaged = |why: String| Fault::Damaged(why);
    let mut head = None;
    let mut found = Head::NEW;
    for entry in db.iter() {
        let (key, bytes) = entry.map_err(|error| damaged(format!("it cannot be read: {error}")))?;
        let Some((kind, name)) = Kind::of(&key) else {
            return Err(damaged(format!("it holds a key that nobody wrote: {:?}", &*key)));
        };
        match kind {
            Kind::Head => head = Some(Head::open(&bytes).map_err(|why| damaged(format!("its head is wrong: {why}")))?),
            Kind::Term | Kind::Value => {
                let opened = envelope::open(&key, &bytes);
                found.add(opened.map_err(|why| damaged(format!("the value of {name} is wrong: {why}")))?.share);
            }
        }
    }
    let Some(head) = head else {
        return match (found.entries, at_least.unwrap_or_default()) {
            (0, Revision(0)) => Ok(Head::NEW),
            (0, Revision(n)) => Err(damaged(format!("it is empty, and revision {n} was acknowledged"))),
            (n, _) => Err(damaged(format!("its head is missing beside {n} entries"))),
        };
    };
    if head.schema > SCHEMA {
        return Err(Fault::Newer(head.schema));
    }
    if (head.entries, head.sum) != (found.entries, found.sum) {
        let why = format!("{} entries were stored, and {} others are found", head.entries, found.entries);
        return Err(damaged(why));
    }
    match at_least {
        Some(marked) if marked > head.revision => {
            Err(damaged(format!("revision {} was acknowledged, and it ends at {}", marked.0, head.revision.0)))
        }
        Some(_) | None => Ok(head),
    }
}

fn quarantine_snapshots(places: &Places) -> io::Result<usize> {
    let mut moved = 0;
    for entry in fs::read_dir(&places.sled)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            let aside = places.state.join("store.quarantine");
            fs::create_dir_all(&aside)?;
            fs::rename(entry.path(), aside.join(entry.file_name()))?;
            moved += 1;
        }
    }
    Ok(moved)
}
