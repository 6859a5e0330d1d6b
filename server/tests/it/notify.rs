//! Notifications, to real receivers over real sockets.

use std::time::Duration;

use prunella_model::link::AgentMessage;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use prunella_proto::control::v1::notification_service_client::NotificationServiceClient;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::fixture::{Fleet, empty_report, now};

const SOON: Duration = Duration::from_secs(60);

/// What a receiver was sent: the head of the request, and its body.
type Got = (String, Value);

/// A receiver that answers with these statuses, one for each request, and the last one from then on.
async fn receiver(statuses: &'static [&'static str]) -> (String, mpsc::Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (got, all) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut statuses = statuses.iter();
        let mut status = "200 OK";
        while let Ok((socket, _)) = listener.accept().await {
            status = statuses.next().unwrap_or(&status);
            let request = answer(socket, status).await;
            if got.send(request).await.is_err() {
                return;
            }
        }
    });
    (url, all)
}

async fn answer(mut socket: TcpStream, status: &str) -> Got {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 8192];
        let length = socket.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let want: usize = head.lines().find_map(|it| it.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        if body.len() >= want {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            socket.write_all(answer.as_bytes()).await.unwrap();
            return (head, serde_json::from_str(body).unwrap());
        }
    }
}

async fn next(all: &mut mpsc::Receiver<Got>) -> Got {
    tokio::time::timeout(SOON, all.recv()).await.expect("a message").unwrap()
}

