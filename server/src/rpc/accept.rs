//! From a socket to a peer: connection limits, the TLS handshake with its time limit, and the peer's identity.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
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

use super::crowd::{Crowd, Strangers};

/// How long a handshake may take. A client on a slow link needs three round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How many connections may wait between handshake and HTTP/2; the other end takes them at once.
const READY_MAX: usize = 16;

/// The pause after the system refuses a new socket, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that was ended to make room may keep its place; it takes no longer than to notice.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// One connection, for whoever must end it from outside.
#[derive(Debug)]
pub struct Connection {
    kill: Mutex<Option<oneshot::Sender<()>>>,
    /// Whether its peer has shown who it is.
    known: AtomicBool,
}

impl Connection {
    /// A connection, and what resolves when it shall end.
    pub(crate) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (kill, killed) = oneshot::channel();
        (Arc::new(Self { kill: Mutex::new(Some(kill)), known: AtomicBool::new(false) }), killed)
    }

    /// Whether the peer has shown who it is.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Takes note that the peer has shown who it is. Its place is its own from now on.
    pub fn vouch(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Closes the connection at once, whatever it is doing.
    pub fn kill(&self) {
        if let Some(kill) = self.kill.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
    strangers: Strangers,
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
        let (tls, places) = (TlsAcceptor::from(tls), Arc::new(Semaphore::new(most)));
        Self { tls, fleet, places, open, strangers: Strangers::default(), name }
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
        let mut crowd = Crowd::new(name);
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
            match self.place(&mut crowd).await {
                Some(place) => drop(tokio::spawn(self.clone().greet(socket, address, place, ready.clone()))),
                None => crowd.turned_away += 1,
            }
            crowd.say();
        }
    }

    /// A place for one more connection, if need be that of a stranger.
    async fn place(&self, crowd: &mut Crowd) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        if !self.strangers.end_oldest() {
            return None;
        }
        crowd.ended += 1;
        tokio::time::timeout(ROOM_WAIT, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    async fn greet(
        self,
        socket: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
        ready: mpsc::Sender<io::Result<PeerStream>>,
    ) {
        let name = self.name;
        let (connection, mut killed) = Connection::new();
        self.open.add(&connection);
        self.strangers.add(&connection);
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE_MAX, self.handshake(socket)) => shaken,
            _ = &mut killed => return,
        };
        match shaken {
            Ok(Ok((tls, certificate))) => {
                if certificate.is_some() {
                    connection.vouch();
                }
                let peer = Peer { address, certificate, connection };
                drop(ready.send(Ok(PeerStream { tls, peer, killed, _place: place })).await);
            }
            Ok(Err(error)) => {
                tracing::info!(target: "prunella::rpc", listener = name, %address, %error, "a handshake failed");
            }
            Err(_) => tracing::info!(target: "prunella::rpc", listener = name, %address, "a handshake took too long"),
        }
    }

    async fn handshake(&self, socket: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<PeerCertificate>)> {
        // A command is one small write that must not wait for more.
        socket.set_nodelay(true)?;
        let tls = self.tls.accept(socket).await?;
        let certificate = match tls.get_ref().1.peer_certificates() {
            Some([leaf, ..]) => Some(PeerCertificate::read(leaf, &self.fleet).map_err(io::Error::other)?),
            Some([]) | None => None,
        };
        Ok((tls, certificate))
    }
}

#[cfg(test)]
mod tests {
    use prunella_identity::{Listener, server_config, token_client_config};
    use rustls_pki_types::ServerName;
    use tokio::io::AsyncReadExt as _;
    use tokio_rustls::TlsConnector;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::fleet_dir::{FleetDir, Options};

    const SOON: Duration = Duration::from_secs(20);

    /// A listener with three places, and what a client needs.
    async fn listener() -> (ReceiverStream<io::Result<PeerStream>>, SocketAddr, TlsConnector) {
        let (temp, fleet) = (tempfile::tempdir().unwrap(), FleetName::new("test").unwrap());
        let dir = FleetDir::create(&temp.path().join("fleet"), &fleet, &Options::default()).unwrap();
        let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
        let at = &dir.config().tls;
        let authority = read(&at.authority);
        let (chain, key) = (read(&at.certificate), read(&at.key));
        let tls = server_config(&fleet, &authority, &chain, &key, Listener::Control).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let client = token_client_config(&fleet, &authority).unwrap();
        let acceptor = Acceptor::new(tls, fleet, 3, Connections::default(), "test");
        (acceptor.incoming(socket), address, client.into())
    }

    async fn shake(address: SocketAddr, client: &TlsConnector) -> io::Result<()> {
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = client.connect(name, socket).await?;
        tokio::spawn(async move { tls.read_u8().await });
        Ok(())
    }

    #[tokio::test]
    async fn strangers_who_hold_all_places_keep_nobody_out() {
        let (mut incoming, address, client) = listener().await;
        let mut idle = Vec::new();
        for _ in 0..3 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        for _ in 0..5 {
            let (shaken, peer) = tokio::join!(shake(address, &client), tokio::time::timeout(SOON, incoming.next()));
            shaken.unwrap();
            // Dropped: it ends at once, like one whose peer has nothing to say.
            peer.unwrap().unwrap().unwrap();
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut oldest = idle.remove(0);
        assert_eq!(tokio::time::timeout(SOON, oldest.read(&mut [0])).await.unwrap().unwrap(), 0, "it was ended");
    }

    #[tokio::test]
    async fn who_is_known_keeps_its_place() {
        let (mut incoming, address, client) = listener().await;
        let mut known = Vec::new();
        for _ in 0..3 {
            let (shaken, peer) = tokio::join!(shake(address, &client), tokio::time::timeout(SOON, incoming.next()));
            shaken.unwrap();
            let peer = peer.unwrap().unwrap().unwrap();
            peer.connect_info().connection.vouch();
            known.push(peer);
        }
        assert!(tokio::time::timeout(SOON, shake(address, &client)).await.unwrap().is_err(), "turned away");
        assert!(known.iter_mut().all(|it| it.killed.try_recv().is_err()));
    }
}
