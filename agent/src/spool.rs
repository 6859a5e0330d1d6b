//! What was seen while no server could be reached, within bounds.
//!
//! Only verdicts are kept. The present comes anew with the full report of the next stream; what is kept here is history.

use std::collections::VecDeque;

use prunella_model::observation::{Frame, Observation};

/// How many verdicts are kept: an hour of a target that changes every 7 s, in about 100 KiB.
pub const KEPT_MAX: usize = 512;

/// The most verdicts in one frame, so that history never holds up the present for long.
pub const FRAME_MAX: usize = 128;

/// A bounded ring of verdicts that could not be sent.
#[derive(Debug, Default)]
pub struct Spool {
    kept: VecDeque<Observation>,
    dropped: u64,
}

impl Spool {
    /// Keeps a verdict. When the spool is full, the oldest one makes room and is counted.
    pub fn keep(&mut self, observation: Observation) {
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.kept.push_back(observation);
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
        let observations: Vec<Observation> = self.kept.drain(..count).collect();
        if self.kept.is_empty() {
            // A long outage is rare: its memory need not be held for ever.
            self.kept.shrink_to_fit();
        }
        let at = observations.last()?.at;
        Some(Frame { at, series: Vec::new(), samples: Vec::new(), observations, waits: None, late: true })
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::observation::{Finding, ProbeKind, Status};
    use prunella_model::{ProbeName, TargetName, Timestamp};

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
        assert_eq!(spool.next_frame().unwrap().observations[0], seen(3));
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
}
