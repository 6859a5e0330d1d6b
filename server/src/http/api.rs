//! The JSON paths.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawPathParams, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, on};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use super::paths::{Short, Verb};
use super::problem::Problem;
use super::transcode::{Credentials, from_json, from_value};
use super::{Gateway, events, only_reads, openapi, query};
use crate::rpc::error;
use crate::rpc::listen::CONTROL_MESSAGE_MAX;
use crate::rpc::repeat;

/// How long the body of a request may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(20);

/// Whether the process serves; says nothing about the fleet, so it is open to everybody.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "serving" }))
}

/// The OpenAPI document. Open to everybody, as the protocol is.
pub(crate) async fn openapi(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    Json(openapi::document(&gateway.transcoder))
}

/// The longest body of an import, in bytes: the longest document, with room for what JSON adds to it.
const IMPORT_MAX: usize = 64 * 1024 * 1024;

/// There is no such path.
pub(crate) async fn nowhere(request: Request) -> Problem {
    let path = request.uri().path().to_owned();
    Problem::new(StatusCode::NOT_FOUND, "UNKNOWN_PATH", format!("there is no {path}; /openapi.json lists every path"))
}

/// The path is there, but not with this method.
pub(crate) async fn not_so(request: Request) -> Problem {
    let detail = format!("{} cannot be done with {}", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
}

/// `GET /v1/SERVICE/METHOD?field=value`.
pub(crate) async fn by_query(
    State(gateway): State<Arc<Gateway>>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let method = find(&gateway, &service, &method)?;
    if !only_reads(method) {
        let detail = format!("{} changes something; POST it", method.name());
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail));
    }
    let fields = query::fields(method, request.uri().query().unwrap_or_default())?;
    run(&gateway, method, fields, &credentials(request.headers())).await
}

/// `POST /v1/SERVICE/METHOD` with the request in JSON.
pub(crate) async fn by_body(
    State(gateway): State<Arc<Gateway>>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let method = find(&gateway, &service, &method)?;
    if request.uri().query().is_some() {
        return Err(error::invalid("query", "a POST takes its fields from the JSON body alone").into());
    }
    let who = credentials(request.headers());
    let body = json_body_of(request, most(method)).await?;
    let message = if body.is_empty() { from_value(method, json!({}))? } else { from_json(method, &body)? };
    answer(&gateway, method, &message, &who).await
}

/// A short path.
pub(crate) fn short(row: &'static Short) -> MethodRouter<Arc<Gateway>> {
    on(
        row.verb.filter(),
        move |State(gateway): State<Arc<Gateway>>, parts: RawPathParams, request: Request| async move {
            let method = find(&gateway, row.service, row.rpc)?;
            let who = credentials(request.headers());
            let id = parts.iter().find(|(name, _)| *name == "id").map(|(_, value)| value.to_owned());
            let mut fields = if row.verb == Verb::Post {
                object(&json_body_of(request, most(method)).await?)?
            } else {
                query::fields(method, request.uri().query().unwrap_or_default())?
            };
            row.fill(id.as_deref(), &mut fields);
            run(&gateway, method, fields, &who).await
        },
    )
}

async fn run(
    gateway: &Gateway,
    method: &MethodDescriptor,
    fields: Map<String, Value>,
    who: &Credentials,
) -> Result<Response, Problem> {
    let message = from_value(method, fields.into())?;
    answer(gateway, method, &message, who).await
}

async fn answer(
    gateway: &Gateway,
    method: &MethodDescriptor,
    message: &prost_reflect::DynamicMessage,
    who: &Credentials,
) -> Result<Response, Problem> {
    if method.is_server_streaming() {
        let place = events::place(gateway)?;
        let stream = gateway.transcoder.watch(method, message, who).await?;
        return Ok(events::answer(method.clone(), stream, place));
    }
    let answer = gateway.transcoder.call(method, message, who).await?;
    Ok(Json(answer).into_response())
}

fn find<'a>(gateway: &'a Gateway, service: &str, method: &str) -> Result<&'a MethodDescriptor, Problem> {
    gateway.transcoder.method(service, method).ok_or_else(|| {
        let detail = format!("there is no method {service}/{method}; /openapi.json lists every path");
        Problem::new(StatusCode::NOT_FOUND, "UNKNOWN_METHOD", detail)
    })
}

/// Who asks. Programs bring a bearer token; a browser's cookie counts on the dashboard's own pages alone, so that no other
/// site can act through it.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    let once = headers.get(repeat::HEADER).cloned();
    headers.get(header::AUTHORIZATION).map_or(Credentials::None, |it| Credentials::Bearer(it.clone(), once))
}

/// The longest body that a method takes, in bytes. What a fleet has learned is longer than anything else.
fn most(method: &MethodDescriptor) -> usize {
    match (method.parent_service().name(), method.name()) {
        ("LearningService", "ImportKnowledge") => IMPORT_MAX,
        _ => CONTROL_MESSAGE_MAX,
    }
}

/// The whole body, which must be JSON.
pub(crate) async fn json_body(request: Request) -> Result<Bytes, Problem> {
    json_body_of(request, CONTROL_MESSAGE_MAX).await
}

async fn json_body_of(request: Request, most: usize) -> Result<Bytes, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(|it| it.to_str().unwrap_or_default().to_owned());
    let body = read_within(request.into_body(), most).await?;
    let essence = kind.as_deref().map(|it| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json") => Ok(body),
        None if body.is_empty() => Ok(body),
        Some(_) | None => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "NOT_JSON",
            "the body must be JSON; send it with the header `content-type: application/json`",
        )),
    }
}

/// The whole body, within limits of size and time.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    read_within(body, CONTROL_MESSAGE_MAX).await
}

async fn read_within(body: Body, most: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WAIT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("the body has more than {most} bytes"),
        )),
        Ok(Err(error)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", format!("the body ended early: {error}")))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_SLOW", "the body took too long to arrive")),
    }
}

/// The fields of a body that is a JSON object; none when there is no body.
pub(crate) fn object(body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(error::invalid("body", "must be a JSON object").into()),
        Err(wrong) => Err(error::invalid("body", format!("is no JSON: {wrong}")).into()),
    }
}
