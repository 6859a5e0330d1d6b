use std::time::{Duration, SystemTime};

use prunella_model::{FleetName, HostId, OperatorName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::*;
use crate::authority::{AGENT_LIFE, Credential, FleetCa, OPERATOR_LIFE, Request, SERVER_LIFE};
use crate::peer::{PeerCertificate, PeerIdentity, RENEW_GRACE, Role};

/// Handshakes read the real clock, so certificates are made around it.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_secs(since.as_secs())
}

struct Fleet {
    name: FleetName,
    ca: FleetCa,
    server: Credential,
}

impl Fleet {
    fn new(name: &str) -> Self {
        let name = FleetName::new(name).unwrap();
        let ca = FleetCa::create(&name, now()).unwrap();
        let server = ca.issue_server(&HostId::new("s1").unwrap(), &["127.0.0.1".into()], now(), SERVER_LIFE).unwrap();
        Self { name, ca, server }
    }

    fn listener(&self, listener: Listener) -> Arc<ServerConfig> {
        let server = &self.server;
        let (chain, key) = (&server.issued.chain_pem, &server.key_pem);
        server_config(&self.name, self.ca.certificate_pem(), chain, key, listener).unwrap()
    }

    /// An agent whose certificate ended this long ago.
    fn agent(&self, ended: Duration) -> Arc<ClientConfig> {
        let request = Request::new().unwrap();
        let host = HostId::new("h1").unwrap();
        let then = now().before(ended + AGENT_LIFE);
        let then = if ended.is_zero() { now() } else { then };
        let issued = self.ca.issue_agent(&request.der, &host, 1, then, AGENT_LIFE).unwrap();
        client_config(&self.name, self.ca.certificate_pem(), &issued.chain_pem, &request.key_pem).unwrap()
    }

    fn operator(&self) -> Arc<ClientConfig> {
        let name = OperatorName::new("ada").unwrap();
        let it = self.ca.issue_operator(&name, Role::Admin, now(), OPERATOR_LIFE).unwrap();
        client_config(&self.name, self.ca.certificate_pem(), &it.issued.chain_pem, &it.key_pem).unwrap()
    }
}

/// Runs a handshake in memory: the server's view of its client, or who failed and why.
fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Result<Option<Vec<u8>>, (&'static str, String)> {
    let mut client = ClientConnection::new(client, "anything.example".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| ("server", explain_tls(&error)))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| ("client", explain_tls(&error)))?;
        if !client.is_handshaking() && !server.is_handshaking() {
            assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
            assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
            return Ok(server.peer_certificates().map(|chain| chain[0].to_vec()));
        }
    }
    Err(("nobody", "the handshake does not end".to_owned()))
}

fn peer(fleet: &Fleet, leaf: Option<Vec<u8>>) -> PeerCertificate {
    PeerCertificate::read(&CertificateDer::from(leaf.unwrap()), &fleet.name).unwrap()
}

#[test]
fn an_agent_is_known_by_its_certificate() {
    let fleet = Fleet::new("demo");
    let leaf = handshake(fleet.listener(Listener::Agents), fleet.agent(Duration::ZERO)).unwrap();
    assert_eq!(peer(&fleet, leaf).identity, PeerIdentity::Agent { host: HostId::new("h1").unwrap(), enrolment: 1 });
}

#[test]
fn the_agents_door_wants_an_agents_certificate() {
    let fleet = Fleet::new("demo");
    let nobody = token_client_config(&fleet.name, fleet.ca.certificate_pem()).unwrap();
    let (who, why) = handshake(fleet.listener(Listener::Agents), nobody).unwrap_err();
    assert!(who == "server" && why.contains("join token"), "{who}: {why}");
    let (who, why) = handshake(fleet.listener(Listener::Agents), fleet.operator()).unwrap_err();
    assert!(who == "server" && why.contains("role"), "{who}: {why}");
}

#[test]
fn the_control_door_takes_operators_and_those_without_a_certificate() {
    let fleet = Fleet::new("demo");
    let leaf = handshake(fleet.listener(Listener::Control), fleet.operator()).unwrap();
    assert!(matches!(peer(&fleet, leaf).identity, PeerIdentity::Operator { role: Role::Admin, .. }));
    let nobody = token_client_config(&fleet.name, fleet.ca.certificate_pem()).unwrap();
    assert_eq!(handshake(fleet.listener(Listener::Control), nobody), Ok(None));
}

