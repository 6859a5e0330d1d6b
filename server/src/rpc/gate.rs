//! The one choke point: every request to either listener passes through here, and none without a row passes.
//!
//! Who the caller is comes from the TLS peer, or on the control listener from a bearer token, and from nowhere else:
//! header fields that could be taken for an identity are removed before a service sees the request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response, header};
use prunella_identity::{OperatorToken, OperatorTokenError, PeerCertificate, PeerIdentity, Role};
use prunella_model::{HostId, OperatorName};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::accept::Peer;
use super::error;
use crate::clock::Clock;
use crate::denials::Denials;
use crate::enrolment::Enrolments;
use crate::operators::Operators;

/// Who may call an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody who reaches the listener.
    Open,
    /// Whoever brings a join token. The service checks and consumes it.
    JoinToken,
    /// A member of the fleet with a valid certificate.
    Agent,
    /// A member of the fleet, even with a certificate that expired a while ago.
    RenewingAgent,
    /// An operator who may look.
    Viewer,
    /// An operator who may act.
    Operator,
    /// An operator who may approve.
    Approver,
    /// An operator who may do everything.
    Admin,
}

/// Every RPC of both listeners, with who may call it.
pub const TABLE: &[(&str, Access)] = &[
    ("/prunella.agent.v1.EnrolmentService/Enrol", Access::JoinToken),
    ("/prunella.agent.v1.EnrolmentService/Renew", Access::RenewingAgent),
    ("/prunella.agent.v1.AgentService/Stream", Access::Agent),
    ("/prunella.control.v1.FleetService/GetFleet", Access::Viewer),
    ("/prunella.control.v1.FleetService/ListHosts", Access::Viewer),
    ("/prunella.control.v1.FleetService/GetHost", Access::Viewer),
    ("/prunella.control.v1.FleetService/DeleteHost", Access::Admin),
    ("/prunella.control.v1.FleetService/ListTargets", Access::Viewer),
    ("/prunella.control.v1.FleetService/GetTarget", Access::Viewer),
    ("/prunella.control.v1.FleetService/ListBrakes", Access::Viewer),
    ("/prunella.control.v1.FleetService/GetTopology", Access::Viewer),
    ("/prunella.control.v1.FleetService/ListGroups", Access::Viewer),
    ("/prunella.control.v1.FleetService/SetMode", Access::Operator),
    ("/prunella.control.v1.FleetService/ListMaintenances", Access::Viewer),
    ("/prunella.control.v1.FleetService/CreateMaintenance", Access::Operator),
    ("/prunella.control.v1.FleetService/DeleteMaintenance", Access::Operator),
    ("/prunella.control.v1.FleetService/ListRules", Access::Viewer),
    ("/prunella.control.v1.FleetService/Pause", Access::Operator),
    ("/prunella.control.v1.FleetService/Resume", Access::Operator),
    ("/prunella.control.v1.IncidentService/ListIncidents", Access::Viewer),
    ("/prunella.control.v1.IncidentService/GetIncident", Access::Viewer),
    ("/prunella.control.v1.IncidentService/ReportIncident", Access::Operator),
    ("/prunella.control.v1.IncidentService/WithdrawReport", Access::Operator),
    ("/prunella.control.v1.IncidentService/CancelIncident", Access::Operator),
    ("/prunella.control.v1.IncidentService/RunRepair", Access::Operator),
    ("/prunella.control.v1.HealthService/GetHealth", Access::Viewer),
    ("/prunella.control.v1.HealthService/ListHealth", Access::Viewer),
    ("/prunella.control.v1.LearningService/ListInsights", Access::Viewer),
    ("/prunella.control.v1.LearningService/GetTargetHealth", Access::Viewer),
    ("/prunella.control.v1.LearningService/ListPredictions", Access::Viewer),
    ("/prunella.control.v1.LearningService/ListRecommendations", Access::Viewer),
    ("/prunella.control.v1.LearningService/ExportKnowledge", Access::Viewer),
    ("/prunella.control.v1.LearningService/ImportKnowledge", Access::Admin),
    ("/prunella.control.v1.OptimiserService/ListOpportunities", Access::Viewer),
    ("/prunella.control.v1.OptimiserService/ApplyOpportunity", Access::Operator),
    ("/prunella.control.v1.OptimiserService/ListCapacities", Access::Viewer),
    ("/prunella.control.v1.OptimiserService/ListQuietHours", Access::Viewer),
    ("/prunella.control.v1.SnapshotService/ListSnapshots", Access::Viewer),
    ("/prunella.control.v1.SnapshotService/CreateSnapshots", Access::Operator),
    ("/prunella.control.v1.SnapshotService/VerifySnapshots", Access::Viewer),
    ("/prunella.control.v1.SnapshotService/RestoreSnapshot", Access::Operator),
    ("/prunella.control.v1.NotificationService/ListReceivers", Access::Viewer),
    ("/prunella.control.v1.NotificationService/TestReceiver", Access::Operator),
    ("/prunella.control.v1.NotificationService/ListSilences", Access::Viewer),
    ("/prunella.control.v1.NotificationService/CreateSilence", Access::Operator),
    ("/prunella.control.v1.NotificationService/DeleteSilence", Access::Operator),
    ("/prunella.control.v1.DiagnosticsService/RunDiagnostics", Access::Operator),
    ("/prunella.control.v1.DiagnosticsService/ListDiagnostics", Access::Viewer),
    ("/prunella.control.v1.DiagnosticsService/GetDiagnostics", Access::Viewer),
    ("/prunella.control.v1.EventService/ListEvents", Access::Viewer),
    ("/prunella.control.v1.EventService/WatchEvents", Access::Viewer),
    ("/prunella.control.v1.AdminService/CreateJoinToken", Access::Admin),
    ("/prunella.control.v1.AdminService/CreateOperatorToken", Access::Admin),
    ("/prunella.control.v1.AdminService/CreateLoginLink", Access::Viewer),
    ("/prunella.control.v1.AdminService/GetPolicy", Access::Viewer),
    ("/prunella.control.v1.AdminService/UpdatePolicy", Access::Admin),
    ("/prunella.control.v1.AdminService/PreviewPolicy", Access::Operator),
    ("/prunella.control.v1.AdminService/GetPolicyRollout", Access::Viewer),
    ("/prunella.control.v1.AdminService/StopPolicyRollout", Access::Admin),
    ("/prunella.control.v1.AdminService/VerifyAudit", Access::Viewer),
    ("/prunella.control.v1.AdminService/ListAuditEntries", Access::Viewer),
    ("/prunella.control.v1.AdminService/SetLogLevel", Access::Admin),
    ("/prunella.control.v1.AdminService/ExportStore", Access::Admin),
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Viewer),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Viewer),
];

