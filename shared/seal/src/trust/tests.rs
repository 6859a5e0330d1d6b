use std::time::Duration;

use proptest::prelude::*;
use prunella_model::command::{BootId, Challenge, Envelope, Precondition};
use prunella_model::observation::Sha256;
use prunella_model::step::{Effect, Risk, Step, TargetStep};
use prunella_model::{CommandId, Generation, HostId, IncidentId, RepairName, TargetName};

use super::*;
use crate::document::{Approver, HostScope, Scope, Signer};
use crate::key::SecretKey;
use crate::{DELEGATION_MAX, PAYLOAD_MAX, sign};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_entropy(&[seed; 32])
}

const ROOT: u8 = 1;
const ROOT_2: u8 = 2;
const SIGNER: u8 = 3;
const SERVER: u8 = 4;
const ALICE: u8 = 5;
const BOB: u8 = 6;

fn fleet() -> FleetFile {
    FleetFile {
        schema: 1,
        fleet: FleetName::new("demo").unwrap(),
        version: 3,
        root_keys: vec![key(ROOT).public(), key(ROOT_2).public()],
        root_threshold: 2,
        signers: vec![Signer { key: key(SIGNER).public(), not_after: NOW.after(HOUR * 24 * 90) }],
        approvers: ["alice", "bob"]
            .into_iter()
            .zip([ALICE, BOB])
            .map(|(name, seed)| Approver { operator: OperatorName::new(name).unwrap(), key: key(seed).public() })
            .collect(),
        dangerous_approvals: 2,
    }
}

fn delegation() -> Delegation {
    Delegation {
        schema: 1,
        fleet: FleetName::new("demo").unwrap(),
        version: 7,
        key: key(SERVER).public(),
        not_before: NOW,
        not_after: NOW.after(HOUR * 24),
        scope: Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 100, steps: None },
    }
}

fn bundle(fleet: &FleetFile, delegation: &Delegation) -> TrustBundle {
    TrustBundle { fleet: fleet.sign(&[&key(ROOT), &key(ROOT_2)]), delegation: delegation.sign(&key(SIGNER)) }
}

fn anchor() -> Anchor {
    Anchor::new(FleetName::new("demo").unwrap(), vec![key(ROOT).public(), key(ROOT_2).public()], 2)
}

fn establish(bundle: &TrustBundle) -> Result<Trust, TrustError> {
    Trust::establish(&anchor(), bundle, NOW.after(HOUR))
}

fn trust() -> Trust {
    establish(&bundle(&fleet(), &delegation())).unwrap()
}

#[test]
fn a_chain_of_good_documents_is_believed() {
    let trust = trust();
    assert_eq!((trust.anchor().fleet_version, trust.anchor().delegation_version), (3, 7));
    assert_eq!(trust.delegation(), &delegation());
    // An agent starts again from what it stored.
    let stored: Anchor = serde_json::from_str(&serde_json::to_string(trust.anchor()).unwrap()).unwrap();
    assert!(Trust::establish(&stored, &bundle(&fleet(), &delegation()), NOW).is_ok());
}

#[test]
fn a_fleet_file_below_its_threshold_is_not_believed() {
    let mut bundle = bundle(&fleet(), &delegation());
    bundle.fleet = fleet().sign(&[&key(ROOT), &key(ROOT)]);
    assert!(matches!(establish(&bundle), Err(TrustError::Document(DocumentError::Envelope { .. }))));
}

#[test]
fn new_roots_need_the_signatures_of_old_and_new() {
    let next = FleetFile { version: 4, root_keys: vec![key(9).public()], root_threshold: 1, ..fleet() };
    let signed_by =
        |keys: &[&SecretKey]| TrustBundle { fleet: next.sign(keys), delegation: delegation().sign(&key(SIGNER)) };
    let mut trust = trust();
    assert!(trust.update(&signed_by(&[&key(9)]), NOW).is_err(), "the new root alone");
    assert!(trust.update(&signed_by(&[&key(ROOT), &key(ROOT_2)]), NOW).is_err(), "the old roots alone");
    trust.update(&signed_by(&[&key(ROOT), &key(ROOT_2), &key(9)]), NOW).unwrap();
    assert_eq!(trust.anchor().roots, vec![key(9).public()]);
}

