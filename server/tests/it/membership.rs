//! Joining, streaming, leaving.

use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_seal::{Anchor, Trust};
use tonic::Code;

use crate::fixture::{Fleet, empty_report, name, now};

fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|it| it.reason).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_joins_and_is_welcomed() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token("h1").await;
    let member = fleet.enrol(&token, "h1").await.unwrap();
    assert_eq!(member.papers.enrolment, 1);
    let mut session = fleet.connect(&member, empty_report()).await;
    let Ok(Some(ServerMessage::Welcome { trust, .. })) = session.hear().await else { panic!("no Welcome") };
    let anchor = Anchor::new(name(), token.roots.clone(), token.threshold);
    Trust::establish(&anchor, &trust, now()).unwrap();

    // A gap in the numbers makes the server ask for everything again.
    session.say_as(7, AgentMessage::Heartbeat { at: now() }).await;
    assert_eq!(session.hear().await.unwrap(), Some(ServerMessage::ReportFully));

    // A newer session takes over.
    let mut newer = fleet.connect(&member, empty_report()).await;
    assert!(matches!(newer.hear().await, Ok(Some(ServerMessage::Welcome { .. }))));
    assert_eq!(session.hear().await.unwrap_err().code(), Code::Aborted);

    let mut admin = FleetServiceClient::new(fleet.admin().await);
    let seen = admin.get_fleet(pb::GetFleetRequest {}).await.unwrap().into_inner();
    assert_eq!(seen.name, "test");
    assert_eq!(seen.caveats.len(), 2, "{:?}", seen.caveats);

    // Stopping sends the agents away.
    let waiting = tokio::spawn(async move { (newer.hear().await, newer.hear().await) });
    fleet.stop().await;
    let (first, then) = waiting.await.unwrap();
    assert!(matches!(first, Ok(Some(ServerMessage::Reconnect { .. }))), "{first:?}");
    assert_eq!(then.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_token_is_good_once_and_for_one_host() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token("h1").await;
    let other = fleet.enrol(&token, "h2").await.err().unwrap();
    assert_eq!(reason(&other), "TOKEN_FOR_OTHER_HOST");
    fleet.enrol(&token, "h1").await.unwrap();
    let again = fleet.enrol(&token, "h1").await.err().unwrap();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::Unauthenticated, "TOKEN_USED"));
    // Two who use the same token at the same time: one joins.
    let token = fleet.join_token("").await;
    let (a, b) = tokio::join!(fleet.enrol(&token, "h3"), fleet.enrol(&token, "h4"));
    assert!(a.is_ok() != b.is_ok());
    // After a restart everything is as it was, and enrolments go on counting.
    let before = fleet.at;
    let fleet = fleet.restart().await;
    assert_eq!(fleet.at, before, "agents must find the server again where it was");
    assert_eq!(fleet.member("h1").await.papers.enrolment, 2);
    let used = fleet.enrol(&token, "h5").await.err().unwrap();
    assert_eq!(reason(&used), "TOKEN_USED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_host_is_cut_off_at_once() {
    let fleet = Fleet::start().await;
    let member = fleet.member("h1").await;
    let mut session = fleet.connect(&member, empty_report()).await;
    assert!(matches!(session.hear().await, Ok(Some(ServerMessage::Welcome { .. }))));
    let mut admin = FleetServiceClient::new(fleet.admin().await);
    admin.delete_host(pb::DeleteHostRequest { name: "hosts/h1".into() }).await.unwrap();
    session.hear().await.unwrap_err();
    // Its certificate is still good for years of TLS, and for nothing else.
    let mut back =
        prunella_proto::agent::v1::agent_service_client::AgentServiceClient::new(fleet.agent_channel(&member).await);
    let denied = back.stream(tokio_stream::empty()).await.unwrap_err();
    assert_eq!((denied.code(), reason(&denied).as_str()), (Code::PermissionDenied, "HOST_REMOVED"));
    let request = prunella_identity::Request::again(&member.key).unwrap();
    let mut renewing = prunella_proto::agent::v1::enrolment_service_client::EnrolmentServiceClient::new(
        fleet.agent_control_channel(&member).await,
    );
    let renewal = prunella_proto::agent::v1::RenewRequest { certificate_request: request.der };
    assert_eq!(reason(&renewing.renew(renewal).await.unwrap_err()), "HOST_REMOVED");
    let again = admin.delete_host(pb::DeleteHostRequest { name: "hosts/h1".into() }).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}
