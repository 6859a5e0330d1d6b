//! The settings of those who dial a server: agents, operators, and hosts that enrol.
//!
//! A server is known by its certificate alone (of this fleet's authority, for a server of this fleet), not by the
//! address that it was reached by, so that it may be reached through tunnels and forwarded ports.

use std::sync::Arc;

use prunella_model::FleetName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::server::odd;
use super::{TlsError, certificate, chain, key, provider, roots};
use crate::join::JoinTokenError;
use crate::peer::{CaPin, PeerCertificate, PeerIdentity};

/// For who has a certificate: agents and operators.
///
/// # Errors
/// [`TlsError`] says which file is unusable.
pub fn client_config(
    fleet: &FleetName,
    ca_pem: &str,
    chain_pem: &str,
    key_pem: &str,
) -> Result<Arc<ClientConfig>, TlsError> {
    let server = Authority::Known(roots(&certificate("authority's certificate (ca.pem)", ca_pem)?)?);
    let config = builder(fleet, server)?
        .with_client_auth_cert(chain("client's certificate", chain_pem)?, key("client's key", key_pem)?)?;
    Ok(finish(config))
}

/// For operators with a bearer token.
///
/// # Errors
/// [`TlsError`] when the authority's certificate is unusable.
pub fn token_client_config(fleet: &FleetName, ca_pem: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let server = Authority::Known(roots(&certificate("authority's certificate (ca.pem)", ca_pem)?)?);
    Ok(finish(builder(fleet, server)?.with_no_client_auth()))
}

/// For a host that enrols: it knows nothing of the authority but the pin in its join token.
///
/// # Errors
/// [`TlsError`] when the library cannot do TLS 1.3, which never happens.
pub fn pinned_client_config(fleet: &FleetName, pin: CaPin) -> Result<Arc<ClientConfig>, TlsError> {
    Ok(finish(builder(fleet, Authority::Pinned(pin))?.with_no_client_auth()))
}

fn builder(
    fleet: &FleetName,
    authority: Authority,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let servers = Servers { fleet: fleet.clone(), authority, algorithms };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers)))
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

#[derive(Debug)]
enum Authority {
    Known(RootCertStore),
    Pinned(CaPin),
}

#[derive(Debug)]
struct Servers {
    fleet: FleetName,
    authority: Authority,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let check = |roots| verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, self.algorithms.all);
        match &self.authority {
            Authority::Known(roots) => check(roots)?,
            Authority::Pinned(pin) => check(&pinned(*pin, others)?)?,
        }
        match PeerCertificate::read(leaf, &self.fleet).map_err(odd)?.identity {
            PeerIdentity::Server { .. } => Ok(ServerCertVerified::assertion()),
            PeerIdentity::Agent { .. } | PeerIdentity::Operator { .. } => {
                Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The pinned authority among the certificates that the server sent.
fn pinned(pin: CaPin, others: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
    let Some(ca) = others.iter().find(|it| CaPin::of(it) == pin) else {
        return Err(match others.last() {
            Some(last) => {
                let wrong = JoinTokenError::WrongCa { found: CaPin::of(last), pinned: pin };
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong))))
            }
            None => Error::InvalidCertificate(CertificateError::UnknownIssuer),
        });
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    Ok(roots)
}
