//! The least value of each block of time: what is left when the work of the moment is done.

use std::collections::VecDeque;
use std::time::Duration;

use prunella_model::Timestamp;

/// The least values of the latest blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Floors {
    block: Option<Timestamp>,
    least: f64,
    last: f64,
    floors: VecDeque<f64>,
}

impl Floors {
    /// Takes a value in, in blocks of `hold`, of which `blocks` are kept. True when one has ended and all are there.
    ///
    /// A value holds until the next one comes; after more than all the blocks without one everything begins anew.
    pub(super) fn feed(&mut self, hold: Duration, blocks: usize, at: Timestamp, value: f64) -> bool {
        let Some(mut block) = self.block else {
            self.begin(at, value);
            return false;
        };
        let mut rolled = 0;
        while at.since(block) >= hold && !hold.is_zero() {
            if rolled > blocks {
                self.begin(at, value);
                return false;
            }
            rolled += 1;
            self.floors.push_back(self.least);
            if self.floors.len() > blocks {
                self.floors.pop_front();
            }
            block = block.after(hold);
            self.least = self.last;
        }
        self.block = Some(block);
        self.last = value;
        self.least = self.least.min(value);
        rolled > 0 && self.floors.len() == blocks
    }

    /// Begins anew with a value.
    pub(super) fn begin(&mut self, at: Timestamp, value: f64) {
        self.floors.clear();
        (self.block, self.least, self.last) = (Some(at), value, value);
    }

    /// The floors, oldest first.
    pub(super) fn all(&self) -> &VecDeque<f64> {
        &self.floors
    }

    /// The first, the middle and the last of them.
    pub(super) fn course(&self) -> Option<(f64, f64, f64)> {
        let middle = self.floors.get(self.floors.len() / 2)?;
        Some((*self.floors.front()?, *middle, *self.floors.back()?))
    }

    /// How long all of them took.
    pub(super) fn span(&self, hold: Duration) -> Duration {
        hold * u32::try_from(self.floors.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_remembered_by_its_least_value() {
        let mut it = Floors::default();
        let hold = Duration::from_secs(10);
        let mut full = 0;
        for second in 0..60_u64 {
            let value = if second % 10 == 4 { second as f64 } else { 500.0 };
            full += usize::from(it.feed(hold, 3, Timestamp::from_secs(second), value));
        }
        let floors: Vec<f64> = it.all().iter().copied().collect();
        assert_eq!((floors, full), (vec![24.0, 34.0, 44.0], 3));
        assert_eq!(it.course(), Some((24.0, 34.0, 44.0)));
    }

    #[test]
    fn a_value_holds_until_the_next_one_unless_that_is_too_long() {
        let mut it = Floors::default();
        let hold = Duration::from_secs(10);
        it.feed(hold, 3, Timestamp::from_secs(0), 7.0);
        assert!(it.feed(hold, 3, Timestamp::from_secs(35), 9.0));
        assert_eq!(it.course(), Some((7.0, 7.0, 7.0)));
        assert!(!it.feed(hold, 3, Timestamp::from_secs(500), 9.0), "that was too long");
        assert_eq!(it.course(), None);
    }
}
