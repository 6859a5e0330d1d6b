//! The latest events, for those who follow along.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prunella_model::Id;
use prunella_model::event::FleetEvent;
use tokio::sync::broadcast;

/// How many events can be read again: a busy hour of a large fleet.
pub const KEPT: usize = 4_096;

/// How many events a subscriber may lag behind before it is told of a gap.
pub const LAG_MAX: usize = 1_024;

/// Keeps the latest events and hands new ones to subscribers. Nobody who reads slowly can hold up who writes.
#[derive(Debug)]
pub struct Feed {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Null once the feed is closed.
    live: Option<broadcast::Sender<Arc<FleetEvent>>>,
    events: VecDeque<Arc<FleetEvent>>,
    /// Whether older events than the kept ones have existed since the start.
    dropped: bool,
}

/// What a subscriber begins with.
#[derive(Debug)]
pub struct Subscription {
    /// Events to be read first.
    pub backlog: Vec<Arc<FleetEvent>>,
    /// Whether events between the resume point and the backlog are no longer kept.
    pub gap: bool,
    /// Everything after the backlog.
    pub live: broadcast::Receiver<Arc<FleetEvent>>,
}

impl Default for Feed {
    fn default() -> Self {
        let live = Some(broadcast::channel(LAG_MAX).0);
        Self { kept: Mutex::new(Kept { live, events: VecDeque::new(), dropped: false }) }
    }
}

impl Feed {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event.
    pub fn announce(&self, event: FleetEvent) {
        let event = Arc::new(event);
        let mut kept = self.kept();
        if kept.events.len() == KEPT {
            kept.events.pop_front();
            kept.dropped = true;
        }
        kept.events.push_back(Arc::clone(&event));
        // Under the lock, so that no subscriber misses an event between its backlog and its live part. An error only
        // means that nobody listens.
        let _ = kept.live.as_ref().map(|it| it.send(event));
    }

    /// Ends every subscription: the server is stopping.
    pub fn close(&self) {
        self.kept().live = None;
    }

    /// The latest events, newest first.
    #[must_use]
    pub fn latest(&self, most: usize) -> Vec<Arc<FleetEvent>> {
        self.kept().events.iter().rev().take(most).cloned().collect()
    }

    /// Follows along: after the event `resume`, or from now on.
    #[must_use]
    pub fn subscribe(&self, resume: Option<Id>) -> Subscription {
        let kept = self.kept();
        // Of a closed feed the live part has ended already.
        let live = kept.live.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        let Some(resume) = resume else { return Subscription { backlog: Vec::new(), gap: false, live } };
        let backlog: Vec<_> = kept.events.iter().filter(|it| it.id > resume).cloned().collect();
        let oldest_is_later = kept.events.front().is_none_or(|it| it.id > resume);
        // Events of an earlier run of the server are not kept, and nobody can say how many there were.
        let earlier_run = kept.events.front().is_none_or(|it| it.id.epoch > resume.epoch);
        Subscription { backlog, gap: oldest_is_later && (kept.dropped || earlier_run), live }
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::Timestamp;
    use prunella_model::event::EventKind;

    use super::*;

    fn id(counter: u64) -> Id {
        Id { epoch: 7, counter }
    }

    fn event(counter: u64) -> FleetEvent {
        FleetEvent {
            id: id(counter),
            at: Timestamp::from_secs(counter),
            kind: EventKind::HostConnected,
            host: None,
            target: None,
            incident: None,
            message: String::new(),
        }
    }

    fn counters(events: &[Arc<FleetEvent>]) -> Vec<u64> {
        events.iter().map(|it| it.id.counter).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let feed = Feed::default();
        (1..=5).for_each(|n| feed.announce(event(n)));
        assert_eq!(counters(&feed.latest(2)), [5, 4]);
        let mut it = feed.subscribe(Some(id(3)));
        assert_eq!((counters(&it.backlog), it.gap), (vec![4, 5], false));
        feed.announce(event(6));
        assert_eq!(it.live.try_recv().unwrap().id, id(6));
        assert!(feed.subscribe(None).backlog.is_empty());
    }

    #[test]
    fn a_reader_hears_of_what_is_no_longer_kept() {
        let feed = Feed::default();
        (1..=KEPT as u64 + 10).for_each(|n| feed.announce(event(n)));
        assert!(feed.subscribe(Some(id(3))).gap);
        assert!(!feed.subscribe(Some(id(20))).gap);
        assert!(feed.subscribe(Some(Id { epoch: 6, counter: 1 })).gap, "an earlier run of the server");
        let mut slow = feed.subscribe(None).live;
        (1..=LAG_MAX as u64 + 1).for_each(|n| feed.announce(event(10_000 + n)));
        assert!(matches!(slow.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
    }
}
