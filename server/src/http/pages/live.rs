//! Tells an open page that something has changed.

use axum::response::Response;
use prunella_proto::control::v1 as pb;
use tokio_stream::StreamExt as _;

use super::visit::{Failure, OrPage as _, Visit};
use crate::http::events;

/// A stream of events for the script, which then fetches its page again.
pub(super) async fn follow(visit: Visit) -> Result<Response, Failure> {
    let place = events::place(&visit.gateway).map_err(|status| Failure::of(&visit, &status))?;
    let wanted = pb::WatchEventsRequest::default();
    let stream = visit.events().watch_events(visit.ask(wanted)).await.or_page(&visit)?;
    // The end of the stream, whatever the reason, ends the answer; the browser then connects again.
    let texts = stream.take_while(Result::is_ok).map(|_| "data: changed\n\n".to_owned());
    Ok(events::stream(texts, place))
}