/// A host that lives as long as this is kept, so that there is something to report a fault of.
async fn with_host(fleet: &Fleet, host: &str) -> tokio::task::JoinSet<()> {
    let member = fleet.member(host).await;
    let mut session = fleet.connect(&member, empty_report()).await;
    let mut alive = tokio::task::JoinSet::new();
    alive.spawn(async move {
        loop {
            session.say(AgentMessage::Heartbeat { at: now() }).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut client = FleetServiceClient::new(fleet.admin().await);
    let known = async {
        while client.get_host(pb::GetHostRequest { name: format!("hosts/{host}") }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, known).await.unwrap();
    alive
}

async fn report(fleet: &Fleet, host: &str, severity: &str, summary: &str) -> String {
    let request = pb::ReportIncidentRequest {
        target: format!("hosts/{host}/targets/host"),
        severity: severity.into(),
        summary: summary.into(),
        ..Default::default()
    };
    IncidentServiceClient::new(fleet.admin().await).report_incident(request).await.unwrap().into_inner().incident
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_matter_is_told_from_beginning_to_end_once_and_a_busy_receiver_is_asked_again() {
    let (url, mut got) = receiver(&["503 Busy", "200 OK"]).await;
    let fleet = Fleet::start_with(&format!(
        "[notify]\ndashboard = \"https://fleet.example/\"\n\
         [[notify.receiver]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{url}/in\"\n\
         [[notify.route]]\nreceivers = [\"hook\"]\nseverity = \"high\"\nmoments = [\"opened\", \"needs_person\", \"resolved\"]\n"
    ))
    .await;
    let _sessions = (with_host(&fleet, "h1").await, with_host(&fleet, "h2").await);
    report(&fleet, "h2", "low", "not worth a message").await;
    let incident = report(&fleet, "h1", "critical", "it smells of smoke").await;
    let (head, refused) = next(&mut got).await;
    assert!(head.starts_with("post /in http/1.1") && head.contains("application/cloudevents+json"), "{head}");
    let (_, opened) = next(&mut got).await;
    assert_eq!(refused, opened, "the same message, again");
    assert_eq!((&opened["specversion"], &opened["type"]), (&"1.0".into(), &"prunella.opened".into()));
    let id = incident.strip_prefix("incidents/").unwrap();
    assert_eq!(opened["data"]["key"], id);
    assert_eq!(opened["data"]["link"], format!("https://fleet.example/ui/incidents/{id}"));
    assert!(opened["data"]["title"].as_str().unwrap().contains("it smells of smoke"), "{opened}");
    let cancel = pb::CancelIncidentRequest { name: incident.clone(), why: "it was the kitchen".into() };
    IncidentServiceClient::new(fleet.admin().await).cancel_incident(cancel).await.unwrap();
    let mut moments = Vec::new();
    while moments.last().is_none_or(|it| it != "prunella.resolved") {
        let (_, it) = next(&mut got).await;
        assert_eq!(it["data"]["key"], id, "nothing about the other one: {it}");
        moments.push(it["type"].as_str().unwrap().to_owned());
    }
    moments.dedup();
    assert!(moments.len() <= 2, "each moment once: {moments:?}");
    let mut client = NotificationServiceClient::new(fleet.admin().await);
    let known = async {
        loop {
            let it = client.list_receivers(pb::ListReceiversRequest {}).await.unwrap().into_inner().receivers.remove(0);
            if it.open == 0 && it.sent > 0 {
                return it;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let it = tokio::time::timeout(SOON, known).await.unwrap();
    assert_eq!((it.failed, it.sent), (0, 1 + moments.len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silence_kept_back_is_told_when_it_ends_unless_it_is_over() {
    let (url, mut got) = receiver(&["200 OK"]).await;
    let fleet = Fleet::start_with(&format!(
        "[[notify.receiver]]\nname = \"chat\"\nkind = \"webhook\"\nurl = \"{url}\"\n\
         [[notify.route]]\nreceivers = [\"chat\"]\nmoments = [\"opened\", \"resolved\"]\n"
    ))
    .await;
    let _sessions = (with_host(&fleet, "h1").await, with_host(&fleet, "h2").await);
    let mut desk = NotificationServiceClient::new(fleet.admin().await);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expire_time = Some(prost_types::Timestamp { seconds: i64::try_from(now + 3_600).unwrap(), nanos: 0 });
    let silence = pb::CreateSilenceRequest { scope: "fleet".into(), why: "drill".into(), expire_time };
    let made = desk.create_silence(silence).await.unwrap().into_inner();
    let over = report(&fleet, "h1", "high", "it smells of smoke").await;
    report(&fleet, "h2", "high", "it still smells of smoke").await;
    let cancel = pb::CancelIncidentRequest { name: over, why: "it was the kitchen".into() };
    IncidentServiceClient::new(fleet.admin().await).cancel_incident(cancel).await.unwrap();
    let kept = async {
        while desk.list_receivers(pb::ListReceiversRequest {}).await.unwrap().into_inner().receivers[0].silenced < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, kept).await.unwrap();
    desk.delete_silence(pb::DeleteSilenceRequest { name: made.name }).await.unwrap();
    let (_, told) = next(&mut got).await;
    assert!(told["data"]["title"].as_str().unwrap().contains("it still smells"), "{told}");
    // Nothing of the one that is over is on its way.
    desk.test_receiver(pb::TestReceiverRequest { name: "receivers/chat".into() }).await.unwrap();
    let (_, test) = next(&mut got).await;
    assert!(test["data"]["title"].as_str().unwrap().contains("a test"), "{test}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_arrive_is_kept_and_a_silence_keeps_quiet() {
    let (url, mut got) = receiver(&["403 Forbidden", "200 OK"]).await;
    let fleet = Fleet::start_with(&format!(
        "[[notify.receiver]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"{url}\"\n\
         [[notify.route]]\nreceivers = [\"chat\"]\nmoments = [\"fleet\"]\n"
    ))
    .await;
    let mut fleets = FleetServiceClient::new(fleet.admin().await);
    let mut desk = NotificationServiceClient::new(fleet.admin().await);
    let pause = |why: &str| pb::PauseRequest { name: "fleet".into(), why: why.into(), expire_time: None };
    fleets.pause(pause("first")).await.unwrap();
    next(&mut got).await;
    let dead = async {
        loop {
            let it = desk.list_receivers(pb::ListReceiversRequest {}).await.unwrap().into_inner().receivers.remove(0);
            if it.failed == 1 {
                return it.dead_letters;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let dead = tokio::time::timeout(SOON, dead).await.unwrap();
    assert!(dead[0].why.contains("403"), "{dead:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let silence = |seconds: u64| pb::CreateSilenceRequest {
        scope: "fleet".into(),
        why: "drill".into(),
        expire_time: Some(prost_types::Timestamp { seconds: i64::try_from(now + seconds).unwrap(), nanos: 0 }),
    };
    assert!(
        desk.create_silence(silence(0)).await.is_err() && desk.create_silence(silence(90 * 24 * 3600)).await.is_err()
    );
    let made = desk.create_silence(silence(3600)).await.unwrap().into_inner();
    fleets.resume(pb::ResumeRequest { name: "fleet".into() }).await.unwrap();
    // A test goes through all the same, and shows that nothing else is on its way.
    let test = pb::TestReceiverRequest { name: "receivers/chat".into() };
    desk.test_receiver(test).await.unwrap();
    let (_, body) = next(&mut got).await;
    assert!(body["text"].as_str().unwrap().contains("a test"), "{body}");
    desk.delete_silence(pb::DeleteSilenceRequest { name: made.name }).await.unwrap();
    assert!(desk.list_silences(pb::ListSilencesRequest {}).await.unwrap().into_inner().silences.is_empty());
    // What is told goes on after a restart from where it was, and nothing is told twice.
    let fleet = fleet.restart().await;
    FleetServiceClient::new(fleet.admin().await).pause(pause("after the restart")).await.unwrap();
    let (_, body) = next(&mut got).await;
    assert!(body.to_string().contains("after the restart"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_is_over_is_one_trace_for_a_collector_that_was_busy() {
    let (url, mut got) = receiver(&["503 Busy", "200 OK"]).await;
    let fleet = Fleet::start_with(&format!("[traces]\nendpoint = \"{url}\"\n")).await;
    let _session = with_host(&fleet, "h1").await;
    let incident = report(&fleet, "h1", "high", "it smells of smoke").await;
    let cancel = pb::CancelIncidentRequest { name: incident.clone(), why: "it was the kitchen".into() };
    IncidentServiceClient::new(fleet.admin().await).cancel_incident(cancel).await.unwrap();
    let (head, refused) = next(&mut got).await;
    assert!(head.starts_with("post /v1/traces http/1.1") && head.contains("application/json"), "{head}");
    let (_, trace) = next(&mut got).await;
    assert_eq!(refused, trace, "the same trace, again");
    let root = &trace["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert!(root["attributes"].to_string().contains(&incident), "{root}");
    assert_eq!(root["status"]["code"], 2, "a fault that was given up is no success: {root}");
}
