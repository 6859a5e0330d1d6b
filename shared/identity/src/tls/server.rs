//! The two listeners' settings.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::FleetName;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{TlsError, certificate, chain, key, provider, roots, timestamp};
use crate::peer::{IdentityError, PeerCertificate, PeerIdentity, RENEW_GRACE};

/// Which of the server's two doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Agents: a certificate in force is required.
    Agents,
    /// Operators, enrolment and renewal: a certificate is optional, and one that expired at most [`RENEW_GRACE`] ago
    /// is let in. The caller looks at [`PeerCertificate::is_expired`] and permits such a peer to renew, nothing else.
    Control,
}

/// The settings of a listener. `chain_pem` holds the server's certificate and then the authority's, so that a new
/// host can find the pinned one there.
///
/// # Errors
/// [`TlsError`] says which file is unusable.
pub fn server_config(
    fleet: &FleetName,
    ca_pem: &str,
    chain_pem: &str,
    key_pem: &str,
    listener: Listener,
) -> Result<Arc<ServerConfig>, TlsError> {
    let ca = certificate("authority's certificate (ca.pem)", ca_pem)?;
    let clients = Clients::new(fleet, &ca, listener)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain("server's certificate", chain_pem)?, key("server's key", key_pem)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Verifies clients: first that the authority signed the certificate for a client, then that it names one who may
/// come to this door.
#[derive(Debug)]
struct Clients {
    fleet: FleetName,
    listener: Listener,
    inner: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    fn new(fleet: &FleetName, ca: &CertificateDer<'_>, listener: Listener) -> Result<Self, TlsError> {
        let unusable = |_| TlsError::Pem { what: "authority's certificate (ca.pem)", content: "certificate" };
        let inner =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider()).build().map_err(unusable)?;
        Ok(Self { fleet: fleet.clone(), listener, inner })
    }

    fn grace(&self) -> Duration {
        match self.listener {
            Listener::Agents => Duration::ZERO,
            Listener::Control => RENEW_GRACE,
        }
    }

    fn may_enter(&self, peer: &PeerIdentity) -> bool {
        match (self.listener, peer) {
            (Listener::Agents | Listener::Control, PeerIdentity::Agent { .. })
            | (Listener::Control, PeerIdentity::Operator { .. }) => true,
            (Listener::Agents, PeerIdentity::Operator { .. })
            | (Listener::Agents | Listener::Control, PeerIdentity::Server { .. }) => false,
        }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.listener == Listener::Agents
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = match self.inner.verify_client_cert(leaf, others, now) {
            Err(Error::InvalidCertificate(
                expired @ (CertificateError::Expired | CertificateError::ExpiredContext { .. }),
            )) => {
                let peer = PeerCertificate::read(leaf, &self.fleet).map_err(odd)?;
                let late = timestamp(now).since(peer.not_after);
                if late > self.grace() {
                    return Err(Error::InvalidCertificate(expired));
                }
                // Everything else must still hold, as of its last moment.
                let then = UnixTime::since_unix_epoch(Duration::from_secs(peer.not_after.as_secs()));
                self.inner.verify_client_cert(leaf, others, then)?
            }
            other => other?,
        };
        let peer = PeerCertificate::read(leaf, &self.fleet).map_err(odd)?;
        if !self.may_enter(&peer.identity) {
            return Err(Error::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

pub(super) fn odd(error: IdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
