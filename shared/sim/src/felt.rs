//! What users feel: for how long which target did not serve.

use std::collections::BTreeMap;

use prunella_model::Timestamp;

use crate::faults::Spot;
use crate::truth::{Place, Process};
use crate::world::World;

/// A target that does not serve: since when, and by the doing of which kind, where one is known.
#[derive(Debug, Clone, Copy)]
struct Down {
    since: Timestamp,
    kind: Option<usize>,
}

/// Since when targets have not served, and what came together.
#[derive(Debug)]
pub(crate) struct Felt {
    since: Vec<Vec<Option<Down>>>,
    /// From here on a run counts as having learned.
    half: Timestamp,
    /// Target-seconds without service before and after [`Felt::half`].
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// All of it by the index of its kind.
    pub(crate) by_kind: BTreeMap<usize, f64>,
}

impl Felt {
    pub(crate) fn new(targets: impl Iterator<Item = usize>, half: Timestamp) -> Self {
        Self {
            since: targets.map(|count| vec![None; count]).collect(),
            half,
            before: 0.0,
            after: 0.0,
            by_kind: BTreeMap::new(),
        }
    }

    fn set(&mut self, (host, target): Place, serves: bool, now: Timestamp, kind: Option<usize>) {
        let Some(since) = self.since.get_mut(host).and_then(|it| it.get_mut(target)) else { return };
        match (*since, serves) {
            (None, false) => *since = Some(Down { since: now, kind }),
            (Some(Down { since: began, kind }), true) => {
                *since = None;
                self.before += self.half.min(now).since(began).as_secs_f64();
                self.after += now.since(began.max(self.half)).as_secs_f64();
                if let Some(kind) = kind {
                    *self.by_kind.entry(kind).or_insert(0.0) += now.since(began).as_secs_f64();
                }
            }
            (None, true) | (Some(_), false) => {}
        }
    }
}

impl World {
    /// Notes whether a target serves now. One that its administrator stopped is not missed.
    pub(crate) fn feel(&mut self, place: Place) {
        let stopped = self.hosts[place.0].targets[place.1].process == Process::Stopped;
        let serves = stopped || self.serves(place);
        let kind = if serves { None } else { self.to_blame(place) };
        self.felt.set(place, serves, self.now, kind);
    }

    /// The kind of the fault by which a target does not serve: its own first.
    fn to_blame(&self, place: Place) -> Option<usize> {
        let own = std::iter::once(Spot::Target(place));
        let fault = own.chain(self.behind(place)).find_map(|spot| self.concerned(spot).first().copied())?;
        Some(self.faults.all[fault].kind)
    }

    /// Counts what has not ended.
    pub(crate) fn feel_all(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            for target in 0..self.hosts[host].targets.len() {
                self.felt.set((host, target), true, now, None);
            }
        }
    }
}
