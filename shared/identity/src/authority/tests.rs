use super::*;

fn fleet() -> FleetName {
    FleetName::new("demo").unwrap()
}

fn host() -> HostId {
    HostId::new("h1").unwrap()
}

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn read(issued: &Issued) -> PeerCertificate {
    let leaf = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
    PeerCertificate::read(&leaf, &fleet()).unwrap()
}

#[test]
fn certificates_say_who_they_are_for() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let request = Request::new().unwrap();
    let agent = read(&ca.issue_agent(&request.der, &host(), 3, NOW, AGENT_LIFE).unwrap());
    assert_eq!(agent.identity, PeerIdentity::Agent { host: host(), enrolment: 3 });
    assert_eq!(agent.not_after, NOW.after(AGENT_LIFE));
    assert!(agent.renew_at() > NOW.after(AGENT_LIFE / 3) && agent.renew_at() < NOW.after(AGENT_LIFE / 2));
    assert!(!agent.is_expired(NOW) && agent.is_expired(NOW.after(AGENT_LIFE * 2)));
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = read(&ca.issue_server(&host(), &names, NOW, SERVER_LIFE).unwrap().issued);
    assert_eq!(server.identity, PeerIdentity::Server { name: host() });
    let name = OperatorName::new("ada").unwrap();
    let operator = read(&ca.issue_operator(&name, Role::Approver, NOW, OPERATOR_LIFE).unwrap().issued);
    assert_eq!(operator.identity, PeerIdentity::Operator { name, role: Role::Approver });
    assert_ne!(agent.serial, server.serial);
}

#[test]
fn every_certificate_has_its_own_common_name() {
    let long = FleetName::new(&"x".repeat(63)).unwrap();
    let ca = FleetCa::create(&long, NOW).unwrap();
    let host = HostId::new(&"y".repeat(63)).unwrap();
    let issued = ca.issue_server(&host, &[], NOW, SERVER_LIFE).unwrap().issued;
    let subjects: Vec<String> = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
        .map(|der| {
            let der = der.unwrap();
            let (_, cert) = x509_parser::parse_x509_certificate(&der).unwrap();
            let name = cert.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
            assert!(name.len() <= COMMON_NAME_MAX);
            name
        })
        .collect();
    assert_eq!(subjects.len(), 2);
    assert_ne!(subjects[0], subjects[1]);
}

#[test]
fn nothing_of_a_request_but_its_key_is_used() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server s1");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names.push(SanType::URI("spiffe://demo/server/s1".try_into().unwrap()));
    let request = params.serialize_request(&key).unwrap();
    let issued = read(&ca.issue_agent(request.der(), &host(), 1, NOW, AGENT_LIFE).unwrap());
    assert_eq!(issued.identity, PeerIdentity::Agent { host: host(), enrolment: 1 });
    assert_eq!(issued.key.0, <[u8; 32]>::from(Sha256::digest(key.subject_public_key_info())));
}

#[test]
fn bad_requests_are_refused() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let issue = |der: &[u8]| ca.issue_agent(der, &host(), 1, NOW, AGENT_LIFE);
    assert!(issue(b"").is_err());
    assert!(issue(&vec![0x30; REQUEST_MAX + 1]).unwrap_err().to_string().contains("8 KiB"));
    let mut forged = Request::new().unwrap().der;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(issue(&forged).is_err(), "a request must be signed with its own key");
}

#[test]
fn a_renewal_keeps_host_enrolment_and_key_and_comes_in_time() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let request = Request::new().unwrap();
    let peer = read(&ca.issue_agent(&request.der, &host(), 3, NOW, AGENT_LIFE).unwrap());
    let later = NOW.after(AGENT_LIFE * 10);
    let again = Request::again(&request.key_pem).unwrap();
    let renewed = read(&ca.renew_agent(&peer, &again.der, later, AGENT_LIFE).unwrap());
    assert_eq!((&renewed.identity, renewed.key), (&peer.identity, peer.key));
    assert!(renewed.not_after > later);
    let other = Request::new().unwrap();
    assert!(matches!(ca.renew_agent(&peer, &other.der, later, AGENT_LIFE), Err(IssueError::OtherKey)));
    let too_late = peer.not_after.after(RENEW_GRACE + Duration::from_secs(1));
    assert!(matches!(ca.renew_agent(&peer, &again.der, too_late, AGENT_LIFE), Err(IssueError::TooLate)));
    let operator = ca.issue_operator(&OperatorName::new("ada").unwrap(), Role::Admin, NOW, OPERATOR_LIFE).unwrap();
    let operator = read(&operator.issued);
    assert!(matches!(ca.renew_agent(&operator, &again.der, NOW, AGENT_LIFE), Err(IssueError::NotAnAgent)));
}

#[test]
fn an_authority_is_loaded_only_with_its_own_key() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let loaded = FleetCa::load(&fleet(), ca.certificate_pem(), &ca.key_pem()).unwrap();
    assert_eq!(loaded.pin(), ca.pin());
    assert!(loaded.issue_server(&host(), &[], NOW, SERVER_LIFE).is_ok());
    let other = FleetCa::create(&fleet(), NOW).unwrap();
    let error = FleetCa::load(&fleet(), ca.certificate_pem(), &other.key_pem()).err().unwrap();
    assert!(error.to_string().contains("ca.key is not the key of ca.pem"), "{error}");
}

#[test]
fn a_bad_server_name_is_named() {
    let ca = FleetCa::create(&fleet(), NOW).unwrap();
    let error = ca.issue_server(&host(), &["no good".to_owned()], NOW, SERVER_LIFE).err().unwrap();
    assert!(error.to_string().contains("no good"), "{error}");
}

/// Certificates that a fleet's authority never makes, though it could sign them.
#[test]
fn odd_certificates_name_nobody() {
    let agent = ["spiffe://demo/agent/h1", "spiffe://demo/agent/h1/enrolment/1"];
    let read = |uris: &[&str], change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params_of("agent h1", NOW, AGENT_LIFE).unwrap();
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        change(&mut params);
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PeerCertificate::read(cert.der(), &fleet())
    };
    assert!(read(&agent, &|_| {}).is_ok());
    let odd = |uris: &[&str], change: &dyn Fn(&mut CertificateParams), what: &str| {
        let result = read(uris, change);
        assert!(matches!(result, Err(crate::IdentityError::Odd { .. })), "{what}: {result:?}");
    };
    odd(&agent, &|it| it.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth), "an agent that may serve");
    odd(&agent, &|it| it.extended_key_usages.clear(), "no usage named");
    odd(&agent, &|it| it.extended_key_usages.push(ExtendedKeyUsagePurpose::Any), "any usage");
    odd(&["spiffe://demo/server/s1"], &|_| {}, "a server that is a client");
    odd(&agent, &|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "an authority");
    odd(&agent, &|it| it.subject_alt_names.push(server_name("evil.example").unwrap()), "an agent with a DNS name");
    odd(&[], &|_| {}, "nobody");
    let mut trailing = FleetCa::create(&fleet(), NOW).unwrap().certificate.to_vec();
    trailing.push(0);
    let result = PeerCertificate::read(&CertificateDer::from(trailing), &fleet());
    assert_eq!(result, Err(crate::IdentityError::Unreadable));
}
