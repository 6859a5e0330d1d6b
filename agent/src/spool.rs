//! What was seen while no server could be reached, within bounds.
//!
//! Only verdicts are kept. The present comes anew with the full report of the next stream; what is kept here is history.
//! When there is too much of it, what only repeats goes before what changed, and the oldest first.

use std::collections::{BTreeMap, VecDeque};

use prunella_model::observation::{Frame, Observation, Status};
use prunella_model::{ProbeName, TargetName};

/// How many verdicts are kept: an hour of a target that changes every 7 s, in about 100 KiB.
pub const KEPT_MAX: usize = 512;

/// The most verdicts in one frame, so that history never holds up the present for long.
pub const FRAME_MAX: usize = 128;

#[derive(Debug)]
struct Kept {
    seen: Observation,
    /// Whether its probe said something else before.
    change: bool,
}

/// A bounded ring of verdicts that could not be sent.
#[derive(Debug, Default)]
pub struct Spool {
    kept: VecDeque<Kept>,
    /// How many of those only repeat what was said before.
    repeats: usize,
    /// What each probe said last; as many as there are probes.
    last: BTreeMap<(TargetName, ProbeName), Status>,
    dropped: u64,
}

impl Spool {
    /// Keeps a verdict. When the spool is full, the oldest that only repeats makes room, or else the oldest; it is
    /// counted.
    pub fn keep(&mut self, seen: Observation) {
        let before = self.last.insert((seen.target.clone(), seen.probe.clone()), seen.status);
        let change = before != Some(seen.status);
        if self.kept.len() >= KEPT_MAX {
            self.make_room();
        }
        self.repeats += usize::from(!change);
        self.kept.push_back(Kept { seen, change });
    }

    fn make_room(&mut self) {
        let oldest = match self.repeats {
            0 => 0,
            _ => self.kept.iter().position(|it| !it.change).unwrap_or(0),
        };
        if let Some(gone) = self.kept.remove(oldest) {
            self.repeats -= usize::from(!gone.change);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// How many verdicts were dropped since this was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The next frame of history, oldest first; none when nothing is kept.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let count = self.kept.len().min(FRAME_MAX);
        let observations: Vec<Observation> = self.kept.drain(..count).map(|it| it.seen).collect();
        self.repeats = self.kept.iter().filter(|it| !it.change).count();
        if self.kept.is_empty() {
            // A long outage is rare: its memory need not be held for ever.
            self.kept.shrink_to_fit();
            self.last.clear();
        }
        let at = observations.last()?.at;
        Some(Frame { at, series: Vec::new(), samples: Vec::new(), observations, waits: None, late: true })
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::Timestamp;
    use prunella_model::observation::{Finding, ProbeKind};

    use super::*;

    fn seen(second: u64) -> Observation {
        Observation {
            target: TargetName::new("web").unwrap(),
            probe: ProbeName::new("process").unwrap(),
            kind: ProbeKind::Process,
            at: Timestamp::from_secs(second),
            status: Status::Down,
            finding: Finding::NotRunning,
        }
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut spool = Spool::default();
        for second in 0..(KEPT_MAX as u64 + 3) {
            spool.keep(seen(second));
        }
        assert_eq!(spool.take_dropped(), 3);
        assert_eq!(spool.take_dropped(), 0);
        let frame = spool.next_frame().unwrap();
        assert_eq!(frame.observations[0], seen(0), "the change itself stays");
        assert_eq!(frame.observations[1], seen(4));
    }

    #[test]
    fn history_comes_in_order_in_bounded_frames_that_say_they_are_late() {
        let mut spool = Spool::default();
        let all: Vec<Observation> = (0..300).map(seen).collect();
        all.iter().cloned().for_each(|it| spool.keep(it));
        let mut sent = Vec::new();
        while let Some(frame) = spool.next_frame() {
            assert!(frame.late && frame.observations.len() <= FRAME_MAX);
            assert_eq!(frame.at, frame.observations.last().unwrap().at);
            sent.extend(frame.observations);
        }
        assert_eq!(sent, all);
        assert!(spool.is_empty());
    }

    fn said(target: &str, second: u64, status: Status) -> Observation {
        Observation { target: TargetName::new(target).unwrap(), status, ..seen(second) }
    }

    #[test]
    fn after_seventy_two_hours_every_change_is_there_and_the_newest_of_the_rest() {
        const END: u64 = 72 * 3600;
        let (mut spool, mut changes) = (Spool::default(), Vec::new());
        let mut most = 0;
        for second in 0..END {
            // One service is down all the time and says so at each look; another fails for a minute every hour.
            spool.keep(said("down", second, Status::Down));
            let status = if second % 3600 < 60 { Status::Down } else { Status::Up };
            if second % 3600 == 0 || second % 3600 == 60 {
                changes.push(said("flaps", second, status));
            }
            if second % 60 == 0 {
                spool.keep(said("flaps", second, status));
            }
            most = most.max(spool.kept.len());
        }
        assert_eq!(most, KEPT_MAX, "memory is bounded");
        let mut sent = Vec::new();
        while let Some(frame) = spool.next_frame() {
            sent.extend(frame.observations);
        }
        assert!(changes.iter().all(|it| sent.contains(it)), "each of {} changes in 72 hours is kept", changes.len());
        assert!(sent.windows(2).all(|pair| pair[0].at <= pair[1].at), "in order");
        let rest = KEPT_MAX - changes.len() - 1;
        let newest = said("down", END - 1, Status::Down);
        assert_eq!(sent.last(), Some(&newest));
        let repeats = sent
            .iter()
            .filter(|it| it.target == newest.target && it.at > Timestamp::from_secs(END - rest as u64))
            .count();
        assert!(repeats + 10 > rest, "and of what repeats, the newest: {repeats} of {rest}");
        assert!(spool.take_dropped() > 250_000);
    }
}
