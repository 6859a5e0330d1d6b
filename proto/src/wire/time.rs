//! Points in time and spans.

use std::time::Duration;

use prunella_model::Timestamp;

use super::error::{WireError, Within as _, Wrong};
use super::field::required;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// A point in time as it travels: exact to the microsecond.
#[must_use]
pub fn encode_time(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    prost_types::Timestamp {
        // Both always fit: u64::MAX microseconds are 1.8e13 seconds.
        seconds: i64::try_from(micros / MICROS_PER_SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(micros % MICROS_PER_SECOND * 1_000).unwrap_or(0),
    }
}

/// Reads a point in time; what is finer than a microsecond is dropped.
///
/// # Errors
/// When it lies before 1970 or beyond what [`Timestamp`] holds.
pub fn decode_time(at: prost_types::Timestamp) -> Result<Timestamp, WireError> {
    let range = || Wrong::OutOfRange { found: i128::from(at.seconds), range: "the years from 1970 on" }.in_field("");
    let seconds = u64::try_from(at.seconds).map_err(|_| range())?;
    let nanos = nanos(at.nanos)?;
    let micros = seconds
        .checked_mul(MICROS_PER_SECOND)
        .and_then(|micros| micros.checked_add(u64::from(nanos / 1_000)))
        .ok_or_else(range)?;
    Ok(Timestamp::from_micros(micros))
}

/// Reads a point in time that must be there.
pub(super) fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Timestamp, WireError> {
    decode_time(required(field, at)?).within(field)
}

/// Reads a point in time that may be absent.
pub(super) fn optional_time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, WireError> {
    at.map(|at| decode_time(at).within(field)).transpose()
}

/// A span as it travels: exact to the nanosecond.
#[must_use]
pub fn encode_span(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// Reads a span.
///
/// # Errors
/// When it is negative.
pub fn decode_span(span: prost_types::Duration) -> Result<Duration, WireError> {
    let seconds = u64::try_from(span.seconds).map_err(|_| {
        Wrong::OutOfRange { found: i128::from(span.seconds), range: "zero seconds or more" }.in_field("")
    })?;
    Ok(Duration::new(seconds, nanos(span.nanos)?))
}

/// Reads a span that must be there.
pub(super) fn span(field: &str, span: Option<prost_types::Duration>) -> Result<Duration, WireError> {
    decode_span(required(field, span)?).within(field)
}

/// Reads a span that may be absent.
pub(super) fn optional_span(field: &str, span: Option<prost_types::Duration>) -> Result<Option<Duration>, WireError> {
    span.map(|span| decode_span(span).within(field)).transpose()
}

fn nanos(nanos: i32) -> Result<u32, WireError> {
    u32::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .ok_or_else(|| Wrong::OutOfRange { found: i128::from(nanos), range: "0 to 999999999" }.in_field("nanos"))
}
