//! Threshold and always restart: the rule of most monitoring scripts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prunella_model::Timestamp;

use super::{Act, Policy, Seen};
use crate::truth::Place;

/// How many bad looks in a row it takes.
const LOOKS: u32 = 2;

/// How long a restart is given to help.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person is called when so many restarts within this time did not help.
const RESTARTS: usize = 3;
const WITHIN: Duration = Duration::from_secs(600);

/// How long a host must be beyond a limit.
const HOLD: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
struct Memory {
    bad: u32,
    restarts: VecDeque<Timestamp>,
    called: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ThresholdRestart {
    targets: BTreeMap<Place, Memory>,
    beyond: BTreeMap<usize, Option<Timestamp>>,
}

impl Policy for ThresholdRestart {
    fn look(&mut self, now: Timestamp, place: Place, seen: Seen) -> Act {
        if seen.well() && !self.targets.contains_key(&place) {
            return Act::Nothing;
        }
        let it = self.targets.entry(place).or_default();
        it.restarts.retain(|at| now.since(*at) <= WITHIN);
        if seen.well() || seen.stopped {
            (it.bad, it.called) = (0, false);
            return Act::Nothing;
        }
        it.bad += 1;
        let restarts = seen.ended || !seen.answers || seen.beyond;
        if !restarts || it.restarts.len() >= RESTARTS {
            if it.bad >= LOOKS && !std::mem::replace(&mut it.called, true) {
                return Act::Call;
            }
            if !restarts {
                return Act::Nothing;
            }
        }
        if it.bad < LOOKS || it.restarts.back().is_some_and(|at| now.since(*at) < PATIENCE) {
            return Act::Nothing;
        }
        it.restarts.push_back(now);
        Act::Restart
    }

    fn look_at_host(&mut self, now: Timestamp, host: usize, beyond: bool) -> bool {
        if !beyond {
            self.beyond.remove(&host);
            return false;
        }
        // Null once a person was called.
        let since = self.beyond.entry(host).or_insert(Some(now));
        let due = since.is_some_and(|since| now.since(since) >= HOLD);
        if due {
            *since = None;
        }
        due
    }
}
