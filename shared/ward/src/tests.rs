use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use prunella_model::command::{BootId, Challenge, Delivery, Intent, LIFETIME_MAX, Precondition, STEPS_MAX};
use prunella_model::host::Permit;
use prunella_model::id::Id;
use prunella_model::observation::{Instance, Sha256, Status};
use prunella_model::outcome::Refusal;
use prunella_model::part::{Act, PartKind};
use prunella_model::step::{Effect, Risk, Signal, Step, StepKind, TargetStep};
use prunella_model::{
    CommandId, FleetName, Generation, HostId, IncidentId, PartName, ProbeName, RepairName, TargetName, Timestamp,
};
use prunella_seal::{Delegation, HostScope, Opened, Scope, SecretKey};

use super::*;

const CHALLENGE: Challenge = Challenge([7; 32]);
const SECOND: Duration = Duration::from_secs(1);

/// Everything around one judgement. Each test changes one thing of what would be accepted.
#[derive(Clone)]
struct Case {
    ward: Ward,
    opened: Opened,
    delegation: Delegation,
    now: Moment,
    host: Host,
}

#[derive(Clone)]
struct Host {
    boot: BootId,
    instance: Option<Instance>,
    observed: Option<Status>,
    known: BTreeSet<CommandId>,
    paused: Option<String>,
    observe_only: Option<String>,
}

impl Facts for Host {
    fn boot(&self) -> &BootId {
        &self.boot
    }
    fn instance(&self, _target: &TargetName) -> Option<Instance> {
        self.instance.clone()
    }
    fn observed(&self, _target: &TargetName, _probe: &ProbeName) -> Option<Status> {
        self.observed
    }
    fn knows(&self, command: CommandId) -> bool {
        self.known.contains(&command)
    }
    fn paused(&self) -> Option<String> {
        self.paused.clone()
    }
    fn observe_only(&self) -> Option<String> {
        self.observe_only.clone()
    }
}

fn web() -> TargetName {
    TargetName::new("web").unwrap()
}

fn id(counter: u64) -> Id {
    Id { epoch: 100, counter }
}

fn restart() -> TargetStep {
    TargetStep { target: web(), step: Step::RestartService { grace: SECOND } }
}

fn policy() -> LocalPolicy {
    let permit = |step| (step, Permit { step, per_hour: 3, approvals: 0 });
    let used = [StepKind::RunDeclared, StepKind::ClearCache, StepKind::RebuildCache, StepKind::SetWeight];
    let mut kinds = vec![StepKind::RestartService, StepKind::CleanDirectory, StepKind::RestoreFile];
    kinds.extend(used);
    let part = |kind, name, acts: &[StepKind], risk, bounds| {
        let policy = PartPolicy { acts: acts.iter().copied().collect(), risk, bounds };
        ((kind, PartName::new(name).unwrap()), policy)
    };
    let parts = [
        part(PartKind::Program, "reindex", &[StepKind::RunDeclared], Risk::High, None),
        part(PartKind::Cache, "pages", &[StepKind::ClearCache], Risk::Low, None),
        part(PartKind::Weight, "cpu", &[StepKind::SetWeight], Risk::Low, Some((0, 10))),
    ];
    let target = TargetPolicy {
        permits: kinds.into_iter().map(permit).collect(),
        directories: [PartName::new("cache").unwrap()].into(),
        files: [PartName::new("config").unwrap()].into(),
        parts: parts.into(),
        probes: [ProbeName::new("http").unwrap()].into(),
    };
    LocalPolicy { targets: BTreeMap::from([(web(), target)]), observe_only: false, per_hour: 5 }
}

