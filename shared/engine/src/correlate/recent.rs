//! The recent faults of the fleet, counted as they come and go, so that a new one is compared with all of them at the cost
//! of a look-up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::incident::SharedAttribute;

use crate::cause::Cause;
use crate::key::{Key, next};

/// How many recent faults are remembered. In a larger outage the first ones have told.
const FAULTS: usize = 1_024;

/// How many of something each host has. A host without any is not in it.
type Hosts = BTreeMap<u32, u32>;

/// A fault that was diagnosed lately.
#[derive(Debug, Clone)]
struct Seen {
    opened: Timestamp,
    key: Key,
    cause: Cause,
    /// What it shares with others.
    has: Vec<SharedAttribute>,
    /// Whether it is among those that are counted: within the window.
    counted: bool,
}

/// The faults of one cause within the window, by host.
#[derive(Debug, Clone, Default)]
struct Alike {
    hosts: Hosts,
    sharing: BTreeMap<SharedAttribute, Hosts>,
}

/// Recent faults.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// Those that are remembered, in the order in which they were diagnosed.
    seen: BTreeMap<u64, Seen>,
    noted: u64,
    /// Those that are counted, by when they were opened.
    order: BTreeSet<(Timestamp, u64)>,
    of_host: BTreeMap<u32, BTreeSet<u64>>,
    window: Duration,
    causes: BTreeMap<Cause, Alike>,
}

impl Recent {
    /// Remembers a fault that has all of `has`.
    pub(super) fn note(&mut self, key: Key, cause: Cause, opened: Timestamp, has: Vec<SharedAttribute>) {
        if self.seen.len() == FAULTS
            && let Some(oldest) = self.seen.first_key_value().map(|(number, _)| *number)
        {
            self.forget(oldest);
        }
        self.noted += 1;
        self.seen.insert(self.noted, Seen { opened, key, cause, has, counted: false });
        self.of_host.entry(key.host).or_default().insert(self.noted);
        self.count(self.noted);
    }

    /// Leaves out what was opened longer than `window` before `now`.
    pub(super) fn expire(&mut self, now: Timestamp, window: Duration) {
        if self.window != window {
            // Canaries of a changed policy may have another window than the rest. That is rare, and so is the work.
            self.window = window;
            self.seen.keys().copied().collect::<Vec<_>>().into_iter().for_each(|number| self.count(number));
        }
        while let Some((_, number)) = self.order.first().copied().filter(|(opened, _)| now.since(*opened) > window) {
            self.discount(number);
        }
    }

    /// Hosts with a fault of that cause within the window.
    pub(super) fn alike(&self, cause: Cause) -> u32 {
        self.causes.get(&cause).map_or(0, |alike| next(alike.hosts.len()))
    }

    /// Those of them that share an attribute.
    pub(super) fn failing(&self, cause: Cause, attribute: &SharedAttribute) -> u32 {
        let hosts = self.causes.get(&cause).and_then(|alike| alike.sharing.get(attribute));
        hosts.map_or(0, |hosts| next(hosts.len()))
    }

    /// The faults of a host, with when they were opened.
    pub(super) fn of_host(&self, host: u32) -> Vec<(u64, Key, Timestamp)> {
        let numbers = self.of_host.get(&host).into_iter().flatten();
        numbers.filter_map(|number| self.seen.get(number).map(|it| (*number, it.key, it.opened))).collect()
    }

    /// What a fault shares with others has changed.
    pub(super) fn amend(&mut self, number: u64, has: Vec<SharedAttribute>) {
        let Some(it) = self.seen.get(&number).filter(|it| it.has != has) else { return };
        let counted = it.counted;
        self.discount(number);
        if let Some(it) = self.seen.get_mut(&number) {
            it.has = has;
        }
        if counted {
            self.count(number);
        }
    }

