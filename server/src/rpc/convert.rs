//! What the engine believes, as the control services say it.

use prunella_engine::view::{
    BrakeView, FleetView, GroupView, HostState, HostView, MaintenanceView, OrdersView, QueueState, QueueView, Reading,
    RolloutView, RuleView, TargetView, Throttle,
};
use prunella_model::event::FleetEvent;
use prunella_model::observation::{Finding, Observation};
use prunella_model::outcome::Outcome;
use prunella_model::policy::{FleetPolicy, Mode};
use prunella_model::record::{AuditEntry, ModeRecord, OrderRunRecord, PauseRecord};
use prunella_model::{FleetName, HostId, IncidentId, TargetRef, Timestamp};
use prunella_proto::control::v1 as pb;
use prunella_proto::wire::{encode_span, encode_time};
use serde::Serialize;

use super::name::{of_host, of_incident, of_scope, of_target};

/// A point in time, for a field that may be unset.
pub(crate) fn time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(encode_time(at))
}

/// The name of an enum's value, as the vocabulary spells it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// The fleet in one look.
#[must_use]
pub fn fleet(name: &FleetName, view: &FleetView, policy: &FleetPolicy, caveats: &[String]) -> pb::Fleet {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    pb::Fleet {
        name: name.to_string(),
        time: time(view.at),
        mode: mode(view.mode).into(),
        policy_version: view.policy_version,
        hosts_online: count(view.online),
        hosts_left: count(view.left),
        hosts_silent: count(view.silent),
        targets: count(view.targets),
        open_incidents: count(view.open),
        needs_human: count(view.needs_human),
        held: count(view.held),
        repaired: view.repaired,
        mean_time_to_repair: view.mean_time_to_repair.map(encode_span),
        pauses: view.pauses.iter().map(pause).collect(),
        cold_until: view.cold_until.map(encode_time),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        caveats: caveats.to_vec(),
        loosened: policy.loosened(),
        throttle: throttle(view.throttle).into(),
        throttle_why: view.throttle_why.clone(),
        mode_overrides: view.modes.iter().map(mode_override).collect(),
        repair_queue: Some(repair_queue(&view.queue)),
    }
}

fn throttle(it: Throttle) -> pb::Throttle {
    match it {
        Throttle::Normal => pb::Throttle::Normal,
        Throttle::Throttled => pb::Throttle::Throttled,
        Throttle::Blocked => pb::Throttle::Blocked,
    }
}

fn mode_override(it: &ModeRecord) -> pb::ModeOverride {
    pb::ModeOverride {
        name: of_scope(&it.scope),
        mode: mode(it.mode).into(),
        by: it.by.to_string(),
        why: it.why.clone(),
        create_time: time(it.since),
    }
}

/// One group.
#[must_use]
pub fn group(it: &GroupView) -> pb::Group {
    pb::Group {
        name: format!("groups/{}", it.group),
        hosts: it.hosts.iter().map(of_host).collect(),
        healthy: it.healthy,
        under_repair: it.under_repair,
        concurrent: it.concurrent,
        minimum_healthy: it.minimum_healthy,
        exempt: it.exempt,
        mode: it.mode.map_or(pb::Mode::Unspecified, mode).into(),
        throttle: throttle(it.throttle).into(),
        throttle_why: it.throttle_why.clone(),
    }
}

/// A changed policy on its way, if one is, and how the last one ended.
#[must_use]
pub fn rollout(it: Option<&RolloutView>, last: Option<&str>) -> pb::PolicyRollout {
    let last = last.map(str::to_owned);
    let Some(it) = it else { return pb::PolicyRollout { last, ..pb::PolicyRollout::default() } };
    pb::PolicyRollout {
        active: true,
        version: it.version,
        by: it.by.to_string(),
        stage: it.stage.as_str().to_owned(),
        since: time(it.since),
        until: time(it.until),
        hosts: it.hosts.iter().map(of_host).collect(),
        compared: it.compared,
        different: it.different,
        examples: it.examples.clone(),
        last,
    }
}

/// One maintenance or window.
#[must_use]
pub fn maintenance(it: &MaintenanceView) -> pb::Maintenance {
    pb::Maintenance {
        name: format!("maintenances/{}", it.name),
        scope: of_scope(&it.scope),
        by: it.by.as_ref().map(ToString::to_string),
        why: it.why.clone(),
        start_time: it.from.map(encode_time),
        expire_time: it.until.map(encode_time),
        active: it.active,
    }
}

