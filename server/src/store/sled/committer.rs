//! The one writer of a sled store: takes what waits, writes it as one atomic batch, flushes once, answers each.
//!
//! Nothing waits for a timer: a single commit is written at once, and those that arrive meanwhile form the next group.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use ::sled::{Batch, Db};
use tokio::sync::{mpsc, oneshot};

use super::envelope::{self, Head, Kind};
use super::mark::Mark;
use crate::store::{Export, Guard, Leadership, Op, Revision, StoreError, Term, Txn, check_key};

/// The most transactions in one group: bounds the work between two flushes to a few milliseconds.
const GROUP_MAX: usize = 256;

/// What the writer can be asked.
pub(super) enum Job {
    Commit(Txn, oneshot::Sender<Result<Revision, StoreError>>),
    Campaign(String, oneshot::Sender<Result<Leadership, StoreError>>),
    /// From now on, note which keys change; answers with a number for the end. Ends an export that was given up.
    ExportBegin(oneshot::Sender<Result<u64, StoreError>>),
    /// What changed since then, and the revision that this makes the rest consistent with.
    ExportEnd(u64, oneshot::Sender<Result<Changed, StoreError>>),
    Import(Export, oneshot::Sender<Result<Revision, StoreError>>),
}

/// Keys of the tree that changed while an export was read; null where the value is gone.
pub(super) struct Changed {
    pub(super) revision: Revision,
    pub(super) keys: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

pub(super) struct Committer {
    pub(super) db: Db,
    /// sled's own file, to sync it: sled asks for its pages to be written, but not for the disk to keep them.
    pub(super) file: File,
    pub(super) head: Head,
    pub(super) mark: Mark,
    /// Set by the first failed write: from then on nobody knows what is on disk.
    pub(super) broken: Option<StoreError>,
    /// The export that is being read, and what changed since it began.
    pub(super) export: Option<(u64, BTreeSet<Vec<u8>>)>,
    /// Counts exports.
    pub(super) exports: u64,
}

/// Changes of a group that are not written yet, by key of the tree; null removes.
type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An answer that is given once the group is on disk.
enum Answer {
    Commit(oneshot::Sender<Result<Revision, StoreError>>, Result<Revision, StoreError>),
    Campaign(oneshot::Sender<Result<Leadership, StoreError>>, Result<Leadership, StoreError>),
}

impl Answer {
    // Whoever asked may have gone; the commit counts all the same.
    fn give(self, failure: Option<&StoreError>) {
        match self {
            Self::Commit(to, result) => drop(to.send(failure.map_or(result, |error| Err(error.clone())))),
            Self::Campaign(to, result) => drop(to.send(failure.map_or(result, |error| Err(error.clone())))),
        }
    }
}

impl Committer {
    /// Works until nobody can ask any more.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                next = self.group(job, &mut jobs);
            }
        }
        // Best effort: both are behind what was acknowledged only in what can be read back from the log.
        if self.db.flush().is_err() || self.mark.sync().is_err() {
            tracing::warn!(target: "prunella::store", "the store could not be synced while closing");
        }
    }

    /// Does one job, together with the transactions that wait behind it. Returns a job that is none and comes next.
    fn group(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let before = self.head;
        let mut overlay = Overlay::new();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Commit(txn, to) => {
                    let result = self.apply(txn, &mut overlay);
                    answers.push(Answer::Commit(to, result));
                }
                Job::Campaign(name, to) => {
                    let result = self.campaign(name, &mut overlay);
                    answers.push(Answer::Campaign(to, result));
                }
                Job::ExportBegin(_) | Job::ExportEnd(_, _) | Job::Import(_, _) if !answers.is_empty() => {
                    next = Some(job);
                    break;
                }
                Job::ExportBegin(to) => {
                    self.exports += 1;
                    self.export = Some((self.exports, BTreeSet::new()));
                    drop(to.send(self.health().map(|()| self.exports)));
                }
                Job::ExportEnd(number, to) => drop(to.send(self.export_end(number))),
                Job::Import(export, to) => {
                    let result = self.import(export, &mut overlay);
                    answers.push(Answer::Commit(to, result));
                }
            }
            if answers.len() >= GROUP_MAX {
                break;
            }
            next = jobs.try_recv().ok();
        }
        let written = if overlay.is_empty() { self.health() } else { self.write(overlay) };
        if written.is_err() {
            self.head = before;
        }
        for answer in answers {
            answer.give(written.as_ref().err());
        }
        next
    }

    fn health(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn write(&mut self, overlay: Overlay) -> Result<(), StoreError> {
        self.health()?;
        let result = self.try_write(overlay);
        if let Err(error) = &result {
            tracing::error!(target: "prunella::store", %error, "the store failed; nothing more is written");
            self.broken = Some(error.clone());
        }
        result
    }

    fn try_write(&mut self, overlay: Overlay) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, value) in overlay {
            if let Some((_, changed)) = &mut self.export {
                changed.insert(key.clone());
            }
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(Kind::Head.key(""), self.head.seal());
        self.db.apply_batch(batch).map_err(broken("writing"))?;
        self.db.flush().map_err(broken("flushing"))?;
        self.file.sync_data().map_err(broken("syncing"))?;
        self.mark.write(self.head.revision).map_err(broken("marking"))
    }

    /// The value under a key of the tree, with the changes of this group.
    fn read(&self, key: &[u8], overlay: &Overlay) -> Result<Option<Vec<u8>>, StoreError> {
        match overlay.get(key) {
            Some(pending) => Ok(pending.clone()),
            None => Ok(self.db.get(key).map_err(broken("reading"))?.map(|value| value.to_vec())),
        }
    }

    fn holds(&self, guard: &Guard, overlay: &Overlay) -> Result<bool, StoreError> {
        let key = match guard {
            Guard::Absent(key) | Guard::ModRev(key, _) => Kind::Value.key(key),
            Guard::Fence(led) => Kind::Term.key(&led.name),
        };
        let Some(bytes) = self.read(&key, overlay)? else {
            return Ok(matches!(guard, Guard::Absent(_)));
        };
        let opened = envelope::open(&key, &bytes).map_err(damaged(&key))?;
        Ok(match guard {
            Guard::Absent(_) => false,
            Guard::ModRev(_, revision) => opened.revision == *revision,
            Guard::Fence(led) => envelope::read_term(opened.value).map_err(damaged(&key))? == led.term,
        })
    }

    fn apply(&mut self, txn: Txn, overlay: &mut Overlay) -> Result<Revision, StoreError> {
        self.health()?;
        txn.check()?;
        for guard in &txn.guards {
            if !self.holds(guard, overlay)? {
                return Err(StoreError::Conflict(guard.clone()));
            }
        }
        if txn.ops.is_empty() {
            return Ok(self.head.revision);
        }
        let mut head = self.head;
        head.revision.0 += 1;
        let mut changes = Overlay::new();
        for op in txn.ops {
            let (key, value) = match op {
                Op::Put { key, value } => (Kind::Value.key(&key), Some(value)),
                Op::Delete { key } => (Kind::Value.key(&key), None),
            };
            self.change(&mut head, key, value.as_deref(), overlay, &mut changes)?;
        }
        overlay.append(&mut changes);
        self.head = head;
        Ok(head.revision)
    }

    fn change(
        &self,
        head: &mut Head,
        key: Vec<u8>,
        value: Option<&[u8]>,
        overlay: &Overlay,
        changes: &mut Overlay,
    ) -> Result<(), StoreError> {
        let old = self.read(&key, overlay)?;
        if old.is_none() && value.is_none() {
            return Ok(());
        }
        if let Some(old) = &old {
            head.remove(envelope::open(&key, old).map_err(damaged(&key))?.share);
        }
        let sealed = value.map(|value| envelope::seal(&key, head.revision, value));
        if let Some(sealed) = &sealed {
            head.add(envelope::open(&key, sealed).map_err(damaged(&key))?.share);
        }
        changes.insert(key, sealed);
        Ok(())
    }

    fn campaign(&mut self, name: String, overlay: &mut Overlay) -> Result<Leadership, StoreError> {
        self.health()?;
        check_key(&name)?;
        let key = Kind::Term.key(&name);
        let last = match self.read(&key, overlay)? {
            Some(bytes) => {
                let opened = envelope::open(&key, &bytes).map_err(damaged(&key))?;
                envelope::read_term(opened.value).map_err(damaged(&key))?
            }
            None => Term(0),
        };
        let term = Term(last.0 + 1);
        let mut head = self.head;
        head.revision.0 += 1;
        let mut changes = Overlay::new();
        self.change(&mut head, key, Some(&envelope::term_value(term)), overlay, &mut changes)?;
        overlay.append(&mut changes);
        self.head = head;
        Ok(Leadership { name, term })
    }

    fn import(&mut self, export: Export, overlay: &mut Overlay) -> Result<Revision, StoreError> {
        self.health()?;
        if self.db.scan_prefix(Kind::Value.key("")).next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        let mut head = self.head;
        head.revision = Revision(head.revision.max(export.revision).0 + 1);
        let mut changes = Overlay::new();
        for (key, value) in export.entries {
            self.change(&mut head, Kind::Value.key(&key), Some(&value), overlay, &mut changes)?;
        }
        for (name, term) in export.terms {
            self.change(&mut head, Kind::Term.key(&name), Some(&envelope::term_value(term)), overlay, &mut changes)?;
        }
        overlay.append(&mut changes);
        self.head = head;
        Ok(head.revision)
    }

    fn export_end(&mut self, number: u64) -> Result<Changed, StoreError> {
        let Some((_, keys)) = self.export.take_if(|(running, _)| *running == number) else {
            return Err(StoreError::Overtaken);
        };
        self.health()?;
        let none = Overlay::new();
        let read = |key: Vec<u8>| self.read(&key, &none).map(|value| (key, value));
        Ok(Changed { revision: self.head.revision, keys: keys.into_iter().map(read).collect::<Result<_, _>>()? })
    }
}

pub(super) fn broken<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::Broken { what, source: Arc::new(error) }
}

pub(super) fn damaged(key: &[u8]) -> impl FnOnce(String) -> StoreError {
    let key = Kind::of(key).map_or_else(|| format!("{key:?}"), |(_, name)| name.to_owned());
    move |why| StoreError::Damaged { key, why }
}
