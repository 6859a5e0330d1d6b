//! What a certificate says, read strictly: anything odd is an error, never a guess.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use prunella_model::observation::Sha256 as Digest256;
use prunella_model::{FleetName, HostId, OperatorName, Timestamp};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// How long after its end a certificate still suffices to ask for a new one: a host may be off for a month.
pub const RENEW_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What an operator may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See everything.
    Viewer,
    /// Pause, resume, run repairs.
    Operator,
    /// Approve what needs approval.
    Approver,
    /// Enrol, ban, and change the policy.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The role's name in certificates, configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no role; roles are viewer, operator, approver and admin")]
pub struct UnknownRole {
    /// The text.
    pub text: String,
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole { text: text.to_owned() })
    }
}

/// Who the holder of a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerIdentity {
    /// The agent of a host, in one of its enrolments.
    Agent {
        /// The host.
        host: HostId,
        /// Its enrolment.
        enrolment: u64,
    },
    /// A server of the fleet.
    Server {
        /// Its name.
        name: HostId,
    },
    /// A person or program that operates the fleet.
    Operator {
        /// Its name.
        name: OperatorName,
        /// What it may do.
        role: Role,
    },
}

impl PeerIdentity {
    /// The SPIFFE URIs that say this, in the order in which a certificate carries them.
    #[must_use]
    pub fn uris(&self, fleet: &FleetName) -> Vec<String> {
        match self {
            Self::Agent { host, enrolment } => vec![
                format!("spiffe://{fleet}/agent/{host}"),
                format!("spiffe://{fleet}/agent/{host}/enrolment/{enrolment}"),
            ],
            Self::Server { name } => vec![format!("spiffe://{fleet}/server/{name}")],
            Self::Operator { name, role } => vec![
                format!("spiffe://{fleet}/operator/{name}"),
                format!("spiffe://{fleet}/operator/{name}/role/{role}"),
            ],
        }
    }

    fn of_uris(uris: &[&str], fleet: &FleetName) -> Result<Self, IdentityError> {
        let odd = || IdentityError::Odd { why: format!("its names are {uris:?}") };
        let mut paths = Vec::new();
        for uri in uris {
            let rest = uri.strip_prefix("spiffe://").ok_or_else(odd)?;
            let (domain, path) = rest.split_once('/').ok_or_else(odd)?;
            if domain != fleet.as_str() {
                return Err(IdentityError::WrongFleet { found: domain.to_owned(), own: fleet.clone() });
            }
            paths.push(path.split('/').collect::<Vec<_>>());
        }
        let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
        let identity = match paths[..] {
            [["server", name]] => Self::Server { name: HostId::new(name).map_err(|_| odd())? },
            [["agent", host], ["agent", again, "enrolment", number]] if host == again => Self::Agent {
                host: HostId::new(host).map_err(|_| odd())?,
                enrolment: number.parse().map_err(|_| odd())?,
            },
            [["operator", name], ["operator", again, "role", role]] if name == again => Self::Operator {
                name: OperatorName::new(name).map_err(|_| odd())?,
                role: role.parse().map_err(|_| odd())?,
            },
            _ => return Err(odd()),
        };
        // One way to write each identity: no "+1", no "01".
        if identity.uris(fleet) == uris { Ok(identity) } else { Err(odd()) }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent { host, .. } => write!(f, "agent/{host}"),
            Self::Server { name } => write!(f, "server/{name}"),
            Self::Operator { name, .. } => write!(f, "operator/{name}"),
        }
    }
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no certificate.
    #[error("the certificate cannot be read; make or fetch it anew")]
    Unreadable,
    /// It belongs to another fleet.
    #[error("the certificate is of fleet {found:?}, but this is fleet {own}; use the credentials of this fleet")]
    WrongFleet {
        /// The trust domain it names.
        found: String,
        /// The fleet here.
        own: FleetName,
    },
    /// It is not one that this fleet's authority makes.
    #[error("the certificate is not of a kind that a fleet makes: {why}")]
    Odd {
        /// What is odd.
        why: String,
    },
}

