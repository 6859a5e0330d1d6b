//! A store in files of this server: sled, with everything around it that sled leaves to its user.
//!
//! Single-writer group commit, every value in an envelope with a checksum, a mark beside the store, and an opening that
//! refuses rather than lose something silently. Meant for less than 100 MB of live content.

mod committer;
mod envelope;
mod mark;
mod open;

#[cfg(test)]
mod damage;

use std::fs::{self, File};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ::sled::Db;
use tokio::sync::{mpsc, oneshot};

use super::export::ExportError;
use super::{Entry, Export, Leadership, Listing, Page, Pending, Revision, Store, StoreError, Term, Txn, export};
use committer::{Committer, Job, broken, damaged};
use envelope::{Head, Kind};
use mark::Mark;
pub use open::OpenError;
use open::{Places, io_error};

/// The most jobs that wait for the writer. A server keeps far fewer commits in flight than this.
const QUEUE: usize = 4_096;

/// The store of one server. Clones share it; it is closed when the last of them is dropped.
#[derive(Debug, Clone)]
pub struct SledStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // In this order: the writer ends, then sled closes, and only then the directory is free for others.
    writer: Writer,
    db: Db,
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "prunella::store", "the store's writer had failed");
        }
    }
}

impl SledStore {
    /// Whether there is a store under `state`, or there was one.
    #[must_use]
    pub fn is_in(state: &Path) -> bool {
        let places = Places::under(state);
        places.mark.exists() || places.sled.exists()
    }

