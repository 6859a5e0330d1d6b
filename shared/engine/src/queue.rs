//! The fleet's own queue of repairs: is it worked off, and does nobody in it wait for ever?

use std::cmp::Reverse;
use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::{IncidentState, Severity};
use prunella_model::{IncidentId, Timestamp};

use crate::Engine;
use crate::incident::verify::TICK_MOST;
use crate::timers::Timer;
use crate::view::{QueueState, QueueView};

/// A repair that has waited this long means that the queue is not worked off.
const BACKLOG_AFTER: Duration = Duration::from_secs(600);

/// A repair that has waited this long while others were let through is starving.
const STARVING_AFTER: Duration = Duration::from_secs(1_800);

/// How often one step goes through the queue: what it lets through may free a place for others, rarely more than once.
const PASSES: u32 = 4;

/// How often a queue that is not worked off is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// What has been said of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QueueWatch {
    said: QueueState,
}

impl Engine {
    /// Lets queued repairs through until a brake of the fleet holds one.
    pub(crate) fn serve_queue(&mut self) {
        for _ in 0..PASSES {
            if !std::mem::take(&mut self.freed) {
                return;
            }
            self.serve_once();
            self.settle_woken();
        }
    }

    fn serve_once(&mut self) {
        let (mut after, mut looked_at) = (None, None);
        loop {
            let next = match after {
                None => self.queue.first().copied(),
                Some(place) => {
                    let beyond = (std::ops::Bound::Excluded(place), std::ops::Bound::Unbounded);
                    self.queue.range(beyond).next().copied()
                }
            };
            let Some(place) = next else { break };
            if looked_at.is_some_and(|graver| place.0 > graver) {
                // What goes first is looked at once more before it is repaired. Whatever is less grave must not overtake it
                // meanwhile, nor wait long for a host that does not answer.
                self.timers.sooner(Timer::Fleet, self.now.after(TICK_MOST), self.now);
                break;
            }
            self.advance_under_its_policy(place.1);
            if self.queue.contains(&place) {
                break;
            }
            let case = self.cases.get(&place.1);
            if case.is_some_and(|case| case.it.state == IncidentState::Diagnosing) {
                looked_at = Some(place.0);
            }
            after = Some(place);
        }
    }

    /// A repair has begun to wait for the fleet.
    pub(crate) fn queued(&mut self, id: IncidentId) {
        let now = self.now;
        if let Some(case) = self.cases.get_mut(&id) {
            // One that was let through to be looked at again, and came too late then, goes on waiting.
            case.queue_since.get_or_insert(now);
        }
        self.timers.ensure(Timer::Queue, now.after(BACKLOG_AFTER), now);
    }

    /// Looks at the queue.
    pub(crate) fn watch_queue(&mut self) {
        let now = self.now;
        let starving: Vec<IncidentId> = self.queue.iter().map(|(_, id)| *id).filter(|id| self.starves(*id)).collect();
        for id in &starving {
            // It goes before everything but critical faults, or it would wait as long as anything worse comes in.
            self.queue.retain(|(_, queued)| queued != id);
            let severity = self.cases.get(id).map_or(Severity::High, |case| case.severity().max(Severity::High));
            self.queue.insert((Reverse(severity), *id));
            self.freed = true;
        }
        let view = self.repair_queue();
        let state = view.state;
        if state != self.queue_watch.said {
            let worse = state > self.queue_watch.said;
            self.queue_watch.said = state;
            let (kind, line) = match state {
                QueueState::Calm => {
                    (EventKind::RepairQueueDrained, "the queue of repairs is worked off again".to_owned())
                }
                QueueState::Backlog => (EventKind::RepairQueueBacklog, self.queue_line(&view)),
                QueueState::Starving => {
                    (EventKind::RepairQueueBacklog, format!("{}, and others went before it", self.queue_line(&view)))
                }
            };
            if worse || state == QueueState::Calm {
                self.audit_as("engine".to_owned(), kind.as_str(), "fleet".to_owned(), view.oldest, line.clone());
                self.push_event(kind, None, None, view.oldest, line);
            }
        }
        if !self.queue.is_empty() || state != QueueState::Calm {
            self.timers.set(Timer::Queue, now.after(LOOK), now);
        }
    }

    fn starves(&self, id: IncidentId) -> bool {
        let since = self.cases.get(&id).and_then(|case| case.queue_since);
        since.is_some_and(|since| {
            self.now.since(since) >= STARVING_AFTER && self.decided.back().is_some_and(|decided| *decided > since)
        })
    }

    fn queue_line(&self, view: &QueueView) -> String {
        let oldest = view.oldest.map_or_else(String::new, |id| format!(" (incident {id})"));
        let waited = view.oldest_since.map_or(Duration::ZERO, |since| self.now.since(since));
        let brakes = view.held_by.join(", ");
        let waits = if view.waiting == 1 { "repair waits" } else { "repairs wait" };
        format!("{} {waits} for {brakes}, the oldest{oldest} for {}", view.waiting, crate::text::span(waited))
    }

    /// The queue as it stands, for people to read.
    #[must_use]
    pub fn repair_queue(&self) -> QueueView {
        let waiting = self.queue.iter().filter_map(|(_, id)| Some((self.cases.get(id)?.queue_since?, *id)));
        let oldest = waiting.min();
        let old = oldest.is_some_and(|(since, _): (Timestamp, _)| self.now.since(since) >= BACKLOG_AFTER);
        let starving = self.queue.iter().any(|(_, id)| self.starves(*id));
        let holds = oldest.and_then(|(_, id)| self.cases.get(&id)).map(|case| case.it.holds.as_slice());
        QueueView {
            waiting: self.queue.len(),
            oldest: oldest.map(|it| it.1),
            oldest_since: oldest.map(|it| it.0),
            held_by: holds.unwrap_or_default().iter().map(|hold| hold.brake.to_string()).collect(),
            state: match (starving, old) {
                (true, _) => QueueState::Starving,
                (false, true) => QueueState::Backlog,
                (false, false) => QueueState::Calm,
            },
        }
    }
}