fn intent() -> Intent {
    let http = ProbeName::new("http").unwrap();
    Intent {
        schema: 1,
        fleet: FleetName::new("demo").unwrap(),
        host: HostId::new("h1").unwrap(),
        enrolment: 2,
        id: CommandId(id(9)),
        incident: IncidentId(id(1)),
        attempt: 1,
        repair: RepairName::new("restart_service").unwrap(),
        steps: vec![restart()],
        risk: Risk::Medium,
        effect: Effect::AtMostOnce,
        preconditions: vec![
            Precondition::Boot(BootId("boot-1".to_owned())),
            Precondition::Instance { target: web(), instance: Instance("42".into()) },
            Precondition::Observed { target: web(), probe: http.clone(), status: Status::Down },
        ],
        verify: vec![(web(), http)],
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: SECOND * 30,
        expires_at: Timestamp::from_secs(1_000_500),
    }
}

fn case() -> Case {
    let own = Own { fleet: intent().fleet, host: intent().host, enrolment: 2 };
    let mut ward = Ward::new(own, policy(), Generation(id(5)));
    ward.open_stream(CHALLENGE, SECOND * 5000);
    let delivery = Delivery {
        schema: 1,
        intent: Vec::new(),
        challenge: CHALLENGE,
        generation: Generation(id(5)),
        sequence: 1,
        issued_after: SECOND * 10,
        lifetime: SECOND * 30,
        delegation_version: 4,
    };
    let delegation = Delegation {
        schema: 1,
        fleet: intent().fleet,
        version: 4,
        key: SecretKey::from_entropy(&[1; 32]).public(),
        not_before: Timestamp::from_secs(999_000),
        not_after: Timestamp::from_secs(1_010_000),
        scope: Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 100, steps: None },
    };
    Case {
        ward,
        opened: Opened { delivery, intent: intent(), approvals: 0 },
        delegation,
        now: Moment { wall: Timestamp::from_secs(1_000_000), boot: SECOND * 5010 },
        host: Host {
            boot: BootId("boot-1".to_owned()),
            instance: Some(Instance("42".into())),
            observed: Some(Status::Down),
            known: BTreeSet::new(),
            paused: None,
            observe_only: None,
        },
    }
}

impl Case {
    fn judge(&mut self) -> Result<Accepted, Refusal> {
        self.ward.judge(&self.opened, &self.delegation, self.now, &self.host)
    }

    /// The next command, as a server would send it.
    fn next(&mut self) {
        self.opened.delivery.sequence += 1;
        self.opened.intent.id.0.counter += 1;
    }
}

/// What becomes of the good case after one change, by code; and that a refusal leaves no trace in the ward.
#[track_caller]
fn check(change: impl FnOnce(&mut Case), expected: &str) {
    let mut case = case();
    change(&mut case);
    let before = format!("{:?}", case.ward);
    match case.judge() {
        Ok(_) => assert_eq!("ACCEPTED", expected),
        Err(refusal) => {
            assert_eq!(refusal.code(), expected, "{refusal}");
            assert_eq!(format!("{:?}", case.ward), before, "a refusal must not move any mark");
        }
    }
}

fn set_step(case: &mut Case, step: Step) {
    case.opened.intent.risk = Risk::High;
    case.opened.intent.steps = vec![TargetStep { target: web(), step }];
}

#[test]
fn the_good_case_is_accepted_and_moves_the_marks() {
    let mut case = case();
    case.opened.delivery.generation = Generation(id(6));
    let accepted = case.judge().unwrap();
    assert_eq!(accepted, Accepted { command: CommandId(id(9)), generation: Generation(id(6)), lapsed: None });
    assert_eq!(case.ward.mark(), Generation(id(6)));
}

#[test]
fn schemas() {
    check(|c| c.opened.delivery.schema = 2, "NEWER_SCHEMA");
    check(|c| c.opened.intent.schema = 2, "NEWER_SCHEMA");
    check(|c| c.opened.intent.schema = 0, "UNDECODABLE");
}

#[test]
fn another_addressee() {
    check(|c| c.opened.intent.fleet = FleetName::new("other").unwrap(), "WRONG_FLEET");
    check(|c| c.opened.intent.host = HostId::new("h2").unwrap(), "WRONG_HOST");
    check(|c| c.opened.intent.enrolment = 1, "WRONG_ENROLMENT");
}

