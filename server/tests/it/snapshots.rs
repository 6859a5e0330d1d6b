//! Snapshots: the server asks the one agent that has them, and a restore is a signed command like any other.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::host::{FileReport, HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::observation::{Finding, Frame, Instance, Observation, ProbeKind, Sha256, Status};
use prunella_model::question::{Answer, Question};
use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotKind, SnapshotReport};
use prunella_model::step::{Step, StepKind};
use prunella_model::{PartName, ProbeName, TargetName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::snapshot_service_client::SnapshotServiceClient;
use prunella_proto::wire;
use tonic::Code;

use crate::fixture::{Fleet, Session, empty_report, now};

const PATIENCE: Duration = Duration::from_secs(60);

fn kept(intact: Option<bool>) -> SnapshotReport {
    SnapshotReport {
        id: 17,
        target: TargetName::of("web"),
        part: PartName::of("conf"),
        kind: SnapshotKind::PreRepair,
        sha256: Sha256([7; 32]),
        bytes: 4,
        taken_at: now(),
        held: true,
        intact,
    }
}

fn running() -> Observation {
    let finding = Finding::Running { instance: Instance("run-1".into()), pid: 4711 };
    let (target, probe) = (TargetName::of("web"), ProbeName::of("process"));
    Observation { target, probe, kind: ProbeKind::Process, at: now(), status: Status::Up, finding }
}

fn report() -> HostReport {
    let permit = |step| Permit { step, per_hour: 1_000, approvals: 0 };
    let second = Duration::from_secs(1);
    let target = TargetReport {
        name: TargetName::of("web"),
        service: None,
        labels: BTreeMap::new(),
        depends_on: Vec::new(),
        critical: false,
        probes: vec![ProbeReport {
            name: ProbeName::of("process"),
            kind: ProbeKind::Process,
            interval: second,
            timeout: second,
        }],
        permits: vec![permit(StepKind::RestoreFile), permit(StepKind::RestartService)],
        directories: Vec::new(),
        files: vec![FileReport { name: PartName::of("conf"), path: "/conf".into(), known_good: None }],
        parts: Vec::new(),
    };
    HostReport { targets: vec![target], observations: vec![running()], ..empty_report() }
}

/// Answers questions as an agent would until a command comes, and returns its steps.
async fn serve(mut session: Session, intact: bool) -> Vec<Step> {
    let serving = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(200), session.hear()).await {
                Ok(Ok(Some(ServerMessage::Ask { number, question: Question::Snapshots(ask) }))) => {
                    let answer = match ask {
                        SnapshotAsk::List => SnapshotAnswer::Snapshots(vec![kept(None)]),
                        SnapshotAsk::Verify { id: None | Some(17) } => {
                            SnapshotAnswer::Snapshots(vec![kept(Some(intact))])
                        }
                        SnapshotAsk::Verify { .. } => SnapshotAnswer::Failed { why: "there is no snapshot 18".into() },
                        SnapshotAsk::Take { .. } => SnapshotAnswer::Snapshots(Vec::new()),
                    };
                    session.say(AgentMessage::Answer { number, answer: Answer::Snapshots(answer) }).await;
                }
                Ok(Ok(Some(ServerMessage::Command(command)))) => {
                    let delivery = wire::decode_delivery(&command.delivery.payload).unwrap();
                    let intent = wire::decode_intent(&delivery.intent).unwrap();
                    return intent.steps.into_iter().map(|it| it.step).collect();
                }
                Ok(Ok(Some(_))) => {}
                Ok(end) => panic!("the stream ended: {end:?}"),
                Err(_) => {
                    let frame = Frame { at: now(), observations: vec![running()], ..Frame::default() };
                    session.say(AgentMessage::Frame(frame)).await;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, serving).await.expect("no command came")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lists_and_restores_what_an_agent_keeps() {
    let fleet = Fleet::start().await;
    let member = fleet.member("h1").await;
    let agent = tokio::spawn(serve(fleet.connect(&member, report()).await, true));
    let mut client = SnapshotServiceClient::new(fleet.admin().await);
    let list = |parent: &str| pb::ListSnapshotsRequest { parent: parent.into(), kind: String::new() };
    let listed = client.list_snapshots(list("hosts/h1")).await.unwrap().into_inner().snapshots;
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].intact), (1, "hosts/h1/snapshots/17", None));
    assert!(client.list_snapshots(list("hosts/h1/targets/db")).await.unwrap().into_inner().snapshots.is_empty());
    let absent = client.list_snapshots(list("hosts/h2")).await.unwrap_err();
    assert_eq!(absent.code(), Code::Unavailable);
    let verify = |name: &str| pb::VerifySnapshotsRequest { name: name.into() };
    let verified = client.verify_snapshots(verify("hosts/h1")).await.unwrap().into_inner().snapshots;
    assert_eq!(verified[0].intact, Some(true));
    assert!(
        client
            .verify_snapshots(verify("hosts/h1/snapshots/18"))
            .await
            .unwrap_err()
            .message()
            .contains("no snapshot 18")
    );
    let restore = |dry| pb::RestoreSnapshotRequest {
        name: "hosts/h1/snapshots/17".into(),
        why: "the edit was wrong".into(),
        validate_only: dry,
    };
    let told = client.restore_snapshot(restore(true)).await.unwrap().into_inner();
    assert!(told.incident.is_empty() && told.message.contains("would run restore_snapshot"), "{told:?}");
    let asked = client.restore_snapshot(restore(false)).await.unwrap().into_inner();
    assert!(asked.incident.starts_with("incidents/"), "{asked:?}");
    let steps = agent.await.unwrap();
    assert_eq!(steps[0], Step::RestoreFile { file: PartName::of("conf"), snapshot: Sha256([7; 32]) });
    assert_eq!(steps[1].kind(), StepKind::RestartService);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_content_is_not_restored() {
    let fleet = Fleet::start().await;
    let member = fleet.member("h1").await;
    let agent = tokio::spawn(serve(fleet.connect(&member, report()).await, false));
    let mut client = SnapshotServiceClient::new(fleet.admin().await);
    let request = pb::RestoreSnapshotRequest { name: "hosts/h1/snapshots/17".into(), ..Default::default() };
    let refused = client.restore_snapshot(request).await.unwrap_err();
    assert!(refused.message().contains("the stored content has another digest"), "{refused:?}");
    agent.abort();
}
