//! TLS connections to what is probed, with the roots that the host trusts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where systems keep the roots that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The roots of each file, read once and again when the file has changed.
#[derive(Debug, Default)]
pub(crate) struct Roots(Mutex<BTreeMap<PathBuf, (SystemTime, Arc<RootCertStore>)>>);

impl Roots {
    /// The roots of `ca_file`, or of the system.
    ///
    /// # Errors
    /// Why there are none, for a person.
    pub(crate) fn get(&self, ca_file: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
        let path = match ca_file {
            Some(path) => path,
            None => SYSTEM
                .iter()
                .map(Path::new)
                .find(|it| it.is_file())
                .ok_or("this host has no file of trusted roots; install ca-certificates, or set ca_file")?,
        };
        let cannot = |why: &dyn std::fmt::Display| format!("the roots in {} cannot be read: {why}", path.display());
        let changed = std::fs::metadata(path).and_then(|it| it.modified()).map_err(|error| cannot(&error))?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = known.get(path).filter(|(at, _)| *at == changed) {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        // A system's file may hold some that the library does not accept; the others are none the worse for it.
        roots.add_parsable_certificates(CertificateDer::pem_file_iter(path).map_err(|error| cannot(&error))?.flatten());
        if roots.is_empty() {
            return Err(cannot(&"there is no certificate in it"));
        }
        let roots = Arc::new(roots);
        known.insert(path.to_owned(), (changed, Arc::clone(&roots)));
        Ok(roots)
    }
}

/// The cryptography that everything here uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client that trusts these roots, and speaks the protocol named by `alpn`.
///
/// # Errors
/// Why the library refuses, for a person.
pub(crate) fn client(roots: Arc<RootCertStore>, alpn: &[u8]) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    // Each look is to be a new user's.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The handshake, over a connection that is there.
pub(crate) async fn connect(
    config: ClientConfig,
    name: ServerName<'static>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What the library has against a server, without its prefix of an I/O error.
pub(crate) fn objection(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    inner.map_or_else(|| error.to_string(), |it| format!("TLS: {it}"))
}