#[test]
fn the_delegation_must_be_in_force() {
    check(|c| c.opened.delivery.delegation_version = 3, "NO_DELEGATION");
    check(|c| c.delegation.fleet = FleetName::new("other").unwrap(), "NO_DELEGATION");
    check(|c| c.now.wall = Timestamp::from_secs(1_010_001), "NO_DELEGATION");
    check(|c| c.now.wall = Timestamp::from_secs(998_000), "NO_DELEGATION");
}

#[test]
fn the_delegation_must_cover_it() {
    check(|c| c.delegation.scope.max_risk = Risk::Low, "OUTSIDE_DELEGATION");
    // Declaring less does not help.
    let understated = |c: &mut Case| {
        c.delegation.scope.max_risk = Risk::Low;
        c.opened.intent.risk = Risk::Low;
    };
    check(understated, "OUTSIDE_DELEGATION");
    check(|c| c.delegation.scope.hosts = HostScope::Only(vec![HostId::new("h2").unwrap()]), "OUTSIDE_DELEGATION");
    check(|c| c.delegation.scope.hosts = HostScope::Only(vec![HostId::new("h1").unwrap()]), "ACCEPTED");
    check(|c| c.delegation.scope.steps = Some(vec![StepKind::StartService]), "OUTSIDE_DELEGATION");
    check(|c| c.delegation.scope.per_hour = 0, "OUTSIDE_DELEGATION");
}

#[test]
fn the_challenge_must_be_that_of_the_stream() {
    check(|c| c.opened.delivery.challenge = Challenge([8; 32]), "WRONG_CHALLENGE");
    check(|c| c.ward.open_stream(Challenge([8; 32]), SECOND), "WRONG_CHALLENGE");
    check(|c| c.ward.close_stream(), "WRONG_CHALLENGE");
}

#[test]
fn a_delivery_lives_on_the_boot_clock() {
    check(|c| c.now.boot = SECOND * 5040, "ACCEPTED");
    check(|c| c.now.boot = SECOND * 5040 + Duration::from_millis(1), "EXPIRED");
    check(|c| c.opened.delivery.lifetime = LIFETIME_MAX + SECOND, "EXPIRED");
    check(|c| c.opened.delivery.issued_after = SECOND * 60, "EXPIRED");
    check(|c| c.opened.delivery.issued_after = Duration::MAX, "EXPIRED");
}

#[test]
fn the_wall_clock_expires_no_delivery_and_revives_none() {
    let mut lapsed = case();
    lapsed.now.wall = Timestamp::from_secs(1_000_600);
    assert_eq!(lapsed.judge().unwrap().lapsed, Some(SECOND * 100), "it merely warns");
    let set_back = |c: &mut Case| {
        c.now.boot = SECOND * 6000;
        c.now.wall = Timestamp::from_secs(999_000);
    };
    check(set_back, "EXPIRED");
}

#[test]
fn generations_and_sequences_only_rise() {
    check(|c| c.opened.delivery.generation = Generation(id(4)), "STALE_GENERATION");
    check(|c| c.opened.delivery.generation = Generation(Id { epoch: 99, counter: 1000 }), "STALE_GENERATION");
    check(|c| c.opened.delivery.sequence = 0, "REPLAYED");
    let mut case = case();
    let _ = case.judge().unwrap();
    assert_eq!(case.judge().unwrap_err().code(), "REPLAYED");
}

#[test]
fn a_known_command_is_refused_in_any_stream() {
    check(|c| c.host.known.extend([CommandId(id(9))]), "ALREADY_KNOWN");
}

