//! The fleet's certificate authority.

use std::net::IpAddr;
use std::time::Duration;

use prunella_model::observation::Sha256 as Digest256;
use prunella_model::{FleetName, HostId, OperatorName, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::peer::{CaPin, PeerCertificate, PeerIdentity, RENEW_GRACE, Role};

/// The life of a fleet's authority: its rotation is a deliberate act.
pub const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The life of an agent's certificate; it renews itself at half of it.
pub const AGENT_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The life of a server's certificate.
pub const SERVER_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// The life of an operator's certificate.
pub const OPERATOR_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Certificates begin this much before they are made, for hosts whose clocks are behind.
const BACKDATE: Duration = Duration::from_secs(300);

/// The largest certificate request, in bytes: one for P-256 has some 250.
const REQUEST_MAX: usize = 8 * 1024;

/// What the CommonName of an authority begins with; the name of its fleet follows.
pub(crate) const CA_TITLE: &str = "Fleet CA ";

/// The most letters in a CommonName (RFC 5280, upper bound).
pub(crate) const COMMON_NAME_MAX: usize = 64;

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The authority's own files cannot be used.
    #[error("the fleet's certificate authority cannot be loaded: {why}")]
    Authority {
        /// Which file, and what is wrong with it.
        why: &'static str,
    },
    /// The request cannot be used.
    #[error("the certificate request is not acceptable: {why}")]
    Request {
        /// What is wrong.
        why: &'static str,
    },
    /// A renewal comes too late.
    #[error("the certificate expired more than 30 days ago; enrol the host again with a new join token")]
    TooLate,
    /// A renewal is asked with another key.
    #[error("a renewal must keep the key of the certificate; enrol the host again to change it")]
    OtherKey,
    /// A renewal is asked by somebody who is no agent.
    #[error("only an agent's certificate is renewed")]
    NotAnAgent,
    /// A name of a server is neither a DNS name nor an address.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The certificate could not be encoded or signed.
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
}

/// A new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf and the authority's certificate, in PEM.
    pub chain_pem: String,
    /// The leaf's serial number, in hex.
    pub serial: String,
    /// Until when it is good.
    pub not_after: Timestamp,
}

/// A new certificate with the key that was made for it.
pub struct Credential {
    /// The certificate.
    pub issued: Issued,
    /// Its private key, in PEM, for a file that only its owner may read.
    pub key_pem: Zeroizing<String>,
}

/// A certificate request: a new key, and the text that asks for a certificate of it. Made where the key stays.
pub struct Request {
    /// The private key, in PEM, for a file that only its owner may read.
    pub key_pem: Zeroizing<String>,
    /// The request, in DER. It carries the public key alone: who its holder is, the authority decides.
    pub der: Vec<u8>,
}

impl Request {
    /// Makes a new key and a request for it.
    ///
    /// # Errors
    /// [`IssueError::Make`] when the system cannot make keys.
    pub fn new() -> Result<Self, IssueError> {
        let key = KeyPair::generate()?;
        Ok(Self { key_pem: Zeroizing::new(key.serialize_pem()), der: request_of(&key)? })
    }

    /// A request for the same key again, as a renewal needs it.
    ///
    /// # Errors
    /// [`IssueError::Request`] when the text is no private key.
    pub fn again(key_pem: &str) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(key_pem)
            .map_err(|_| IssueError::Request { why: "the key file holds no private key in PEM" })?;
        Ok(Self { key_pem: Zeroizing::new(key_pem.to_owned()), der: request_of(&key)? })
    }
}

