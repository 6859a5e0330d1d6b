//! What is due when: an ordered set, so that the next deadline is known exactly and nothing is ever polled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prunella_model::policy::Scope;
use prunella_model::{CommandId, IncidentId, MaintenanceName, Timestamp};

use crate::key::Key;

/// The least time until a timer: one that is set into the past must not keep the driver spinning.
const LEAST: Duration = Duration::from_millis(1);

/// Something that may become due. Each is set at most once at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An incident is looked at again.
    Incident(IncidentId),
    /// An incident should have been responded to.
    Response(IncidentId),
    /// A command counts as lost.
    Command(CommandId),
    /// A host counts as silent.
    Silence(u32),
    /// A target is probed again, to confirm or refute a first bad answer.
    Confirm(Key),
    /// A measurement has been beyond its threshold for long enough.
    Series(u32, u32),
    /// A custom rule is evaluated on the targets of a host.
    Custom(u32, u32),
    /// Standing orders of a host are looked at again.
    Orders(u32),
    /// The scores of everything are taken.
    Health,
    /// A pause ends by itself.
    Pause(Scope),
    /// A maintenance begins or ends.
    Maintenance(MaintenanceName),
    /// Opportunities are looked for.
    Optimise,
    /// The hosts of groups are compared.
    Peers,
    /// The fleet's queue may not be worked off.
    Queue,
    /// What restrains repairs may have released.
    Standing,
    /// The next hosts of a sweep are asked.
    Sweep,
    /// A sweep of the fleet is due.
    Diagnostics,
    /// A stage of a policy's roll-out has lasted long enough.
    Rollout,
    /// A brake of the whole fleet may release.
    Fleet,
}

/// All timers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Timestamp, Timer)>,
    set: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    /// Sets `timer` to `at`, whenever it was set before.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp, now: Timestamp) {
        let at = at.max(now.after(LEAST));
        if let Some(old) = self.set.insert(timer.clone(), at) {
            if old == at {
                return;
            }
            self.order.remove(&(old, timer.clone()));
        }
        self.order.insert((at, timer));
    }

    /// Sets `timer` to `at` unless it is due before that.
    pub(crate) fn sooner(&mut self, timer: Timer, at: Timestamp, now: Timestamp) {
        if self.set.get(&timer).is_none_or(|old| *old > at) {
            self.set(timer, at, now);
        }
    }

    /// Sets `timer` to `at` unless it is set at all. Costs one look-up when it is.
    pub(crate) fn ensure(&mut self, timer: Timer, at: Timestamp, now: Timestamp) {
        if !self.set.contains_key(&timer) {
            self.set(timer, at, now);
        }
    }

    /// Forgets `timer`.
    pub(crate) fn clear(&mut self, timer: &Timer) {
        if let Some(old) = self.set.remove(timer) {
            self.order.remove(&(old, timer.clone()));
        }
    }

    /// When the first timer is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out everything that is due, in order.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Timer> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.order.first() {
            if *at > now {
                break;
            }
            if let Some((_, timer)) = self.order.pop_first() {
                self.set.remove(&timer);
                due.push(timer);
            }
        }
        due
    }
}