#[test]
fn approvals_can_be_asked_for_by_fleet_and_host() {
    check(|c| c.opened.intent.approvals_required = 1, "NOT_APPROVED");
    let by_host = |c: &mut Case| {
        let mut policy = policy();
        policy.targets.get_mut(&web()).unwrap().permits.get_mut(&StepKind::RestartService).unwrap().approvals = 2;
        c.ward.set_policy(policy);
    };
    check(by_host, "NOT_APPROVED");
    let approved = |have| {
        move |c: &mut Case| {
            by_host(c);
            c.opened.approvals = have;
        }
    };
    check(approved(1), "NOT_APPROVED");
    check(approved(2), "ACCEPTED");
}

#[test]
fn dangerous_classes_are_refused_outright() {
    let dangerous = |c: &mut Case| {
        c.opened.intent.risk = Risk::Dangerous;
        c.delegation.scope.max_risk = Risk::Dangerous;
        c.opened.approvals = 99;
    };
    check(dangerous, "DANGEROUS");
}

#[test]
fn a_command_must_not_understate_itself() {
    check(|c| c.opened.intent.risk = Risk::Low, "UNDERSTATED");
    check(|c| c.opened.intent.effect = Effect::Idempotent, "UNDERSTATED");
    check(|c| c.opened.intent.risk = Risk::High, "ACCEPTED");
}

#[test]
fn the_number_of_steps_is_bounded_on_both_sides() {
    check(|c| c.opened.intent.steps.clear(), "STEP_COUNT");
    check(|c| c.opened.intent.steps = vec![restart(); STEPS_MAX + 1], "STEP_COUNT");
}

#[test]
fn only_what_agent_toml_names_is_touched() {
    let db = TargetName::new("db").unwrap();
    let other = ProbeName::new("tcp").unwrap();
    check(|c| c.opened.intent.steps[0].target = db.clone(), "NOT_NAMED");
    let directory = PartName::new("etc").unwrap();
    check(|c| set_step(c, Step::CleanDirectory { directory, until_percent: 50 }), "NOT_NAMED");
    let file = PartName::new("shadow").unwrap();
    check(|c| set_step(c, Step::RestoreFile { file, snapshot: Sha256([0; 32]) }), "NOT_NAMED");
    check(|c| c.opened.intent.verify[0].1 = other.clone(), "NOT_NAMED");
    check(|c| c.opened.intent.verify[0].0 = db.clone(), "NOT_NAMED");
    let observed = Precondition::Observed { target: web(), probe: other, status: Status::Down };
    check(|c| c.opened.intent.preconditions.push(observed), "NOT_NAMED");
    let directory = PartName::new("cache").unwrap();
    check(|c| set_step(c, Step::CleanDirectory { directory, until_percent: 50 }), "ACCEPTED");
}

#[test]
fn a_part_is_used_only_as_it_is_declared() {
    let used = |part: &str, act| Step::Use { part: PartName::new(part).unwrap(), act };
    check(|c| set_step(c, used("pages", Act::ClearCache)), "ACCEPTED");
    check(|c| set_step(c, used("other", Act::ClearCache)), "NOT_NAMED");
    // A cache and a weight may bear the same name; a cache is no weight.
    check(|c| set_step(c, used("pages", Act::SetWeight { value: 1 })), "NOT_NAMED");
    check(|c| set_step(c, used("pages", Act::RebuildCache)), "NOT_NAMED");
    check(|c| set_step(c, used("cpu", Act::SetWeight { value: 10 })), "ACCEPTED");
    check(|c| set_step(c, used("cpu", Act::SetWeight { value: 11 })), "OUT_OF_BOUNDS");
    check(|c| set_step(c, used("cpu", Act::SetWeight { value: -1 })), "OUT_OF_BOUNDS");
    check(|c| set_step(c, used("reindex", Act::RunDeclared { risk: Risk::High })), "ACCEPTED");
    check(|c| set_step(c, used("reindex", Act::RunDeclared { risk: Risk::Low })), "UNDERSTATED");
}

