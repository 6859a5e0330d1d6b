//! From a socket to a peer: connection limits, the TLS handshake with its time limit, and the peer's identity.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use prunella_identity::PeerCertificate;
use prunella_model::FleetName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
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
    /// A connection, and what resolves when it shall end.
    pub(crate) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
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

/// Every open connection, so that a server that stops can leave none behind.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<Vec<Weak<Connection>>>>);

impl Connections {
    fn add(&self, connection: &Arc<Connection>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are forgotten whenever the list would have to grow.
        if all.len() == all.capacity() {
            all.retain(|it| it.strong_count() > 0);
        }
        all.push(Arc::downgrade(connection));
    }

    /// Closes every open connection at once.
    pub fn kill_all(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|it| it.kill());
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

/// What connections of one listener must pass.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    fleet: FleetName,
    places: Arc<Semaphore>,
    open: Connections,
    name: &'static str,
}

impl Acceptor {
    /// At most `most` connections at the same time, each of which is noted in `open`.
    #[must_use]
    pub fn new(
        tls: Arc<rustls::ServerConfig>,
        fleet: FleetName,
        most: usize,
        open: Connections,
        name: &'static str,
    ) -> Self {
        Self { tls: TlsAcceptor::from(tls), fleet, places: Arc::new(Semaphore::new(most)), open, name }
    }

    /// Accepts connections until its reader is gone.
    #[must_use]
    pub fn incoming(self, socket: TcpListener) -> ReceiverStream<io::Result<PeerStream>> {
        let (ready, connections) = mpsc::channel(READY_MAX);
        tokio::spawn(self.accept(socket, ready));
        ReceiverStream::new(connections)
    }

    async fn accept(self, listener: TcpListener, ready: mpsc::Sender<io::Result<PeerStream>>) {
        let name = self.name;
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
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!(target: "prunella::rpc", listener = name, %address, "turning a connection away: too many are open");
                continue;
            };
            tokio::spawn(self.clone().greet(socket, address, place, ready.clone()));
        }
    }

    async fn greet(
        self,
        socket: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
        ready: mpsc::Sender<io::Result<PeerStream>>,
    ) {
        let name = self.name;
        match tokio::time::timeout(HANDSHAKE_MAX, self.handshake(socket, address, place)).await {
            Ok(Ok(stream)) => drop(ready.send(Ok(stream)).await),
            Ok(Err(error)) => {
                tracing::info!(target: "prunella::rpc", listener = name, %address, %error, "a handshake failed");
            }
            Err(_) => tracing::info!(target: "prunella::rpc", listener = name, %address, "a handshake took too long"),
        }
    }

    async fn handshake(
        self,
        socket: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> io::Result<PeerStream> {
        // A command is one small write that must not wait for more.
        socket.set_nodelay(true)?;
        let tls = self.tls.accept(socket).await?;
        let certificate = match tls.get_ref().1.peer_certificates() {
            Some([leaf, ..]) => Some(PeerCertificate::read(leaf, &self.fleet).map_err(io::Error::other)?),
            Some([]) | None => None,
        };
        let (connection, killed) = Connection::new();
        self.open.add(&connection);
        Ok(PeerStream { tls, peer: Peer { address, certificate, connection }, killed, _place: place })
    }
}
