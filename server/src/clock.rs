//! The server's one clock: wall time that never goes back and never stands still.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prunella_model::Timestamp;

/// A jump of the wall clock that a person should hear of; agents observe only beyond it.
const JUMP_WORTH_A_WARNING: Duration = Duration::from_secs(300);

/// Tells the time to the engine, the journal and the audit log. Cheap to clone; all clones agree.
///
/// It follows the wall clock forwards. When that is set back, it goes on at the pace of the monotonic clock, so that
/// every deadline is still reached.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Anchor>>);

#[derive(Debug, Clone, Copy)]
struct Anchor {
    wall: Timestamp,
    steady: Instant,
}

impl Anchor {
    /// The time, given what both clocks say; moves the anchor when the wall clock is ahead.
    fn advance(&mut self, wall: Timestamp, steady: Instant) -> Timestamp {
        let expected = self.wall.after(steady.saturating_duration_since(self.steady));
        if wall < expected {
            return expected;
        }
        if wall.since(expected) > JUMP_WORTH_A_WARNING {
            let seconds = wall.since(expected).as_secs();
            tracing::warn!(target: "prunella::server", seconds, "the wall clock jumped forwards");
        }
        *self = Self { wall, steady };
        wall
    }
}

impl Clock {
    /// A clock that starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Anchor { wall: wall_time(), steady: Instant::now() })))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let mut anchor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        anchor.advance(wall_time(), Instant::now())
    }

    /// The monotonic time at which `deadline` will be reached, or now when it has passed.
    #[must_use]
    pub fn instant_of(&self, deadline: Timestamp) -> Instant {
        Instant::now() + deadline.since(self.now())
    }
}

/// What the system's wall clock says; the epoch when it stands before that.
#[must_use]
pub fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.after(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_stop_the_time() {
        let steady = Instant::now();
        let mut anchor = Anchor { wall: Timestamp::from_secs(1000), steady };
        let later = |secs| steady + Duration::from_secs(secs);
        assert_eq!(anchor.advance(Timestamp::from_secs(1010), later(10)), Timestamp::from_secs(1010));
        // Set back by ten minutes: the time goes on at the monotonic clock's pace.
        assert_eq!(anchor.advance(Timestamp::from_secs(420), later(20)), Timestamp::from_secs(1020));
        assert_eq!(anchor.advance(Timestamp::from_secs(430), later(30)), Timestamp::from_secs(1030));
        // Set forwards: it follows.
        assert_eq!(anchor.advance(Timestamp::from_secs(5000), later(31)), Timestamp::from_secs(5000));
    }
}
