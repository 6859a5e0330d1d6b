use prunella_model::command::{Intent, SCHEMA};
use prunella_model::incident::{Fault, Fingerprint, IncidentState, Severity};
use prunella_model::knowledge::{Age, KnowledgeRecord, PatternRecord, Subject, WishRecord};
use prunella_model::observation::Sha256;
use prunella_model::outcome::Outcome;
use prunella_model::policy::{FleetPolicy, Mode, RolloutStage, Scope};
use prunella_model::record::{
    CommandRecord, HostRecord, MaintenanceRecord, ModeRecord, OrderRunRecord, PauseRecord, RolloutRecord,
};
use prunella_model::step::{Effect, Risk, Step, TargetStep};
use prunella_model::week::{Hex, UseRecord};
use prunella_model::{
    CauseName, FleetName, Generation, GroupName, MaintenanceName, OperatorName, ProbeName, RepairName, RuleName,
    TargetName, TargetRef,
};
use std::time::Duration;

use super::*;
use crate::store::MemoryStore;

pub(crate) fn id(counter: u64) -> Id {
    Id { epoch: 9, counter }
}

pub(crate) fn incident(counter: u64) -> Incident {
    let target = TargetRef::new(HostId::new("h1").unwrap(), TargetName::new("web").unwrap());
    let fault = Fault {
        rule: RuleName::new("process_down").unwrap(),
        target,
        symptom: None,
        severity: Severity::High,
        fingerprint: Fingerprint("00ff".into()),
        since: Timestamp::from_secs(1),
        summary: "it is gone".into(),
    };
    Incident {
        id: IncidentId(id(counter)),
        fault,
        also: Vec::new(),
        opened_at: Timestamp::from_secs(2),
        state: IncidentState::Diagnosing,
        diagnosis: None,
        shared: None,
        stages: Vec::new(),
        attempts: Vec::new(),
        holds: Vec::new(),
        released: Vec::new(),
        reports: Vec::new(),
        response: prunella_model::incident::Response::default(),
        recovered_at: None,
        optimisation: None,
        chain: None,
        link: None,
        closed_at: None,
    }
}

