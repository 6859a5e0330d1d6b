//! The style and the script, compiled in.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

/// How long a browser may keep them, in seconds: a restart with another version shows within this time.
const KEEP: &str = "max-age=300";

pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../assets/style.css"))
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../assets/live.js"))
}

/// A spike of self-heal, for the browser's tab.
pub(super) async fn icon() -> Response {
    file("image/svg+xml", include_str!("../assets/icon.svg"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(KEEP));
    response
}
