//! How many hosts share something, counted as it comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::Timestamp;
use prunella_model::incident::SharedAttribute;

use crate::changes::RECENT;
use crate::key::{Key, next};

/// Who has an attribute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sharers {
    keys: BTreeSet<Key>,
    hosts: u32,
}

impl Sharers {
    fn has_host(&self, host: u32) -> bool {
        self.keys.range(Key { host, target: 0 }..=Key { host, target: u32::MAX }).next().is_some()
    }

    pub(crate) fn insert(&mut self, key: Key) {
        self.hosts += u32::from(!self.has_host(key.host));
        self.keys.insert(key);
    }

    /// True when nobody is left.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        if self.keys.remove(&key) && !self.has_host(key.host) {
            self.hosts = self.hosts.saturating_sub(1);
        }
        self.keys.is_empty()
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.keys.contains(&key)
    }

    /// How many hosts there are among them.
    pub(crate) const fn hosts(&self) -> u32 {
        self.hosts
    }
}

/// The targets on which one change was seen, by when.
#[derive(Debug, Clone, Default)]
struct Lately {
    order: BTreeSet<(Timestamp, Key)>,
    hosts: BTreeMap<u32, u32>,
}

impl Lately {
    fn remove(&mut self, at: Timestamp, key: Key) {
        if !self.order.remove(&(at, key)) {
            return;
        }
        if let Some(count) = self.hosts.get_mut(&key.host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hosts.remove(&key.host);
            }
        }
    }
}

/// Changes that hosts may share, while they are recent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed(BTreeMap<SharedAttribute, Lately>);

impl Changed {
    /// A change was seen.
    pub(super) fn insert(&mut self, attribute: SharedAttribute, at: Timestamp, key: Key) {
        let lately = self.0.entry(attribute).or_default();
        if lately.order.insert((at, key)) {
            *lately.hosts.entry(key.host).or_default() += 1;
        }
    }

    /// A change is forgotten.
    pub(super) fn remove(&mut self, attribute: &SharedAttribute, at: Timestamp, key: Key) {
        if let Some(lately) = self.0.get_mut(attribute) {
            lately.remove(at, key);
            if lately.order.is_empty() {
                self.0.remove(attribute);
            }
        }
    }

    /// Leaves out what is recent no more.
    pub(super) fn expire(&mut self, attribute: &SharedAttribute, now: Timestamp) {
        let Some(lately) = self.0.get_mut(attribute) else { return };
        while let Some((at, key)) = lately.order.first().copied().filter(|(at, _)| now.since(*at) > RECENT) {
            lately.remove(at, key);
        }
        if lately.order.is_empty() {
            self.0.remove(attribute);
        }
    }

    /// How many hosts have it.
    pub(super) fn hosts(&self, attribute: &SharedAttribute) -> u32 {
        self.0.get(attribute).map_or(0, |lately| next(lately.hosts.len()))
    }
}
