use prost::Message as _;
use prunella_model::link::AgentMessage;
use prunella_model::observation::{Frame, Sample};
use prunella_model::outcome::{Outcome, Refusal};
use prunella_model::{Timestamp, command};

use super::dice::Dice;
use super::*;
use crate::agent::v1 as pb;

const ROUNDS: u64 = 2_000;

#[test]
fn every_message_reads_back_as_it_was_written() {
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let (sequence, agent, server) = (dice.next(), dice.agent(), dice.server());
        let bytes = encode_agent(sequence, &agent).encode_to_vec();
        assert_eq!(decode_agent(pb::StreamRequest::decode(&*bytes).unwrap()), Ok((sequence, agent)), "seed {seed}");
        let bytes = encode_server(sequence, &server).encode_to_vec();
        assert_eq!(decode_server(pb::StreamResponse::decode(&*bytes).unwrap()), Ok((sequence, server)), "seed {seed}");
        let (intent, delivery, standing) = (dice.intent(), dice.delivery(), dice.standing());
        assert_eq!(decode_standing(&encode_standing(&standing)), Ok(standing), "seed {seed}");
        assert_eq!(decode_intent(&encode_intent(&intent)), Ok(intent), "seed {seed}");
        assert_eq!(decode_delivery(&encode_delivery(&delivery)), Ok(delivery), "seed {seed}");
    }
}

#[test]
fn hostile_bytes_are_errors_and_never_panics() {
    let read = |bytes: &[u8]| {
        // Only that none of these panics is asserted: some mutations are still good messages.
        drop((decode_intent(bytes), decode_delivery(bytes), decode_standing(bytes)));
        drop(pb::StreamRequest::decode(bytes).map(decode_agent));
        drop(pb::StreamResponse::decode(bytes).map(decode_server));
    };
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let noise: Vec<u8> = (0..dice.below(200)).map(|_| dice.next().to_le_bytes()[0]).collect();
        read(&noise);
        let valid = [
            encode_agent(1, &dice.agent()).encode_to_vec(),
            encode_server(1, &dice.server()).encode_to_vec(),
            encode_intent(&dice.intent()),
            encode_standing(&dice.standing()),
        ];
        for mut bytes in valid {
            let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
            bytes[at] ^= 1 << dice.below(8);
            read(&bytes);
            read(&bytes[..at]);
        }
    }
}

fn hello() -> pb::StreamRequest {
    let target = pb::Target { name: "web".to_owned(), ..pb::Target::default() };
    let report = pb::HostReport {
        mark: Some(pb::Generation::default()),
        targets: vec![target.clone(), target],
        ..pb::HostReport::default()
    };
    let hello = pb::Hello {
        protocol: 1,
        challenge: vec![7; 32],
        time: Some(prost_types::Timestamp::default()),
        report: Some(report),
    };
    pb::StreamRequest { sequence: 1, message: Some(pb::stream_request::Message::Hello(hello)) }
}

/// What is said of a Hello after `change` made it wrong.
fn wrong_hello(change: impl FnOnce(&mut pb::Hello, &mut pb::HostReport)) -> String {
    let mut request = hello();
    let Some(pb::stream_request::Message::Hello(hello)) = &mut request.message else { unreachable!() };
    let mut report = hello.report.take().unwrap();
    change(hello, &mut report);
    hello.report = Some(report);
    decode_agent(request).expect_err("it is wrong").to_string()
}

