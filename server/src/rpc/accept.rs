//! From a socket to a peer: connection limits, the TLS handshake with its time limit, and the peer's identity.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prunella_identity::PeerCertificate;
use prunella_model::FleetName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// How long a handshake may take. A client on a slow link needs three round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How many connections may wait between handshake and HTTP/2; the other end takes them at once.
const READY_MAX: usize = 16;

/// The pause after the system refuses a new socket, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One connection, for whoever must end it from outside.
#[derive(Debug)]
pub struct Connection(Mutex<Option<oneshot::Sender<()>>>);

impl Connection {
    fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (kill, killed) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Some(kill)))), killed)
    }

    /// Closes the connection at once, whatever it is doing.
    pub fn kill(&self) {
        if let Some(kill) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = kill.send(());
        }
    }
}

/// Who is at the other end, as far as TLS says. In the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate, which TLS has verified; null when it showed none.
    pub certificate: Option<PeerCertificate>,
    /// The connection.
    pub connection: Arc<Connection>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct PeerStream {
    tls: TlsStream<TcpStream>,
    peer: Peer,
    killed: oneshot::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Connected for PeerStream {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // HTTP/2 always waits for input, so this is where a connection notices that it was ended.
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.killed).poll(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.tls).poll_read(context, into)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(context, bytes)
    }
    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}

/// Accepts connections until its reader is gone. `most` is how many may be open at the same time.
pub fn incoming(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    fleet: FleetName,
    most: usize,
    name: &'static str,
) -> tokio_stream::wrappers::ReceiverStream<io::Result<PeerStream>> {
    let (ready, connections) = mpsc::channel(READY_MAX);
    tokio::spawn(accept(listener, TlsAcceptor::from(tls), fleet, Arc::new(Semaphore::new(most)), ready, name));
    tokio_stream::wrappers::ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    fleet: FleetName,
    places: Arc<Semaphore>,
    ready: mpsc::Sender<io::Result<PeerStream>>,
    name: &'static str,
) {
    loop {
        let (socket, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(it) => it,
                Err(error) => {
                    tracing::warn!(target: "prunella::rpc", listener = name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = ready.closed() => return,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(target: "prunella::rpc", listener = name, %address, "turning a connection away: too many are open");
            continue;
        };
        let (tls, fleet, ready) = (tls.clone(), fleet.clone(), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_MAX, handshake(socket, address, tls, &fleet, place)).await {
                Ok(Ok(stream)) => drop(ready.send(Ok(stream)).await),
                Ok(Err(error)) => {
                    tracing::info!(target: "prunella::rpc", listener = name, %address, %error, "a handshake failed");
                }
                Err(_) => {
                    tracing::info!(target: "prunella::rpc", listener = name, %address, "a handshake took too long")
                }
            }
        });
    }
}

async fn handshake(
    socket: TcpStream,
    address: SocketAddr,
    tls: TlsAcceptor,
    fleet: &FleetName,
    place: OwnedSemaphorePermit,
) -> io::Result<PeerStream> {
    // A command is one small write that must not wait for more.
    socket.set_nodelay(true)?;
    let tls = tls.accept(socket).await?;
    let certificate = match tls.get_ref().1.peer_certificates() {
        Some([leaf, ..]) => Some(PeerCertificate::read(leaf, fleet).map_err(io::Error::other)?),
        Some([]) | None => None,
    };
    let (connection, killed) = Connection::new();
    Ok(PeerStream { tls, peer: Peer { address, certificate, connection }, killed, _place: place })
}