fn repair_queue(it: &QueueView) -> pb::RepairQueue {
    let state = match it.state {
        QueueState::Calm => pb::repair_queue::State::Calm,
        QueueState::Backlog => pb::repair_queue::State::Backlog,
        QueueState::Starving => pb::repair_queue::State::Starving,
    };
    pb::RepairQueue {
        state: state.into(),
        waiting: u32::try_from(it.waiting).unwrap_or(u32::MAX),
        oldest: it.oldest.map(of_incident),
        oldest_time: it.oldest_since.map(encode_time),
        held_by: it.held_by.clone(),
    }
}

fn mode(mode: Mode) -> pb::Mode {
    match mode {
        Mode::Aggressive => pb::Mode::Aggressive,
        Mode::Balanced => pb::Mode::Balanced,
        Mode::Conservative => pb::Mode::Conservative,
        Mode::Disabled => pb::Mode::Disabled,
    }
}

fn pause(it: &PauseRecord) -> pb::Pause {
    pb::Pause {
        name: of_scope(&it.scope),
        by: it.by.to_string(),
        why: it.why.clone(),
        create_time: time(it.since),
        expire_time: it.until.map(encode_time),
    }
}

fn incidents(ids: &[IncidentId]) -> Vec<String> {
    ids.iter().copied().map(of_incident).collect()
}

fn targets(refs: &[TargetRef]) -> Vec<String> {
    refs.iter().map(of_target).collect()
}

/// One host.
#[must_use]
pub fn host(it: &HostView) -> pb::Host {
    let state = match it.state {
        HostState::Online => pb::host::State::Online,
        HostState::Left => pb::host::State::Left,
        HostState::Silent => pb::host::State::Silent,
    };
    pb::Host {
        name: of_host(&it.host),
        state: state.into(),
        enrolment: it.enrolment,
        agent_version: it.agent_version.clone(),
        first_seen_time: time(it.first_seen),
        last_seen_time: time(it.last_seen),
        health: it.health,
        targets: u32::try_from(it.targets).unwrap_or(u32::MAX),
        incidents: incidents(&it.incidents),
        paused: it.paused.clone(),
        observe_only: it.observe_only.clone(),
        standing_orders: it.orders.as_ref().map(|orders| standing_orders(&it.host, orders)),
        standing_order_runs: it.order_runs.iter().map(|run| standing_order_run(&it.host, run)).collect(),
        config_digest: it.config.map(|it| it.to_string()),
        program_digest: it.program.map(|it| it.to_string()),
        drift: it.drift.clone(),
        interval_bounds: it
            .intervals
            .map(|it| pb::IntervalBounds { least: Some(encode_span(it.least)), most: Some(encode_span(it.most)) }),
    }
}

fn standing_orders(host: &HostId, it: &OrdersView) -> pb::StandingOrderSet {
    let orders = it.orders.iter().map(|(target, held)| pb::StandingOrder {
        target: of_target(&TargetRef::new(host.clone(), target.clone())),
        held: Some(encode_span(*held)),
    });
    pb::StandingOrderSet { issue_time: time(it.issued), expire_time: time(it.until), orders: orders.collect() }
}

fn standing_order_run(host: &HostId, it: &OrderRunRecord) -> pb::StandingOrderRun {
    let outcome = match &it.outcome {
        Outcome::Done => "done",
        Outcome::Refused(_) => "refused",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown { .. } | Outcome::Lost => "unknown",
        Outcome::Cancelled { .. } => "cancelled",
    };
    pb::StandingOrderRun {
        command: it.command.to_string(),
        target: of_target(&TargetRef::new(host.clone(), it.target.clone())),
        repair: it.repair.to_string(),
        outcome: outcome.to_owned(),
        end_time: time(it.ended_at),
    }
}

/// One target.
#[must_use]
pub fn target(it: &TargetView) -> pb::Target {
    pb::Target {
        name: of_target(&it.target),
        service: it.report.service.as_ref().map(ToString::to_string),
        labels: it.report.labels.clone().into_iter().collect(),
        critical: it.report.critical,
        health: it.health,
        probes: it.observations.iter().map(probe).collect(),
        readings: it.readings.iter().map(reading).collect(),
        incidents: incidents(&it.incidents),
        depends_on: targets(&it.depends_on),
        dependents: targets(&it.dependents),
        permits: it.report.permits.iter().map(|permit| permit.step.as_str().to_owned()).collect(),
    }
}

fn probe(it: &Observation) -> pb::ProbeState {
    pb::ProbeState {
        probe: it.probe.to_string(),
        kind: it.kind.as_str().to_owned(),
        status: word(&it.status),
        finding: finding(&it.finding),
        time: time(it.at),
    }
}

