//! A host's clock against the server's.
//!
//! Hosts stamp what they see by their own clocks, which may be wrong. What arrives is mapped to the server's time by
//! the smallest delay seen lately, so that a mapped time can only be too old, never too fresh.

use std::time::Duration;

use prunella_model::Timestamp;

/// A rise of the offset above this is not network delay but a clock that was set back.
const STEP_MICROS: i64 = 5_000_000;

/// How many frames in a row must show a step before it is believed; a stalled link shows one or two.
const STEP_FRAMES: u32 = 3;

/// How fast the smallest delay is forgotten, per microsecond: crystals differ by at most some 100 ppm.
const DRIFT_DIVISOR: i64 = 10_000;

/// The estimate of one host's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostClock {
    /// Server's time minus host's time, in microseconds; null before the first frame of a stream.
    offset: Option<i64>,
    sampled: Timestamp,
    steps: u32,
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn shift(at: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(micros(at).saturating_add(by)).unwrap_or(0))
}

impl HostClock {
    /// Learns from something that the host sent at `host` by its clock and that arrived at `now`.
    ///
    /// True when the host's clock was set, so that stamps before and after cannot be compared.
    pub(crate) fn learn(&mut self, host: Timestamp, now: Timestamp) -> bool {
        let sample = micros(now).saturating_sub(micros(host));
        let Some(offset) = self.offset else {
            self.offset = Some(sample);
            self.sampled = now;
            return false;
        };
        let passed = micros(now).saturating_sub(micros(self.sampled));
        self.sampled = now;
        let above = sample.saturating_sub(offset);
        if above < -STEP_MICROS {
            self.offset = Some(sample);
            return true;
        }
        if above > STEP_MICROS {
            self.steps += 1;
            if self.steps >= STEP_FRAMES {
                self.steps = 0;
                self.offset = Some(sample);
                return true;
            }
            return false;
        }
        self.steps = 0;
        let drift = passed / DRIFT_DIVISOR;
        self.offset = Some(if above <= 0 { sample } else { offset.saturating_add(above.min(drift)) });
        false
    }

    /// Forgets everything: a new stream begins.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How far the two clocks are apart, network delay included; null before the first frame.
    pub(crate) fn apart(&self) -> Option<Duration> {
        self.offset.map(|offset| Duration::from_micros(offset.unsigned_abs()))
    }

    /// The server's time of `host`, never after `now`. Before the first frame the clocks are taken to agree.
    pub(crate) fn to_server(&self, host: Timestamp, now: Timestamp) -> Timestamp {
        shift(host, self.offset.unwrap_or(0)).min(now)
    }

    /// The host's time of `server`.
    pub(crate) fn to_host(&self, server: Timestamp) -> Timestamp {
        shift(server, self.offset.unwrap_or(0).saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delayed_frame_does_not_make_its_content_fresher() {
        let mut clock = HostClock::default();
        let (host, server) = (Timestamp::from_secs(1_000), Timestamp::from_secs(5_000));
        clock.learn(host, server);
        clock.learn(Timestamp::from_secs(1_001), Timestamp::from_millis(5_001_900));
        let mapped = clock.to_server(Timestamp::from_secs(1_001), Timestamp::from_millis(5_001_900));
        assert!(mapped < Timestamp::from_millis(5_001_100), "{mapped:?}");
    }

    #[test]
    fn clocks_are_apart_by_their_offset_in_either_direction() {
        for (host, server) in [(1_000, 1_300), (1_300, 1_000)] {
            let mut clock = HostClock::default();
            assert_eq!(clock.apart(), None);
            clock.learn(Timestamp::from_secs(host), Timestamp::from_secs(server));
            assert_eq!(clock.apart(), Some(Duration::from_secs(300)));
        }
    }

    #[test]
    fn a_clock_that_is_set_is_followed_after_three_frames() {
        let mut clock = HostClock::default();
        clock.learn(Timestamp::from_secs(1_000), Timestamp::from_secs(1_000));
        let stepped: Vec<bool> =
            (1..=3).map(|i| clock.learn(Timestamp::from_secs(400 + i), Timestamp::from_secs(1_000 + i))).collect();
        assert_eq!(stepped, [false, false, true]);
        assert_eq!(
            clock.to_server(Timestamp::from_secs(404), Timestamp::from_secs(2_000)),
            Timestamp::from_secs(1_004)
        );
    }
}
