//! The latest events, for those who follow along.

mod log;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prunella_model::Id;
use prunella_model::event::FleetEvent;
use tokio::sync::broadcast;

pub use log::LogError;

/// How many events can be read again: a busy hour of a large fleet.
pub const KEPT: usize = 4_096;

/// How many events a subscriber may lag behind before it is told of a gap.
pub const LAG_MAX: usize = 1_024;

/// Keeps the latest events and hands new ones to subscribers. Nobody who reads slowly can hold up who writes.
#[derive(Debug)]
pub struct Feed {
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Null once the feed is closed.
    live: Option<broadcast::Sender<Arc<FleetEvent>>>,
    kept: Kept,
    /// Null without a directory, and once the feed is closed.
    writer: Option<log::Writer>,
}

/// An event, and whether others may be missing right before it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The event.
    pub event: Arc<FleetEvent>,
    /// Whether events before it were lost in a crash.
    pub gap: bool,
}

/// The events that can be read again, oldest first.
#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Told>,
    /// Whether events may be missing before the next one.
    cut: bool,
}

impl Kept {
    fn last(&self) -> Option<Id> {
        self.events.back().map(|it| it.event.id)
    }

    fn push(&mut self, event: Arc<FleetEvent>) {
        let cut = std::mem::take(&mut self.cut);
        let gap = self.last().is_some_and(|last| !may_follow(last, event.id)) || cut;
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Told { event, gap });
    }
}

/// Whether no event can have been between these two. Each server counts its own from 1.
const fn may_follow(last: Id, next: Id) -> bool {
    if last.epoch == next.epoch { next.counter == last.counter + 1 } else { next.counter == 1 }
}

/// What a subscriber begins with.
#[derive(Debug)]
pub struct Subscription {
    /// Events to be read first.
    pub backlog: Vec<Told>,
    /// Why events between the resume point and the backlog are missing; null when none is.
    pub gap: Option<String>,
    /// Everything after the backlog.
    pub live: broadcast::Receiver<Arc<FleetEvent>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::of(Kept::default(), None)
    }
}

impl Feed {
    /// A feed that goes on from what is kept in `dir`, for a server that decides in `epoch`.
    ///
    /// # Errors
    /// [`LogError`] when the directory cannot be read or written.
    pub fn open(dir: &Path, epoch: u64) -> Result<Self, LogError> {
        let (kept, writer) = log::open(dir, epoch)?;
        Ok(Self::of(kept, Some(writer)))
    }

    fn of(kept: Kept, writer: Option<log::Writer>) -> Self {
        let live = Some(broadcast::channel(LAG_MAX).0);
        Self { shared: Mutex::new(Shared { live, kept, writer }) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event.
    pub fn announce(&self, event: FleetEvent) {
        let event = Arc::new(event);
        let mut shared = self.shared();
        shared.kept.push(Arc::clone(&event));
        if let Some(writer) = &mut shared.writer {
            writer.write(&event);
        }
        // Under the lock, so that no subscriber misses an event between its backlog and its live part. An error only
        // means that nobody listens.
        let _ = shared.live.as_ref().map(|it| it.send(event));
    }

    /// Ends every subscription: the server is stopping. What is announced afterwards is kept for those who resume.
    pub fn close(&self) {
        self.shared().live = None;
    }

    /// Writes down what waits, and that the server ended in order. Blocks for the disk.
    pub fn end(&self) {
        let writer = self.shared().writer.take();
        drop(writer);
    }

    /// The latest events that `wanted` holds of, newest first: those before `before`, or from the newest on.
    #[must_use]
    pub fn latest(
        &self,
        before: Option<Id>,
        most: usize,
        wanted: impl Fn(&FleetEvent) -> bool,
    ) -> Vec<Arc<FleetEvent>> {
        let shared = self.shared();
        let all = shared.kept.events.iter().rev().map(|it| &it.event);
        let older = all.filter(|it| before.is_none_or(|before| it.id < before));
        older.filter(|it| wanted(it)).take(most).cloned().collect()
    }

    /// The id of the newest event; null before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Id> {
        self.shared().kept.last()
    }

    /// Follows along: after the event `resume`, or from now on.
    #[must_use]
    pub fn subscribe(&self, resume: Option<Id>) -> Subscription {
        let shared = self.shared();
        // Of a closed feed the live part has ended already.
        let live = shared.live.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        let Some(resume) = resume else { return Subscription { backlog: Vec::new(), gap: None, live } };
        let events = &shared.kept.events;
        let (before, after): (Vec<&Told>, Vec<&Told>) = events.iter().partition(|it| it.event.id <= resume);
        let mut backlog: Vec<Told> = after.into_iter().cloned().collect();
        let gap = match (before.last(), backlog.first_mut()) {
            // What is missing before the first one has its own mark.
            (Some(last), _) if last.event.id == resume => None,
            (None, Some(first)) => {
                first.gap = false;
                let next = resume.epoch == first.event.id.epoch && may_follow(resume, first.event.id);
                let id = first.event.id;
                (!next).then(|| {
                    format!("events after {resume} are no longer kept: of the latest {KEPT}, the oldest is {id}")
                })
            }
            (Some(_) | None, first) => {
                if let Some(first) = first {
                    first.gap = false;
                }
                Some(format!("the event {resume} is not known: it was lost in a crash, or is another fleet's"))
            }
        };
        Subscription { backlog, gap, live }
    }
}

#[cfg(test)]
mod tests;
