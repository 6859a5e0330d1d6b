//! The whole loop: what an agent sees becomes a signed command, and what comes of it closes the incident.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::command::{BootId, SignedCommand};
use prunella_model::host::{HostReport, Permit, ProbeReport, TargetReport};
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::observation::{Finding, Frame, Instance, Observation, ProbeKind, Status};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::step::StepKind;
use prunella_model::{CommandId, Generation, ProbeName, TargetName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use prunella_proto::wire;
use prunella_seal::{Anchor, Opened, Trust};
use prunella_ward::{Facts, LocalPolicy, Moment, Own, Ward};

use crate::fixture::{Fleet, Member, Session, empty_report, name, now};

const PATIENCE: Duration = Duration::from_secs(60);

fn web() -> TargetName {
    TargetName::new("web").unwrap()
}

fn process() -> ProbeName {
    ProbeName::new("process").unwrap()
}

pub(crate) fn report() -> HostReport {
    let permit = |step| Permit { step, per_hour: 1_000, approvals: 0 };
    let target = TargetReport {
        name: web(),
        service: None,
        labels: BTreeMap::new(),
        depends_on: Vec::new(),
        critical: true,
        probes: vec![ProbeReport {
            name: process(),
            kind: ProbeKind::Process,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        }],
        permits: vec![permit(StepKind::StartService), permit(StepKind::RestartService)],
        directories: Vec::new(),
        files: Vec::new(),
        parts: Vec::new(),
    };
    HostReport { targets: vec![target], observations: vec![running("run-1")], ..empty_report() }
}

fn observation(status: Status, finding: Finding) -> Observation {
    Observation { target: web(), probe: process(), kind: ProbeKind::Process, at: now(), status, finding }
}

fn running(run: &str) -> Observation {
    observation(Status::Up, Finding::Running { instance: Instance(run.into()), pid: 4711 })
}

fn killed(run: &str) -> Observation {
    let finding = Finding::Exited { instance: Instance(run.into()), code: None, signal: Some(9), ran: None };
    observation(Status::Down, finding)
}

fn frame(seen: Observation) -> AgentMessage {
    AgentMessage::Frame(Frame { at: now(), observations: vec![seen], ..Frame::default() })
}

/// What the host of these tests knows.
struct Host {
    boot: BootId,
    run: &'static str,
    alive: bool,
}

impl Facts for Host {
    fn boot(&self) -> &BootId {
        &self.boot
    }
    fn instance(&self, _: &TargetName) -> Option<Instance> {
        Some(Instance(self.run.into()))
    }
    fn observed(&self, _: &TargetName, _: &ProbeName) -> Option<Status> {
        Some(if self.alive { Status::Up } else { Status::Down })
    }
    fn knows(&self, _: CommandId) -> bool {
        false
    }
    fn paused(&self) -> Option<String> {
        None
    }
    fn observe_only(&self) -> Option<String> {
        None
    }
}

/// Everything that an agent checks commands with.
struct Checks {
    trust: Trust,
    ward: Ward,
}

impl Checks {
    fn of(member: &Member, anchor: &Anchor, session: &Session, trust: &prunella_model::command::TrustBundle) -> Self {
        let trust = Trust::establish(anchor, trust, now()).unwrap();
        let own = Own { fleet: name(), host: member.host.clone(), enrolment: member.papers.enrolment };
        let policy = LocalPolicy::of_targets(&report().targets, false, 1_000);
        let mut ward = Ward::new(own, policy, Generation::default());
        ward.open_stream(session.challenge, Duration::from_secs(100));
        Self { trust, ward }
    }

    fn open(&self, command: &SignedCommand) -> Result<Opened, Refusal> {
        self.trust.open_command(command, wire::decode_delivery, wire::decode_intent)
    }

    fn judge(&mut self, opened: &Opened, host: &Host) -> Result<(), Refusal> {
        let moment = Moment { wall: now(), boot: Duration::from_secs(101) };
        self.ward.judge(opened, self.trust.delegation(), moment, host).map(drop)
    }
}

async fn welcomed(session: &mut Session) -> Box<prunella_model::command::TrustBundle> {
    match session.hear().await {
        Ok(Some(ServerMessage::Welcome { trust, .. })) => trust,
        other => panic!("not Welcome but {other:?}"),
    }
}

/// The next command, while the agent keeps saying what it sees.
async fn command(session: &mut Session, seen: impl Fn() -> Observation) -> SignedCommand {
    let searching = async {
        loop {
            let more = tokio::time::timeout(Duration::from_millis(200), session.hear()).await;
            match more {
                Ok(Ok(Some(ServerMessage::Command(command)))) => return *command,
                Ok(Ok(Some(_))) => {}
                Ok(end) => panic!("the stream ended: {end:?}"),
                Err(_) => session.say(frame(seen())).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, searching).await.expect("no command came")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_restarted_and_its_incident_closed() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token("h1").await;
    let anchor = Anchor::new(name(), token.roots.clone(), token.threshold);
    let member = fleet.enrol(&token, "h1").await.unwrap();
    let mut session = fleet.connect(&member, report()).await;
    let trust = welcomed(&mut session).await;
    let mut checks = Checks::of(&member, &anchor, &session, &trust);

    session.say(frame(running("run-1"))).await;
    session.say(frame(killed("run-1"))).await;
    let signed = command(&mut session, || killed("run-1")).await;
    let opened = checks.open(&signed).unwrap();
    let host = Host { boot: report().boot, run: "run-1", alive: false };
    checks.judge(&opened, &host).unwrap();
    // The very same delivery again is refused, and so is one with a byte changed.
    assert!(matches!(checks.judge(&opened, &host), Err(Refusal::Replayed { .. })));
    let mut bent = signed.clone();
    bent.delivery.payload[20] ^= 1;
    assert!(matches!(checks.open(&bent), Err(Refusal::BadSignature { .. })));

    let id = opened.intent.id;
    session.say(AgentMessage::Accepted { command: id }).await;
    let done = OutcomeReport {
        command: id,
        outcome: Outcome::Done,
        started_at: Some(now()),
        ended_at: now(),
        notes: vec!["started web".into()],
        confirmed_by: Some((web(), process())),
        by_order: None,
    };
    session.say(AgentMessage::Outcome(done)).await;

    let mut incidents = IncidentServiceClient::new(fleet.admin().await);
    let list = || pb::ListIncidentsRequest { target: "hosts/h1/targets/web".into(), ..Default::default() };
    let closing = async {
        let mut acknowledged = false;
        loop {
            session.say(frame(running("run-2"))).await;
            while let Ok(more) = tokio::time::timeout(Duration::from_millis(50), session.hear()).await {
                if let Ok(Some(ServerMessage::Acknowledge { outcomes, .. })) = &more {
                    acknowledged |= outcomes.contains(&id);
                }
                assert!(!matches!(more, Ok(Some(ServerMessage::Command(_)))), "a second command");
                more.unwrap();
            }
            let found = incidents.list_incidents(list()).await.unwrap().into_inner().incidents;
            assert_eq!(found.len(), 1);
            if acknowledged && found[0].closing.is_some() {
                return found[0].clone();
            }
        }
    };
    let closed = tokio::time::timeout(PATIENCE, closing).await.expect("the incident stayed open");
    assert_eq!(closed.closing.as_deref(), Some("repaired"));
    assert_eq!(closed.attempts.len(), 1);
    assert_eq!(closed.attempts[0].verdict.as_deref(), Some("recovered"));
    let one = pb::GetIncidentRequest { name: closed.name.clone() };
    assert_eq!(incidents.get_incident(one).await.unwrap().into_inner(), closed);

    // It is all in the audit log, whose chain holds, and it is all there after a restart.
    let fleet = fleet.restart().await;
    let mut admin = AdminServiceClient::new(fleet.admin().await);
    let audit = admin.verify_audit(pb::VerifyAuditRequest {}).await.unwrap().into_inner();
    assert!(audit.intact && audit.entries > 0, "{audit:?}");
    let entries = pb::ListAuditEntriesRequest { page_size: 1_000, page_token: String::new() };
    let entries = admin.list_audit_entries(entries).await.unwrap().into_inner().entries;
    assert!(entries.iter().any(|it| it.action == "enrolled" && it.subject == "hosts/h1"));
    assert_eq!(entries.len() as u64, audit.entries);
    let mut incidents = IncidentServiceClient::new(fleet.admin().await);
    let found = incidents.list_incidents(list()).await.unwrap().into_inner().incidents;
    assert_eq!(found, [closed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_not_accepted_is_sent_again_after_a_restart() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token("h1").await;
    let anchor = Anchor::new(name(), token.roots.clone(), token.threshold);
    let member = fleet.enrol(&token, "h1").await.unwrap();
    let mut session = fleet.connect(&member, report()).await;
    welcomed(&mut session).await;
    session.say(frame(killed("run-1"))).await;
    let first = command(&mut session, || killed("run-1")).await;

    // The agent has not said that it has it when the server goes away and comes back.
    let fleet = fleet.restart().await;
    drop(session);
    let mut session = fleet.connect(&member, HostReport { observations: vec![killed("run-1")], ..report() }).await;
    let trust = welcomed(&mut session).await;
    let mut checks = Checks::of(&member, &anchor, &session, &trust);
    let second = command(&mut session, || killed("run-1")).await;
    let opened = checks.open(&second).unwrap();
    assert_eq!(opened.intent.id, checks.open(&first).unwrap().intent.id, "the same command, never a second one");
    checks.judge(&opened, &Host { boot: report().boot, run: "run-1", alive: false }).unwrap();
}
