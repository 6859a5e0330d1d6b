//! The TLS settings of every connection: TLS 1.3 alone, HTTP/2 alone, identities of one fleet alone.
//!
//! No session is ever resumed: a resumed one would skip the certificates, and with them expiry and bans.

mod client;
mod explain;
mod server;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use prunella_model::Timestamp;

pub use client::{client_config, pinned_client_config, token_client_config};
pub use explain::explain_tls;
pub use server::{Listener, server_config};

/// Why TLS settings cannot be made of some files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not hold what it should.
    #[error("the {what} is not usable: it holds no {content} in PEM")]
    Pem {
        /// Which file.
        what: &'static str,
        /// What it should hold.
        content: &'static str,
    },
    /// Certificate and key do not fit, or the library refuses them otherwise.
    #[error("the certificate and its key cannot be used together")]
    Refused(#[from] rustls::Error),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificate(what: &'static str, pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem { what, content: "certificate" })
}

fn chain(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(TlsError::Pem { what, content: "certificate" }),
    }
}

fn key(what: &'static str, pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem { what, content: "private key" })
}

fn roots(ca: &CertificateDer<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    Ok(roots)
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp::from_secs(at.as_secs())
}

#[cfg(test)]
mod tests;
