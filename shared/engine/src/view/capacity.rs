//! What can run out, for people.

use std::time::Duration;

use prunella_model::{MetricName, TargetRef, Timestamp};

/// Something that can run out.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Whose it is: a host's own target for its memory, disks, inodes and open files.
    pub target: TargetRef,
    /// What is measured, as a share in percent.
    pub metric: MetricName,
    /// How much of it is in use; null without a fresh measurement.
    pub used_percent: Option<f64>,
    /// What was measured last, however long ago; null before the first measurement.
    pub last_percent: Option<f64>,
    /// The change a day, in points; null when there is no trend, or too little is known.
    pub per_day: Option<f64>,
    /// The same in bytes; null without a trend, or where nothing says how large the whole is.
    pub bytes_per_day: Option<f64>,
    /// How sure it is that there is a trend, 0 to 1; null while too little is known.
    pub confidence: Option<f64>,
    /// How long it has been measured, a day at most.
    pub watched: Duration,
    /// When all of it is in use at this pace; null when that is not in sight.
    pub exhausted_at: Option<Timestamp>,
    /// The earliest that this is, with 95 %: by the steepest line that fits.
    pub exhausted_earliest: Option<Timestamp>,
    /// The latest that this is, with 95 %; null when by the flattest line that fits it is not in sight.
    pub exhausted_latest: Option<Timestamp>,
    /// How large the whole is; null where nothing says so.
    pub total_bytes: Option<u64>,
}
