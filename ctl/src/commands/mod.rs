//! What operators ask of a running fleet. Each command asks, turns the answer into a view, and prints the view.
//!
//! A view is the JSON that `-o json` prints: its field names are stable, absent values are null, times are RFC 3339 in
//! UTC, spans are milliseconds. Tables are printed from the same views, so that both always say the same.

/// What a page of help ends with: its examples, and what the exit codes mean.
macro_rules! help {
    ($text:literal) => {
        concat!(
            $text,
            "\n\nExit codes: 0 it went well, 1 it did not, 2 the command line is wrong, 3 no server answers, \
             4 not allowed, 5 not found."
        )
    };
}

pub mod audit;
pub mod brakes;
pub mod capacity;
pub mod context;
pub mod dashboard;
pub mod diagnostics;
pub mod events;
pub mod explain;
pub mod gate;
pub mod groups;
pub mod health;
pub mod hosts;
pub mod incidents;
pub mod learning;
pub mod log_level;
pub mod maintenance;
pub mod mode;
pub mod optimize;
pub mod orders;
pub mod pause;
pub mod policy;
pub mod repair;
pub mod rules;
pub mod snapshots;
pub mod status;
pub mod targets;
pub mod token;
pub mod top;
pub mod topology;

mod incident_view;
mod near;
mod note;
pub mod notify;
mod pages;

use std::time::Duration;

use anyhow::Context as _;
use prunella_proto::control::v1 as pb;

use crate::Common;
use crate::output::{self, Flow, Paint, Time};

/// Reads `30s`, `5m`, `2h` or `7d`.
fn span_argument(text: &str) -> Result<Duration, prunella_model::time::BadSpan> {
    prunella_model::time::parse_span(text)
}

/// This machine's clock, for "12 s ago" where the server does not say its own.
fn now() -> Time {
    Time(Some(jiff::Timestamp::now()))
}

/// Prints a view in the form that was asked for.
fn show<V: serde::Serialize>(common: &Common, view: &V, table: impl FnOnce(Paint) -> String) -> anyhow::Result<Flow> {
    let text = match common.format(false) {
        None => table(Paint::for_stdout()),
        Some(format) => format.document(view)?,
    };
    Ok(output::print(&text)?)
}

/// A span on the wire, in milliseconds, as JSON says it.
fn millis(it: Option<prost_types::Duration>) -> Option<f64> {
    it.and_then(|it| Duration::try_from(it).ok()).map(|it| it.as_secs_f64() * 1e3)
}

/// A mode's name in output.
fn mode_text(mode: pb::Mode) -> &'static str {
    match mode {
        pb::Mode::Unspecified => "unspecified",
        pb::Mode::Aggressive => "aggressive",
        pb::Mode::Balanced => "balanced",
        pb::Mode::Conservative => "conservative",
        pb::Mode::Disabled => "disabled",
    }
}

/// A throttle state's name in output.
fn throttle_text(throttle: pb::Throttle) -> &'static str {
    match throttle {
        pb::Throttle::Unspecified => "unspecified",
        pb::Throttle::Normal => "normal",
        pb::Throttle::Throttled => "throttled",
        pb::Throttle::Blocked => "blocked",
    }
}

/// When a span that begins at `start` ends, as the wire says it.
fn time_after(start: jiff::Timestamp, span: Duration) -> anyhow::Result<prost_types::Timestamp> {
    let end = start.checked_add(span).context("the time reaches beyond the calendar")?;
    Ok(prost_types::Timestamp { seconds: end.as_second(), nanos: end.subsec_nanosecond() })
}

#[cfg(test)]
mod sample;
