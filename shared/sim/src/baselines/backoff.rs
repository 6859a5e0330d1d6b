//! A restart loop with back-off: what service managers and container platforms do.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::Timestamp;

use super::{Act, Policy, Seen};
use crate::truth::Place;

/// How many failed looks in a row make a process count as hung.
const LOOKS: u32 = 3;

/// The first wait between two restarts, and the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// After so long without a fault the wait begins anew.
const FORGIVEN: Duration = Duration::from_secs(600);

/// After so many restarts without that, a person is called.
const RESTARTS: u32 = 5;

#[derive(Debug, Default)]
struct Memory {
    bad: u32,
    restarts: u32,
    last: Option<Timestamp>,
    called: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RestartBackoff {
    targets: BTreeMap<Place, Memory>,
}

impl Policy for RestartBackoff {
    fn look(&mut self, now: Timestamp, place: Place, seen: Seen) -> Act {
        let bad = !seen.stopped && (seen.ended || !seen.answers);
        if !bad && !self.targets.contains_key(&place) {
            return Act::Nothing;
        }
        let it = self.targets.entry(place).or_default();
        if !bad {
            it.bad = 0;
            if it.last.is_none_or(|last| now.since(last) >= FORGIVEN) {
                self.targets.remove(&place);
            }
            return Act::Nothing;
        }
        it.bad += 1;
        let wait = FIRST.saturating_mul(1 << it.restarts.saturating_sub(1).min(5)).min(LONGEST);
        let waits = it.last.is_some_and(|last| now.since(last) < wait);
        if waits || !(seen.ended || it.bad >= LOOKS) {
            return Act::Nothing;
        }
        if it.restarts >= RESTARTS && !std::mem::replace(&mut it.called, true) {
            return Act::Call;
        }
        it.restarts += 1;
        (it.last, it.bad) = (Some(now), 0);
        Act::Restart
    }

    fn look_at_host(&mut self, _now: Timestamp, _host: usize, _beyond: bool) -> bool {
        false
    }
}
