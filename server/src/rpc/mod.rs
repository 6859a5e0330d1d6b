//! What the server serves: two listeners, one gate, and the services behind it.

pub mod accept;
pub mod admin;
pub mod agent;
pub mod convert;
mod crowd;
pub mod diagnostics;
pub mod enrol;
pub mod error;
pub mod events;
pub mod fleet;
pub mod gate;
pub mod health;
pub mod incident_view;
pub mod incidents;
pub mod learning;
pub mod listen;
pub mod name;
pub mod notifications;
pub mod optimiser;
pub mod page;
mod preview;
pub mod repeat;
pub mod snapshots;
mod topology;
mod upkeep;

use std::time::Duration;

use prunella_engine::Reply;
use prunella_model::{IncidentId, OperatorName, Timestamp};
use prunella_proto::wire;
use tonic::{Request, Status};

use crate::driver::Inbox;
use gate::Caller;

/// The longest text that a person gives as a reason or summary, in bytes.
const TEXT_MAX: usize = 1_000;

/// Which operator calls. The gate has established it.
fn operator<T>(request: &Request<T>) -> Result<OperatorName, Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Operator { name, .. }) => Ok(name.clone()),
        Some(Caller::Agent { .. } | Caller::Anyone) | None => {
            Err(error::unauthenticated("NO_CREDENTIALS", "this needs an operator's certificate or bearer token"))
        }
    }
}

async fn ask(inbox: &Inbox, by: OperatorName, request: prunella_engine::Request) -> Result<Reply, Status> {
    Ok(inbox.ask(by, request).await?)
}

/// The engine's answer, as a result.
fn answer(reply: Reply) -> Result<(Option<IncidentId>, String), Status> {
    match reply {
        Reply::Done { incident, message } | Reply::Rehearsed { incident, message, .. } => Ok((incident, message)),
        Reply::Learned { new, .. } => Ok((None, format!("{new} new"))),
        Reply::Begun { message, .. } => Ok((None, message)),
        Reply::NotFound { what } => Err(error::not_found(&what)),
        Reply::Refused { reason, message } => Err(error::refused(&reason, message)),
    }
}

/// A text that a person gave, without control characters, and not too long.
fn text(field: &str, text: String) -> Result<String, Status> {
    if text.len() > TEXT_MAX {
        return Err(error::invalid(field, format!("has {} bytes; at most {TEXT_MAX} are allowed", text.len())));
    }
    match text.chars().any(char::is_control) {
        true => Err(error::invalid(field, "must be one line of plain text")),
        false => Ok(text),
    }
}

fn wanted_time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    at.map(|at| wire::decode_time(at).map_err(|wrong| error::invalid(field, wrong.wrong))).transpose()
}

/// A span that the caller wants: unset means `default`, and more than `most` is an error.
fn wanted_span(
    field: &str,
    span: Option<prost_types::Duration>,
    default: Duration,
    most: Duration,
) -> Result<Duration, Status> {
    let Some(span) = span else { return Ok(default) };
    let span = wire::decode_span(span).map_err(|wrong| error::invalid(field, wrong.wrong))?;
    if span.is_zero() || span > most {
        let most = prunella_model::time::format_span(most);
        return Err(error::invalid(field, format!("must be more than 0 and at most {most}")));
    }
    Ok(span)
}
