//! Errors as `application/problem+json` (RFC 9457), made of the same status that gRPC callers get.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What went wrong, for programs and people.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Map<String, Value>,
}

impl Problem {
    /// A problem of this door itself.
    pub(crate) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:prunella:error:{reason}").into());
        body.insert("title".into(), status.canonical_reason().unwrap_or("error").into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), detail.into().into());
        body.insert("reason".into(), reason.into());
        Self { status, body }
    }

    /// As part of a larger answer.
    pub(crate) fn into_value(self) -> Value {
        self.body.into()
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map_or_else(|| code_name(status.code()).to_owned(), |it| it.reason.clone());
        let mut problem = Self::new(http_status(status.code()), &reason, status.message());
        problem.body.insert("code".into(), code_name(status.code()).into());
        if let Some(info) = info.filter(|it| !it.metadata.is_empty()) {
            let facts: Map<String, Value> =
                info.metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
            problem.body.insert("metadata".into(), facts.into());
        }
        if let Some(bad) = details.bad_request() {
            let fields: Vec<Value> = bad
                .field_violations
                .iter()
                .map(|it| json!({ "field": it.field, "description": it.description }))
                .collect();
            problem.body.insert("fields".into(), fields.into());
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(Value::Object(self.body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"prunella\""));
        }
        response
    }
}

/// The HTTP status of a gRPC code, as google.rpc.Code pairs them.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound | Code::Unimplemented => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal | Code::Unknown | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code's name as other languages write it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
