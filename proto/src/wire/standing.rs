//! Standing orders, and what was done by them.

use prost::Message as _;
use prunella_model::standing::{OrderRun, StandingOrder, StandingOrders};
use prunella_model::{CommandId, IncidentId};

use super::command::{encode_probe_name, newer_or, probe_name, unreadable};
use super::error::{WireError, Within as _};
use super::field::{digest, encode_id, id, list, name};
use super::limits::{INTENT_LIST_MAX, TARGETS_MAX};
use super::step::{encode_status, encode_step, status, step};
use super::time::{encode_span, span};
use crate::agent::v1 as pb;

/// The bytes of standing orders, which go into a delivery.
#[must_use]
pub fn encode_standing(it: &StandingOrders) -> Vec<u8> {
    pb::StandingOrders {
        schema: it.schema,
        fleet: it.fleet.as_str().to_owned(),
        host: it.host.as_str().to_owned(),
        enrolment: it.enrolment,
        lifetime: Some(encode_span(it.lifetime)),
        policy_version: it.policy_version,
        policy_hash: it.policy_hash.0.to_vec(),
        orders: it.orders.iter().map(encode_order).collect(),
    }
    .encode_to_vec()
}

fn encode_order(it: &StandingOrder) -> pb::StandingOrder {
    pb::StandingOrder {
        target: it.target.as_str().to_owned(),
        probe: it.probe.as_str().to_owned(),
        status: encode_status(it.status),
        held: Some(encode_span(it.held)),
        repair: it.repair.as_str().to_owned(),
        steps: it.steps.iter().map(encode_step).collect(),
        verify: it.verify.iter().map(encode_probe_name).collect(),
        runs: it.runs.iter().map(|it| encode_id(it.0)).collect(),
        incident: Some(encode_id(it.incident.0)),
        max_run: Some(encode_span(it.max_run)),
    }
}

/// Reads the bytes of standing orders. Verify who signed them first.
///
/// # Errors
/// The field that is wrong, or that a newer program wrote it. What is too much for the ward is read all the same.
pub fn decode_standing(bytes: &[u8]) -> Result<StandingOrders, WireError> {
    let it = pb::StandingOrders::decode(bytes).map_err(unreadable)?;
    let schema = it.schema;
    read_orders(it).map_err(|error| newer_or(schema, error)).within("standing_orders")
}

fn read_orders(it: pb::StandingOrders) -> Result<StandingOrders, WireError> {
    Ok(StandingOrders {
        schema: it.schema,
        fleet: name("fleet", &it.fleet)?,
        host: name("host", &it.host)?,
        enrolment: it.enrolment,
        lifetime: span("lifetime", it.lifetime)?,
        policy_version: it.policy_version,
        policy_hash: digest("policy_hash", &it.policy_hash)?,
        orders: list("orders", TARGETS_MAX, it.orders, order)?,
    })
}

fn order(it: pb::StandingOrder) -> Result<StandingOrder, WireError> {
    Ok(StandingOrder {
        target: name("target", &it.target)?,
        probe: name("probe", &it.probe)?,
        status: status("status", it.status)?,
        held: span("held", it.held)?,
        repair: name("repair", &it.repair)?,
        steps: list("steps", INTENT_LIST_MAX, it.steps, step)?,
        verify: list("verify", INTENT_LIST_MAX, it.verify, probe_name)?,
        runs: list("runs", INTENT_LIST_MAX, it.runs, |it| id("", Some(it)).map(CommandId))?,
        incident: IncidentId(id("incident", it.incident)?),
        max_run: span("max_run", it.max_run)?,
    })
}

/// What a command was a run of, as it travels.
pub(super) fn encode_order_run(it: &OrderRun) -> pb::outcome_report::OrderRun {
    pb::outcome_report::OrderRun { target: it.target.as_str().to_owned(), repair: it.repair.as_str().to_owned() }
}

/// Reads what a command was a run of.
pub(super) fn order_run(it: pb::outcome_report::OrderRun) -> Result<OrderRun, WireError> {
    Ok(OrderRun { target: name("target", &it.target)?, repair: name("repair", &it.repair)? })
}