/// A certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Who its holder is.
    pub identity: PeerIdentity,
    /// Its serial number, in hex; this is what is banned.
    pub serial: String,
    /// The digest of its public key, which a renewal must keep.
    pub key: Digest256,
    /// Since when it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl PeerCertificate {
    /// Reads the leaf certificate of a TLS peer. That a fleet's authority has signed it is TLS's to check.
    ///
    /// # Errors
    /// [`IdentityError`] when it is not exactly what the authority of `fleet` makes.
    pub fn read(der: &CertificateDer<'_>, fleet: &FleetName) -> Result<Self, IdentityError> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        if !rest.is_empty() {
            return Err(IdentityError::Unreadable);
        }
        let odd = |why: &str| IdentityError::Odd { why: why.to_owned() };
        if cert.is_ca() {
            return Err(odd("it is an authority's"));
        }
        let identity = PeerIdentity::of_uris(&names(&cert)?, fleet)?;
        check_usage(&cert, &identity)?;
        Ok(Self {
            identity,
            serial: hex(cert.raw_serial()),
            key: Digest256(Sha256::digest(cert.public_key().raw).into()),
            not_before: timestamp(cert.validity().not_before.timestamp()),
            not_after: timestamp(cert.validity().not_after.timestamp()),
        })
    }

    /// Whether it has ended. Such a peer may only renew.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// When to renew it: at half its life.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        self.not_before.after(self.not_after.since(self.not_before) / 2)
    }
}

/// The URIs of a certificate; other names are a server's to have.
fn names<'a>(cert: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, IdentityError> {
    let odd = |why: &str| IdentityError::Odd { why: why.to_owned() };
    let names = cert.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
    let names = &names.ok_or_else(|| odd("it has no SPIFFE name"))?.value.general_names;
    let (mut uris, mut others) = (Vec::new(), false);
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(_) | GeneralName::IPAddress(_) => others = true,
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => return Err(odd("it has a name of an unknown kind")),
        }
    }
    // A server has one URI, everyone else two.
    if others && uris.len() != 1 {
        return Err(odd("only a server may have DNS names and addresses"));
    }
    Ok(uris)
}

/// An agent's or operator's certificate can serve nothing, and a server's can be no client.
fn check_usage(cert: &X509Certificate<'_>, identity: &PeerIdentity) -> Result<(), IdentityError> {
    let usage = cert.extended_key_usage().map_err(|_| IdentityError::Unreadable)?;
    let (server, client, other) = usage.map_or((false, false, true), |it| {
        let it = it.value;
        let other = it.any || it.code_signing || it.email_protection || it.time_stamping || it.ocsp_signing;
        (it.server_auth, it.client_auth, other || !it.other.is_empty())
    });
    let right = match identity {
        PeerIdentity::Server { .. } => server && !client && !other,
        PeerIdentity::Agent { .. } | PeerIdentity::Operator { .. } => client && !server && !other,
    };
    if right { Ok(()) } else { Err(IdentityError::Odd { why: format!("its key usage does not fit {identity}") }) }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a fleet authority's certificate: what a join token pins.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaPin(pub [u8; 32]);

impl CaPin {
    /// The pin of a certificate.
    #[must_use]
    pub fn of(ca: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(ca).into())
    }
}

impl fmt::Display for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl fmt::Debug for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_read_back_and_odd_ones_are_refused() {
        let fleet = FleetName::new("demo").unwrap();
        let agent = PeerIdentity::Agent { host: HostId::new("h1").unwrap(), enrolment: 2 };
        let operator = PeerIdentity::Operator { name: OperatorName::new("ada").unwrap(), role: Role::Admin };
        let server = PeerIdentity::Server { name: HostId::new("s1").unwrap() };
        for identity in [agent, operator, server] {
            let uris = identity.uris(&fleet);
            let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
            assert_eq!(PeerIdentity::of_uris(&uris, &fleet), Ok(identity));
        }
        for odd in [
            &[][..],
            &["spiffe://demo/agent/h1"],
            &["spiffe://demo/agent/h1", "spiffe://demo/agent/h2/enrolment/1"],
            &["spiffe://demo/agent/h1", "spiffe://demo/agent/h1/enrolment/+1"],
            &["spiffe://demo/agent/h1", "spiffe://demo/agent/h1/enrolment/01"],
            &["spiffe://demo/agent/H1", "spiffe://demo/agent/H1/enrolment/1"],
            &["spiffe://demo/agent/h1/enrolment/1", "spiffe://demo/agent/h1"],
            &["spiffe://demo/operator/ada", "spiffe://demo/operator/ada/role/root"],
            &["spiffe://demo/server/s1", "spiffe://demo/server/s2"],
            &["https://demo/server/s1"],
            &["spiffe://demo/server/../s1"],
            &["spiffe://demo/server/s1?x"],
        ] {
            assert!(matches!(PeerIdentity::of_uris(odd, &fleet), Err(IdentityError::Odd { .. })), "{odd:?}");
        }
        assert!(matches!(
            PeerIdentity::of_uris(&["spiffe://other/server/s1"], &fleet),
            Err(IdentityError::WrongFleet { .. })
        ));
    }

    #[test]
    fn roles_rise() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Approver && Role::Approver < Role::Admin);
        assert!("root".parse::<Role>().is_err());
    }
}
