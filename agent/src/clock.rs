//! The host's two clocks, and how far the wall clock may be wrong.
//!
//! Lives are measured on the boot clock: nobody can set it, and it also counts while the host is suspended. The wall
//! clock only stamps what was seen, and warns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prunella_model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// How far host and server may disagree about the time before the agent only observes.
///
/// Five minutes is what Kerberos allows: more than any working time service needs, less than anybody would not notice.
pub const SKEW_MAX: Duration = Duration::from_secs(300);

/// The time since the host booted, suspensions included.
#[must_use]
pub fn boot_now() -> Duration {
    let at = clock_gettime(ClockId::Boottime);
    // The kernel never reports a negative boot time.
    Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// The host's wall clock.
#[must_use]
pub fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Why the agent may only observe, when its clock is further than [`SKEW_MAX`] from its server's.
#[must_use]
pub fn skew_objection(own: Timestamp, server: Timestamp) -> Option<String> {
    let (apart, word) = if own > server { (own.since(server), "ahead of") } else { (server.since(own), "behind") };
    (apart > SKEW_MAX).then(|| {
        format!(
            "this host's clock is {} s {word} the server's, and at most {} s are allowed: \
             set the clock of whichever is wrong, for example with chronyd",
            apart.as_secs(),
            SKEW_MAX.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_objected_to_only_beyond_the_limit_and_in_both_directions() {
        let noon = Timestamp::from_secs(1_000_000);
        assert_eq!(skew_objection(noon, noon.after(SKEW_MAX)), None);
        assert_eq!(skew_objection(noon.after(SKEW_MAX), noon), None);
        let far = SKEW_MAX + Duration::from_secs(1);
        assert!(skew_objection(noon, noon.after(far)).is_some_and(|why| why.contains("301 s behind")));
        assert!(skew_objection(noon.after(far), noon).is_some_and(|why| why.contains("301 s ahead of")));
    }

    #[test]
    fn the_boot_clock_never_goes_back() {
        let first = boot_now();
        assert!(!first.is_zero());
        assert!(boot_now() >= first);
    }
}