#[test]
fn an_expired_certificate_may_only_knock_at_the_control_door_for_thirty_days() {
    let fleet = Fleet::new("demo");
    let hour = Duration::from_secs(3600);
    let (who, why) = handshake(fleet.listener(Listener::Agents), fleet.agent(hour)).unwrap_err();
    assert!(who == "server" && why.contains("expired"), "{who}: {why}");
    let leaf = handshake(fleet.listener(Listener::Control), fleet.agent(hour)).unwrap();
    assert!(peer(&fleet, leaf).is_expired(now()), "it is marked");
    let (who, why) = handshake(fleet.listener(Listener::Control), fleet.agent(RENEW_GRACE + hour)).unwrap_err();
    assert!(who == "server" && why.contains("expired"), "{who}: {why}");
}

#[test]
fn another_fleets_credentials_are_refused_on_both_sides() {
    // The same name, but another authority.
    let (ours, theirs) = (Fleet::new("demo"), Fleet::new("demo"));
    let (who, why) = handshake(ours.listener(Listener::Agents), theirs.agent(Duration::ZERO)).unwrap_err();
    assert!(who == "client" && why.contains("not made by this fleet's authority"), "{who}: {why}");
    // An agent that trusts our server, with a certificate of the other authority.
    let request = Request::new().unwrap();
    let issued = theirs.ca.issue_agent(&request.der, &HostId::new("h1").unwrap(), 1, now(), AGENT_LIFE).unwrap();
    let mixed = client_config(&ours.name, ours.ca.certificate_pem(), &issued.chain_pem, &request.key_pem).unwrap();
    for listener in [Listener::Agents, Listener::Control] {
        let (who, _) = handshake(ours.listener(listener), mixed.clone()).unwrap_err();
        assert_eq!(who, "server");
    }
}

#[test]
fn an_agent_can_serve_nothing() {
    let fleet = Fleet::new("demo");
    let request = Request::new().unwrap();
    let issued = fleet.ca.issue_agent(&request.der, &HostId::new("h1").unwrap(), 1, now(), AGENT_LIFE).unwrap();
    let ca = fleet.ca.certificate_pem();
    let imposter = server_config(&fleet.name, ca, &issued.chain_pem, &request.key_pem, Listener::Control).unwrap();
    for client in [fleet.operator(), pinned_client_config(&fleet.name, fleet.ca.pin()).unwrap()] {
        let (who, _) = handshake(imposter.clone(), client).unwrap_err();
        assert_eq!(who, "client");
    }
}

#[test]
fn enrolment_accepts_the_pinned_authority_alone() {
    let (fleet, other) = (Fleet::new("demo"), Fleet::new("demo"));
    let good = pinned_client_config(&fleet.name, fleet.ca.pin()).unwrap();
    assert_eq!(handshake(fleet.listener(Listener::Control), good), Ok(None));
    let wrong = pinned_client_config(&fleet.name, other.ca.pin()).unwrap();
    let (who, why) = handshake(fleet.listener(Listener::Control), wrong).unwrap_err();
    assert!(who == "client" && why.contains("pins") && why.contains("make a new token"), "{who}: {why}");
    let misnamed = pinned_client_config(&FleetName::new("other").unwrap(), fleet.ca.pin()).unwrap();
    let (who, why) = handshake(fleet.listener(Listener::Control), misnamed).unwrap_err();
    assert!(who == "client" && why.contains("of fleet \"demo\""), "{who}: {why}");
}

#[test]
fn the_pinned_certificate_must_have_signed_the_server() {
    // A chain that merely shows the pinned certificate beside a server certificate of another authority.
    let (fleet, other) = (Fleet::new("demo"), Fleet::new("demo"));
    let leaf = other.server.issued.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let chain = format!("{leaf}{}", fleet.ca.certificate_pem());
    let ca = fleet.ca.certificate_pem();
    let imposter = server_config(&fleet.name, ca, &chain, &other.server.key_pem, Listener::Control).unwrap();
    let client = pinned_client_config(&fleet.name, fleet.ca.pin()).unwrap();
    assert_eq!(handshake(imposter, client).unwrap_err().0, "client");
}
