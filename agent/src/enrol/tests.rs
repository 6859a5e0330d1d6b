//! Over real TLS, against the smallest server that a real agent can join.

use std::sync::Arc;

use super::*;
use crate::fixture::server::{MiniServer, foreign_pin};
use crate::fixture::{Fleet, Host};

struct Lab {
    fleet: Arc<Fleet>,
    server: MiniServer,
    host: Host,
}

impl Lab {
    async fn new() -> Self {
        let fleet = Arc::new(Fleet::new());
        Self { server: MiniServer::start(&fleet).await, fleet, host: Host::new("") }
    }

    async fn join(&self, change: impl FnOnce(&mut JoinToken)) -> Result<Membership, EnrolError> {
        let mut token = self.server.token(&self.fleet);
        change(&mut token);
        Membership::join(&self.host.state, &self.host.config.host, &token).await
    }

    /// Why a spoiled answer of the server is not believed.
    async fn spoiled(&self, spoil: impl Fn(&mut pb::EnrolResponse) + Send + Sync + 'static) -> String {
        *self.server.spoil.lock().unwrap() = Some(Box::new(spoil));
        let error = self.join(|_| ()).await.err().expect("the answer was believed");
        assert!(Membership::load(&self.host.state).unwrap().is_none(), "nothing may be stored");
        crate::driver::causes(&error)
    }
}

#[tokio::test]
async fn a_token_makes_a_member_that_can_renew_with_the_same_key() {
    let lab = Lab::new().await;
    let joined = lab.join(|_| ()).await.unwrap();
    assert_eq!((joined.enrolment().enrolment, joined.enrolment().host.as_str()), (3, "h1"));
    let mut again = Membership::load(&lab.host.state).unwrap().unwrap();
    assert_eq!(again.enrolment(), joined.enrolment());
    assert_eq!(again.anchor(), joined.anchor());
    assert!(again.renew_at() < again.expires_at());
    let before = (again.chain_pem.clone(), again.certificate.key);
    let answer = again.renewal(&[]).unwrap().ask().await.unwrap();
    again.renewed(&answer).unwrap();
    assert_ne!(again.chain_pem, before.0);
    assert_eq!(again.certificate.key, before.1);
    assert_eq!(Membership::load(&lab.host.state).unwrap().unwrap().chain_pem, again.chain_pem);
}

#[tokio::test]
async fn a_wrong_pin_a_used_token_and_a_dead_server_say_what_to_do() {
    let lab = Lab::new().await;
    let said = |result: Result<Membership, EnrolError>| crate::driver::causes(&result.err().expect("it joined"));
    let wrong_pin = said(lab.join(|token| token.ca = foreign_pin()).await);
    assert!(wrong_pin.contains("pin") && wrong_pin.contains("token"), "{wrong_pin}");
    let used = said(lab.join(|token| token.secret = prunella_identity::Secret::from_bytes([6; 32])).await);
    assert!(used.contains("has been used") && used.matches("prunella token create").count() == 1, "{used}");
    let dead = said(lab.join(|token| token.control = "127.0.0.1:1".to_owned()).await);
    assert!(dead.contains("nothing listens at 127.0.0.1:1"), "{dead}");
    let door = said(lab.join(|token| token.control = lab.server.agents.clone()).await);
    assert!(door.contains("for agents alone") || door.contains("certificate"), "{door}");
    assert!(Membership::load(&lab.host.state).unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_believed_that_the_token_does_not_vouch_for() {
    let lab = Lab::new().await;
    assert!(lab.spoiled(|it| it.fleet = "other".to_owned()).await.contains("of fleet \"other\""));
    assert!(lab.spoiled(|it| it.authority[20] ^= 1).await.contains("pins"));
    let foreign =
        wire::encode_trust(&Fleet { root: prunella_seal::SecretKey::from_entropy(&[44; 32]), ..Fleet::new() }.trust());
    let said = lab.spoiled(move |it| it.trust = Some(foreign.clone())).await;
    assert!(said.contains("authority that the join token promises"), "{said}");
    assert!(lab.spoiled(|it| it.enrolment = 4).await.contains("certificate is for"));
    assert!(lab.spoiled(|it| it.agent_addresses.clear()).await.contains("where agents connect"));
    assert!(lab.spoiled(|it| it.certificates.clear()).await.contains("no certificate"));
}

#[tokio::test]
async fn papers_of_another_host_or_fleet_are_noticed() {
    let lab = Lab::new().await;
    let member = lab.join(|_| ()).await.unwrap();
    assert!(member.check(&HostId::new("h1").unwrap(), None).is_ok());
    let other = member.check(&HostId::new("h2").unwrap(), None).unwrap_err();
    assert!(matches!(other, EnrolError::OtherHost { .. }));
    let mut token = lab.server.token(&lab.fleet);
    token.fleet = FleetName::new("elsewhere").unwrap();
    assert!(matches!(member.check(&HostId::new("h1").unwrap(), Some(&token)), Err(EnrolError::OtherFleet { .. })));
}
