//! Somebody who looks at a page, and what a page asks in their name.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use maud::html;
use prunella_model::Timestamp;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_proto::control::v1::diagnostics_service_client::DiagnosticsServiceClient;
use prunella_proto::control::v1::event_service_client::EventServiceClient;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::health_service_client::HealthServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use prunella_proto::control::v1::learning_service_client::LearningServiceClient;
use prunella_proto::control::v1::snapshot_service_client::SnapshotServiceClient;
use tonic::{Code, Request, Status};

use super::layout;
use crate::http::logins::Session;
use crate::http::transcode::{Credentials, Services};
use crate::http::{Gateway, api};
use crate::rpc::listen::ANSWER_MAX;

/// The cookie that names a session.
pub(super) const COOKIE: &str = "prunella-session";

/// Somebody who has logged in, looking at a page.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(super) gateway: Arc<Gateway>,
    pub(super) session: Session,
    pub(super) now: Timestamp,
}

impl FromRequestParts<Arc<Gateway>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Response> {
        let now = gateway.clock.now();
        let session = cookie(&parts.headers).and_then(|it| gateway.logins.session(it, now));
        match session {
            Some(session) => Ok(Self { gateway: Arc::clone(gateway), session, now }),
            None => Err(Redirect::to("/login").into_response()),
        }
    }
}

/// The value of the session cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = fields.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

impl Visit {
    /// A request in the visitor's name.
    pub(super) fn ask<T>(&self, message: T) -> Request<T> {
        Credentials::Session(self.session.who.clone()).request(message)
    }

    fn services(&self) -> Services {
        self.gateway.transcoder.services()
    }

    pub(super) fn fleet(&self) -> FleetServiceClient<Services> {
        FleetServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn incidents(&self) -> IncidentServiceClient<Services> {
        IncidentServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn health(&self) -> HealthServiceClient<Services> {
        HealthServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn events(&self) -> EventServiceClient<Services> {
        EventServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn learning(&self) -> LearningServiceClient<Services> {
        LearningServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn diagnostics(&self) -> DiagnosticsServiceClient<Services> {
        DiagnosticsServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn snapshots(&self) -> SnapshotServiceClient<Services> {
        SnapshotServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    pub(super) fn admin(&self) -> AdminServiceClient<Services> {
        AdminServiceClient::new(self.services()).max_decoding_message_size(ANSWER_MAX)
    }

    /// The fields of a form that this visitor's own page has sent.
    ///
    /// # Errors
    /// A form of another site or of a session that is over.
    pub(super) async fn form(&self, headers: &HeaderMap, body: Body) -> Result<BTreeMap<String, String>, Failure> {
        let body = api::read(body).await.map_err(|it| Failure(Box::new(it.into_response())))?;
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
        let same_site = headers.get("sec-fetch-site").is_none_or(|it| it == "same-origin" || it == "none");
        let token = fields.get("form_token").map(String::as_bytes).unwrap_or_default();
        let same = subtle::ConstantTimeEq::ct_eq(token, self.session.form_token.as_bytes());
        if !same_site || !bool::from(same) {
            let why = "this form is not from a page of this session; open the page again and repeat what you did";
            return Err(Failure::say(self, StatusCode::FORBIDDEN, why));
        }
        Ok(fields)
    }
}

/// A page that says what went wrong.
#[derive(Debug)]
pub(crate) struct Failure(Box<Response>);

impl Failure {
    /// A page with one sentence.
    pub(super) fn say(visit: &Visit, status: StatusCode, why: &str) -> Self {
        let body = html! {
            h1 { (status.canonical_reason().unwrap_or("Error")) }
            p .alarm role="alert" { (why) }
            p { a href="/" { "To the overview" } }
        };
        let page = layout::page(visit, "Error", "", &body);
        Self(Box::new((status, page).into_response()))
    }

    /// What a service answered instead of what was asked for.
    pub(super) fn of(visit: &Visit, status: &Status) -> Self {
        let code = match status.code() {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::FailedPrecondition | Code::Aborted => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::say(visit, code, status.message())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Turns a service's refusal into a page.
pub(super) trait OrPage<T> {
    fn or_page(self, visit: &Visit) -> Result<T, Failure>;
}

impl<T> OrPage<T> for Result<tonic::Response<T>, Status> {
    fn or_page(self, visit: &Visit) -> Result<T, Failure> {
        self.map(tonic::Response::into_inner).map_err(|status| Failure::of(visit, &status))
    }
}
