//! Against the real seal, the real ward, the real ledger and a real process.

use std::time::Duration;

use proptest::test_runner::{Config, TestRunner};
use prunella_model::command::{Challenge, Delivery, Precondition};
use prunella_model::observation::Instance;
use prunella_model::step::Step;
use prunella_model::{FleetName, HostId, Id};
use prunella_seal::SecretKey;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::authority::Authority;
use crate::enrol::Membership;
use crate::fixture::{Fleet, Host, delivery, id, intent, web};
use crate::senses::{Sensed, Senses};

const SOON: Duration = Duration::from_secs(10);
const CHALLENGE: Challenge = Challenge([9; 32]);

/// One agent without its uplink.
struct Lab {
    fleet: Fleet,
    host: Host,
    senses: Senses,
    executor: Executor,
    ends: mpsc::Receiver<OutcomeReport>,
    authority: Authority,
    boot: BootId,
    _seen: mpsc::Receiver<Sensed>,
}

impl Lab {
    async fn new() -> Self {
        Self::of(Fleet::new(), Host::new("")).await
    }

    async fn of(fleet: Fleet, host: Host) -> Self {
        let (to, seen) = mpsc::channel(100);
        let senses = Senses::start(Arc::clone(&host.config), to).await.unwrap();
        let mut membership = Membership::load(&host.state).unwrap().unwrap_or_else(|| fleet.enrol(&host.state));
        let boot = BootId("this-boot".into());
        let (mut executor, ends) = Executor::open(ExecutorParts {
            config: Arc::clone(&host.config),
            state: host.state.clone(),
            boot: boot.clone(),
            oath: &mut membership,
            body: Body::new(senses.clone()),
            pause: PauseFiles::new(vec![host.state.path("pause")]),
        });
        let mut authority = Authority::new(host.state.clone(), membership.anchor().clone());
        authority.take(&fleet.trust(), clock::wall_now()).unwrap();
        executor.open_stream(Fresh { challenge: CHALLENGE, made_at: clock::boot_now() });
        Self { fleet, host, senses, executor, ends, authority, boot, _seen: seen }
    }

    fn intent(&self, counter: u64) -> Intent {
        intent(counter, &self.boot)
    }

    fn receive(&mut self, command: &SignedCommand) -> Receipt {
        self.executor.receive(command, self.authority.trust(), None)
    }

    fn deliver(&mut self, it: &Delivery) -> Receipt {
        let command = self.fleet.deliver(it);
        self.receive(&command)
    }

    async fn end(&mut self) -> OutcomeReport {
        let report = timeout(SOON, self.ends.recv()).await.unwrap().unwrap();
        self.executor.ended(&report);
        report
    }

    /// Delivers what must be refused, and returns the reason's code. The service must not have been started.
    fn code(&mut self, it: &Delivery) -> &'static str {
        match self.deliver(it) {
            Receipt::Refused(OutcomeReport { outcome: Outcome::Refused(refusal), .. })
            | Receipt::Known { refusal, .. }
            | Receipt::Unnamed(refusal) => refusal.code(),
            other => panic!("{other:?}"),
        }
    }

    /// The refusals in the ledger.
    fn audited(&self, command: CommandId) -> Option<&'static str> {
        let held = self.executor.unacknowledged().into_iter().find(|it| it.command == command)?;
        match held.outcome {
            Outcome::Refused(refusal) => Some(refusal.code()),
            _ => None,
        }
    }

    async fn close(self) {
        self.senses.close().await;
    }
}

async fn in_lab<F: AsyncFnOnce(&mut Lab)>(test: F) {
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut lab = Lab::new().await;
            test(&mut lab).await;
            lab.close().await;
        })
        .await;
}

#[tokio::test]
async fn a_command_is_carried_out_once_and_its_outcome_is_kept_until_it_is_acknowledged() {
    in_lab(async |lab| {
        let command = delivery(&lab.intent(1), CHALLENGE, 1);
        assert_eq!(lab.deliver(&command), Receipt::Accepted(id(1)));
        // The same delivery again, while the first is under way: it is neither carried out nor called refused.
        assert!(matches!(
            lab.deliver(&command),
            Receipt::Known { state: State::Intended | State::Executing { .. }, .. }
        ));
        let report = lab.end().await;
        assert_eq!((report.command, &report.outcome), (id(1), &Outcome::Done), "{report:?}");
        assert_eq!(lab.executor.unacknowledged(), std::slice::from_ref(&report));
        // And after its end, in a fresh delivery: what became of it is said again.
        let again = delivery(&lab.intent(1), CHALLENGE, 2);
        match lab.deliver(&again) {
            Receipt::Known { refusal: Refusal::AlreadyKnown, state: State::Finished(held), .. } => {
                assert_eq!(held, report)
            }
            other => panic!("{other:?}"),
        }
        lab.executor.acknowledged(&[id(1)]);
        assert_eq!(lab.executor.unacknowledged(), []);
        assert_eq!(lab.host.starts_after(1).await, 1);
    })
    .await;
}

