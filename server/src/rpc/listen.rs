//! The two listeners with their limits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::FleetName;
use prunella_proto::DESCRIPTOR_SET;
use prunella_proto::agent::v1::agent_service_server::AgentServiceServer;
use prunella_proto::agent::v1::enrolment_service_server::EnrolmentServiceServer;
use prunella_proto::control::v1::admin_service_server::AdminServiceServer;
use prunella_proto::control::v1::diagnostics_service_server::DiagnosticsServiceServer;
use prunella_proto::control::v1::event_service_server::EventServiceServer;
use prunella_proto::control::v1::fleet_service_server::FleetServiceServer;
use prunella_proto::control::v1::health_service_server::HealthServiceServer;
use prunella_proto::control::v1::incident_service_server::IncidentServiceServer;
use prunella_proto::control::v1::learning_service_server::LearningServiceServer;
use prunella_proto::control::v1::notification_service_server::NotificationServiceServer;
use prunella_proto::control::v1::optimiser_service_server::OptimiserServiceServer;
use prunella_proto::control::v1::snapshot_service_server::SnapshotServiceServer;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use super::accept::{Acceptor, Connections};
use super::admin::Admin;
use super::agent::AgentLink;
use super::crowd::{raise_file_limit, within};
use super::diagnostics::Sweeps;
use super::enrol::Enrol;
use super::events::Events;
use super::fleet::Fleet;
use super::gate::{Gate, GateLayer};
use super::health::Health;
use super::incidents::Incidents;
use super::learning::{Learning, MESSAGE_MAX as LEARNING_MESSAGE_MAX};
use super::notifications::Notifications;
use super::optimiser::Optimiser;
use super::repeat::RepeatLayer;
use super::snapshots::Snapshots;

/// The most agents that are connected at the same time, and as many again that reconnect. Fewer where the system does
/// not let so many files be open.
const AGENT_CONNECTIONS_MAX: usize = 20_000;

/// The most connections of operators and joining hosts.
const CONTROL_CONNECTIONS_MAX: usize = 2_000;

/// An agent has one stream, and for a moment a renewal.
const AGENT_STREAMS_MAX: u32 = 8;

/// A dashboard has a few watches and some calls at the same time.
const CONTROL_STREAMS_MAX: u32 = 64;

/// The largest message of an agent: a full report of the most targets with the longest names fits.
const AGENT_MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// The largest request on the control listener: a policy.
pub(crate) const CONTROL_MESSAGE_MAX: usize = 2 * 1024 * 1024;

/// The largest answer: a page of a thousand full incidents.
pub(crate) const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Header fields of one request, in bytes: a bearer token and what proxies add.
const HEADERS_MAX: u32 = 16 * 1024;

/// Streams that a client may open and reset at once before it counts as an attack.
const RESETS_MAX: usize = 64;

/// How often an idle connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

/// What both listeners have in common.
fn limited(streams: u32) -> Server {
    Server::builder()
        .max_concurrent_streams(streams)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
}

/// A bound socket with what it needs to serve.
#[derive(Debug)]
pub struct Door {
    /// The socket.
    pub socket: TcpListener,
    /// Its TLS settings.
    pub tls: Arc<rustls::ServerConfig>,
    /// The fleet whose certificates count.
    pub fleet: FleetName,
    /// Where its connections are noted.
    pub open: Connections,
    /// Who may pass.
    pub gate: Arc<Gate>,
}

/// Serves agents until `stop` resolves and their connections have ended.
///
/// # Errors
/// When serving is not possible at all.
pub async fn agents(
    door: Door,
    link: AgentLink,
    enrol: Enrol,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let most = within(raise_file_limit(), 3, AGENT_CONNECTIONS_MAX);
    let connections = Acceptor::new(door.tls, door.fleet, most, door.open, "agents").incoming(door.socket);
    limited(AGENT_STREAMS_MAX)
        .layer(GateLayer(door.gate))
        .add_service(AgentServiceServer::new(link).max_decoding_message_size(AGENT_MESSAGE_MAX))
        .add_service(EnrolmentServiceServer::new(enrol).max_decoding_message_size(CONTROL_MESSAGE_MAX))
        .serve_with_incoming_shutdown(connections, stop)
        .await
}

/// The services of the control listener.
#[derive(Debug, Clone)]
pub struct Control {
    /// `FleetService`.
    pub fleet: Fleet,
    /// `IncidentService`.
    pub incidents: Incidents,
    /// `LearningService`.
    pub learning: Learning,
    /// `SnapshotService`.
    pub snapshots: Snapshots,
    /// `OptimiserService`.
    pub optimiser: Optimiser,
    /// `EventService`.
    pub events: Events,
    /// `HealthService`.
    pub health: Health,
    /// `NotificationService`.
    pub notifications: Notifications,
    /// `DiagnosticsService`.
    pub diagnostics: Sweeps,
    /// `AdminService`.
    pub admin: Admin,
    /// `EnrolmentService`.
    pub enrol: Enrol,
}

impl Control {
    /// All services of the control listener, with health and reflection, as one: for its sockets, and for the gateway.
    #[must_use]
    pub fn routes(self, health: HealthReporter) -> Routes {
        let health = tonic_health::server::HealthService::from_health_reporter(health);
        let mut routes = Routes::builder();
        routes
            .add_service(
                FleetServiceServer::new(self.fleet)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(
                IncidentServiceServer::new(self.incidents)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(
                LearningServiceServer::new(self.learning)
                    .max_decoding_message_size(LEARNING_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(
                OptimiserServiceServer::new(self.optimiser)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(
                SnapshotServiceServer::new(self.snapshots)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(EventServiceServer::new(self.events).max_decoding_message_size(CONTROL_MESSAGE_MAX))
            .add_service(
                HealthServiceServer::new(self.health)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(
                NotificationServiceServer::new(self.notifications).max_decoding_message_size(CONTROL_MESSAGE_MAX),
            )
            .add_service(
                DiagnosticsServiceServer::new(self.diagnostics)
                    .max_decoding_message_size(CONTROL_MESSAGE_MAX)
                    .max_encoding_message_size(ANSWER_MAX),
            )
            .add_service(AdminServiceServer::new(self.admin).max_decoding_message_size(CONTROL_MESSAGE_MAX))
            .add_service(EnrolmentServiceServer::new(self.enrol).max_decoding_message_size(CONTROL_MESSAGE_MAX))
            .add_service(tonic_health::pb::health_server::HealthServer::new(health));
        match (reflection().build_v1(), reflection().build_v1alpha()) {
            (Ok(v1), Ok(v1alpha)) => {
                routes.add_service(v1).add_service(v1alpha);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(target: "prunella::rpc", error = &error as &dyn std::error::Error, "no reflection: the descriptors cannot be read");
            }
        }
        routes.routes()
    }
}

/// Serves operators and joining hosts until `stop` resolves and their connections have ended.
///
/// # Errors
/// When serving is not possible at all.
pub async fn control(
    door: Door,
    repeats: RepeatLayer,
    services: Routes,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let most = within(raise_file_limit(), 1, CONTROL_CONNECTIONS_MAX);
    let connections = Acceptor::new(door.tls, door.fleet, most, door.open, "control").incoming(door.socket);
    limited(CONTROL_STREAMS_MAX)
        .layer(GateLayer(door.gate))
        .layer(repeats)
        .add_routes(services)
        .serve_with_incoming_shutdown(connections, stop)
        .await
}

/// Everything that a generic client needs in order to call these services and to read their errors.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
