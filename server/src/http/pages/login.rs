//! Logging in by a one-time link from the command line, and logging out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;

use super::layout;
use super::visit::{COOKIE, Failure, Visit, cookie};
use crate::http::{Gateway, SESSION_LIFE};

/// The page that says how to log in; with a link's code, it logs in.
pub(super) async fn page(
    State(gateway): State<Arc<Gateway>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(code) = query.get("code") else { return how(None, StatusCode::OK) };
    match gateway.logins.open(code, gateway.clock.now()) {
        Ok(Some(session)) => {
            tracing::info!(target: "prunella::http", "somebody has logged in to the dashboard");
            let life = SESSION_LIFE.as_secs();
            with_cookie(&gateway, &session, life, Redirect::to("/").into_response())
        }
        Ok(None) => how(Some("This link was used already, or is too old, or is not whole."), StatusCode::FORBIDDEN),
        Err(error) => {
            tracing::error!(target: "prunella::http", %error, "no random bytes for a session");
            how(Some("The server cannot make a session now; its log says why."), StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Ends the session.
pub(super) async fn leave(visit: Visit, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    visit.form(&headers, body).await?;
    if let Some(session) = cookie(&headers) {
        visit.gateway.logins.close(session);
    }
    Ok(with_cookie(&visit.gateway, "", 0, Redirect::to("/login").into_response()))
}

fn how(problem: Option<&str>, status: StatusCode) -> Response {
    let body = html! {
        main .narrow #main {
            h1 { "Prunella" }
            @if let Some(problem) = problem { p .alarm role="alert" { (problem) } }
            p { "To log in, make a link on the command line and open it in this browser:" }
            pre { "prunella --dir ./fleet dashboard" }
            p { "With a bearer token instead of a fleet directory, give " code { "--server" } " and " code { "--ca" } ", and the token in " code { "PRUNELLA_TOKEN" } ". A link opens one session and is good for five minutes." }
        }
    };
    (status, layout::bare("Log in", false, &body)).into_response()
}

/// Sets the session's cookie: not for scripts, not for other sites.
fn with_cookie(gateway: &Gateway, value: &str, life: u64, mut response: Response) -> Response {
    let secure = if gateway.secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{secure}");
    if let Ok(field) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, field);
    }
    response
}
