//! Makes tonic channels over our own TLS settings, and says in plain words why it could not.
//!
//! The server is known by its certificate (its fleet and its role), which the given settings verify; the name or
//! address that it is reached by proves nothing. Nothing is announced as connected before the server has spoken:
//! in TLS 1.3 a client learns only then that its own certificate was not accepted.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// How long TCP and TLS together may take: far more than any working path needs, short enough to try the next address.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is tried. Below the idle limits of common firewalls and load balancers.
pub const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long an answer to that may take before the connection counts as dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The receive window of an agent: commands are small, and its memory is its host's.
pub const SMALL_WINDOW: u32 = 64 * 1024;

/// How to connect.
#[derive(Debug, Clone, Copy)]
pub struct DialOptions {
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Keep receive windows at [`SMALL_WINDOW`].
    pub small_windows: bool,
    /// Says what a TLS error means and what to do; `prunella_identity::tls::explain_tls` does it best.
    pub explain: fn(&rustls::Error) -> String,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self { connect_timeout: CONNECT_TIMEOUT, small_windows: false, explain: rustls::Error::to_string }
    }
}

/// Why a server cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The text is no address.
    #[error("{address:?} is not an address; write host:port, for example 127.0.0.1:7443")]
    BadAddress {
        /// The text.
        address: String,
    },
    /// The host's name has no address.
    #[error("the name in {address} cannot be resolved ({why}); check its spelling and the DNS settings")]
    Unresolved {
        /// The address.
        address: String,
        /// The system's words.
        why: String,
    },
    /// Nothing listens there.
    #[error("nothing listens at {address}; is the server running, and is this its address?")]
    Refused {
        /// The address.
        address: String,
    },
    /// There is no way there.
    #[error("{address} cannot be reached: {why}; check the network and firewalls between here and there")]
    Unreachable {
        /// The address.
        address: String,
        /// The system's words.
        why: String,
    },
    /// No answer in time.
    #[error("{address} does not answer within {after:?}; it may be overloaded, or a firewall drops the packets")]
    TimedOut {
        /// The address.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// One of the two sides does not accept the other.
    #[error("no trusted connection to {address}: {why}")]
    Tls {
        /// The address.
        address: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The server ended the connection without a word.
    #[error("{address} ended the connection at once ({why}); it may be full or stopping, or speak another protocol")]
    Ended {
        /// The address.
        address: String,
        /// The system's words.
        why: String,
    },
}

/// Connects to `address` (`host:port`) and returns when the server has accepted the connection.
///
/// The channel connects anew by itself when it breaks; a call that meets a broken one fails with `Unavailable`
/// and the words of a [`DialError`].
///
/// # Errors
/// [`DialError`] says why, and what to do.
pub async fn dial(address: &str, tls: Arc<rustls::ClientConfig>, options: &DialOptions) -> Result<Channel, DialError> {
    let (endpoint, connector) = prepare(address, tls, options)?;
    let connect = tower::service_fn(move |_: Uri| connector.clone().connect());
    endpoint.connect_with_connector(connect).await.map_err(|error| {
        find_cause(&error).unwrap_or_else(|| DialError::Ended { address: address.to_owned(), why: deepest(&error) })
    })
}

/// A channel to `address` (`host:port`) that connects when it is first used.
///
/// # Errors
/// [`DialError::BadAddress`] alone; everything else shows at the first call.
pub fn dial_lazily(address: &str, tls: Arc<rustls::ClientConfig>, options: &DialOptions) -> Result<Channel, DialError> {
    let (endpoint, connector) = prepare(address, tls, options)?;
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| connector.clone().connect())))
}

/// The [`DialError`] among the causes of an error, for example of a [`tonic::Status`].
#[must_use]
pub fn find_cause(error: &(dyn Error + 'static)) -> Option<DialError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DialError>() {
            return Some(found.clone());
        }
        next = error.source();
    }
    None
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn prepare(
    address: &str,
    tls: Arc<rustls::ClientConfig>,
    options: &DialOptions,
) -> Result<(Endpoint, Connector), DialError> {
    let bad = || DialError::BadAddress { address: address.to_owned() };
    let uri: Uri = format!("https://{address}").parse().map_err(|_| bad())?;
    // A path, a user or a missing port would otherwise be dropped in silence.
    let port = uri.port_u16().ok_or_else(bad)?;
    let host = uri.host().map(|it| it.trim_matches(['[', ']']).to_owned()).ok_or_else(bad)?;
    if uri.path() != "/" || address.contains(['@', '/']) {
        return Err(bad());
    }
    let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
    let window = options.small_windows.then_some(SMALL_WINDOW);
    let endpoint = Endpoint::from(uri)
        .user_agent(concat!("prunella/", env!("CARGO_PKG_VERSION")))
        .map_err(|_| bad())?
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window);
    let tls = TlsConnector::from(tls);
    let address = address.to_owned();
    let (timeout, explain) = (options.connect_timeout, options.explain);
    Ok((endpoint, Connector { address, host, port, name, tls, timeout, explain }))
}

