use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prunella_model::command::{Challenge, Delivery};
use prunella_model::id::Id;
use prunella_model::observation::Sha256;
use prunella_model::outcome::Refusal;
use prunella_model::step::{Effect, Risk, Step};
use prunella_model::{FleetName, HostId, IncidentId, RepairName, TargetName};
use prunella_proto::wire::encode_intent;
use tempfile::TempDir;

use super::*;

const LOG: &str = "demo/h1/1";
const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn id(counter: u64) -> CommandId {
    CommandId(Id { epoch: 7, counter })
}

fn opened(counter: u64) -> Opened {
    let web = TargetName::new("web").unwrap();
    let intent = Intent {
        schema: 1,
        fleet: FleetName::new("demo").unwrap(),
        host: HostId::new("h1").unwrap(),
        enrolment: 1,
        id: id(counter),
        incident: IncidentId(Id { epoch: 7, counter: 1 }),
        attempt: 1,
        repair: RepairName::new("restart_service").unwrap(),
        steps: vec![TargetStep { target: web, step: Step::RestartService { grace: Duration::from_secs(1) } }],
        risk: Risk::Medium,
        effect: Effect::AtMostOnce,
        preconditions: Vec::new(),
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(30),
        expires_at: NOW,
    };
    let delivery = Delivery {
        schema: 1,
        intent: encode_intent(&intent),
        challenge: Challenge([0; 32]),
        generation: Generation(Id { epoch: 7, counter }),
        sequence: 1,
        issued_after: Duration::ZERO,
        lifetime: Duration::from_secs(30),
        delegation_version: 1,
    };
    Opened { delivery, intent, approvals: 0 }
}

fn report(counter: u64, outcome: Outcome) -> OutcomeReport {
    OutcomeReport {
        command: id(counter),
        outcome,
        started_at: Some(NOW),
        ended_at: NOW,
        notes: vec!["restarted".to_owned()],
        confirmed_by: None,
        by_order: None,
    }
}

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.path(), LOG, true)
    }

    fn create(&self) -> Ledger {
        Ledger::open(&self.path(), LOG, false).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}

/// What the ledger says of a command, in a word.
fn word(ledger: &Ledger, counter: u64) -> &'static str {
    match ledger.knows(id(counter)) {
        None => "unknown",
        Some(State::Intended) => "intended",
        Some(State::Executing { .. }) => "executing",
        Some(State::Finished(_)) => "finished",
        Some(State::Acknowledged) => "acknowledged",
        Some(State::Forgotten) => "forgotten",
    }
}

#[test]
fn the_life_of_a_command_survives_every_reopening() {
    let place = Place::new();
    let reopened = |expected: &str| {
        let ledger = place.open().unwrap();
        assert_eq!(word(&ledger, 1), expected);
        assert!(!ledger.was_torn());
        ledger
    };
    place.create().intend(&opened(1), NOW).unwrap();
    let mut ledger = reopened("intended");
    assert_eq!(ledger.unfinished(), vec![Unfinished { intent: opened(1).intent, at: NOW, begun: None }]);
    ledger.executing(id(1), 0).unwrap();
    drop(ledger);
    let mut ledger = reopened("executing");
    assert_eq!(ledger.unfinished()[0].begun, Some(0));
    ledger.finished(&report(1, Outcome::Done)).unwrap();
    drop(ledger);
    let mut ledger = reopened("finished");
    assert_eq!(ledger.unacknowledged(), vec![report(1, Outcome::Done)]);
    assert!(ledger.unfinished().is_empty());
    ledger.acknowledged(id(1)).unwrap();
    drop(ledger);
    let ledger = reopened("acknowledged");
    assert!(ledger.unacknowledged().is_empty());
    assert_eq!(ledger.mark(), Generation(Id { epoch: 7, counter: 1 }));
    let steps = opened(1).intent.steps;
    assert_eq!(ledger.recent(NOW.after(Duration::from_secs(60))), vec![(Duration::from_secs(60), steps)]);
    assert!(ledger.recent(NOW.after(Duration::from_secs(3600))).is_empty());
}