    /// Opens the store under `state`, or makes a new one where there never was one. Looks at every value in it.
    ///
    /// Blocks; call it before serving, or on a thread for such work.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong, and the command that helps. Nothing is ever started empty in place of something.
    pub fn open(state: &Path) -> Result<Self, OpenError> {
        let places = Places::under(state);
        let checked = open::open(&places)?;
        let path = places.sled.join("db");
        let file = File::options().write(true).open(&path).map_err(io_error("open", &path))?;
        let (sender, jobs) = mpsc::channel(QUEUE);
        let committer = Committer {
            db: checked.db.clone(),
            file,
            head: checked.head,
            mark: checked.mark,
            broken: None,
            export: None,
            exports: 0,
        };
        let run = thread::Builder::new().name("store-writer".to_owned()).spawn(move || committer.run(jobs));
        let thread = run.map_err(io_error("start the writer of", &places.sled))?;
        let writer = Writer { jobs: Some(sender), thread: Some(thread) };
        Ok(Self(Arc::new(Inner { writer, db: checked.db, _lock: checked.lock })))
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let Some(jobs) = &self.0.writer.jobs else { return Err(StoreError::Closed) };
        jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        self.send(job(to))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn entry(key: &[u8], bytes: &[u8]) -> Result<Entry, StoreError> {
    let opened = envelope::open(key, bytes).map_err(damaged(key))?;
    let (_, name) = Kind::of(key).ok_or("it has a strange key".to_owned()).map_err(damaged(key))?;
    Ok(Entry { key: name.to_owned(), value: opened.value.to_vec(), mod_rev: opened.revision })
}

impl Store for SledStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let key = Kind::Value.key(key);
        let found = self.0.db.get(&key).map_err(broken("reading"))?;
        found.map(|bytes| entry(&key, &bytes)).transpose()
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        let first = Kind::Value.key(prefix);
        let from = match &page.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(Kind::Value.key(after)),
            Some(_) | None => Bound::Included(first.clone()),
        };
        let mut listing = Listing::default();
        for found in self.0.db.range((from, Bound::Unbounded)) {
            let (key, bytes) = found.map_err(broken("reading"))?;
            if !key.starts_with(&first) {
                break;
            }
            if listing.entries.len() == page.size() {
                listing.next = listing.entries.last().map(|last| last.key.clone());
                break;
            }
            listing.entries.push(entry(&key, &bytes)?);
        }
        Ok(listing)
    }

    fn commit(&self, txn: Txn) -> Pending {
        let (to, answer) = oneshot::channel();
        match self.send(Job::Commit(txn, to)) {
            Ok(()) => Pending::waiting(answer),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    async fn campaign(&self, name: &str) -> Result<Leadership, StoreError> {
        let name = name.to_owned();
        self.ask(|to| Job::Campaign(name, to)).await
    }

    async fn export(&self) -> Result<Export, StoreError> {
        let number = self.ask(Job::ExportBegin).await?;
        // Commits go on meanwhile; what they change is read again at the end.
        let db = self.0.db.clone();
        let scan = tokio::task::spawn_blocking(move || scan(&db)).await;
        let changed = self.ask(|to| Job::ExportEnd(number, to)).await?;
        let mut export = scan.map_err(broken("reading"))??;
        for (key, bytes) in changed.keys {
            match bytes {
                Some(bytes) => put(&mut export, &key, &bytes)?,
                None => {
                    if let Some((Kind::Value, name)) = Kind::of(&key) {
                        export.entries.remove(name);
                    }
                }
            }
        }
        export.revision = changed.revision;
        Ok(export)
    }

    async fn import(&self, export: Export) -> Result<Revision, StoreError> {
        self.ask(|to| Job::Import(export, to)).await
    }
}

fn scan(db: &Db) -> Result<Export, StoreError> {
    let mut export = Export::default();
    for found in db.iter() {
        let (key, bytes) = found.map_err(broken("reading"))?;
        put(&mut export, &key, &bytes)?;
    }
    Ok(export)
}

fn put(export: &mut Export, key: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
    let opened = envelope::open(key, bytes).map_err(damaged(key))?;
    match Kind::of(key) {
        Some((Kind::Value, name)) => {
            export.entries.insert(name.to_owned(), opened.value.to_vec());
        }
        Some((Kind::Term, name)) => {
            let term: Term = envelope::read_term(opened.value).map_err(damaged(key))?;
            export.terms.insert(name.to_owned(), term);
        }
        Some((Kind::Head, _)) | None => {}
    }
    Ok(())
}

/// Why an export could not take a store's place.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The export cannot be read.
    #[error("the export cannot be used")]
    Export(#[from] ExportError),
    /// The directory cannot be used.
    #[error("the state directory cannot be used")]
    Open(#[from] OpenError),
    /// The new store cannot be written.
    #[error("the new store cannot be written")]
    Store(#[from] StoreError),
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// How many values the store holds now.
    pub entries: usize,
    /// The revision that the export was taken at.
    pub from: Revision,
    /// Where the store lies that was there before, if one was.
    pub replaced: Option<PathBuf>,
}

/// Makes a new store under `state` from an export, and moves the one that is there aside. No server may be running.
///
/// Until the very last renaming, the old store stays where it is.
///
/// # Errors
/// [`ImportError`]; the old store is then still in place.
pub fn import(state: &Path, file: &Path) -> Result<Imported, ImportError> {
    let export = export::read(file)?;
    let places = Places::under(state);
    let _lock = open::lock(&places)?;
    let new = state.join("store.new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error("remove", &new))?;
    }
    let imported = (export.entries.len(), export.revision);
    let (mut mark, marked) = Mark::open(&places.mark).map_err(io_error("open", &places.mark))?;
    let at_least = if let mark::Marked::At(revision) = marked { revision } else { Revision(0) };
    let revision = fill(&new, export, at_least)?;
    let replaced = places.sled.exists().then(|| free_name(state));
    if let Some(aside) = &replaced {
        fs::rename(&places.sled, aside).map_err(io_error("move aside", &places.sled))?;
    }
    fs::rename(&new, &places.sled).map_err(io_error("rename", &new))?;
    mark.write(revision).and_then(|()| mark.write(revision)).map_err(io_error("write", &places.mark))?;
    mark.sync().map_err(io_error("sync", &places.mark))?;
    File::open(state).and_then(|it| it.sync_all()).map_err(io_error("sync", state))?;
    Ok(Imported { entries: imported.0, from: imported.1, replaced })
}

/// Writes an export into a new sled directory. Its revision is above everything that was ever acknowledged here.
fn fill(path: &Path, export: Export, at_least: Revision) -> Result<Revision, ImportError> {
    let db = open::raw(path).map_err(broken("creating the new store"))?;
    let mut head = Head { revision: Revision(at_least.max(export.revision).0 + 1), ..Head::NEW };
    let values = export.entries.into_iter().map(|(key, value)| (Kind::Value.key(&key), value));
    let terms =
        export.terms.into_iter().map(|(name, term)| (Kind::Term.key(&name), envelope::term_value(term).to_vec()));
    for (key, value) in values.chain(terms) {
        let sealed = envelope::seal(&key, head.revision, &value);
        head.add(envelope::open(&key, &sealed).map_err(damaged(&key))?.share);
        db.insert(key, sealed).map_err(broken("writing the new store"))?;
    }
    db.insert(Kind::Head.key(""), head.seal()).map_err(broken("writing the new store"))?;
    db.flush().map_err(broken("flushing the new store"))?;
    drop(db);
    for name in ["db", "conf"] {
        let file = path.join(name);
        File::open(&file).and_then(|it| it.sync_all()).map_err(io_error("sync", &file))?;
    }
    Ok(head.revision)
}

fn free_name(state: &Path) -> PathBuf {
    let names = (1_u32..).map(|n| state.join(format!("store.replaced-{n}")));
    // There are more numbers than a directory can hold names.
    names.into_iter().find(|path| !path.exists()).unwrap_or_else(|| state.join("store.replaced"))
}