/// All that one attempt needs.
#[derive(Clone)]
struct Connector {
    address: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    timeout: Duration,
    explain: fn(&rustls::Error) -> String,
}

impl Connector {
    async fn connect(self) -> Result<TokioIo<TlsStream<TcpStream>>, DialError> {
        match tokio::time::timeout(self.timeout, self.handshake()).await {
            Ok(done) => done.map(TokioIo::new),
            Err(_) => Err(DialError::TimedOut { address: self.address, after: self.timeout }),
        }
    }

    async fn handshake(&self) -> Result<TlsStream<TcpStream>, DialError> {
        let socket = self.reach().await?;
        let mut stream = self.tls.connect(self.name.clone(), socket).await.map_err(|error| self.say(&error))?;
        // An HTTP/2 server speaks first. What comes instead of its settings is its refusal of our certificate.
        match stream.fill_buf().await {
            Ok([]) => Err(self.ended("no data")),
            Ok(_) => Ok(stream),
            Err(error) => Err(self.say(&error)),
        }
    }

    async fn reach(&self) -> Result<TcpStream, DialError> {
        let address = || self.address.clone();
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|error| DialError::Unresolved { address: address(), why: error.to_string() })?;
        let mut last = DialError::Unresolved { address: address(), why: "no address of that name".to_owned() };
        for candidate in found {
            match TcpStream::connect(candidate).await {
                Ok(socket) => {
                    // Every message is small and someone waits for it.
                    socket.set_nodelay(true).map_err(|error| self.ended(&error.to_string()))?;
                    return Ok(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    last = DialError::Refused { address: address() };
                }
                Err(error) => last = DialError::Unreachable { address: address(), why: error.to_string() },
            }
        }
        Err(last)
    }

    fn say(&self, error: &io::Error) -> DialError {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(tls) => DialError::Tls { address: self.address.clone(), why: (self.explain)(tls) },
            None => self.ended(&error.to_string()),
        }
    }

    fn ended(&self, why: &str) -> DialError {
        DialError::Ended { address: self.address.clone(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn tls() -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Arc::new(config)
    }

    async fn fails(address: &str) -> DialError {
        let options = DialOptions { connect_timeout: Duration::from_millis(300), ..DialOptions::default() };
        dial(address, tls(), &options).await.expect_err("there is no server")
    }

    #[tokio::test]
    async fn bad_addresses_are_refused_before_anything_is_sent() {
        for address in
            ["", "host", "127.0.0.1", "https://127.0.0.1:1", "127.0.0.1:1/x", "u@127.0.0.1:1", "127.0.0.1:99999"]
        {
            assert_eq!(fails(address).await, DialError::BadAddress { address: address.to_owned() });
        }
    }

    #[tokio::test]
    async fn every_failure_says_what_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // The kernel accepts for the listener, which says nothing.
        assert!(matches!(fails(&address).await, DialError::TimedOut { .. }));
        drop(listener);
        assert_eq!(fails(&address).await, DialError::Refused { address });
        assert!(matches!(fails("nowhere.invalid:1").await, DialError::Unresolved { .. } | DialError::TimedOut { .. }));
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_apart_from_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            socket
        });
        assert!(matches!(fails(&address).await, DialError::Tls { .. }));
        drop(server.await.unwrap());
    }

    #[tokio::test]
    async fn a_lazy_channel_keeps_the_words_of_the_error() {
        let channel = dial_lazily("127.0.0.1:1", tls(), &DialOptions::default()).unwrap();
        let mut client = crate::control::v1::fleet_service_client::FleetServiceClient::new(channel);
        let status = client.get_fleet(crate::control::v1::GetFleetRequest {}).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.message().contains("nothing listens at 127.0.0.1:1"), "{status:?}");
    }
}