    /// Forgets the faults of a host.
    pub(super) fn forget_host(&mut self, host: u32) {
        for number in self.of_host.get(&host).cloned().unwrap_or_default() {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.discount(number);
        let Some(it) = self.seen.remove(&number) else { return };
        if let Some(numbers) = self.of_host.get_mut(&it.key.host) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.of_host.remove(&it.key.host);
            }
        }
    }

    fn count(&mut self, number: u64) {
        let Some(it) = self.seen.get_mut(&number).filter(|it| !it.counted) else { return };
        it.counted = true;
        self.order.insert((it.opened, number));
        let (host, alike) = (it.key.host, self.causes.entry(it.cause).or_default());
        *alike.hosts.entry(host).or_default() += 1;
        for attribute in &it.has {
            match alike.sharing.get_mut(attribute) {
                Some(hosts) => *hosts.entry(host).or_default() += 1,
                None => drop(alike.sharing.insert(attribute.clone(), Hosts::from([(host, 1)]))),
            }
        }
    }

    fn discount(&mut self, number: u64) {
        let Some(it) = self.seen.get_mut(&number).filter(|it| it.counted) else { return };
        it.counted = false;
        self.order.remove(&(it.opened, number));
        let Some(alike) = self.causes.get_mut(&it.cause) else { return };
        one_less(&mut alike.hosts, it.key.host);
        for attribute in &it.has {
            if let Some(hosts) = alike.sharing.get_mut(attribute) {
                one_less(hosts, it.key.host);
                if hosts.is_empty() {
                    alike.sharing.remove(attribute);
                }
            }
        }
        if alike.hosts.is_empty() {
            self.causes.remove(&it.cause);
        }
    }
}

fn one_less(hosts: &mut Hosts, host: u32) {
    if let Some(count) = hosts.get_mut(&host) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            hosts.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prunella_model::incident::SharedKind;

    fn rack(value: &str) -> Vec<SharedAttribute> {
        vec![SharedAttribute { kind: SharedKind::Group, name: "rack".to_owned(), value: value.to_owned() }]
    }

    #[test]
    fn counts_are_those_of_going_through_all_faults() {
        let mut it = Recent::default();
        let mut all: Vec<(u32, u64, usize)> = Vec::new();
        let racks = [rack("a"), rack("b"), rack("c")];
        let mut draw = 7_u64;
        for now in 0..4_000_u64 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (host, of) = ((draw >> 33) as u32 % 40, (draw >> 40) as usize % 3);
            let window = if now % 500 > 400 { 90 } else { 60 };
            // Not in the order of their opening.
            let opened = now.saturating_sub(draw >> 59);
            match draw >> 61 {
                0 => {
                    it.forget_host(host);
                    all.retain(|fault| fault.0 != host);
                }
                1 => {
                    for (number, _, _) in it.of_host(host) {
                        it.amend(number, racks[of].clone());
                    }
                    all.iter_mut().filter(|fault| fault.0 == host).for_each(|fault| fault.2 = of);
                }
                _ => {
                    if all.len() == FAULTS {
                        all.remove(0);
                    }
                    all.push((host, opened, of));
                    let key = Key { host, target: 1 };
                    it.note(key, Cause::Killed, Timestamp::from_secs(opened), racks[of].clone());
                }
            }
            it.expire(Timestamp::from_secs(now), Duration::from_secs(window));
            let within = all.iter().filter(|fault| now - fault.1 <= window);
            let alike: BTreeSet<u32> = within.clone().map(|fault| fault.0).collect();
            assert_eq!(it.alike(Cause::Killed), next(alike.len()), "at {now}");
            for (number, rack) in racks.iter().enumerate() {
                let failing: BTreeSet<u32> = within.clone().filter(|it| it.2 == number).map(|it| it.0).collect();
                assert_eq!(it.failing(Cause::Killed, &rack[0]), next(failing.len()), "rack {number} at {now}");
            }
        }
        assert_eq!(it.alike(Cause::Hung), 0);
        it.expire(Timestamp::from_secs(10_000), Duration::from_secs(60));
        assert!(it.causes.is_empty() && it.order.is_empty(), "what is over takes no memory");
    }
}