#[test]
fn only_what_agent_toml_permits_is_done() {
    check(|c| set_step(c, Step::StopService { grace: SECOND }), "NOT_PERMITTED");
    check(|c| set_step(c, Step::SignalProcess { signal: Signal::Kill }), "NOT_PERMITTED");
    let second = TargetStep { target: web(), step: Step::StartService };
    check(|c| c.opened.intent.steps.push(second), "NOT_PERMITTED");
}

#[test]
fn the_administrator_can_stop_everything() {
    check(|c| c.host.paused = Some("maintenance".to_owned()), "PAUSED");
    check(|c| c.host.observe_only = Some("the ledger is lost".to_owned()), "OBSERVE_ONLY");
    check(|c| c.ward.set_policy(LocalPolicy { observe_only: true, ..policy() }), "OBSERVE_ONLY");
}

#[test]
fn budgets_hold_for_an_hour_of_the_boot_clock() {
    let mut case = case();
    for _ in 0..3 {
        let _ = case.judge().unwrap();
        case.next();
    }
    // Setting the wall clock forth does not help; the hour must pass.
    case.now.wall = Timestamp::from_secs(1_009_000);
    assert_eq!(
        case.judge().unwrap_err(),
        Refusal::OverBudget { step: StepKind::RestartService, target: web(), limit: 3 }
    );
    case.opened.intent.dry_run = true;
    let _ = case.judge().unwrap();
    case.opened.intent.dry_run = false;
    case.next();
    case.now.boot += SECOND * 3600;
    case.ward.open_stream(CHALLENGE, case.now.boot - SECOND * 10);
    let _ = case.judge().unwrap();
}

#[test]
fn budgets_count_what_came_before_a_restart_and_within_the_command() {
    let remembered = |c: &mut Case| {
        for ago in 1..=3 {
            c.ward.remember(c.now.boot - SECOND * ago, &[restart()]);
        }
    };
    check(remembered, "OVER_BUDGET");
    check(|c| c.opened.intent.steps = vec![restart(); 4], "OVER_BUDGET");
    check(|c| c.opened.intent.steps = vec![restart(); 3], "ACCEPTED");
    check(|c| c.ward.set_policy(LocalPolicy { per_hour: 0, ..policy() }), "OVER_BUDGET");
}

#[test]
fn steps_that_are_only_asked_about_meet_the_same_refusals_and_cost_nothing() {
    let asked = |change: &dyn Fn(&mut Case)| {
        let mut case = case();
        change(&mut case);
        let before = format!("{:?}", case.ward);
        let would = case.ward.would(&case.opened.intent.steps, case.now, &case.host);
        assert_eq!(format!("{:?}", case.ward), before, "asking must not move any mark");
        assert_eq!(would.clone().err(), case.judge().err(), "a command would be judged in another way");
        would.err().map(|it| it.code())
    };
    let db = TargetName::new("db").unwrap();
    let directory = PartName::new("etc").unwrap();
    assert_eq!(asked(&|_| {}), None);
    assert_eq!(asked(&|c| c.opened.intent.steps.clear()), Some("STEP_COUNT"));
    assert_eq!(asked(&|c| c.opened.intent.steps[0].target = db.clone()), Some("NOT_NAMED"));
    let clean = || Step::CleanDirectory { directory: directory.clone(), until_percent: 50 };
    assert_eq!(asked(&|c| set_step(c, clean())), Some("NOT_NAMED"));
    assert_eq!(asked(&|c| set_step(c, Step::StartService)), Some("NOT_PERMITTED"));
    assert_eq!(asked(&|c| c.host.paused = Some("maintenance".to_owned())), Some("PAUSED"));
    assert_eq!(asked(&|c| c.host.observe_only = Some("the ledger is lost".to_owned())), Some("OBSERVE_ONLY"));
    assert_eq!(asked(&|c| c.opened.intent.steps = vec![restart(); 4]), Some("OVER_BUDGET"));
}

