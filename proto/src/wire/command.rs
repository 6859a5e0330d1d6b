//! Commands: intent, delivery, envelope, and where authority comes from.

use prost::Message as _;
use prunella_model::command::{
    BootId, Challenge, Delivery, Envelope, Intent, Precondition, SCHEMA, Signature, SignedCommand, TrustBundle,
};
use prunella_model::observation::Instance;
use prunella_model::{CommandId, IncidentId, ProbeName, TargetName};

use super::error::{WireError, Within as _, Wrong};
use super::field::{
    bytes, bytes32, digest, encode_generation, encode_id, generation, id, list, name, nested, required, text,
};
use super::limits::{
    APPROVALS_MAX, INTENT_LIST_MAX, OPAQUE_ID_MAX, PAYLOAD_MAX, PAYLOAD_TYPE_MAX, SIGNATURE_LENGTH_MAX, SIGNATURES_MAX,
};
use super::step::{effect, encode_effect, encode_risk, encode_status, encode_step, risk, status, step};
use super::time::{encode_span, encode_time, span, time};
use crate::agent::v1 as pb;

/// The bytes of an intent, which approvers sign. The same intent always gives the same bytes.
#[must_use]
pub fn encode_intent(it: &Intent) -> Vec<u8> {
    pb::Intent {
        schema: it.schema,
        fleet: it.fleet.as_str().to_owned(),
        host: it.host.as_str().to_owned(),
        enrolment: it.enrolment,
        command: Some(encode_id(it.id.0)),
        incident: Some(encode_id(it.incident.0)),
        attempt: it.attempt,
        repair: it.repair.as_str().to_owned(),
        steps: it.steps.iter().map(encode_step).collect(),
        risk: encode_risk(it.risk),
        effect: encode_effect(it.effect),
        preconditions: it.preconditions.iter().map(encode_precondition).collect(),
        verify: it.verify.iter().map(encode_probe_name).collect(),
        policy_version: it.policy_version,
        policy_hash: it.policy_hash.0.to_vec(),
        approvals_required: it.approvals_required,
        dry_run: it.dry_run,
        max_run: Some(encode_span(it.max_run)),
        expire_time: Some(encode_time(it.expires_at)),
    }
    .encode_to_vec()
}

/// Reads the bytes of an intent. Verify whoever signed them first.
///
/// # Errors
/// [`Wrong::NewerSchema`] when it is not readable and a newer program wrote it; otherwise the field that is wrong.
/// How many steps there may be is for the ward to say: none and too many are read.
pub fn decode_intent(bytes: &[u8]) -> Result<Intent, WireError> {
    let it = pb::Intent::decode(bytes).map_err(unreadable)?;
    let schema = it.schema;
    read_intent(it).map_err(|error| newer_or(schema, error)).within("intent")
}

fn read_intent(it: pb::Intent) -> Result<Intent, WireError> {
    Ok(Intent {
        schema: it.schema,
        fleet: name("fleet", &it.fleet)?,
        host: name("host", &it.host)?,
        enrolment: it.enrolment,
        id: CommandId(id("command", it.command)?),
        incident: IncidentId(id("incident", it.incident)?),
        attempt: it.attempt,
        repair: name("repair", &it.repair)?,
        steps: list("steps", INTENT_LIST_MAX, it.steps, step)?,
        risk: risk("risk", it.risk)?,
        effect: effect("effect", it.effect)?,
        preconditions: list("preconditions", INTENT_LIST_MAX, it.preconditions, precondition)?,
        verify: list("verify", INTENT_LIST_MAX, it.verify, probe_name)?,
        policy_version: it.policy_version,
        policy_hash: digest("policy_hash", &it.policy_hash)?,
        approvals_required: it.approvals_required,
        dry_run: it.dry_run,
        max_run: span("max_run", it.max_run)?,
        expires_at: time("expire_time", it.expire_time)?,
    })
}

/// The bytes of a delivery, which the server signs.
#[must_use]
pub fn encode_delivery(it: &Delivery) -> Vec<u8> {
    pb::Delivery {
        schema: it.schema,
        intent: it.intent.clone(),
        challenge: it.challenge.0.to_vec(),
        generation: Some(encode_generation(it.generation)),
        sequence: it.sequence,
        issued_after: Some(encode_span(it.issued_after)),
        lifetime: Some(encode_span(it.lifetime)),
        delegation_version: it.delegation_version,
    }
    .encode_to_vec()
}

/// Reads the bytes of a delivery. Verify who signed them first.
///
/// # Errors
/// [`Wrong::NewerSchema`] when it is not readable and a newer program wrote it; otherwise the field that is wrong.
pub fn decode_delivery(bytes: &[u8]) -> Result<Delivery, WireError> {
    let it = pb::Delivery::decode(bytes).map_err(unreadable)?;
    let schema = it.schema;
    read_delivery(it).map_err(|error| newer_or(schema, error)).within("delivery")
}

fn read_delivery(it: pb::Delivery) -> Result<Delivery, WireError> {
    Ok(Delivery {
        schema: it.schema,
        intent: bytes("intent", PAYLOAD_MAX, it.intent)?,
        challenge: Challenge(bytes32("challenge", &it.challenge)?),
        generation: generation("generation", it.generation)?,
        sequence: it.sequence,
        issued_after: span("issued_after", it.issued_after)?,
        lifetime: span("lifetime", it.lifetime)?,
        delegation_version: it.delegation_version,
    })
}

