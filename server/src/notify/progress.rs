//! What a receiver was told, so that a restart neither repeats nor forgets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prunella_model::event::FleetEvent;
use prunella_model::incident::Severity;
use prunella_model::{Id, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::{Message, Moment, Turn};

/// Matters that are remembered for a receiver; of more, the oldest are forgotten.
const TOLD_MAX: usize = 10_000;

/// Messages that did not arrive and are kept to be looked at.
const DEAD_MAX: usize = 100;

/// How far a receiver has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The latest event that was dealt with; null before the first.
    pub(crate) cursor: Option<Id>,
    /// Matters of which it was told and that are not over, by key.
    pub(crate) told: BTreeMap<String, Told>,
    /// Messages that arrived.
    pub(crate) sent: u64,
    /// Messages that a silence kept back.
    pub(crate) silenced: u64,
    /// What a silence keeps back of incidents that are not over: the latest event of each, by key.
    pub(crate) withheld: BTreeMap<String, FleetEvent>,
    /// When the latest arrived.
    pub(crate) last: Option<Timestamp>,
    /// Messages that did not arrive, oldest first.
    pub(crate) dead: VecDeque<Dead>,
    /// Messages that did not arrive, all that ever were.
    pub(crate) failed: u64,
}

/// What a receiver was told of one matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// What the receiver calls it; null for our own name.
    pub(crate) name: Option<String>,
    /// At which moments it was told, by name.
    pub(crate) moments: BTreeSet<String>,
    /// How grave it was told to be, at most.
    pub(crate) severity: Severity,
}

/// A message that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// When it was given up.
    pub(crate) at: Timestamp,
    /// What it was about.
    pub(crate) title: String,
    /// Why it did not arrive.
    pub(crate) why: String,
}

impl Progress {
    /// Whether a message is news to the receiver. The end of what it was not told of is none.
    pub(crate) fn is_news(&self, message: &Message) -> bool {
        let told = self.told.get(&message.key);
        match message.moment {
            Moment::Fleet => told.is_some() || message.turn != Turn::EndsQuietly,
            Moment::Resolved => told.is_some(),
            Moment::Opened | Moment::NeedsPerson | Moment::Overdue => {
                told.is_none_or(|it| !it.moments.contains(message.moment.as_str()) || it.severity < message.severity)
            }
        }
    }

    /// Notes that a message has arrived.
    pub(crate) fn arrived(&mut self, message: &Message, name: Option<String>, now: Timestamp) {
        self.sent += 1;
        self.last = Some(now);
        if message.turn == Turn::News {
            return;
        }
        if message.is_over() {
            self.told.remove(&message.key);
            return;
        }
        let told = self.told.entry(message.key.clone()).or_insert_with(|| Told {
            name: None,
            moments: BTreeSet::new(),
            severity: message.severity,
        });
        told.severity = told.severity.max(message.severity);
        told.moments.insert(message.moment.as_str().to_owned());
        told.name = name.or(told.name.take());
        while self.told.len() > TOLD_MAX {
            self.told.pop_first();
        }
    }

    /// Notes that a silence keeps a message back. Of an incident the latest is told when the silence ends; what was said of
    /// the fleet meanwhile is past by then.
    pub(crate) fn kept_back(&mut self, message: &Message, event: &FleetEvent) {
        self.silenced += 1;
        if message.moment != Moment::Fleet {
            self.withheld.insert(message.key.clone(), event.clone());
            while self.withheld.len() > TOLD_MAX {
                self.withheld.pop_first();
            }
        }
    }

    /// Notes that a message was given up.
    pub(crate) fn given_up(&mut self, message: &Message, why: &str, now: Timestamp) {
        self.failed += 1;
        if self.dead.len() == DEAD_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(Dead { at: now, title: message.title.clone(), why: why.to_owned() });
    }
}
