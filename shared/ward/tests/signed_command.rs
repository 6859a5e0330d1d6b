//! The whole way of a command: from the server's key over the wire's bytes to the ward's judgement.

#![expect(clippy::unwrap_used, reason = "clippy takes only #[test] functions for tests, not what they share")]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use prunella_model::command::{BootId, Challenge, Delivery, Intent, Precondition, SignedCommand, TrustBundle};
use prunella_model::host::Permit;
use prunella_model::id::Id;
use prunella_model::observation::{Instance, Sha256, Status};
use prunella_model::outcome::Refusal;
use prunella_model::step::{Effect, Risk, Signal, Step, StepKind, TargetStep};
use prunella_model::{
    CommandId, FleetName, Generation, HostId, IncidentId, ProbeName, RepairName, TargetName, Timestamp,
};
use prunella_proto::agent::v1 as pb;
use prunella_proto::wire;
use prunella_seal::{
    Anchor, COMMAND_TYPE, Delegation, FleetFile, HostScope, Opened, Scope, SecretKey, Signer, Trust, sign,
};
use prunella_ward::{Accepted, Facts, LocalPolicy, Moment, Own, TargetPolicy, Ward};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const CHALLENGE: Challenge = Challenge([7; 32]);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_entropy(&[seed; 32])
}

fn fleet() -> FleetName {
    FleetName::new("demo").unwrap()
}

fn web() -> TargetName {
    TargetName::new("web").unwrap()
}

fn trust() -> Trust {
    let (root, signer, server) = (key(1), key(2), key(3));
    let file = FleetFile {
        schema: 1,
        fleet: fleet(),
        version: 1,
        root_keys: vec![root.public()],
        root_threshold: 1,
        signers: vec![Signer { key: signer.public(), not_after: NOW.after(Duration::from_secs(86_400)) }],
        approvers: Vec::new(),
        dangerous_approvals: 2,
    };
    let delegation = Delegation {
        schema: 1,
        fleet: fleet(),
        version: 1,
        key: server.public(),
        not_before: NOW,
        not_after: NOW.after(Duration::from_secs(86_400)),
        scope: Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 100, steps: None },
    };
    let bundle = TrustBundle { fleet: file.sign(&[&root]), delegation: delegation.sign(&signer) };
    Trust::establish(&Anchor::new(fleet(), vec![root.public()], 1), &bundle, NOW).unwrap()
}