/// What a newer program wrote may be unreadable for reasons that mean nothing here: its schema is the reason.
pub(super) fn newer_or(schema: u32, error: WireError) -> WireError {
    if schema > SCHEMA { Wrong::NewerSchema { found: schema, known: SCHEMA }.in_field("schema") } else { error }
}

pub(super) fn unreadable(error: prost::DecodeError) -> WireError {
    Wrong::Unreadable { why: error.to_string() }.in_field("message")
}

fn encode_precondition(it: &Precondition) -> pb::Precondition {
    use pb::precondition::{InstanceIs, Precondition as Wire, ProbeSays};
    pb::Precondition {
        precondition: Some(match it {
            Precondition::Boot(boot) => Wire::BootId(boot.0.clone()),
            Precondition::Instance { target, instance } => Wire::Instance(InstanceIs {
                target: target.as_str().to_owned(),
                instance: instance.0.as_ref().to_owned(),
            }),
            Precondition::Observed { target, probe, status } => Wire::Observed(ProbeSays {
                target: target.as_str().to_owned(),
                probe: probe.as_str().to_owned(),
                status: encode_status(*status),
            }),
        }),
    }
}

fn precondition(it: pb::Precondition) -> Result<Precondition, WireError> {
    use pb::precondition::Precondition as Wire;
    Ok(match required("precondition", it.precondition)? {
        Wire::BootId(boot) => Precondition::Boot(boot_id("boot_id", boot)?),
        Wire::Instance(it) => Precondition::Instance {
            target: name("instance.target", &it.target)?,
            instance: instance("instance.instance", it.instance)?,
        },
        Wire::Observed(it) => Precondition::Observed {
            target: name("observed.target", &it.target)?,
            probe: name("observed.probe", &it.probe)?,
            status: status("observed.status", it.status)?,
        },
    })
}

/// Reads the id of a boot.
pub(super) fn boot_id(field: &str, it: String) -> Result<BootId, WireError> {
    text(field, OPAQUE_ID_MAX, it).map(BootId)
}

/// Reads the id of a run.
pub(super) fn instance(field: &str, it: String) -> Result<Instance, WireError> {
    text(field, OPAQUE_ID_MAX, it).map(|it| Instance(it.into()))
}

/// A probe of a target, as it travels.
pub(super) fn encode_probe_name((target, probe): &(TargetName, ProbeName)) -> pb::ProbeName {
    pb::ProbeName { target: target.as_str().to_owned(), probe: probe.as_str().to_owned() }
}

/// Reads a probe of a target.
pub(super) fn probe_name(it: pb::ProbeName) -> Result<(TargetName, ProbeName), WireError> {
    Ok((name("target", &it.target)?, name("probe", &it.probe)?))
}

/// An envelope as it travels.
#[must_use]
pub fn encode_envelope(it: &Envelope) -> pb::Envelope {
    pb::Envelope {
        payload_type: it.payload_type.clone(),
        payload: it.payload.clone(),
        signatures: it
            .signatures
            .iter()
            .map(|it| pb::Signature { key_id: it.key_id.clone(), signature: it.signature.clone() })
            .collect(),
    }
}

/// Reads an envelope. Its signatures are not verified here.
///
/// # Errors
/// The field that is too large.
pub fn decode_envelope(it: pb::Envelope) -> Result<Envelope, WireError> {
    Ok(Envelope {
        payload_type: text("payload_type", PAYLOAD_TYPE_MAX, it.payload_type)?,
        payload: bytes("payload", PAYLOAD_MAX, it.payload)?,
        signatures: list("signatures", SIGNATURES_MAX, it.signatures, |it| {
            Ok(Signature {
                key_id: text("key_id", PAYLOAD_TYPE_MAX, it.key_id)?,
                signature: bytes("signature", SIGNATURE_LENGTH_MAX, it.signature)?,
            })
        })?,
    })
}

/// A signed command as it travels.
#[must_use]
pub fn encode_signed_command(it: &SignedCommand) -> pb::SignedCommand {
    pb::SignedCommand {
        delivery: Some(encode_envelope(&it.delivery)),
        approvals: it.approvals.iter().map(encode_envelope).collect(),
    }
}

/// Reads a signed command. Its signatures are not verified here.
///
/// # Errors
/// The field that is missing or too large.
pub fn decode_signed_command(it: pb::SignedCommand) -> Result<SignedCommand, WireError> {
    Ok(SignedCommand {
        delivery: nested("delivery", it.delivery, decode_envelope)?,
        approvals: list("approvals", APPROVALS_MAX, it.approvals, decode_envelope)?,
    })
}

/// Documents of authority as they travel.
#[must_use]
pub fn encode_trust(it: &TrustBundle) -> pb::TrustBundle {
    pb::TrustBundle { fleet: Some(encode_envelope(&it.fleet)), delegation: Some(encode_envelope(&it.delegation)) }
}

/// Reads documents of authority. Their signatures are not verified here.
///
/// # Errors
/// The field that is missing or too large.
pub fn decode_trust(it: pb::TrustBundle) -> Result<TrustBundle, WireError> {
    Ok(TrustBundle {
        fleet: nested("fleet", it.fleet, decode_envelope)?,
        delegation: nested("delegation", it.delegation, decode_envelope)?,
    })
}