/// Header fields that proxies and careless programs use to say who somebody is.
const IDENTITY_LIKE: &[&str] = &[
    "forwarded",
    "via",
    "x-real-ip",
    "x-user",
    "x-username",
    "x-email",
    "x-role",
    "x-roles",
    "x-groups",
    "x-operator",
    "x-agent",
    "x-host-id",
    "x-client-cert",
    "x-ssl-client-cert",
    "x-ssl-client-s-dn",
    "remote-user",
    "cookie",
];

/// Beginnings of such fields.
const IDENTITY_LIKE_PREFIXES: &[&str] =
    &["x-forwarded-", "x-remote-", "x-auth-", "x-authenticated-", "x-prunella-", "x-amzn-", "x-goog-authenticated-"];

/// Who calls, as the gate has established it. In the extensions of every request that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular.
    Anyone,
    /// An agent of the fleet.
    Agent {
        /// Its host.
        host: HostId,
        /// Its enrolment.
        enrolment: u64,
    },
    /// An operator.
    Operator {
        /// Who.
        name: OperatorName,
        /// What they may do.
        role: Role,
    },
}

impl Caller {
    /// How the audit log names the caller.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Anyone => "anyone".to_owned(),
            Self::Agent { host, .. } => format!("agent/{host}"),
            Self::Operator { name, .. } => format!("operator/{name}"),
        }
    }
}

/// An operator whom another part of this server knows: who has logged in to the dashboard. It travels as an extension of
/// a request made inside this process; nothing that comes over a socket can carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// Who.
    pub(crate) name: OperatorName,
    /// What they may do.
    pub(crate) role: Role,
}

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The one for agents: certificates only.
    Agents,
    /// The one for operators and for joining: certificates and bearer tokens.
    Control,
}

/// What the gate asks.
#[derive(Debug)]
pub struct Gate {
    /// By which listener requests come in.
    pub door: Door,
    /// Who is a member of the fleet.
    pub enrolments: Arc<Enrolments>,
    /// Whose bearer tokens are valid.
    pub operators: Arc<Operators>,
    /// The time.
    pub clock: Clock,
    /// Where denials are noted.
    pub denials: Denials,
}

