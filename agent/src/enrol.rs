//! How this host becomes a member of a fleet and remains one: its key, its certificate, what it pins.

use std::sync::Arc;
use std::time::Duration;

use prunella_identity::{JoinToken, JoinTokenError, PeerCertificate, PeerIdentity, Request};
use prunella_model::command::TrustBundle;
use prunella_model::{FleetName, HostId, Timestamp};
use prunella_proto::agent::v1 as pb;
use prunella_proto::agent::v1::enrolment_service_client::EnrolmentServiceClient;
use prunella_proto::dial::{DialError, DialOptions, dial};
use prunella_proto::wire;
use prunella_seal::{Anchor, Trust, TrustError};
use prunella_ward::Own;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;
use tonic::{Code, Status};
use zeroize::Zeroizing;

use crate::authority::ANCHOR_FILE;
use crate::execute::Oath;
use crate::state_dir::{StateDir, StateError};

const ENROLMENT_FILE: &str = "enrolment.json";
const KEY_FILE: &str = "key.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const AUTHORITY_FILE: &str = "ca.pem";

/// How long the server may take to answer: it stores the enrolment before it does.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The most certificates in a chain and addresses in an answer; more is not an answer but an attack.
const PARTS_MAX: usize = 16;

/// Why this host is not a member, or cannot remain one.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is no certificate yet and no token to get one with.
    #[error(
        "this host is not a member of a fleet yet: run `prunella token create` where you operate the fleet, \
         and start the agent with the --join TOKEN that it prints"
    )]
    NoToken,
    /// The text given is no join token.
    #[error("the join token cannot be used")]
    Token(#[from] JoinTokenError),
    /// The token is another fleet's.
    #[error(
        "this host belongs to fleet {own}, but the token is for fleet {found}: leave --join away, \
         or stop the agent and empty its state_dir to move the host"
    )]
    OtherFleet {
        /// The fleet of this host.
        own: FleetName,
        /// The fleet of the token.
        found: FleetName,
    },
    /// `agent.toml` names another host than the one that was enrolled.
    #[error(
        "agent.toml says that this host is {configured}, but it was enrolled as {enrolled}: \
         put the name back, or empty the state_dir and join again"
    )]
    OtherHost {
        /// The name in `agent.toml`.
        configured: HostId,
        /// The name that was enrolled.
        enrolled: HostId,
    },
    /// A file of the membership is missing though the others are there.
    #[error("{file} is missing in the state_dir: put it back from a backup, or empty the state_dir and join again")]
    Missing {
        /// Which file.
        file: &'static str,
    },
    /// The agent's directory cannot be used.
    #[error("the agent's state cannot be used")]
    State(#[from] StateError),
    /// A key or a certificate request could not be made, or a key read.
    #[error("no certificate request can be made")]
    Request(#[from] prunella_identity::IssueError),
    /// TLS cannot be set up with what is stored.
    #[error("the stored key and certificates cannot be used; empty the state_dir and join again")]
    Tls(#[from] prunella_identity::TlsError),
    /// The control address cannot be reached.
    #[error("the server cannot be asked")]
    Dial(#[from] DialError),
    /// The server did not answer in time.
    #[error("{address} did not answer within {} s; is it the control address?", ANSWER_MAX.as_secs())]
    Silent {
        /// The control address.
        address: String,
    },
    /// The server said no.
    #[error("{address} refused: {}. {advice}", status.message())]
    Refused {
        /// The control address.
        address: String,
        /// What the server said.
        status: Box<Status>,
        /// What to do.
        advice: &'static str,
    },
    /// The answer does not fit what was asked for.
    #[error("the server's answer is not acceptable: {why}")]
    BadAnswer {
        /// What is wrong with it.
        why: String,
    },
    /// The server's authority does not come from the root keys that the token pins.
    #[error(
        "the server cannot show the authority that the join token promises; make a new token and check its address"
    )]
    Trust(#[from] TrustError),
}

/// Where this host belongs. Stored beside its key and certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The fleet.
    pub fleet: FleetName,
    /// This host's name in it.
    pub host: HostId,
    /// Which enrolment of the host this is; commands name it.
    pub enrolment: u64,
    /// Where to renew: `host:port`.
    pub control: Vec<String>,
    /// Where to open streams: `host:port`, in the order in which to try them.
    pub agents: Vec<String>,
    /// Whether there has been a ledger. If it is gone although there was one, what was done is not known any more.
    pub ledger_begun: bool,
}

/// A member's papers.
pub struct Membership {
    state: StateDir,
    enrolment: Enrolment,
    anchor: Anchor,
    key_pem: Zeroizing<String>,
    chain_pem: String,
    authority_pem: String,
    certificate: PeerCertificate,
}

impl Membership {
    /// Reads the papers of an earlier enrolment; none when there was none.
    ///
    /// # Errors
    /// [`EnrolError`] when they are there, but not whole.
    pub fn load(state: &StateDir) -> Result<Option<Self>, EnrolError> {
        let Some(enrolment) = state.read_json::<Enrolment>(ENROLMENT_FILE)? else { return Ok(None) };
        let text = |file| -> Result<String, EnrolError> {
            let bytes = state.read(file)?.ok_or(EnrolError::Missing { file })?;
            String::from_utf8(bytes).map_err(|_| EnrolError::Missing { file })
        };
        let anchor = state.read_json(ANCHOR_FILE)?.ok_or(EnrolError::Missing { file: ANCHOR_FILE })?;
        let chain_pem = text(CERTIFICATE_FILE)?;
        let leaf = CertificateDer::from_pem_slice(chain_pem.as_bytes())
            .map_err(|_| EnrolError::Missing { file: CERTIFICATE_FILE })?;
        let certificate = own_certificate(&leaf, &enrolment)?;
        Ok(Some(Self {
            state: state.clone(),
            enrolment,
            anchor,
            key_pem: Zeroizing::new(text(KEY_FILE)?),
            chain_pem,
            authority_pem: text(AUTHORITY_FILE)?,
            certificate,
        }))
    }

    /// Trades a join token for membership, and stores the papers.
    ///
    /// # Errors
    /// [`EnrolError`] says what to do. Nothing is stored then, but the token may be used up.
    pub async fn join(state: &StateDir, host: &HostId, token: &JoinToken) -> Result<Self, EnrolError> {
        let request = Request::new()?;
        let tls = prunella_identity::pinned_client_config(&token.fleet, token.ca)?;
        let channel = connect(&token.control, tls).await?;
        let call = pb::EnrolRequest {
            secret: hex(token.secret.as_bytes()),
            host: host.to_string(),
            certificate_request: request.der.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let answer = answered(&token.control, EnrolmentServiceClient::new(channel).enrol(call)).await?;
        let papers = Self::accept(state, host, token, request.key_pem, answer)?;
        papers.store()?;
        tracing::info!(
            target: "prunella::enrol", fleet = %papers.enrolment.fleet, host = %host,
            enrolment = papers.enrolment.enrolment, "joined the fleet"
        );
        Ok(papers)
    }

    /// Whether these papers are those of `host`, and of the fleet that `token` is for.
    ///
    /// # Errors
    /// [`EnrolError::OtherHost`] or [`EnrolError::OtherFleet`].
    pub fn check(&self, host: &HostId, token: Option<&JoinToken>) -> Result<(), EnrolError> {
        let own = &self.enrolment;
        if own.host != *host {
            return Err(EnrolError::OtherHost { configured: host.clone(), enrolled: own.host.clone() });
        }
        match token {
            Some(token) if token.fleet != own.fleet => {
                Err(EnrolError::OtherFleet { own: own.fleet.clone(), found: token.fleet.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Believes nothing of an answer that the token does not vouch for.
    fn accept(
        state: &StateDir,
        host: &HostId,
        token: &JoinToken,
        key_pem: Zeroizing<String>,
        answer: pb::EnrolResponse,
    ) -> Result<Self, EnrolError> {
        token.check_ca(&CertificateDer::from(answer.authority.as_slice()))?;
        if answer.fleet != token.fleet.as_str() {
            return Err(bad_answer(format!("it is of fleet {:?}, the token of fleet {}", answer.fleet, token.fleet)));
        }
        let trust = answer.trust.ok_or_else(|| bad_answer("it has no documents of authority"))?;
        let trust: TrustBundle = wire::decode_trust(trust).map_err(|why| bad_answer(why.to_string()))?;
        let pinned = Anchor::new(token.fleet.clone(), token.roots.clone(), token.threshold);
        let trust = Trust::establish(&pinned, &trust, crate::clock::wall_now())?;
        let enrolment = Enrolment {
            fleet: token.fleet.clone(),
            host: host.clone(),
            enrolment: answer.enrolment,
            control: vec![token.control.clone()],
            agents: addresses(answer.agent_addresses)?,
            ledger_begun: false,
        };
        let certificate = own_certificate(&leaf_of(&answer.certificates)?, &enrolment)?;
        Ok(Self {
            state: state.clone(),
            anchor: trust.anchor().clone(),
            enrolment,
            key_pem,
            chain_pem: chain_pem(&answer.certificates),
            authority_pem: pem(&answer.authority),
            certificate,
        })
    }

    /// The enrolment comes last: without it the rest counts as nothing.
    fn store(&self) -> Result<(), EnrolError> {
        self.state.write(KEY_FILE, self.key_pem.as_bytes())?;
        self.state.write(CERTIFICATE_FILE, self.chain_pem.as_bytes())?;
        self.state.write(AUTHORITY_FILE, self.authority_pem.as_bytes())?;
        self.state.write_json(ANCHOR_FILE, &self.anchor)?;
        Ok(self.state.write_json(ENROLMENT_FILE, &self.enrolment)?)
    }

    /// Where this host belongs.
    #[must_use]
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// What is pinned.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// When to renew the certificate, by the wall clock.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        self.certificate.renew_at()
    }

    /// Until when the certificate opens streams.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.certificate.not_after
    }

    /// The settings of a TLS connection as this host.
    ///
    /// # Errors
    /// [`EnrolError::Tls`] when the papers do not fit together.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, EnrolError> {
        let fleet = &self.enrolment.fleet;
        Ok(prunella_identity::client_config(fleet, &self.authority_pem, &self.chain_pem, &self.key_pem)?)
    }

    /// What is needed to ask for a new certificate. It holds no reference, so that the asking can go on by itself.
    ///
    /// # Errors
    /// [`EnrolError`] when the papers cannot be used.
    pub fn renewal(&self, control: &[String]) -> Result<Renewal, EnrolError> {
        let control = if control.is_empty() { &self.enrolment.control } else { control };
        Ok(Renewal { request: Request::again(&self.key_pem)?.der, tls: self.tls()?, control: control.to_vec() })
    }

    /// Takes a new certificate over and stores it.
    ///
    /// # Errors
    /// [`EnrolError::BadAnswer`] when it is not this host's, or another authority's.
    pub fn renewed(&mut self, answer: &pb::RenewResponse) -> Result<(), EnrolError> {
        let certificate = own_certificate(&leaf_of(&answer.certificates)?, &self.enrolment)?;
        if certificate.key != self.certificate.key {
            return Err(bad_answer("the new certificate is for another key"));
        }
        if pem(&answer.authority) != self.authority_pem {
            return Err(bad_answer(
                "it names another authority; join again with a new token if the fleet's has changed",
            ));
        }
        self.chain_pem = chain_pem(&answer.certificates);
        self.certificate = certificate;
        self.state.write(CERTIFICATE_FILE, self.chain_pem.as_bytes())?;
        let agents = addresses(answer.agent_addresses.clone())?;
        if agents != self.enrolment.agents {
            self.enrolment.agents = agents;
            self.state.write_json(ENROLMENT_FILE, &self.enrolment)?;
        }
        Ok(())
    }
}

impl Oath for Membership {
    fn own(&self) -> Own {
        let it = &self.enrolment;
        Own { fleet: it.fleet.clone(), host: it.host.clone(), enrolment: it.enrolment }
    }

    fn ledger_begun(&self) -> bool {
        self.enrolment.ledger_begun
    }

    fn begin_ledger(&mut self) -> Result<(), StateError> {
        self.enrolment.ledger_begun = true;
        self.state.write_json(ENROLMENT_FILE, &self.enrolment)
    }
}

/// A request for a new certificate, ready to be sent.
pub struct Renewal {
    request: Vec<u8>,
    tls: Arc<ClientConfig>,
    control: Vec<String>,
}

impl Renewal {
    /// Asks each control address in turn until one answers.
    ///
    /// # Errors
    /// The [`EnrolError`] of the last address.
    pub async fn ask(self) -> Result<pb::RenewResponse, EnrolError> {
        let mut last = bad_answer("no control address is known; write one into agent.toml");
        for address in &self.control {
            match self.ask_one(address).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_one(&self, address: &str) -> Result<pb::RenewResponse, EnrolError> {
        let channel = connect(address, self.tls.clone()).await?;
        let call = pb::RenewRequest { certificate_request: self.request.clone() };
        answered(address, EnrolmentServiceClient::new(channel).renew(call)).await
    }
}

async fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<Channel, DialError> {
    let options =
        DialOptions { small_windows: true, explain: prunella_identity::explain_tls, ..DialOptions::default() };
    dial(address, tls, &options).await
}

async fn answered<T>(
    address: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, EnrolError> {
    match tokio::time::timeout(ANSWER_MAX, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            Err(EnrolError::Refused { address: address.to_owned(), advice: advice(&status), status: Box::new(status) })
        }
        Err(_) => Err(EnrolError::Silent { address: address.to_owned() }),
    }
}

/// What to do about a refusal, after the server's own words.
fn advice(status: &Status) -> &'static str {
    match status.code() {
        // The server has said how to get another token.
        _ if status.message().contains("prunella token create") => "A token is good once and for ten minutes",
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFound | Code::FailedPrecondition => {
            "A token is good once and for ten minutes: make a new one with `prunella token create`"
        }
        Code::AlreadyExists => "Choose another host name in agent.toml, or remove the old host first",
        Code::Unimplemented => "Is this the control address, and not the one for agents?",
        Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
            "Try again in a moment"
        }
        Code::InvalidArgument | Code::OutOfRange => {
            "Check the host name in agent.toml, and upgrade whichever side is older"
        }
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => "The server's log says more",
    }
}

fn bad_answer(why: impl Into<String>) -> EnrolError {
    EnrolError::BadAnswer { why: why.into() }
}

fn leaf_of(chain: &[Vec<u8>]) -> Result<CertificateDer<'_>, EnrolError> {
    if chain.len() > PARTS_MAX {
        return Err(bad_answer("its certificate chain is too long"));
    }
    let leaf = chain.first().ok_or_else(|| bad_answer("it has no certificate"))?;
    Ok(CertificateDer::from(leaf.as_slice()))
}

/// Reads a certificate, and insists that it is this host's.
fn own_certificate(leaf: &CertificateDer<'_>, own: &Enrolment) -> Result<PeerCertificate, EnrolError> {
    let read = PeerCertificate::read(leaf, &own.fleet).map_err(|why| bad_answer(why.to_string()))?;
    let expected = PeerIdentity::Agent { host: own.host.clone(), enrolment: own.enrolment };
    if read.identity == expected {
        Ok(read)
    } else {
        Err(bad_answer(format!("the certificate is for {}, not for {expected}", read.identity)))
    }
}

fn addresses(given: Vec<String>) -> Result<Vec<String>, EnrolError> {
    if given.is_empty() || given.len() > PARTS_MAX || given.iter().any(|it| it.is_empty() || it.len() > 255) {
        return Err(bad_answer("it does not say where agents connect"));
    }
    Ok(given)
}

fn chain_pem(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|it| pem(it)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A certificate in PEM.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests;
