//! The door for browsers and for programs that speak JSON: the control protocol in its canonical JSON form, short paths,
//! an OpenAPI document, and the dashboard.
//!
//! Nothing is decided here. Every answer comes from the services of the control listener, through the same gate.

mod alertmanager;
mod api;
mod events;
mod healing;
mod listen;
mod logins;
mod metrics;
mod openapi;
mod pages;
mod paths;
mod problem;
mod query;
mod shield;
mod transcode;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use prost_reflect::MethodDescriptor;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use logins::{LINK_LIFE, Logins, SESSION_LIFE};
pub(crate) use transcode::{PACKAGE, Services};

use crate::clock::Clock;
use transcode::Transcoder;

/// The most streams of events that are followed through this door at the same time.
const WATCHERS_MAX: usize = 256;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) transcoder: Transcoder,
    pub(crate) logins: Arc<Logins>,
    pub(crate) clock: Clock,
    pub(crate) watchers: Arc<Semaphore>,
    /// DNS names under which this server is reached, beside addresses and localhost.
    pub(crate) names: Vec<String>,
    /// Whether cookies may travel on encrypted connections only.
    pub(crate) secure: bool,
}

/// A bound socket with what it needs to serve.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) socket: TcpListener,
    /// Null only on a loopback address.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) names: Vec<String>,
}

/// Whether an address can be reached from this machine alone.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Serves until the task is aborted.
pub(crate) fn start(door: Door, services: Services, logins: Arc<Logins>, clock: Clock) -> JoinHandle<()> {
    let gateway = Gateway {
        transcoder: Transcoder::new(services),
        logins,
        clock,
        watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        names: door.names,
        secure: door.tls.is_some(),
    };
    let tls = door.tls.map(|it| {
        let mut tls = (*it).clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(tls)
    });
    tokio::spawn(listen::serve(door.socket, tls, router(Arc::new(gateway))))
}

/// Every path of this door.
fn router(gateway: Arc<Gateway>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(api::alive))
        .route("/metrics", get(metrics::page))
        .route("/openapi.json", get(api::openapi))
        .route("/v1/{service}/{method}", get(api::by_query).post(api::by_body))
        .route("/api/alertmanager", post(alertmanager::take))
        .route("/api/healing/health-check", post(healing::check))
        .route("/api/healing/recover", post(healing::recover));
    for short in paths::TABLE {
        router = router.route(short.path, api::short(short));
    }
    router
        .merge(pages::routes())
        .fallback(api::nowhere)
        .method_not_allowed_fallback(api::not_so)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&gateway), shield::guard))
        .with_state(gateway)
}

/// Whether a method changes nothing, so that a GET may call it.
pub(crate) fn only_reads(method: &MethodDescriptor) -> bool {
    ["Get", "List", "Watch", "Verify", "Export"].iter().any(|it| method.name().starts_with(it))
}