impl Gate {
    /// Decides about one request: who the caller is, or why the request does not pass.
    ///
    /// # Errors
    /// The status that the caller gets.
    pub(crate) fn admit(
        &self,
        path: &str,
        peer: Option<&Peer>,
        vouched: Option<&Vouched>,
        headers: &HeaderMap,
    ) -> Result<Caller, Status> {
        let Some((_, access)) = TABLE.iter().find(|(row, _)| *row == path) else {
            return Err(error::status(Code::Unimplemented, "UNKNOWN_METHOD", "there is no such method", &[]));
        };
        let certificate = peer.and_then(|it| it.certificate.as_ref());
        match access {
            Access::Open | Access::JoinToken => Ok(Caller::Anyone),
            Access::Agent => self.agent(certificate, false),
            Access::RenewingAgent => self.agent(certificate, true),
            Access::Viewer => self.operator(certificate, vouched, headers, Role::Viewer),
            Access::Operator => self.operator(certificate, vouched, headers, Role::Operator),
            Access::Approver => self.operator(certificate, vouched, headers, Role::Approver),
            Access::Admin => self.operator(certificate, vouched, headers, Role::Admin),
        }
    }

    fn agent(&self, certificate: Option<&PeerCertificate>, expired_too: bool) -> Result<Caller, Status> {
        let Some((certificate, PeerIdentity::Agent { host, enrolment })) = certificate.map(|it| (it, &it.identity))
        else {
            return Err(error::unauthenticated("NOT_AN_AGENT", "this needs the certificate of an agent of this fleet"));
        };
        if !expired_too && certificate.is_expired(self.clock.now()) {
            let why = "the agent's certificate has expired; it must be renewed first";
            return Err(error::unauthenticated("CERTIFICATE_EXPIRED", why));
        }
        self.enrolments.check(host, *enrolment)?;
        Ok(Caller::Agent { host: host.clone(), enrolment: *enrolment })
    }

    fn operator(
        &self,
        certificate: Option<&PeerCertificate>,
        vouched: Option<&Vouched>,
        headers: &HeaderMap,
        needed: Role,
    ) -> Result<Caller, Status> {
        let now = self.clock.now();
        let (name, role) = match (bearer(headers)?, certificate.map(|it| (it, &it.identity))) {
            (Some(token), _) if self.door == Door::Control => self
                .operators
                .check(&token, now)
                .map_err(|refusal| error::unauthenticated("TOKEN_REFUSED", refusal.to_string()))?,
            (_, Some((certificate, PeerIdentity::Operator { name, role }))) => {
                if certificate.is_expired(now) {
                    let why = "the operator's certificate has expired; make a new one with the fleet's authority";
                    return Err(error::unauthenticated("CERTIFICATE_EXPIRED", why));
                }
                (name.clone(), *role)
            }
            (_, Some((_, identity @ (PeerIdentity::Agent { .. } | PeerIdentity::Server { .. })))) => {
                let why = format!("{identity} is no operator");
                return Err(error::status(Code::PermissionDenied, "NOT_AN_OPERATOR", why, &[]));
            }
            (None, None) if let Some(Vouched { name, role }) = vouched => (name.clone(), *role),
            (_, None) => {
                let why = "this needs an operator's certificate or bearer token; see `prunella --help`";
                return Err(error::unauthenticated("NO_CREDENTIALS", why));
            }
        };
        if role < needed {
            let why = format!("this needs the role {needed}, but {name} is {role}");
            let facts = [("needed", needed.as_str()), ("role", role.as_str())];
            return Err(error::status(Code::PermissionDenied, "ROLE_TOO_LOW", why, &facts));
        }
        Ok(Caller::Operator { name, role })
    }
}

/// The bearer token that a request carries, if it does.
fn bearer(headers: &HeaderMap) -> Result<Option<OperatorToken>, Status> {
    let bad = |why: String| error::unauthenticated("TOKEN_REFUSED", why);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("more than one authorization field".to_owned()));
    }
    let text = value.to_str().map_err(|_| bad("the authorization field is not plain text".to_owned()))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(bad("the authorization field must be `Bearer TOKEN`".to_owned()));
    }
    token.trim().parse().map(Some).map_err(|error: OperatorTokenError| bad(error.to_string()))
}

/// Removes every header field that could be taken for an identity.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::PROXY_AUTHORIZATION);
    let like = |name: &&HeaderName| {
        IDENTITY_LIKE.contains(&name.as_str()) || IDENTITY_LIKE_PREFIXES.iter().any(|it| name.as_str().starts_with(it))
    };
    let found: Vec<HeaderName> = headers.keys().filter(like).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Puts the gate before all services of a listener.
#[derive(Debug, Clone)]
pub struct GateLayer(pub Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;
    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: Arc::clone(&self.0), inner }
    }
}

/// A service behind the gate.
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        let vouched = request.extensions_mut().remove::<Vouched>();
        let admitted = self.gate.admit(request.uri().path(), peer.as_ref(), vouched.as_ref(), request.headers());
        match admitted {
            Ok(caller) => {
                if let (Caller::Operator { .. } | Caller::Agent { .. }, Some(peer)) = (&caller, &peer) {
                    peer.connection.vouch();
                }
                strip(request.headers_mut());
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(status) => {
                self.gate.denials.note(request.uri().path(), peer.as_ref(), &status);
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}