fn request_of(key: &KeyPair) -> Result<Vec<u8>, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// A fleet's certificate authority, key included.
pub struct FleetCa {
    fleet: FleetName,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl FleetCa {
    /// Makes a new authority.
    ///
    /// # Errors
    /// [`IssueError`] when the system cannot make keys.
    pub fn create(fleet: &FleetName, now: Timestamp) -> Result<Self, IssueError> {
        let key = KeyPair::generate()?;
        let mut params = params_of(&format!("{CA_TITLE}{fleet}"), now, CA_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            fleet: fleet.clone(),
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Loads an authority from its two files.
    ///
    /// # Errors
    /// [`IssueError::Authority`] says which of them is unusable.
    pub fn load(fleet: &FleetName, certificate_pem: &str, key_pem: &str) -> Result<Self, IssueError> {
        let bad = |why| IssueError::Authority { why };
        let key = KeyPair::from_pem(key_pem).map_err(|_| bad("ca.key holds no private key in PEM"))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| bad("ca.pem holds no certificate in PEM"))?;
        if spki_digest(&certificate) != Some(Sha256::digest(key.subject_public_key_info()).into()) {
            return Err(bad("ca.key is not the key of ca.pem"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| bad("ca.pem holds no certificate of an authority"))?;
        Ok(Self { fleet: fleet.clone(), certificate, certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The authority's certificate, in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key, in PEM, for a file that only its owner may read.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// What join tokens pin.
    #[must_use]
    pub fn pin(&self) -> CaPin {
        CaPin::of(&self.certificate)
    }

    /// Makes an agent's certificate. Nothing of the request but its public key is used.
    ///
    /// # Errors
    /// [`IssueError`] says what is wrong with the request.
    pub fn issue_agent(
        &self,
        request: &[u8],
        host: &HostId,
        enrolment: u64,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, IssueError> {
        let identity = PeerIdentity::Agent { host: host.clone(), enrolment };
        self.issue(&read_request(request)?.public_key, &identity, &[], now, life)
    }

    /// Makes the next certificate of an agent that has `peer`, for the same host, enrolment and key.
    ///
    /// # Errors
    /// [`IssueError`] when `peer` is no agent, too old, or the request has another key.
    pub fn renew_agent(
        &self,
        peer: &PeerCertificate,
        request: &[u8],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, IssueError> {
        let PeerIdentity::Agent { .. } = &peer.identity else { return Err(IssueError::NotAnAgent) };
        if now.since(peer.not_after) > RENEW_GRACE {
            return Err(IssueError::TooLate);
        }
        let request = read_request(request)?;
        if Digest256(Sha256::digest(request.public_key.subject_public_key_info()).into()) != peer.key {
            return Err(IssueError::OtherKey);
        }
        self.issue(&request.public_key, &peer.identity, &[], now, life)
    }

    /// Makes a server's key and certificate. `names` are the DNS names and IP addresses that it is reached by.
    ///
    /// # Errors
    /// [`IssueError`] says which name is wrong.
    pub fn issue_server(
        &self,
        name: &HostId,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<Credential, IssueError> {
        self.credential(&PeerIdentity::Server { name: name.clone() }, names, now, life)
    }

    /// Makes an operator's key and certificate.
    ///
    /// # Errors
    /// [`IssueError`] when the system cannot make keys.
    pub fn issue_operator(
        &self,
        name: &OperatorName,
        role: Role,
        now: Timestamp,
        life: Duration,
    ) -> Result<Credential, IssueError> {
        self.credential(&PeerIdentity::Operator { name: name.clone(), role }, &[], now, life)
    }

    fn credential(
        &self,
        identity: &PeerIdentity,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<Credential, IssueError> {
        let key = KeyPair::generate()?;
        let issued = self.issue(&key, identity, names, now, life)?;
        Ok(Credential { issued, key_pem: Zeroizing::new(key.serialize_pem()) })
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        identity: &PeerIdentity,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, IssueError> {
        let (title, usage) = match identity {
            PeerIdentity::Agent { host, .. } => (format!("agent {host}"), ExtendedKeyUsagePurpose::ClientAuth),
            PeerIdentity::Server { name } => (format!("server {name}"), ExtendedKeyUsagePurpose::ServerAuth),
            PeerIdentity::Operator { name, .. } => (format!("operator {name}"), ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = params_of(&title, now, life)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        for uri in identity.uris(&self.fleet) {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri)?));
        }
        for name in names {
            params.subject_alt_names.push(server_name(name)?);
        }
        let leaf = params.signed_by(key, &self.issuer)?;
        Ok(Issued {
            chain_pem: format!("{}{}", leaf.pem(), self.certificate_pem),
            serial: serial_of(leaf.der()),
            not_after: Timestamp::from_secs(u64::try_from(params.not_after.unix_timestamp()).unwrap_or(0)),
        })
    }
}

/// What all certificates have in common. Each has a CommonName of its own: clients that compare a leaf's subject with
/// its authority's would otherwise take it for self-signed.
fn params_of(title: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, title.chars().take(COMMON_NAME_MAX).collect::<String>());
    params.not_before = date(now.before(BACKDATE));
    params.not_after = date(now.after(life));
    // 16 random bytes, positive and without leading zeros, as RFC 5280 wants it.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn server_name(name: &str) -> Result<SanType, IssueError> {
    let bad = || IssueError::BadServerName { name: name.to_owned() };
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => match rustls_pki_types::DnsName::try_from(name) {
            Ok(_) => Ok(SanType::DnsName(Ia5String::try_from(name.to_owned()).map_err(|_| bad())?)),
            Err(_) => Err(bad()),
        },
    }
}

fn read_request(der: &[u8]) -> Result<CertificateSigningRequestParams, IssueError> {
    let bad = |why| IssueError::Request { why };
    if der.len() > REQUEST_MAX {
        return Err(bad("it is larger than 8 KiB"));
    }
    // This also verifies that the asker holds the private key.
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|_| bad("it is not a PKCS#10 request signed with its own key"))?;
    let algorithm = request.public_key.algorithm();
    if *algorithm != rcgen::PKCS_ECDSA_P256_SHA256 && *algorithm != rcgen::PKCS_ED25519 {
        return Err(bad("its key must be ECDSA P-256 or Ed25519"));
    }
    Ok(request)
}

fn spki_digest(der: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(Sha256::digest(cert.public_key().raw).into())
}

fn serial_of(der: &CertificateDer<'_>) -> String {
    x509_parser::parse_x509_certificate(der)
        .map(|(_, cert)| cert.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