#[test]
fn what_the_decision_stood_on_must_still_hold() {
    check(|c| c.host.boot = BootId("boot-2".to_owned()), "PRECONDITION");
    check(|c| c.host.instance = Some(Instance("43".into())), "PRECONDITION");
    check(|c| c.host.instance = None, "PRECONDITION");
    check(|c| c.host.observed = Some(Status::Up), "PRECONDITION");
    check(|c| c.host.observed = Some(Status::Unknown), "PRECONDITION");
    check(|c| c.host.observed = None, "PRECONDITION");
}

/// Each refusal against the one that comes after it: with both wrong, the earlier is named.
#[test]
fn the_checks_come_in_their_order() {
    type Fault = (&'static str, fn(&mut Case));
    let faults: [Fault; 16] = [
        ("NEWER_SCHEMA", |c| c.opened.intent.schema = 2),
        ("WRONG_FLEET", |c| c.opened.intent.fleet = FleetName::new("other").unwrap()),
        ("WRONG_HOST", |c| c.opened.intent.host = HostId::new("h2").unwrap()),
        ("WRONG_ENROLMENT", |c| c.opened.intent.enrolment = 1),
        ("NO_DELEGATION", |c| c.opened.delivery.delegation_version = 3),
        ("OUTSIDE_DELEGATION", |c| c.delegation.scope.hosts = HostScope::Only(Vec::new())),
        ("WRONG_CHALLENGE", |c| c.opened.delivery.challenge = Challenge([8; 32])),
        ("STALE_GENERATION", |c| c.opened.delivery.generation = Generation(id(4))),
        ("REPLAYED", |c| c.opened.delivery.sequence = 0),
        ("ALREADY_KNOWN", |c| c.host.known.extend([c.opened.intent.id])),
        ("NOT_APPROVED", |c| c.opened.intent.approvals_required = 1),
        ("UNDERSTATED", |c| c.opened.intent.effect = Effect::Idempotent),
        ("STEP_COUNT", |c| {
            c.opened.intent.steps.resize(STEPS_MAX + 1, restart());
        }),
        ("NOT_NAMED", |c| c.opened.intent.verify[0].1 = ProbeName::new("tcp").unwrap()),
        ("PAUSED", |c| c.host.paused = Some("x".to_owned())),
        ("PRECONDITION", |c| c.host.observed = None),
    ];
    for later in (0..faults.len()).rev() {
        let from_here = |c: &mut Case| faults[later..].iter().for_each(|(_, fault)| fault(c));
        check(from_here, faults[later].0);
    }
}

proptest! {
    /// Whatever byte of an intent is changed on the way, the ward sees a command that is refused, or one that says the
    /// same to the host: nothing else is permitted by the host's own policy.
    #[test]
    fn no_mutated_intent_reaches_beyond_the_local_policy(at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut case = case();
        let mut bytes = postcard::to_stdvec(&case.opened.intent).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let Ok(mutated) = postcard::from_bytes::<Intent>(&bytes) else { return Ok(()) };
        case.opened.intent = mutated.clone();
        if case.judge().is_ok() {
            prop_assert_eq!(&mutated.host, &intent().host);
            for step in &mutated.steps {
                prop_assert!(policy().targets[&step.target].permits.contains_key(&step.step.kind()));
            }
        }
    }

    /// Whatever byte of a delivery is changed, it is refused unless the change only shortens or keeps its freshness.
    #[test]
    fn no_mutated_delivery_gets_fresher(at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut case = case();
        let good = case.opened.delivery.clone();
        let mut bytes = postcard::to_stdvec(&good).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let Ok(mutated) = postcard::from_bytes::<Delivery>(&bytes) else { return Ok(()) };
        case.opened.delivery = mutated.clone();
        if case.judge().is_ok() {
            prop_assert_eq!(mutated.challenge, good.challenge);
            prop_assert!(mutated.generation >= good.generation && mutated.sequence > 0);
            prop_assert!(mutated.lifetime <= LIFETIME_MAX);
            prop_assert_eq!(mutated.delegation_version, good.delegation_version);
        }
    }
}
