//! What holds for every request and every answer of this door.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Gateway;
use super::problem::Problem;

/// No script, style, image or connection but our own; no frame around us; no base or form that leads elsewhere.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Turns away requests for another host, and adds what protects the answer.
pub(crate) async fn guard(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok()).or_else(|| request.uri().host());
    let mut response = match host {
        Some(host) if is_ours(host, &gateway.names) => next.run(request).await,
        // A page of another site whose name now points at this address would otherwise speak as if it were ours.
        Some(_) | None => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "UNKNOWN_HOST",
            "this server is not known by that name; ask by its address, or add the name to [public] names in server.toml",
        )
        .into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a `host` field means this server: an address, localhost, or one of its names.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|it| it.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_ours_is_somebody_elses_trick() {
        let names = ["fleet.example".to_owned()];
        for ours in ["127.0.0.1:8009", "127.0.0.1", "[::1]:8009", "localhost", "LOCALHOST:1", "fleet.example:443"] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for other in ["evil.example", "evil.example:8009", "127.0.0.1.evil.example", "", "localhost.evil.example:80"] {
            assert!(!is_ours(other, &names), "{other}");
        }
    }
}