#[tokio::test]
async fn each_way_to_be_wrong_has_its_own_refusal_and_no_effect() {
    in_lab(async |lab| {
        let good = lab.intent(1);
        let expired = Delivery { lifetime: Duration::ZERO, ..delivery(&good, CHALLENGE, 1) };
        assert_eq!(lab.code(&expired), "EXPIRED");
        assert_eq!(lab.audited(id(1)), Some("EXPIRED"));
        let wrong_host = Intent { host: HostId::new("h2").unwrap(), ..lab.intent(2) };
        assert_eq!(lab.code(&delivery(&wrong_host, CHALLENGE, 1)), "WRONG_HOST");
        assert_eq!(lab.audited(id(2)), Some("WRONG_HOST"));
        let wrong_fleet = Intent { fleet: FleetName::new("other").unwrap(), ..lab.intent(3) };
        assert_eq!(lab.code(&delivery(&wrong_fleet, CHALLENGE, 1)), "WRONG_FLEET");
        let wrong_enrolment = Intent { enrolment: 2, ..lab.intent(4) };
        assert_eq!(lab.code(&delivery(&wrong_enrolment, CHALLENGE, 1)), "WRONG_ENROLMENT");
        assert_eq!(lab.code(&delivery(&lab.intent(5), Challenge([8; 32]), 1)), "WRONG_CHALLENGE");
        let mut outside = lab.intent(6);
        outside.steps[0].step = Step::StopService { grace: Duration::ZERO };
        outside.risk = outside.steps[0].step.risk();
        assert_eq!(lab.code(&delivery(&outside, CHALLENGE, 1)), "NOT_PERMITTED");
        assert_eq!(lab.audited(id(6)), Some("NOT_PERMITTED"));
        let mut nobody = lab.intent(7);
        nobody.steps[0].target = TargetName::new("db").unwrap();
        assert_eq!(lab.code(&delivery(&nobody, CHALLENGE, 1)), "NOT_NAMED");
        let mut other_run = lab.intent(8);
        let instance = Instance(Arc::from("1-1"));
        other_run.preconditions.push(Precondition::Instance { target: web(), instance });
        assert_eq!(lab.code(&delivery(&other_run, CHALLENGE, 1)), "PRECONDITION");
        let other_boot = intent(9, &BootId("before".into()));
        assert_eq!(lab.code(&delivery(&other_boot, CHALLENGE, 1)), "PRECONDITION");
        assert_eq!(lab.host.starts(), 0);
        assert!(!lab.executor.is_busy());
    })
    .await;
}