#[test]
fn nothing_is_done_twice_or_out_of_order() {
    let place = Place::new();
    let mut ledger = place.create();
    assert!(matches!(ledger.executing(id(1), 0), Err(LedgerError::NotUnderWay { .. })));
    assert!(matches!(ledger.finished(&report(1, Outcome::Done)), Err(LedgerError::NotUnderWay { .. })));
    ledger.acknowledged(id(1)).unwrap();
    ledger.intend(&opened(1), NOW).unwrap();
    assert!(matches!(ledger.intend(&opened(1), NOW), Err(LedgerError::AlreadyKnown { .. })));
    ledger.finished(&report(1, Outcome::Done)).unwrap();
    assert!(matches!(ledger.finished(&report(1, Outcome::Done)), Err(LedgerError::NotUnderWay { .. })));
    assert!(matches!(ledger.executing(id(1), 1), Err(LedgerError::NotUnderWay { .. })));
    assert!(matches!(ledger.intend(&opened(1), NOW), Err(LedgerError::AlreadyKnown { .. })));
}

#[test]
fn a_refusal_is_kept_until_acknowledged() {
    let place = Place::new();
    let refused = report(2, Outcome::Refused(Refusal::WrongChallenge));
    place.create().finished(&refused).unwrap();
    let ledger = place.open().unwrap();
    assert_eq!(ledger.unacknowledged(), vec![refused]);
    assert!(ledger.recent(NOW).is_empty(), "it did nothing");
}

/// Power is lost after each byte of each write: what was acknowledged before is there, the rest is cut or whole.
#[test]
fn a_crash_after_every_byte_loses_nothing_that_was_written_before() {
    let place = Place::new();
    let mut ledger = place.create();
    let mut ends = vec![(ledger.end, ["unknown", "unknown"])];
    ledger.intend(&opened(1), NOW).unwrap();
    ends.push((ledger.end, ["intended", "unknown"]));
    ledger.executing(id(1), 0).unwrap();
    ends.push((ledger.end, ["executing", "unknown"]));
    ledger.finished(&report(1, Outcome::Done)).unwrap();
    ends.push((ledger.end, ["finished", "unknown"]));
    ledger.intend(&opened(2), NOW).unwrap();
    ends.push((ledger.end, ["finished", "intended"]));
    ledger.acknowledged(id(1)).unwrap();
    ends.push((ledger.end, ["acknowledged", "intended"]));
    drop(ledger);
    let bytes = place.bytes();
    for cut in ends[0].0..=ends[5].0 {
        let mut crashed = bytes.clone();
        crashed[cut..].fill(0);
        // Without the disk: opening a file a thousand times would sync it a thousand times.
        let disk = Box::new(Memory);
        let ledger = Ledger::resume(disk, &place.path(), Head::genesis(LOG), &crashed).unwrap();
        let (end, expected) = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap();
        assert_eq!([word(&ledger, 1), word(&ledger, 2)], *expected, "cut at {cut}");
        assert_eq!(ledger.was_torn(), *end != cut, "cut at {cut}");
    }
}

/// A disk that forgets, for reading alone.
struct Memory;