fn command(counter: u64, of: u64) -> CommandRecord {
    let intent = Intent {
        schema: SCHEMA,
        fleet: FleetName::new("test").unwrap(),
        host: HostId::new("h1").unwrap(),
        enrolment: 1,
        id: CommandId(id(counter)),
        incident: IncidentId(id(of)),
        attempt: 1,
        repair: RepairName::new("restart_service").unwrap(),
        steps: vec![TargetStep { target: TargetName::new("web").unwrap(), step: Step::StartService }],
        risk: Risk::Low,
        effect: Effect::Idempotent,
        preconditions: Vec::new(),
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([7; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(30),
        expires_at: Timestamp::from_secs(90),
    };
    CommandRecord {
        intent,
        generation: Generation(id(0)),
        decided_at: Timestamp::from_secs(3),
        deadline: Timestamp::from_secs(60),
        accepted: false,
        cancelled: false,
        report: None,
    }
}

pub(crate) fn entry(text: &str, incident: Option<u64>) -> AuditEntry {
    AuditEntry {
        at: Timestamp::from_secs(4),
        actor: "engine".into(),
        action: "command_decided".into(),
        subject: "hosts/h1/targets/web".into(),
        incident: incident.map(|it| IncidentId(id(it))),
        detail: text.into(),
    }
}

fn host(name: &str) -> HostRecord {
    HostRecord {
        host: HostId::new(name).unwrap(),
        enrolment: 1,
        first_seen: Timestamp::from_secs(1),
        last_seen: Timestamp::from_secs(2),
        report: None,
        repairs: Vec::new(),
        rollbacks: vec![Timestamp::from_secs(3)],
        outages: vec![Timestamp::from_secs(4)],
        critical: vec![Timestamp::from_secs(5)],
        changes: Vec::new(),
        order_runs: vec![OrderRunRecord {
            command: CommandId(Id { epoch: 1, counter: 1 << 40 }),
            target: TargetName::of("web"),
            repair: RepairName::of("restart_service"),
            outcome: Outcome::Done,
            ended_at: Timestamp::from_secs(1),
        }],
        muted: vec![(TargetName::of("web"), prunella_model::RuleName::of("process_down"))],
        usage: Some(Box::new(UseRecord { week: 2_900, hours: 400, skill: [1.5; 6], table: Hex(vec![0, 7, 255]) })),
    }
}

#[tokio::test]
async fn what_is_committed_is_loaded() {
    let store = MemoryStore::new();
    let repository = Repository::lead(store.clone(), Timestamp::from_secs(100), 0).await.unwrap();
    let subject = Subject {
        rule: RuleName::of("unresponsive"),
        kind: "web".into(),
        class: "http+process".into(),
        symptom: Some(ProbeName::of("http")),
        cause: CauseName::of("hung"),
    };
    let knowledge = KnowledgeRecord {
        source: None,
        subject: subject.clone(),
        after: vec![RepairName::of("reload")],
        mean_failure: None,
        fingerprint: Fingerprint("00ff".into()),
        repair: RepairName::new("restart_service").unwrap(),
        // Must come back to the last bit, or a reloaded engine would rank repairs differently.
        healed: 0.1 + 0.2,
        failed: 1.0 / 3.0,
        censored: 2,
        mean_time: Some(Duration::from_nanos(1_234_567_891)),
        updated_at: Timestamp::from_secs(6),
    };
    let foreign = KnowledgeRecord { source: Some(FleetName::of("other")), ..knowledge.clone() };
    let pattern = PatternRecord {
        source: None,
        fingerprint: Fingerprint("00ff".into()),
        subject,
        incidents: 3,
        self_recovered: 1,
        escalated: 1,
        recent: vec![Timestamp::from_secs(5)],
        ages: vec![Age { recovered: 0.1 + 0.2, exposure: 1.0 / 3.0 }],
        updated_at: Timestamp::from_secs(6),
    };
    let wish = WishRecord {
        target: TargetRef::new(HostId::new("h1").unwrap(), TargetName::new("web").unwrap()),
        repair: RepairName::of("restart_service"),
        step: "restart_service".into(),
        incidents: 2,
        updated_at: Timestamp::from_secs(6),
    };
    let pause = PauseRecord {
        scope: Scope::Target(HostId::new("h1").unwrap(), TargetName::new("web").unwrap()),
        by: OperatorName::new("ada").unwrap(),
        why: "looking".into(),
        since: Timestamp::from_secs(1),
        until: None,
    };
    let mode = ModeRecord {
        scope: Scope::Group(GroupName::new("web").unwrap()),
        mode: Mode::Conservative,
        by: OperatorName::new("ada").unwrap(),
        why: "a sale".into(),
        since: Timestamp::from_secs(2),
    };
    let maintenance = MaintenanceRecord {
        name: MaintenanceName::new("disks").unwrap(),
        scope: Scope::Host(HostId::new("h1").unwrap()),
        by: OperatorName::new("ada").unwrap(),
        why: "new disks".into(),
        from: Timestamp::from_secs(3),
        until: Some(Timestamp::from_secs(9)),
    };
    let rollout = RolloutRecord {
        policy: FleetPolicy { version: 7, ..FleetPolicy::default() },
        by: OperatorName::new("ada").unwrap(),
        stage: RolloutStage::One,
        since: Timestamp::from_secs(4),
        hosts: vec![HostId::new("h1").unwrap()],
    };
    let diagnostics = prunella_model::diagnostics::DiagnosticsReport {
        id: id(5),
        scope: prunella_model::policy::Scope::Fleet,
        by: None,
        started_at: Timestamp::from_secs(1),
        ended_at: Timestamp::from_secs(2),
        hosts: 1,
        targets: prunella_model::diagnostics::Tally { ok: 1, ..Default::default() },
        layers: Vec::new(),
        found: Vec::new(),
        omitted: 0,
    };
    let whole = Stored {
        incidents: vec![incident(1), incident(2)],
        commands: vec![command(3, 1)],
        knowledge: vec![foreign.clone(), knowledge.clone()],
        patterns: vec![pattern.clone()],
        wishes: vec![wish.clone()],
        hosts: vec![host("h1")],
        pauses: vec![pause.clone()],
        modes: vec![mode.clone()],
        maintenances: vec![maintenance.clone()],
        rollout: Some(rollout.clone()),
        policy: Some(FleetPolicy::default()),
        diagnostics: vec![diagnostics.clone()],
    };
    let changes = [
        Change::PutIncident(Box::new(incident(1))),
        Change::PutIncident(Box::new(incident(2))),
        Change::PutCommand(Box::new(command(3, 1))),
        Change::PutKnowledge(Box::new(knowledge)),
        Change::PutKnowledge(Box::new(foreign)),
        Change::PutPattern(Box::new(pattern)),
        Change::PutWish(Box::new(wish)),
        Change::PutHost(Box::new(host("h1"))),
        Change::PutPause(pause.clone()),
        Change::PutMode(mode.clone()),
        Change::PutMaintenance(maintenance.clone()),
        Change::PutRollout(Box::new(rollout)),
        Change::PutPolicy(Box::default()),
        Change::PutDiagnostics(Box::new(diagnostics.clone())),
    ];
    repository.commit(&changes, &[]).unwrap().await.unwrap();
    assert_eq!(repository.load().await.unwrap(), whole);
    let changes = [
        Change::CloseIncident(Box::new(incident(1))),
        Change::DropCommand(CommandId(id(3))),
        Change::DropHost(HostId::new("h1").unwrap()),
        Change::DropPause(pause.scope),
        Change::DropMode(mode.scope),
        Change::DropMaintenance(maintenance.name),
        Change::DropRollout,
        Change::DropDiagnostics(diagnostics.id),
    ];
    repository.commit(&changes, &[entry("closed", Some(1))]).unwrap().await.unwrap();
    let left = repository.load().await.unwrap();
    assert_eq!((left.incidents, left.commands.len(), left.hosts.len()), (vec![incident(2)], 0, 0));
    assert!(left.diagnostics.is_empty());
    assert!(left.pauses.is_empty() && left.modes.is_empty() && left.maintenances.is_empty() && left.rollout.is_none());
    let parcels = repository.parcels().await.unwrap();
    let expected = Parcel { audit: vec![entry("closed", Some(1))], closed: vec![incident(1)] };
    assert_eq!(parcels.iter().map(|(_, parcel)| parcel.clone()).collect::<Vec<_>>(), [expected]);
    repository.remove_parcels(&[parcels[0].0]).await.unwrap();
    assert!(repository.parcels().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_epoch_is_never_used_twice_and_an_old_leader_cannot_write() {
    let store = MemoryStore::new();
    let first = Repository::lead(store.clone(), Timestamp::from_secs(100), 0).await.unwrap();
    assert_eq!(first.epoch(), 100);
    // The clock went back, and agents have seen more than the store knows.
    let second = Repository::lead(store.clone(), Timestamp::from_secs(50), 0).await.unwrap();
    assert_eq!(second.epoch(), 101);
    let third = Repository::lead(store.clone(), Timestamp::from_secs(50), 700).await.unwrap();
    assert_eq!(third.epoch(), 700);
    let changes = [Change::PutIncident(Box::new(incident(1)))];
    assert!(first.commit(&changes, &[]).unwrap().await.unwrap_err().is_fenced());
    assert!(second.write("join/x", &1, Vec::new(), Vec::new()).await.unwrap_err().is_fenced());
    third.commit(&changes, &[]).unwrap().await.unwrap();
}

#[tokio::test]
async fn a_large_step_is_split_and_a_command_stays_with_its_incident() {
    let repository = Repository::lead(MemoryStore::new(), Timestamp::from_secs(100), 0).await.unwrap();
    let mut changes = Vec::new();
    for n in 0..200 {
        changes.push(Change::PutCommand(Box::new(command(10_000 + n, n))));
    }
    for n in 0..200 {
        changes.push(Change::PutIncident(Box::new(incident(n))));
        changes.push(Change::PutHost(Box::new(host(&format!("h{n}")))));
    }
    let mut sorting = Sorting::default();
    for change in &changes {
        sorting.take(change).unwrap();
    }
    sorting.audit(&entry("decided", Some(150)));
    let groups = sorting.pack().unwrap();
    assert!(groups.len() > 1);
    for group in &groups {
        assert!(group.ops.len() < TXN_OPS_MAX);
        for n in 0..200 {
            let (incident, command) = (incident_key(IncidentId(id(n))), command_key(CommandId(id(10_000 + n))));
            assert_eq!(group.ops.contains_key(&incident), group.ops.contains_key(&command), "incident {n}");
        }
        let audited = group.ops.contains_key(&incident_key(IncidentId(id(150))));
        assert_eq!(group.parcel.audit.len(), usize::from(audited));
    }
    repository.commit(&changes, &[]).unwrap().await.unwrap();
    let stored = repository.load().await.unwrap();
    assert_eq!((stored.incidents.len(), stored.commands.len(), stored.hosts.len()), (200, 200, 200));
}

#[tokio::test]
async fn the_last_change_of_a_record_in_a_step_counts() {
    let repository = Repository::lead(MemoryStore::new(), Timestamp::from_secs(100), 0).await.unwrap();
    let mut later = incident(1);
    later.opened_at = Timestamp::from_secs(77);
    let changes = [
        Change::PutIncident(Box::new(incident(1))),
        Change::PutIncident(Box::new(later.clone())),
        Change::PutCommand(Box::new(command(3, 1))),
        Change::DropCommand(CommandId(id(3))),
        Change::PutIncident(Box::new(incident(2))),
        Change::CloseIncident(Box::new(incident(2))),
    ];
    repository.commit(&changes, &[]).unwrap().await.unwrap();
    let stored = repository.load().await.unwrap();
    assert_eq!((stored.incidents, stored.commands.len()), (vec![later], 0));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let store = MemoryStore::new();
    let repository = Repository::lead(store.clone(), Timestamp::from_secs(100), 0).await.unwrap();
    repository.write("incident/x", &"no incident", Vec::new(), Vec::new()).await.unwrap();
    let error = repository.load().await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreadable { key, .. } if key == "incident/x"), "{error}");
}