#[tokio::test]
async fn a_foreign_key_and_a_flipped_byte_are_refused_without_using_up_the_id() {
    in_lab(async |lab| {
        let it = delivery(&lab.intent(1), CHALLENGE, 1);
        let foreign = lab.fleet.deliver_by(&it, &SecretKey::from_entropy(&[66; 32]));
        let mut flipped = lab.fleet.deliver(&it);
        *flipped.delivery.payload.last_mut().unwrap() ^= 1;
        for command in [foreign, flipped] {
            match lab.receive(&command) {
                Receipt::Refused(report) => {
                    assert!(matches!(report.outcome, Outcome::Refused(Refusal::BadSignature { .. })), "{report:?}");
                }
                Receipt::Unnamed(refusal) => assert_eq!(refusal.code(), "BAD_SIGNATURE"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lab.host.starts(), 0);
        // Whoever has no key must not be able to spoil the command that is meant.
        assert_eq!(lab.deliver(&it), Receipt::Accepted(id(1)));
        assert_eq!(lab.end().await.outcome, Outcome::Done);
    })
    .await;
}

#[tokio::test]
async fn a_replayed_delivery_is_refused() {
    in_lab(async |lab| {
        let first = delivery(&lab.intent(1), CHALLENGE, 5);
        assert_eq!(lab.deliver(&first), Receipt::Accepted(id(1)));
        lab.end().await;
        match lab.deliver(&first) {
            Receipt::Known { refusal: Refusal::Replayed { found: 5, last: 5 }, .. } => {}
            other => panic!("{other:?}"),
        }
        // Another command under an old number of the stream.
        let late = delivery(&lab.intent(2), CHALLENGE, 4);
        assert_eq!(lab.code(&late), "REPLAYED");
        let replaced =
            Delivery { generation: Generation(Id { epoch: 6, counter: 9 }), ..delivery(&lab.intent(3), CHALLENGE, 6) };
        assert_eq!(lab.code(&replaced), "STALE_GENERATION");
        assert_eq!(lab.host.starts_after(1).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_paused_or_observing_host_does_nothing_and_says_why() {
    in_lab(async |lab| {
        let file = lab.host.state.path("pause");
        std::fs::write(&file, "swapping disks").unwrap();
        assert_eq!(lab.code(&delivery(&lab.intent(1), CHALLENGE, 1)), "PAUSED");
        std::fs::remove_file(&file).unwrap();
        let command = lab.fleet.deliver(&delivery(&lab.intent(2), CHALLENGE, 1));
        let skewed = lab.executor.receive(&command, lab.authority.trust(), Some("its clock is wrong".into()));
        assert!(matches!(skewed, Receipt::Refused(it) if matches!(it.outcome, Outcome::Refused(Refusal::ObserveOnly { .. }))));
        let command = lab.fleet.deliver(&delivery(&lab.intent(3), CHALLENGE, 1));
        let unknown = lab.executor.receive(&command, None, None);
        assert!(matches!(unknown, Receipt::Refused(it) if matches!(it.outcome, Outcome::Refused(Refusal::NoDelegation { .. }))));
        assert_eq!(lab.host.starts(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_does_nothing() {
    in_lab(async |lab| {
        let dry = Intent { dry_run: true, ..lab.intent(1) };
        assert_eq!(lab.deliver(&delivery(&dry, CHALLENGE, 1)), Receipt::Accepted(id(1)));
        let report = lab.end().await;
        assert_eq!(report.outcome, Outcome::Done);
        assert_eq!(report.started_at, None);
        assert!(report.notes[0].contains("dry run"), "{:?}", report.notes);
        assert_eq!(lab.host.starts(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_pause_or_a_cancel_stops_a_command_before_its_next_step() {
    in_lab(async |lab| {
        let mut two = lab.intent(1);
        two.steps.push(two.steps[0].clone());
        assert_eq!(lab.deliver(&delivery(&two, CHALLENGE, 1)), Receipt::Accepted(id(1)));
        // The course has not been polled yet: it is between nothing and its first step.
        lab.executor.cancel(id(1));
        assert_eq!(lab.end().await.outcome, Outcome::Cancelled { done: 0 });
        two.id = id(2);
        assert_eq!(lab.deliver(&delivery(&two, CHALLENGE, 2)), Receipt::Accepted(id(2)));
        std::fs::write(lab.host.state.path("pause"), "stop").unwrap();
        let report = lab.end().await;
        assert_eq!(report.outcome, Outcome::Cancelled { done: 0 });
        assert!(report.notes[0].contains("paused: stop"), "{:?}", report.notes);
        assert_eq!(lab.host.starts(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_target_has_one_command_at_a_time() {
    in_lab(async |lab| {
        assert_eq!(lab.deliver(&delivery(&lab.intent(1), CHALLENGE, 1)), Receipt::Accepted(id(1)));
        assert_eq!(lab.code(&delivery(&lab.intent(2), CHALLENGE, 2)), "PRECONDITION");
        assert_eq!(lab.end().await.outcome, Outcome::Done);
        assert_eq!(lab.deliver(&delivery(&lab.intent(3), CHALLENGE, 3)), Receipt::Accepted(id(3)));
        lab.end().await;
        // It ran already, so the second start changed nothing.
        assert_eq!(lab.host.starts_after(1).await, 1);
    })
    .await;
}

/// The agent dies between the intent and the first step, or during it; the next life of it takes the command up.
async fn after_a_crash(step: Step, begun: bool) -> (Outcome, usize) {
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut lab = Lab::new().await;
            let mut it = lab.intent(1);
            it.steps[0].step = step;
            (it.risk, it.effect) = (it.steps[0].step.risk(), it.steps[0].step.effect());
            let command = lab.fleet.deliver(&delivery(&it, CHALLENGE, 1));
            lab.executor.admit(&command, lab.authority.trust(), None).unwrap();
            if begun {
                lab.executor.ledger.borrow_mut().as_mut().unwrap().executing(id(1), 0).unwrap();
            }
            let Lab { fleet, host, senses, executor, .. } = lab;
            drop(executor);
            senses.close().await;
            let mut lab = Lab::of(fleet, host).await;
            // It is still the same command: a repeated delivery does not start it a second time.
            assert!(matches!(lab.receive(&command), Receipt::Known { .. }));
            let report = lab.end().await;
            assert_eq!(lab.executor.unacknowledged(), std::slice::from_ref(&report));
            let starts = lab.host.starts_after(usize::from(report.outcome == Outcome::Done)).await;
            lab.close().await;
            (report.outcome, starts)
        })
        .await
}

#[tokio::test]
async fn after_a_crash_what_can_be_repeated_is_done_once_and_what_cannot_is_unknown() {
    assert_eq!(after_a_crash(Step::StartService, false).await, (Outcome::Done, 1));
    assert_eq!(after_a_crash(Step::StartService, true).await, (Outcome::Done, 1));
    let restart = || Step::RestartService { grace: Duration::ZERO };
    assert_eq!(after_a_crash(restart(), false).await, (Outcome::Cancelled { done: 0 }, 0));
    let (outcome, starts) = after_a_crash(restart(), true).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(starts, 0);
}

#[tokio::test]
async fn a_host_that_lost_its_ledger_only_observes_until_it_is_enrolled_anew() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let Lab { fleet, host, senses, executor, .. } = Lab::new().await;
            drop(executor);
            senses.close().await;
            std::fs::remove_file(host.state.path("ledger-1")).unwrap();
            let mut lab = Lab::of(fleet, host).await;
            assert!(lab.executor.objection().is_some_and(|why| why.contains("new join token")));
            assert_eq!(lab.code(&delivery(&lab.intent(1), CHALLENGE, 1)), "OBSERVE_ONLY");
            let membership = Membership::load(&lab.host.state).unwrap().unwrap();
            assert!(Executor::has_lost_its_ledger(&lab.host.state, &membership));
            assert_eq!(lab.host.starts(), 0);
            lab.close().await;
        })
        .await;
}

#[tokio::test]
async fn no_mutation_of_a_good_command_is_ever_accepted() {
    in_lab(async |lab| {
        let it = delivery(&lab.intent(1), CHALLENGE, 1);
        let good = lab.fleet.deliver(&it);
        let bytes = prost::Message::encode_to_vec(&wire::encode_signed_command(&good));
        let mut runner = TestRunner::new(Config { cases: 4_000, failure_persistence: None, ..Config::default() });
        let strategy = (0..bytes.len(), 1_u8..=255, 0_usize..4);
        let (executor, trust) = (RefCell::new(&mut lab.executor), lab.authority.trust());
        runner
            .run(&strategy, |(at, mask, kind)| {
                let mut mutated = bytes.clone();
                match kind {
                    0 => mutated[at] ^= mask,
                    1 => mutated.truncate(at),
                    2 => mutated.insert(at, mask),
                    _ => drop(mutated.remove(at)),
                }
                let decoded =
                    prost::Message::decode(&*mutated).ok().and_then(|it| wire::decode_signed_command(it).ok());
                // What is not readable is not even judged. What differs only around the signed bytes is the same command.
                let Some(command) =
                    decoded.filter(|it| it.delivery.payload != good.delivery.payload || !signed(it, &good))
                else {
                    return Ok(());
                };
                let receipt = executor.borrow_mut().receive(&command, trust, None);
                assert!(matches!(receipt, Receipt::Refused(_) | Receipt::Unnamed(_)), "{receipt:?}");
                Ok(())
            })
            .unwrap();
        assert_eq!(lab.host.starts(), 0);
        // None of them used the command up.
        assert_eq!(lab.receive(&good), Receipt::Accepted(id(1)));
        lab.end().await;
    })
    .await;
}

/// Whether the good signature over the good type is among those of `it`: key ids are hints, and more signatures are allowed.
fn signed(it: &SignedCommand, good: &SignedCommand) -> bool {
    let wanted = &good.delivery.signatures[0].signature;
    it.delivery.payload_type == good.delivery.payload_type
        && it.delivery.signatures.iter().any(|found| found.signature == *wanted)
}