#[test]
fn a_delegation_by_anyone_but_a_signer_is_not_believed() {
    for stranger in [SERVER, ROOT, ALICE] {
        let mut bundle = bundle(&fleet(), &delegation());
        bundle.delegation = delegation().sign(&key(stranger));
        assert!(establish(&bundle).is_err());
    }
    let mut expired = fleet();
    expired.signers[0].not_after = NOW;
    assert!(establish(&bundle(&expired, &delegation())).is_err(), "an expired signer");
}

#[test]
fn a_delegation_out_of_its_time_is_not_believed() {
    let late = Trust::establish(&anchor(), &bundle(&fleet(), &delegation()), NOW.after(DELEGATION_MAX + HOUR));
    assert!(matches!(late, Err(TrustError::NotInForce { .. })));
    let early = Trust::establish(&anchor(), &bundle(&fleet(), &delegation()), NOW.before(HOUR));
    assert!(matches!(early, Err(TrustError::NotInForce { .. })));
    let endless = Delegation { not_after: NOW.after(DELEGATION_MAX + HOUR), ..delegation() };
    assert!(matches!(
        establish(&bundle(&fleet(), &endless)),
        Err(TrustError::Document(DocumentError::Senseless { .. }))
    ));
}

#[test]
fn documents_of_another_fleet_are_not_believed() {
    let other = FleetFile { fleet: FleetName::new("other").unwrap(), ..fleet() };
    assert!(matches!(establish(&bundle(&other, &delegation())), Err(TrustError::WrongFleet { .. })));
    let other = Delegation { fleet: FleetName::new("other").unwrap(), ..delegation() };
    assert!(establish(&bundle(&fleet(), &other)).is_err());
}

#[test]
fn versions_never_fall_and_a_failed_update_changes_nothing() {
    let mut trust = trust();
    let older = FleetFile { version: 2, ..fleet() };
    assert!(matches!(trust.update(&bundle(&older, &delegation()), NOW), Err(TrustError::Older { .. })));
    let older = Delegation { version: 6, ..delegation() };
    assert!(matches!(trust.update(&bundle(&fleet(), &older), NOW), Err(TrustError::Older { .. })));
    assert_eq!((trust.fleet().version, trust.delegation().version), (3, 7));
    let newer = Delegation { version: 8, ..delegation() };
    trust.update(&bundle(&fleet(), &newer), NOW).unwrap();
    assert_eq!(trust.delegation().version, 8);
}

#[test]
fn unknown_fields_and_newer_schemas_are_not_believed() {
    let newer = FleetFile { schema: 2, ..fleet() };
    let error = establish(&bundle(&newer, &delegation())).unwrap_err();
    assert!(error.to_string().contains("upgrade"), "{error}");
    let text = serde_json::to_string(&delegation()).unwrap().replacen('{', "{\"extra\":1,", 1);
    let mut bundle = bundle(&fleet(), &delegation());
    bundle.delegation = sign(crate::DELEGATION_TYPE, text.into_bytes(), &[&key(SIGNER)]);
    assert!(matches!(establish(&bundle), Err(TrustError::Document(DocumentError::Unreadable { .. }))));
}

fn intent() -> Intent {
    Intent {
        schema: 1,
        fleet: FleetName::new("demo").unwrap(),
        host: HostId::new("h1").unwrap(),
        enrolment: 1,
        id: CommandId::default(),
        incident: IncidentId::default(),
        attempt: 1,
        repair: RepairName::new("restart_service").unwrap(),
        steps: vec![TargetStep { target: TargetName::new("web").unwrap(), step: Step::StartService }],
        risk: Risk::Low,
        effect: Effect::Idempotent,
        preconditions: vec![Precondition::Boot(BootId("b".to_owned()))],
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: HOUR,
        expires_at: NOW.after(HOUR),
    }
}

