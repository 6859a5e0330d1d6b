use std::collections::BTreeMap;
use std::sync::Arc;

use prunella_model::command::BootId;
use prunella_model::observation::Sha256;
use prunella_model::step::Risk;
use prunella_model::{CommandId, FleetName, HostId, Id, IncidentId, PartName, RepairName, Timestamp};

use super::*;

struct Seen {
    instances: BTreeMap<TargetName, Instance>,
    web_http: Option<Status>,
}

impl Now for Seen {
    fn instance(&self, target: &TargetName) -> Option<Instance> {
        self.instances.get(target).cloned()
    }
    fn status(&self, _: &TargetName, _: &ProbeName) -> Option<Status> {
        self.web_http
    }
}

fn target(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

fn run(name: &str) -> Instance {
    Instance(Arc::from(name))
}

fn host_with(web: &str) -> Seen {
    Seen { instances: BTreeMap::from([(target("web"), run(web))]), web_http: Some(Status::Down) }
}

fn restart() -> Step {
    Step::RestartService { grace: Duration::ZERO }
}

fn restore() -> Step {
    Step::RestoreFile { file: PartName::new("conf").unwrap(), snapshot: Sha256([1; 32]) }
}

/// A command for `web` that was decided while its run was `old` and its HTTP probe said Down.
fn intent(steps: &[Step]) -> Intent {
    let id = Id { epoch: 1, counter: 1 };
    let web = target("web");
    let http = ProbeName::new("http").unwrap();
    Intent {
        schema: 1,
        fleet: FleetName::new("f").unwrap(),
        host: HostId::new("h").unwrap(),
        enrolment: 1,
        id: CommandId(id),
        incident: IncidentId(id),
        attempt: 1,
        repair: RepairName::new("r").unwrap(),
        steps: steps.iter().map(|step| TargetStep { target: web.clone(), step: step.clone() }).collect(),
        risk: Risk::Medium,
        effect: Effect::AtMostOnce,
        preconditions: vec![
            Precondition::Boot(BootId("b".into())),
            Precondition::Instance { target: web.clone(), instance: run("old") },
            Precondition::Observed { target: web, probe: http, status: Status::Down },
        ],
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(10),
        expires_at: Timestamp::ZERO,
    }
}

fn decide(steps: &[Step], begun: Option<u32>, now: &Seen) -> Fate {
    let intent = intent(steps);
    fate(&Left { intent: &intent, begun, same_boot: true, age: Duration::from_secs(3) }, now)
}

fn over(fate: Fate) -> Outcome {
    match fate {
        Fate::Over(outcome, _) => outcome,
        Fate::GoOn(step, _) => panic!("it went on with step {step}"),
    }
}

#[test]
fn what_must_not_happen_twice_is_done_if_a_new_run_shows_it_and_unknown_otherwise() {
    assert_eq!(over(decide(&[restart()], Some(0), &host_with("new"))), Outcome::Done);
    assert!(matches!(over(decide(&[restart()], Some(0), &host_with("old"))), Outcome::Unknown { .. }));
    let nothing = Seen { instances: BTreeMap::new(), web_http: None };
    assert!(matches!(over(decide(&[restart()], Some(0), &nothing)), Outcome::Unknown { .. }));
}

#[test]
fn what_can_be_repeated_goes_on_while_the_decision_still_stands() {
    assert!(matches!(decide(&[restore()], Some(0), &host_with("old")), Fate::GoOn(0, _)));
    assert!(matches!(decide(&[Step::StartService], Some(0), &host_with("old")), Fate::GoOn(0, _)));
    assert_eq!(over(decide(&[Step::StartService], Some(0), &host_with("new"))), Outcome::Done);
    assert!(matches!(over(decide(&[restore()], Some(0), &host_with("new"))), Outcome::Failed { step: 0, .. }));
    let well = Seen { web_http: Some(Status::Up), ..host_with("old") };
    assert!(matches!(over(decide(&[restore()], Some(0), &well)), Outcome::Failed { step: 0, .. }));
}

#[test]
fn the_remaining_steps_follow_only_if_they_can_be_repeated() {
    assert!(matches!(decide(&[restart(), restore()], Some(0), &host_with("new")), Fate::GoOn(1, _)));
    assert!(matches!(
        over(decide(&[restore(), restart()], Some(0), &host_with("old"))),
        Outcome::Failed { step: 0, .. }
    ));
}

#[test]
fn before_the_first_step_nothing_was_done() {
    assert!(matches!(decide(&[restore()], None, &host_with("old")), Fate::GoOn(0, _)));
    assert_eq!(over(decide(&[restart()], None, &host_with("old"))), Outcome::Cancelled { done: 0 });
    assert_eq!(over(decide(&[restore()], None, &host_with("new"))), Outcome::Cancelled { done: 0 });
}

#[test]
fn an_old_command_does_not_come_back_and_a_reboot_leaves_nothing_certain() {
    let intent = intent(&[restore()]);
    let left = |same_boot, age, begun| Left { intent: &intent, begun, same_boot, age };
    let old = LIFETIME_MAX + Duration::from_secs(1);
    assert!(matches!(over(fate(&left(true, old, Some(0)), &host_with("old"))), Outcome::Failed { .. }));
    assert_eq!(over(fate(&left(true, old, None), &host_with("old"))), Outcome::Cancelled { done: 0 });
    for begun in [None, Some(0), Some(9)] {
        let fate = fate(&left(false, Duration::ZERO, begun), &host_with("new"));
        assert!(matches!(over(fate), Outcome::Unknown { .. }));
    }
}