impl Disk for Memory {
    fn write_at(&mut self, _at: usize, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn replace(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_torn_record_is_cut_and_writing_goes_on() {
    let place = Place::new();
    let mut ledger = place.create();
    ledger.intend(&opened(1), NOW).unwrap();
    let end = ledger.end;
    ledger.intend(&opened(2), NOW).unwrap();
    drop(ledger);
    let mut bytes = place.bytes();
    bytes[end + 100..].fill(0);
    std::fs::write(place.path(), bytes).unwrap();
    let mut ledger = place.open().unwrap();
    assert!(ledger.was_torn());
    assert_eq!([word(&ledger, 1), word(&ledger, 2)], ["intended", "unknown"]);
    ledger.intend(&opened(3), NOW).unwrap();
    drop(ledger);
    let ledger = place.open().unwrap();
    assert_eq!([word(&ledger, 1), word(&ledger, 3)], ["intended", "intended"]);
    assert!(!ledger.was_torn());
}

#[test]
fn a_changed_byte_anywhere_is_never_taken_for_the_truth() {
    let place = Place::new();
    let mut ledger = place.create();
    ledger.intend(&opened(1), NOW).unwrap();
    ledger.finished(&report(1, Outcome::Done)).unwrap();
    let end = ledger.end;
    drop(ledger);
    let bytes = place.bytes();
    for at in 0..end {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        let result = Ledger::resume(Box::new(Memory), &place.path(), Head::genesis(LOG), &bad);
        assert!(matches!(result, Err(LedgerError::Damaged { .. })), "byte {at}");
    }
}

#[test]
fn a_lost_emptied_shortened_or_foreign_ledger_fails_closed() {
    let place = Place::new();
    assert!(matches!(place.open(), Err(LedgerError::Lost { .. })));
    place.create().intend(&opened(1), NOW).unwrap();
    let bytes = place.bytes();
    let fails = |bytes: &[u8], what: &str| {
        std::fs::write(place.path(), bytes).unwrap();
        let error = place.open().err().unwrap_or_else(|| panic!("{what}"));
        assert!(matches!(error, LedgerError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("enrol it again"), "{error}");
    };
    fails(&vec![0; CAPACITY], "emptied");
    fails(&[], "of no length");
    fails(&bytes[..CAPACITY / 2], "shortened");
    std::fs::write(place.path(), &bytes).unwrap();
    let other = Ledger::open(&place.path(), "demo/h1/2", true);
    assert!(matches!(other, Err(LedgerError::Damaged { .. })), "of another enrolment");
    assert!(place.open().is_ok());
    std::fs::remove_file(place.path()).unwrap();
    let error = place.open().err().unwrap();
    assert!(matches!(error, LedgerError::Lost { .. }) && error.to_string().contains("join token"), "{error}");
}

#[test]
fn two_agents_cannot_share_a_ledger() {
    let place = Place::new();
    let first = place.create();
    assert!(matches!(place.open(), Err(LedgerError::InUse { .. })));
    drop(first);
    assert!(place.open().is_ok());
}

/// A real disk that fails at its n-th operation and every one after it.
struct Flaky {
    inner: FileDisk,
    left: Arc<AtomicI64>,
}

impl Flaky {
    fn spend(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(io::Error::other("no space left")) }
    }
}

impl Disk for Flaky {
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.inner.write_at(at, bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.spend()?;
        self.inner.sync()
    }
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.inner.replace(bytes)
    }
}

#[test]
fn any_error_of_the_disk_poisons_the_ledger_for_good() {
    // Operations: 1 the first file, 2 write and 3 sync of the intent, 4 write of the step, 5 and 6 of the outcome.
    for failing in 1..6 {
        let place = Place::new();
        let left = Arc::new(AtomicI64::new(failing));
        let disk = Box::new(Flaky { inner: FileDisk::new(&place.path()).unwrap(), left: left.clone() });
        let mut ledger = Ledger::create(disk, &place.path(), Head::genesis(LOG)).unwrap();
        let results =
            [ledger.intend(&opened(1), NOW), ledger.executing(id(1), 0), ledger.finished(&report(1, Outcome::Done))];
        assert!(results.iter().any(Result::is_err), "operation {failing}");
        assert!(ledger.poisoned().is_some_and(|why| why.contains("no space")), "operation {failing}");
        // The disk works again, but what it holds is not known.
        left.store(1000, Ordering::Relaxed);
        assert!(matches!(ledger.intend(&opened(2), NOW), Err(LedgerError::Poisoned { .. })));
        if ledger.knows(id(1)).is_some() {
            let finished = ledger.finished(&report(1, Outcome::Done));
            assert!(matches!(finished, Err(LedgerError::Poisoned { .. } | LedgerError::NotUnderWay { .. })));
        }
        drop(ledger);
        // What is on the disk is what was said to be there, or more: never less.
        let ledger = place.open().unwrap();
        assert!(results[0].is_err() || word(&ledger, 1) != "unknown", "operation {failing}");
    }
}

#[test]
fn a_first_file_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let left = Arc::new(AtomicI64::new(0));
    let disk = Box::new(Flaky { inner: FileDisk::new(&place.path()).unwrap(), left });
    assert!(Ledger::create(disk, &place.path(), Head::genesis(LOG)).is_err());
}

/// Thousands of commands through a disk without a disk: the file stays as it is, and no id is ever forgotten.
#[test]
fn it_never_grows_and_never_forgets() {
    let place = Place::new();
    let mut ledger = Ledger::create(Box::new(Memory), &place.path(), Head::genesis(LOG)).unwrap();
    ledger.intend(&opened(1), NOW).unwrap();
    let mut rewritten = 0;
    for counter in 2..4000 {
        let before = ledger.end;
        ledger.intend(&opened(counter), NOW).unwrap();
        ledger.executing(id(counter), 0).unwrap();
        ledger.finished(&report(counter, Outcome::Done)).unwrap();
        ledger.acknowledged(id(counter)).unwrap();
        rewritten += u32::from(ledger.end < before);
        assert!(ledger.end <= CAPACITY);
    }
    assert!(rewritten > 2, "{rewritten}");
    assert_eq!([word(&ledger, 1), word(&ledger, 2), word(&ledger, 3999)], ["intended", "forgotten", "acknowledged"]);
    assert!(matches!(ledger.intend(&opened(2), NOW), Err(LedgerError::AlreadyKnown { .. })));
    assert_eq!(ledger.unfinished().len(), 1, "what is under way is kept");
}

#[test]
fn a_rewritten_file_says_the_same_as_the_old_one() {
    let place = Place::new();
    let mut ledger = place.create();
    ledger.intend(&opened(1), NOW).unwrap();
    ledger.executing(id(1), 0).unwrap();
    ledger.intend(&opened(2), NOW).unwrap();
    ledger.finished(&report(2, Outcome::Failed { step: 0, why: "no".to_owned() })).unwrap();
    ledger.intend(&opened(3), NOW).unwrap();
    ledger.finished(&report(3, Outcome::Done)).unwrap();
    ledger.acknowledged(id(3)).unwrap();
    let before = ledger.book.clone();
    ledger.rewrite(CAPACITY).unwrap();
    assert_eq!(ledger.book, before);
    ledger.executing(id(1), 1).unwrap();
    drop(ledger);
    let ledger = place.open().unwrap();
    assert_eq!([word(&ledger, 1), word(&ledger, 2), word(&ledger, 3)], ["executing", "finished", "acknowledged"]);
    assert_eq!(ledger.mark(), Generation(Id { epoch: 7, counter: 3 }));
    assert_eq!(ledger.recent(NOW).len(), 3);
}

#[test]
fn without_acknowledgements_it_refuses_before_it_is_full() {
    let place = Place::new();
    let mut ledger = Ledger::create(Box::new(Memory), &place.path(), Head::genesis(LOG)).unwrap();
    let refused = (1..10_000).find(|counter| match ledger.intend(&opened(*counter), NOW) {
        Ok(()) => ledger.finished(&report(*counter, Outcome::Done)).is_err(),
        Err(error) => matches!(error, LedgerError::Full),
    });
    let refused = refused.unwrap();
    assert_eq!(word(&ledger, refused), "unknown", "what was intended could always be finished");
    assert!(ledger.poisoned().is_none());
    for counter in 1..refused {
        ledger.acknowledged(id(counter)).unwrap();
    }
    ledger.intend(&opened(refused), NOW).unwrap();
}

#[test]
fn long_notes_are_left_out_and_long_intents_refused() {
    let place = Place::new();
    let mut ledger = place.create();
    let mut big = opened(1);
    big.delivery.intent = vec![0; INTENT_MAX + 1];
    assert!(matches!(ledger.intend(&big, NOW), Err(LedgerError::TooLong { .. })));
    ledger.intend(&opened(1), NOW).unwrap();
    let chatty = OutcomeReport { notes: vec!["x".repeat(REPORT_MAX)], ..report(1, Outcome::Done) };
    ledger.finished(&chatty).unwrap();
    assert_eq!(ledger.unacknowledged()[0].outcome, Outcome::Done);
    assert!(ledger.unacknowledged()[0].notes[0].contains("too long"));
}

#[test]
fn a_ledger_whose_file_was_removed_permits_nothing_more() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger");
    let mut ledger = Ledger::open(&path, LOG, false).unwrap();
    ledger.intend(&opened(1), NOW).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = ledger.intend(&opened(2), NOW).unwrap_err();
    assert!(matches!(error, LedgerError::Disk { .. }), "{error}");
    assert!(ledger.poisoned().is_some_and(|why| why.contains("removed or replaced")), "{:?}", ledger.poisoned());
}