fn delivery() -> Delivery {
    Delivery {
        schema: 1,
        intent: postcard::to_stdvec(&intent()).unwrap(),
        challenge: Challenge([8; 32]),
        generation: Generation::default(),
        sequence: 1,
        issued_after: Duration::ZERO,
        lifetime: Duration::from_secs(30),
        delegation_version: 7,
    }
}

fn command() -> SignedCommand {
    let delivery = sign(COMMAND_TYPE, postcard::to_stdvec(&delivery()).unwrap(), &[&key(SERVER)]);
    SignedCommand { delivery, approvals: Vec::new() }
}

fn open(command: &SignedCommand) -> Result<Opened, Refusal> {
    trust().open_command(command, |bytes| postcard::from_bytes(bytes), |bytes| postcard::from_bytes(bytes))
}

#[test]
fn a_command_signed_by_the_delegated_key_opens() {
    let opened = open(&command()).unwrap();
    assert_eq!(opened, Opened { delivery: delivery(), intent: intent(), approvals: 0 });
}

#[test]
fn an_oversized_command_is_refused_before_anything_else() {
    let mut huge = command();
    huge.delivery.payload = vec![0; PAYLOAD_MAX + 1];
    assert_eq!(open(&huge).unwrap_err().code(), "OVERSIZED");
    let mut many = command();
    many.approvals = vec![many.delivery.clone(); APPROVALS_MAX + 1];
    assert_eq!(open(&many).unwrap_err().code(), "OVERSIZED");
}

#[test]
fn a_command_signed_by_any_other_key_is_refused() {
    for seed in [ROOT, SIGNER, ALICE, 99] {
        let mut bad = command();
        bad.delivery = sign(COMMAND_TYPE, bad.delivery.payload, &[&key(seed)]);
        assert_eq!(open(&bad).unwrap_err().code(), "BAD_SIGNATURE");
    }
    let mut unsigned = command();
    unsigned.delivery.signatures.clear();
    assert_eq!(open(&unsigned).unwrap_err().code(), "BAD_SIGNATURE");
}

#[test]
fn another_payload_type_is_refused_even_when_signed() {
    let mut bad = command();
    bad.delivery = sign(INTENT_TYPE, bad.delivery.payload, &[&key(SERVER)]);
    assert_eq!(open(&bad).unwrap_err().code(), "WRONG_TYPE");
}

#[test]
fn signed_garbage_is_refused() {
    let mut bad = command();
    bad.delivery = sign(COMMAND_TYPE, b"\xff\xff\xff".to_vec(), &[&key(SERVER)]);
    assert_eq!(open(&bad).unwrap_err().code(), "UNDECODABLE");
}

#[test]
fn approvals_count_operators_over_the_exact_bytes() {
    let bytes = postcard::to_stdvec(&intent()).unwrap();
    let approval = |seed: u8| sign(INTENT_TYPE, bytes.clone(), &[&key(seed)]);
    let count = |approvals: Vec<Envelope>| open(&SignedCommand { approvals, ..command() }).unwrap().approvals;
    assert_eq!(count(vec![approval(ALICE), approval(BOB)]), 2);
    assert_eq!(count(vec![approval(ALICE), approval(ALICE)]), 1, "one operator twice");
    assert_eq!(count(vec![approval(SERVER), approval(99)]), 0, "no approver");
    let other = sign(INTENT_TYPE, b"another intent".to_vec(), &[&key(ALICE)]);
    assert_eq!(count(vec![other]), 0, "other bytes");
    let mistyped = sign(COMMAND_TYPE, bytes.clone(), &[&key(ALICE)]);
    assert_eq!(count(vec![mistyped]), 0, "another type");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// Whatever is changed in a signed command, it does not open; only hints may change.
    #[test]
    fn no_mutation_of_a_signed_command_opens(at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut bytes = postcard::to_stdvec(&command()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let Ok(mutated) = postcard::from_bytes::<SignedCommand>(&bytes) else { return Ok(()) };
        if let Ok(opened) = open(&mutated) {
            prop_assert_eq!(&mutated.delivery.payload, &command().delivery.payload);
            prop_assert_eq!(opened, open(&command()).unwrap());
        }
    }
}