#[test]
fn an_error_names_the_field_and_what_is_wrong() {
    decode_agent(hello()).expect("the unchanged one is right");
    let cases = [
        (wrong_hello(|it, _| it.challenge.truncate(31)), "hello.challenge: has 31 bytes; 32 are needed"),
        (wrong_hello(|it, _| it.time = None), "hello.time: must be set"),
        (
            wrong_hello(|_, it| it.targets[1].name.clear()),
            "hello.report.targets[1].name: a target name must not be empty",
        ),
        (
            wrong_hello(|_, it| it.targets[0].permits.push(pb::Permit { step: 99, ..pb::Permit::default() })),
            "hello.report.targets[0].permits[0].step: step kind has no number 99; the sender may be newer than this program",
        ),
        (
            wrong_hello(|_, it| it.targets[0].permits.push(pb::Permit::default())),
            "hello.report.targets[0].permits[0].step: must be set",
        ),
        (
            wrong_hello(|_, it| it.targets = vec![pb::Target::default(); limits::TARGETS_MAX + 1]),
            "hello.report.targets: has 513 entries; at most 512 are allowed",
        ),
        (
            wrong_hello(|_, it| it.agent_version = "x".repeat(limits::TEXT_MAX + 1)),
            "hello.report.agent_version: is 2049 bytes long; at most 2048 are allowed",
        ),
        (
            wrong_hello(|_, it| it.targets[0].depends_on.push("a/b".to_owned())),
            "hello.report.targets[0].depends_on[0]: \"a/b\" names no dependency; write a target of this host (db), hosts/H/targets/T or services/S",
        ),
        (
            decode_agent(pb::StreamRequest { sequence: 1, message: None }).unwrap_err().to_string(),
            "message: must be set",
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}

fn wrong_frame(change: impl FnOnce(&mut pb::Frame)) -> String {
    let frame = Frame { samples: vec![Sample { series: 4, value: 1.0 }], ..Frame::default() };
    let mut request = encode_agent(1, &AgentMessage::Frame(frame));
    let Some(pb::stream_request::Message::Frame(frame)) = &mut request.message else { unreachable!() };
    change(frame);
    decode_agent(request).expect_err("it is wrong").to_string()
}

#[test]
fn samples_are_finite_and_paired() {
    assert_eq!(wrong_frame(|it| it.sample_values[0] = f64::NAN), "frame.sample_values[0]: must be a finite number");
    assert_eq!(
        wrong_frame(|it| it.sample_values.push(2.0)),
        "frame.sample_values: has 2 entries, but sample_series has 1"
    );
    let unread = Frame { samples: vec![Sample { series: 4, value: f64::NAN }], ..Frame::default() };
    let (_, AgentMessage::Frame(read)) = decode_agent(encode_agent(1, &AgentMessage::Frame(unread))).unwrap() else {
        unreachable!()
    };
    assert!(read.samples.is_empty());
}

#[test]
fn a_reason_of_a_newer_agent_is_kept() {
    let mut dice = Dice(1);
    let mut outcome = dice.outcome();
    outcome.outcome = Outcome::Refused(Refusal::Other { code: "TOO_HOT".to_owned(), message: "91 degrees".to_owned() });
    let message = AgentMessage::Outcome(outcome);
    let mut wire = encode_agent(1, &message);
    assert_eq!(decode_agent(wire.clone()), Ok((1, message.clone())));
    // The figures of a reason that only the newer agent knows.
    let Some(pb::stream_request::Message::Outcome(it)) = &mut wire.message else { unreachable!() };
    let Some(pb::outcome_report::Outcome::Refused(it)) = &mut it.outcome else { unreachable!() };
    it.detail = r#"{"TooHot":{"degrees":91}}"#.to_owned();
    assert_eq!(decode_agent(wire), Ok((1, message)));
}

#[test]
fn texts_for_a_person_are_cut_instead_of_costing_the_message() {
    let reason = "µ".repeat(limits::TEXT_MAX);
    let wire = encode_agent(1, &AgentMessage::Goodbye { reason: reason.clone() });
    let (_, AgentMessage::Goodbye { reason: read }) = decode_agent(wire).unwrap() else { unreachable!() };
    assert!(reason.starts_with(&read) && read.len() == limits::TEXT_MAX, "{}", read.len());
    // A refusal without room for its figures keeps its code and its words.
    let refusal = Refusal::BadSignature { why: "x".repeat(limits::REFUSAL_DETAIL_MAX) };
    let mut outcome = Dice(1).outcome();
    outcome.outcome = Outcome::Refused(refusal);
    let wire = encode_agent(1, &AgentMessage::Outcome(outcome));
    let (_, AgentMessage::Outcome(read)) = decode_agent(wire).unwrap() else { unreachable!() };
    assert!(matches!(read.outcome, Outcome::Refused(Refusal::Other { code, .. }) if code == "BAD_SIGNATURE"));
}

#[test]
fn an_unreadable_intent_of_a_newer_program_is_called_newer() {
    let mut wire = pb::Intent::decode(&*encode_intent(&Dice(3).intent())).unwrap();
    wire.risk = 77;
    wire.schema = command::SCHEMA;
    assert_eq!(
        decode_intent(&wire.encode_to_vec()).unwrap_err().wrong,
        Wrong::UnknownNumber { what: "risk", number: 77 }
    );
    wire.schema = command::SCHEMA + 1;
    assert_eq!(
        decode_intent(&wire.encode_to_vec()).unwrap_err().wrong,
        Wrong::NewerSchema { found: command::SCHEMA + 1, known: command::SCHEMA }
    );
}

#[test]
fn times_outside_our_range_are_refused() {
    let read = |seconds, nanos| decode_time(prost_types::Timestamp { seconds, nanos });
    assert_eq!(read(1, 1_999).unwrap(), Timestamp::from_micros(1_000_001));
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
        assert!(read(seconds, nanos).is_err(), "{seconds} {nanos}");
    }
    assert!(decode_span(prost_types::Duration { seconds: -1, nanos: 0 }).is_err());
}