fn reading(it: &Reading) -> pb::Reading {
    pb::Reading { metric: it.metric.to_string(), value: it.value, time: time(it.at), fresh: it.fresh }
}

/// What a probe found, for a person.
fn finding(it: &Finding) -> String {
    match it {
        Finding::Running { pid, .. } => format!("running as process {pid}"),
        Finding::Exited { code, signal, .. } => match (code, signal) {
            (_, Some(signal)) => format!("ended by signal {signal}"),
            (Some(code), None) => format!("exited with code {code}"),
            (None, None) => "ended; nobody saw how".to_owned(),
        },
        Finding::NotRunning => "not running".to_owned(),
        Finding::StoppedOnPurpose => "stopped on purpose".to_owned(),
        Finding::Answered { latency } => format!("answered in {:.1} ms", latency.as_secs_f64() * 1e3),
        Finding::BadAnswer { code: Some(code), why } => format!("bad answer {code}: {why}"),
        Finding::BadAnswer { code: None, why } => format!("bad answer: {why}"),
        Finding::NoAnswer { waited } => format!("no answer within {:.1} s", waited.as_secs_f64()),
        Finding::Unreachable { why } => format!("unreachable: {why}"),
        Finding::FileAsKnown { .. } => "as its known-good snapshot".to_owned(),
        Finding::FileChanged { sha256: None, .. } => "missing".to_owned(),
        Finding::FileChanged { known_good: None, .. } => "no known-good snapshot yet".to_owned(),
        Finding::FileChanged { .. } => "differs from its known-good snapshot".to_owned(),
        Finding::DirectoryUse { used_bytes, quota_bytes } => format!("{used_bytes} of {quota_bytes} bytes in use"),
        Finding::LinesMatched { count: 0, .. } => "no matching line".to_owned(),
        Finding::LinesMatched { count: 1, last } => format!("one matching line: {last}"),
        Finding::LinesMatched { count, last } => format!("{count} matching lines, the last: {last}"),
        Finding::HostRead => "read".to_owned(),
        Finding::Checked { text, .. } => text.clone(),
        Finding::ProbeBroken { why } => format!("the probe is broken: {why}"),
    }
}

/// One rule.
#[must_use]
pub fn rule(it: &RuleView) -> pb::Rule {
    pb::Rule {
        name: it.name.clone(),
        about: it.about.clone(),
        custom: it.custom,
        enabled: it.enabled,
        shadow: it.shadow,
        severity: word(&it.severity),
        hold: Some(encode_span(it.hold)),
        actions: it.actions.iter().map(ToString::to_string).collect(),
        targets: it.targets.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        incidents: incidents(&it.incidents),
        evaluations: it.evaluations,
        spoke: it.spoke,
        last_time: it.last.as_ref().map(|(at, _)| encode_time(*at)),
        last_target: it.last.as_ref().map(|(_, target)| of_target(target)),
        broken: it.broken.clone(),
    }
}

/// One brake.
#[must_use]
pub fn brake(it: &BrakeView) -> pb::Brake {
    let hold = |(incident, hold): &(IncidentId, prunella_model::incident::Hold)| {
        let (release_time, release_when) = super::incident_view::release(&hold.release);
        pb::BrakeHold {
            incident: of_incident(*incident),
            why: hold.why.clone(),
            since: time(hold.since),
            release_time,
            release_when,
        }
    };
    pb::Brake {
        name: it.brake.to_string(),
        counts: it.counts.clone(),
        current: it.current,
        limit: it.limit,
        holding: it.holding.iter().map(hold).collect(),
        class: it.class.as_str().to_owned(),
        held: it.held,
    }
}

/// One event.
#[must_use]
pub fn event(it: &FleetEvent) -> pb::Event {
    pb::Event {
        id: it.id.to_string(),
        time: time(it.at),
        kind: it.kind.as_str().to_owned(),
        group: it.kind.group().as_str().to_owned(),
        host: it.host.as_ref().map(of_host),
        target: it.host.as_ref().zip(it.target.as_ref()).map(|(host, target)| format!("hosts/{host}/targets/{target}")),
        incident: it.incident.map(of_incident),
        message: it.message.clone(),
    }
}

/// One entry of the audit log.
#[must_use]
pub fn audit_entry(sequence: u64, it: &AuditEntry) -> pb::AuditEntry {
    pb::AuditEntry {
        sequence,
        time: time(it.at),
        actor: it.actor.clone(),
        action: it.action.clone(),
        subject: it.subject.clone(),
        incident: it.incident.map(of_incident),
        detail: it.detail.clone(),
    }
}
