//! Streams of answers as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status, Streaming};

use super::Gateway;
use super::transcode::to_json;
use crate::rpc::error;

/// How often a silent stream says that it lives, so that proxies do not cut it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// A place among those who follow.
///
/// # Errors
/// When there are too many already.
pub(crate) fn place(gateway: &Gateway) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(&gateway.watchers).try_acquire_owned().map_err(|_| {
        error::status(Code::ResourceExhausted, "TOO_MANY_WATCHERS", "too many follow already; close a page", &[])
    })
}

/// A stream of a method's answers. Each carries its event's id, from which a browser resumes by itself.
pub(crate) fn answer(method: MethodDescriptor, from: Streaming<Bytes>, place: OwnedSemaphorePermit) -> Response {
    let texts = from.map(move |it| match it.and_then(|it| to_json(&method, it)) {
        Ok(json) => text(&json),
        Err(status) => {
            let json = serde_json::json!({ "code": format!("{:?}", status.code()), "detail": status.message() });
            format!("event: problem\ndata: {json}\n\n")
        }
    });
    stream(texts, place)
}

fn text(json: &Value) -> String {
    let id = json.pointer("/event/id").and_then(Value::as_str).filter(|it| !it.contains(['\n', '\r']));
    match id {
        Some(id) => format!("id: {id}\ndata: {json}\n\n"),
        None => format!("data: {json}\n\n"),
    }
}

/// Texts as they come, with signs of life between them.
pub(crate) fn stream(texts: impl Stream<Item = String> + Send + 'static, place: OwnedSemaphorePermit) -> Response {
    let alive = texts.timeout_repeating(tokio::time::interval(SIGN_OF_LIFE)).map(move |it| {
        let _held_while_it_lasts = &place;
        Ok::<_, std::convert::Infallible>(it.unwrap_or_else(|_| ": alive\n\n".to_owned()))
    });
    let mut response = Response::new(Body::from_stream(alive));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
