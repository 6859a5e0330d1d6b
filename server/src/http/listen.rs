//! The sockets of this door, with their limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The most connections at the same time: browsers keep a handful each.
const CONNECTIONS_MAX: usize = 512;

/// How long a handshake may take, and then the head of each request.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Requests of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 64;

/// How long to wait when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped; then all its connections end.
pub(crate) async fn serve(socket: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, router: Router) {
    let tls = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(it) => it,
            Err(error) => {
                tracing::warn!(target: "prunella::http", %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(target: "prunella::http", %address, most = CONNECTIONS_MAX, "too many connections; turned one away");
            continue;
        };
        connections.spawn(connection(stream, tls.clone(), router.clone(), place));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, place: OwnedSemaphorePermit) {
    let served = match tls {
        None => http(stream, router).await,
        Some(tls) => match tokio::time::timeout(HEAD_MAX, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, router).await,
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        },
    };
    if let Err(error) = served {
        // Browsers hang up in the middle all the time.
        tracing::debug!(target: "prunella::http", %error, "a connection ended early");
    }
    drop(place);
}

async fn http<S>(stream: S, router: Router) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let header_list = u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(header_list)
        .keep_alive_interval(Some(Duration::from_secs(60)));
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await
}
