//! Enrolment: a join token becomes a certificate, and a certificate its successor.

use std::sync::Arc;

use prunella_identity::{Issued, Secret};
use prunella_model::{FleetName, HostId};
use prunella_proto::agent::v1 as pb;
use prunella_proto::agent::v1::enrolment_service_server::EnrolmentService;
use prunella_proto::wire;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::{Code, Request, Response, Status};

use super::accept::Peer;
use super::error;
use crate::clock::Clock;
use crate::denials::Denials;
use crate::enrolment::Enrolments;
use crate::sessions::Sessions;

/// Serves `EnrolmentService`.
#[derive(Debug, Clone)]
pub struct Enrol {
    /// The fleet's name.
    pub fleet: FleetName,
    /// Who is a member.
    pub enrolments: Arc<Enrolments>,
    /// Where the server's authority to command is known.
    pub sessions: Arc<Sessions>,
    /// Where denials are noted.
    pub denials: Denials,
    /// The time.
    pub clock: Clock,
    /// Where agents connect.
    pub agent_addresses: Arc<Vec<String>>,
}

#[tonic::async_trait]
impl EnrolmentService for Enrol {
    async fn enrol(&self, request: Request<pb::EnrolRequest>) -> Result<Response<pb::EnrolResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let enrolled = self.admit(request.into_inner()).await;
        self.noted("/prunella.agent.v1.EnrolmentService/Enrol", peer.as_ref(), enrolled)
    }

    async fn renew(&self, request: Request<pb::RenewRequest>) -> Result<Response<pb::RenewResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let renewed = self.extend(peer.as_ref(), request.get_ref());
        self.noted("/prunella.agent.v1.EnrolmentService/Renew", peer.as_ref(), renewed)
    }
}

impl Enrol {
    /// The answer; a denial is noted like one of the gate's.
    fn noted<T>(&self, path: &str, peer: Option<&Peer>, result: Result<T, Status>) -> Result<Response<T>, Status> {
        result.map(Response::new).inspect_err(|status| {
            if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) {
                self.denials.note(path, peer, status);
            }
        })
    }

    async fn admit(&self, request: pb::EnrolRequest) -> Result<pb::EnrolResponse, Status> {
        let host = HostId::new(&request.host).map_err(|error| error::invalid("host", error))?;
        let secret = secret(&request.secret)?;
        let (enrolment, issued) =
            self.enrolments.enrol(&secret, &host, &request.certificate_request, self.clock.now()).await?;
        // A session of an earlier enrolment is a stranger's now.
        self.sessions.kill(&host);
        tracing::info!(target: "prunella::rpc", %host, enrolment = enrolment.number, agent_version = cut(&request.agent_version), "enrolled");
        let (certificates, authority) = self.chain(&issued)?;
        Ok(pb::EnrolResponse {
            certificates,
            authority,
            agent_addresses: self.agent_addresses.to_vec(),
            trust: Some(wire::encode_trust(&self.sessions.trust())),
            enrolment: enrolment.number,
            fleet: self.fleet.to_string(),
        })
    }

    fn extend(&self, peer: Option<&Peer>, request: &pb::RenewRequest) -> Result<pb::RenewResponse, Status> {
        let why = "this needs the certificate of an agent of this fleet";
        let certificate = peer.and_then(|it| it.certificate.as_ref());
        let certificate = certificate.ok_or_else(|| error::unauthenticated("NOT_AN_AGENT", why))?;
        let issued = self.enrolments.renew(certificate, &request.certificate_request, self.clock.now())?;
        tracing::info!(target: "prunella::rpc", agent = %certificate.identity, serial = issued.serial, "renewed a certificate");
        let (certificates, authority) = self.chain(&issued)?;
        let agent_addresses = self.agent_addresses.to_vec();
        Ok(pb::RenewResponse { certificates, authority, agent_addresses })
    }

    /// The new chain and the authority's own certificate, in DER.
    fn chain(&self, issued: &Issued) -> Result<(Vec<Vec<u8>>, Vec<u8>), Status> {
        let bad = |error: rustls_pki_types::pem::Error| error::internal("reading the new certificate", &error);
        let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
            .map(|it| it.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(bad)?;
        let authority = CertificateDer::from_pem_slice(self.enrolments.ca().certificate_pem().as_bytes());
        Ok((chain, authority.map_err(bad)?.to_vec()))
    }
}

/// Reads a join token's secret: 32 bytes in hexadecimal.
fn secret(text: &str) -> Result<Secret, Status> {
    let bad = || error::invalid("secret", "must be the join token's secret, 32 bytes in hexadecimal");
    let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| bad())?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|it| it.bytes().all(|digit| digit.is_ascii_hexdigit()));
        *byte = pair.and_then(|it| u8::from_str_radix(it, 16).ok()).ok_or_else(bad)?;
    }
    Ok(Secret::from_bytes(bytes))
}

/// A text from outside, for the log.
fn cut(text: &str) -> String {
    text.chars().take(64).filter(|it| !it.is_control()).collect()
}