fn intent() -> Intent {
    Intent {
        schema: 1,
        fleet: fleet(),
        host: HostId::new("h1").unwrap(),
        enrolment: 1,
        id: CommandId(Id { epoch: 9, counter: 4 }),
        incident: IncidentId(Id { epoch: 9, counter: 1 }),
        attempt: 1,
        repair: RepairName::new("restart_service").unwrap(),
        steps: vec![TargetStep { target: web(), step: Step::RestartService { grace: Duration::from_secs(2) } }],
        risk: Risk::Medium,
        effect: Effect::AtMostOnce,
        preconditions: vec![Precondition::Instance { target: web(), instance: Instance("42".into()) }],
        verify: vec![(web(), ProbeName::new("http").unwrap())],
        policy_version: 1,
        policy_hash: Sha256([5; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(30),
        expires_at: NOW.after(Duration::from_secs(60)),
    }
}

fn delivery(intent: &Intent) -> Delivery {
    Delivery {
        schema: 1,
        intent: wire::encode_intent(intent),
        challenge: CHALLENGE,
        generation: Generation(Id { epoch: 9, counter: 4 }),
        sequence: 1,
        issued_after: Duration::from_secs(1),
        lifetime: Duration::from_secs(30),
        delegation_version: 1,
    }
}

/// The bytes of a command as they travel.
fn send(delivery: &Delivery, by: &SecretKey) -> Vec<u8> {
    let delivery = sign(COMMAND_TYPE, wire::encode_delivery(delivery), &[by]);
    wire::encode_signed_command(&SignedCommand { delivery, approvals: Vec::new() }).encode_to_vec()
}

/// One host that keeps what it accepted, as an agent does.
struct Host {
    trust: Trust,
    ward: Ward,
    boot: BootId,
    known: BTreeSet<CommandId>,
}

impl Facts for Host {
    fn boot(&self) -> &BootId {
        &self.boot
    }
    fn instance(&self, _target: &TargetName) -> Option<Instance> {
        Some(Instance("42".into()))
    }
    fn observed(&self, _target: &TargetName, _probe: &ProbeName) -> Option<Status> {
        Some(Status::Down)
    }
    fn knows(&self, command: CommandId) -> bool {
        self.known.contains(&command)
    }
    fn paused(&self) -> Option<String> {
        None
    }
    fn observe_only(&self) -> Option<String> {
        None
    }
}

impl Host {
    fn new(name: &str) -> Self {
        let permit = Permit { step: StepKind::RestartService, per_hour: 10, approvals: 0 };
        let target = TargetPolicy {
            permits: [(StepKind::RestartService, permit)].into(),
            probes: [ProbeName::new("http").unwrap()].into(),
            ..TargetPolicy::default()
        };
        let policy = LocalPolicy { targets: [(web(), target)].into(), observe_only: false, per_hour: 10 };
        let own = Own { fleet: fleet(), host: HostId::new(name).unwrap(), enrolment: 1 };
        let mut ward = Ward::new(own, policy, Generation::default());
        ward.open_stream(CHALLENGE, Duration::from_secs(100));
        Self { trust: trust(), ward, boot: BootId("b".to_owned()), known: BTreeSet::new() }
    }

    fn open(&self, bytes: &[u8]) -> Result<Opened, Refusal> {
        let undecodable = |why: String| Refusal::Undecodable { why };
        let frame = pb::SignedCommand::decode(bytes).map_err(|error| undecodable(error.to_string()))?;
        let command = wire::decode_signed_command(frame).map_err(|error| undecodable(error.to_string()))?;
        self.trust.open_command(&command, wire::decode_delivery, wire::decode_intent)
    }

    /// Opens and judges what arrived this long after the stream began.
    fn receive(&mut self, bytes: &[u8], after: u64) -> Result<Accepted, Refusal> {
        let opened = self.open(bytes)?;
        let now = Moment { wall: NOW, boot: Duration::from_secs(100 + after) };
        let mut ward = self.ward.clone();
        let accepted = ward.judge(&opened, self.trust.delegation(), now, self)?;
        self.ward = ward;
        self.known.insert(accepted.command);
        Ok(accepted)
    }
}

#[track_caller]
fn refused(host: &mut Host, bytes: &[u8], after: u64, code: &str) {
    let refusal = host.receive(bytes, after).map_err(|refusal| refusal.code());
    assert_eq!(refusal, Err(code));
}

#[test]
fn a_good_command_is_accepted_once() {
    let mut host = Host::new("h1");
    let bytes = send(&delivery(&intent()), &key(3));
    assert_eq!(host.receive(&bytes, 2).unwrap().command, intent().id);
    refused(&mut host, &bytes, 3, "REPLAYED");
    // A server that resends it properly, in this stream or in the next, is told that it is known.
    let again = Delivery { sequence: 2, ..delivery(&intent()) };
    refused(&mut host, &send(&again, &key(3)), 3, "ALREADY_KNOWN");
    host.ward.open_stream(Challenge([8; 32]), Duration::from_secs(100));
    refused(&mut host, &bytes, 3, "WRONG_CHALLENGE");
    let anew = Delivery { challenge: Challenge([8; 32]), ..delivery(&intent()) };
    refused(&mut host, &send(&anew, &key(3)), 3, "ALREADY_KNOWN");
}

#[test]
fn an_expired_a_misdirected_and_a_foreign_command_are_refused() {
    let bytes = send(&delivery(&intent()), &key(3));
    refused(&mut Host::new("h1"), &bytes, 32, "EXPIRED");
    refused(&mut Host::new("h2"), &bytes, 2, "WRONG_HOST");
    for other in [1, 2, 4] {
        refused(&mut Host::new("h1"), &send(&delivery(&intent()), &key(other)), 2, "BAD_SIGNATURE");
    }
}

#[test]
fn a_command_beyond_the_local_policy_is_refused() {
    let kill = TargetStep { target: web(), step: Step::SignalProcess { signal: Signal::Kill } };
    let intent = Intent { steps: vec![kill], risk: Risk::High, ..intent() };
    refused(&mut Host::new("h1"), &send(&delivery(&intent), &key(3)), 2, "NOT_PERMITTED");
}

#[test]
fn no_flipped_bit_changes_what_is_accepted() {
    let good = send(&delivery(&intent()), &key(3));
    let expected = Host::new("h1").open(&good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut host = Host::new("h1");
        // Only the hint at the key is free to change: the signed bytes are the same then.
        if host.receive(&bad, 2).is_ok() {
            assert_eq!(host.open(&bad).unwrap(), expected, "bit {bit}");
        }
    }
}

proptest! {
    /// Bytes changed, cut, put in or taken out anywhere: what is accepted is the command that was signed, or nothing.
    #[test]
    fn no_mutation_changes_what_is_accepted(
        at in any::<prop::sample::Index>(),
        taken in 0usize..40,
        put in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let good = send(&delivery(&intent()), &key(3));
        let mut bad = good.clone();
        let from = at.index(bad.len());
        let to = (from + taken).min(bad.len());
        bad.splice(from..to, put);
        let mut host = Host::new("h1");
        if host.receive(&bad, 2).is_ok() {
            prop_assert_eq!(host.open(&bad).unwrap(), host.open(&good).unwrap());
        }
    }
}
