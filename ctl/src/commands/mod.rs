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
pub mod events;
pub mod explain;
pub mod hosts;
pub mod incidents;
pub mod pause;
pub mod policy;
pub mod repair;
pub mod status;
pub mod targets;
pub mod token;

mod incident_view;
mod note;
mod pages;

use std::time::Duration;

use crate::output::{self, Flow, Paint, Time};
use crate::{Common, Output};

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
    let text = match common.output {
        Output::Table => table(Paint::for_stdout()),
        Output::Json => output::json(view)?,
    };
    Ok(output::print(&text)?)
}

/// A span on the wire, in milliseconds, as JSON says it.
fn millis(it: Option<prost_types::Duration>) -> Option<f64> {
    it.and_then(|it| Duration::try_from(it).ok()).map(|it| it.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod sample;
