//! The driver's way to the journal: a thread of its own, so that a slow disk never holds the loop up.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use prunella_engine::Event;
use prunella_model::record::Stored;
use prunella_model::{FleetName, Timestamp};

use crate::journal::{Journal, JournalError, Start};
use crate::store::Backend;
use crate::store::repository::Repository;

/// How many events may wait for the journal: some seconds of a large fleet.
const WAITING_MAX: usize = 8_192;

/// Hands events to the journal's thread.
#[derive(Debug)]
pub struct Notes {
    to: Option<SyncSender<(Timestamp, Event)>>,
    thread: Option<JoinHandle<()>>,
    /// Events that the thread could not take since it last could.
    lost: u64,
}

impl Notes {
    /// Begins a segment under `state` with what the engine starts from.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be written.
    pub fn open(
        state: &Path,
        fleet: FleetName,
        epoch: u64,
        now: Timestamp,
        stored: Stored,
        repository: Arc<Repository<Backend>>,
    ) -> Result<Self, JournalError> {
        let start = Start { fleet, epoch, at: now, exact: true, stored };
        let journal = Journal::open(&state.join("journal"), &start)?;
        let (to, events) = sync_channel(WAITING_MAX);
        let start = Start { stored: Stored::default(), exact: false, ..start };
        let runtime = tokio::runtime::Handle::current();
        let write = move || write(journal, &events, start, &repository, &runtime);
        let spawned = std::thread::Builder::new().name("journal".to_owned()).spawn(write);
        let thread = spawned.map_err(|source| JournalError::Io {
            what: "start the writer of",
            path: state.join("journal"),
            source,
        })?;
        Ok(Self { to: Some(to), thread: Some(thread), lost: 0 })
    }

    /// Notes an event. Never waits: when the disk is too slow the journal has a gap, and says so.
    pub fn note(&mut self, now: Timestamp, event: &Event) {
        let Some(to) = &self.to else { return };
        match to.try_send((now, event.clone())) {
            Ok(()) if self.lost > 0 => {
                tracing::warn!(target: "prunella::store", events = self.lost, "the journal has a gap: the disk was too slow");
                self.lost = 0;
            }
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lost += 1,
            // The thread has said why it ended.
            Err(TrySendError::Disconnected(_)) => self.to = None,
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        drop(self.to.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "prunella::store", "the journal's thread had failed");
        }
    }
}

fn write(
    mut journal: Journal,
    events: &Receiver<(Timestamp, Event)>,
    start: Start,
    repository: &Repository<Backend>,
    runtime: &tokio::runtime::Handle,
) {
    while let Ok((now, event)) = events.recv() {
        if let Err(error) = journal.append(now, &event) {
            // Replay is worth a warning, not an outage.
            tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "the journal ends here: it cannot be written");
            return;
        }
        if !journal.is_full() {
            continue;
        }
        match runtime.block_on(repository.load()) {
            Ok(stored) => {
                if let Err(error) = journal.rotate(&Start { at: now, stored, ..start.clone() }) {
                    tracing::warn!(target: "prunella::store", error = &error as &dyn std::error::Error, "the journal goes on in a full segment");
                }
            }
            Err(error) => {
                tracing::warn!(target: "prunella::store", error = &error as &dyn std::error::Error, "the journal goes on in a full segment");
            }
        }
    }
}
