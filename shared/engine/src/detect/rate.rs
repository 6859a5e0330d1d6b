//! How often in a window of time.

use std::time::Duration;

use prunella_model::Timestamp;

/// How many of `times` lie within `window` before `now`. They must rise.
pub(crate) fn within<'a>(
    times: impl DoubleEndedIterator<Item = &'a Timestamp>,
    window: Duration,
    now: Timestamp,
) -> usize {
    times.rev().take_while(|at| now.since(**at) < window).count()
}

/// When the count within `window` falls below `limit`, if nothing is added. `times` must rise.
pub(crate) fn falls_below<'a>(
    times: impl DoubleEndedIterator<Item = &'a Timestamp>,
    window: Duration,
    limit: usize,
) -> Option<Timestamp> {
    times.rev().nth(limit.saturating_sub(1)).map(|at| at.after(window))
}
