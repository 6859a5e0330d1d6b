//! Answers of a server for the golden tests.

use prunella_proto::control::v1 as pb;

use crate::output::Time;

/// 2026-03-01 12:00:00 UTC.
const NOW: i64 = 1_772_366_400;

pub(super) fn now() -> Time {
    at(0, 0).into()
}

pub(super) fn later(seconds: i64) -> Time {
    at(seconds, 0).into()
}

/// `seconds` and `micros` after now.
fn at(seconds: i64, micros: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW + seconds, nanos: micros * 1_000 })
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

fn fault(target: &str, rule: &str, summary: &str) -> Option<pb::Fault> {
    Some(pb::Fault {
        rule: rule.to_owned(),
        target: format!("hosts/{target}"),
        symptom: some("process"),
        severity: "high".to_owned(),
        fingerprint: "00ff00ff00ff00ff".to_owned(),
        since_time: at(-120, 512_000),
        summary: summary.to_owned(),
    })
}

fn evidence(target: &str, probe: &str, status: &str, text: &str, micros: i32) -> pb::Evidence {
    pb::Evidence {
        time: at(-120, micros),
        target: format!("hosts/{target}"),
        probe: some(probe),
        status: some(status),
        text: text.to_owned(),
    }
}

/// A killed service that was started again.
pub(super) fn repaired() -> pb::Incident {
    let diagnosis = pb::Diagnosis {
        category: "OPERATIONAL".to_owned(),
        cause: "process_killed".to_owned(),
        cause_target: "hosts/h3/targets/db".to_owned(),
        confidence: 0.97,
        affected: texts(&["hosts/h2/targets/api", "hosts/h1/targets/web"]),
        evidence: vec![
            evidence("h3/targets/db", "process", "down", "ended by signal 9", 512_000),
            evidence("h2/targets/api", "http", "down", "bad answer 503: db unreachable", 530_000),
        ],
        rejected: vec![pb::RejectedCause {
            cause: "config_corrupted".to_owned(),
            why: "config is as its known-good snapshot".to_owned(),
        }],
        recommended: texts(&["start_service"]),
        priority: "immediate".to_owned(),
    };
    pb::Incident {
        name: "incidents/6740e3a0-17".to_owned(),
        severity: "high".to_owned(),
        fault: fault("h3/targets/db", "process_down", "db's process ended by signal 9"),
        open_time: at(-120, 512_400),
        response: Some(pb::Response { due_time: at(-60, 512_400), begin_time: at(-120, 512_600), miss_time: None }),
        state: pb::incident::State::Closed.into(),
        state_detail: "repaired".to_owned(),
        diagnosis: Some(diagnosis),
        stages: vec![pb::StageRecord {
            stage: "DETECT".to_owned(),
            start_time: at(-120, 512_400),
            end_time: at(-120, 512_600),
            result: "process_down on h3/db".to_owned(),
            health_before: Some(100.0),
            health_after: Some(20.0),
        }],
        attempts: vec![attempt()],
        released: vec![pb::Hold {
            brake: "per_host".to_owned(),
            why: "1 repair in flight on h3".to_owned(),
            since_time: at(-120, 512_500),
            release_time: at(-120, 512_900),
            release_when: None,
        }],
        recover_time: at(-120, 530_000),
        close_time: at(-60, 0),
        closing: some("repaired"),
        ..pb::Incident::default()
    }
}

fn attempt() -> pb::Attempt {
    pb::Attempt {
        number: 1,
        repair: "start_service".to_owned(),
        command: "6740e3a0-18".to_owned(),
        steps: texts(&["start db"]),
        because: "it helped 12 of 12 times".to_owned(),
        alternatives: vec![
            pb::Alternative { repair: None, score: Some(0.1), rejected: "the symptom lasts".to_owned() },
            pb::Alternative { repair: some("restart_service"), score: None, rejected: "nothing runs".to_owned() },
        ],
        decide_time: at(-120, 512_600),
        outcome: some("done"),
        outcome_time: at(-120, 516_600),
        verdict: some("recovered"),
        verdict_time: at(-120, 530_000),
        verdict_evidence: vec![evidence("h3/targets/db", "tcp", "up", "answered in 0.3 ms", 529_000)],
        ..pb::Attempt::default()
    }
}

/// A service that only suffers from another one.
pub(super) fn victim() -> pb::Incident {
    let diagnosis = pb::Diagnosis {
        category: "STRUCTURAL".to_owned(),
        cause: "dependency_down".to_owned(),
        cause_target: "hosts/h3/targets/db".to_owned(),
        confidence: 0.9,
        priority: "monitor".to_owned(),
        ..pb::Diagnosis::default()
    };
    pb::Incident {
        name: "incidents/6740e3a0-19".to_owned(),
        severity: "high".to_owned(),
        fault: fault("h2/targets/api", "http_failing", "api answers 503"),
        open_time: at(-119, 0),
        state: pb::incident::State::Upstream.into(),
        state_detail: "left alone: the cause lies upstream, in incident 6740e3a0-17".to_owned(),
        diagnosis: Some(diagnosis),
        upstream: some("incidents/6740e3a0-17"),
        ..pb::Incident::default()
    }
}

/// An incident of which nothing is known yet.
pub(super) fn fresh() -> pb::Incident {
    pb::Incident {
        name: "incidents/6740e3a0-20".to_owned(),
        severity: "high".to_owned(),
        fault: fault("h1/targets/web", "http_failing", "web does not answer"),
        open_time: at(-1, 0),
        state: pb::incident::State::Diagnosing.into(),
        state_detail: "more evidence is needed before a cause can be named".to_owned(),
        ..pb::Incident::default()
    }
}

/// A service that a brake holds.
pub(super) fn held() -> pb::Incident {
    let hold = pb::Hold {
        brake: "target_cool_down".to_owned(),
        why: "restart_service did not hold once: 5 min between such repairs".to_owned(),
        since_time: at(-1, 0),
        release_time: at(240, 0),
        release_when: None,
    };
    let advice = pb::Advice {
        action: "wait".to_owned(),
        text: "target_cool_down lets it through in 4 min; a person's request passes it at once".to_owned(),
        command: some("repair run h1/web --why TEXT"),
    };
    pb::Incident {
        state: pb::incident::State::Held.into(),
        state_detail: "target_cool_down: restart_service did not hold once: 5 min between such repairs".to_owned(),
        holds: vec![hold],
        advice: Some(advice),
        ..fresh()
    }
}

pub(super) fn incidents() -> Vec<pb::Incident> {
    vec![fresh(), victim(), repaired()]
}

pub(super) fn fleet() -> pb::Fleet {
    pb::Fleet {
        name: "demo".to_owned(),
        time: at(0, 0),
        mode: pb::Mode::Balanced.into(),
        policy_version: 3,
        hosts_online: 2,
        hosts_silent: 1,
        targets: 6,
        open_incidents: 3,
        held: 1,
        repaired: 4,
        mean_time_to_repair: Some(prost_types::Duration { seconds: 0, nanos: 18_000_000 }),
        pauses: vec![pb::Pause {
            name: "hosts/h1".to_owned(),
            by: "ada".to_owned(),
            why: "kernel update".to_owned(),
            create_time: at(-600, 0),
            expire_time: at(3_000, 0),
        }],
        server_version: "0.1.0".to_owned(),
        caveats: texts(&["all keys of this fleet are on one machine"]),
        loosened: texts(&["pacing is off (profile rapid)"]),
        repair_queue: Some(pb::RepairQueue {
            state: pb::repair_queue::State::Backlog.into(),
            waiting: 2,
            oldest: some("incidents/6740e3a0-20"),
            oldest_time: at(-660, 0),
            held_by: texts(&["fleet_per_hour"]),
        }),
        ..pb::Fleet::default()
    }
}

pub(super) fn hosts() -> Vec<pb::Host> {
    let online = pb::Host {
        name: "hosts/h1".to_owned(),
        state: pb::host::State::Online.into(),
        enrolment: 1,
        agent_version: some("0.1.0"),
        first_seen_time: at(-90_000, 0),
        last_seen_time: at(-1, 0),
        health: Some(98.4),
        targets: 2,
        incidents: texts(&["incidents/6740e3a0-20"]),
        ..pb::Host::default()
    };
    let silent = pb::Host {
        name: "hosts/h2".to_owned(),
        state: pb::host::State::Silent.into(),
        observe_only: some("its clock is 9 min off"),
        ..pb::Host::default()
    };
    vec![online, silent]
}

pub(super) fn target() -> pb::Target {
    let probe = |probe: &str, kind: &str, status: &str, finding: &str| pb::ProbeState {
        probe: probe.to_owned(),
        kind: kind.to_owned(),
        status: status.to_owned(),
        finding: finding.to_owned(),
        time: at(-2, 0),
    };
    pb::Target {
        name: "hosts/h1/targets/web".to_owned(),
        service: some("web"),
        critical: true,
        health: Some(40.0),
        probes: vec![
            probe("process", "process", "up", "running as process 4711"),
            probe("http", "http", "down", "no answer within 1.0 s"),
        ],
        readings: vec![
            pb::Reading {
                metric: "process.resident_bytes".to_owned(),
                value: 1_572_864.0,
                time: at(-1, 0),
                fresh: true,
            },
            pb::Reading { metric: "process.cpu_percent".to_owned(), value: 3.0, time: at(-70, 0), fresh: false },
        ],
        incidents: texts(&["incidents/6740e3a0-20"]),
        depends_on: texts(&["hosts/h2/targets/api"]),
        permits: texts(&["start_service", "restart_service"]),
        ..pb::Target::default()
    }
}

pub(super) fn brakes() -> pb::ListBrakesResponse {
    let holding = pb::BrakeHold {
        incident: "incidents/6740e3a0-20".to_owned(),
        why: "10 of 10 repairs in the last hour".to_owned(),
        since: at(-10, 0),
        release_time: at(300, 0),
        release_when: None,
    };
    pb::ListBrakesResponse {
        brakes: vec![
            pb::Brake {
                name: "per_host".to_owned(),
                counts: "repairs of one host in the last hour".to_owned(),
                current: Some(10.0),
                limit: Some(10.0),
                holding: vec![holding],
                class: "pacing".to_owned(),
                held: 5,
            },
            pb::Brake {
                name: "pause".to_owned(),
                class: "safety".to_owned(),
                counts: "pauses".to_owned(),
                held: 2,
                ..pb::Brake::default()
            },
        ],
    }
}

pub(super) fn groups() -> pb::ListGroupsResponse {
    let db = pb::Group {
        name: "groups/db".to_owned(),
        hosts: texts(&["hosts/h1", "hosts/h2", "hosts/h3"]),
        healthy: 2,
        under_repair: 1,
        concurrent: 1,
        minimum_healthy: 2,
        mode: pb::Mode::Conservative.into(),
        throttle: pb::Throttle::Throttled.into(),
        throttle_why: some("groups/db is in mode conservative"),
        ..pb::Group::default()
    };
    let lone = pb::Group {
        name: "groups/lone".to_owned(),
        hosts: texts(&["hosts/h4"]),
        healthy: 1,
        concurrent: 1,
        minimum_healthy: 1,
        exempt: true,
        throttle: pb::Throttle::Normal.into(),
        ..pb::Group::default()
    };
    pb::ListGroupsResponse { groups: vec![db, lone] }
}

pub(super) fn maintenances() -> pb::ListMaintenancesResponse {
    let made = pb::Maintenance {
        name: "maintenances/disks".to_owned(),
        scope: "hosts/h1".to_owned(),
        by: some("ada"),
        why: "new disks".to_owned(),
        start_time: at(-60, 0),
        expire_time: at(3_000, 0),
        active: true,
    };
    let planned = pb::Maintenance {
        name: "maintenances/move".to_owned(),
        scope: "groups/db".to_owned(),
        by: some("bob"),
        why: "rack 4".to_owned(),
        start_time: at(600, 0),
        expire_time: None,
        active: false,
    };
    let window = pb::Maintenance {
        name: "maintenances/night".to_owned(),
        scope: "fleet".to_owned(),
        ..pb::Maintenance::default()
    };
    pb::ListMaintenancesResponse { maintenances: vec![made, planned, window] }
}

pub(super) fn audit() -> Vec<pb::AuditEntry> {
    vec![pb::AuditEntry {
        sequence: 7,
        time: at(-30, 1_000),
        actor: "operator/admin".to_owned(),
        action: "paused".to_owned(),
        subject: "hosts/h1/targets/web".to_owned(),
        incident: None,
        detail: "debugging".to_owned(),
    }]
}

pub(super) fn event() -> pb::Event {
    pb::Event {
        id: "6740e3a0-40".to_owned(),
        time: at(-3, 250_000),
        kind: "fault_detected".to_owned(),
        group: "detection".to_owned(),
        host: some("hosts/h1"),
        target: some("hosts/h1/targets/web"),
        incident: some("incidents/6740e3a0-20"),
        message: "web does not answer".to_owned(),
    }
}

pub(super) fn diagnostics() -> pb::Diagnostics {
    let probe = |probe: &str, found: &str, nanos: i32, why: &str| pb::ProbeDiagnostic {
        probe: probe.to_owned(),
        found: found.to_owned(),
        age: Some(prost_types::Duration { seconds: 0, nanos }),
        why: why.to_owned(),
    };
    let target = |target: &str, found: &str, probes| pb::TargetDiagnostic {
        target: format!("hosts/{target}"),
        found: found.to_owned(),
        probes,
    };
    let layer = |layer: &str, found: &str, text: &str| pb::LayerDiagnostic {
        layer: layer.to_owned(),
        found: found.to_owned(),
        text: text.to_owned(),
    };
    let never = pb::ProbeDiagnostic { age: None, ..probe("process", "unreachable", 0, "its host is not connected") };
    pb::Diagnostics {
        name: "diagnostics/6740e3a0-3".to_owned(),
        scope: "fleet".to_owned(),
        by: some("ada"),
        start_time: at(-30, 0),
        end_time: at(-28, 500_000),
        hosts: 2,
        hosts_done: 2,
        targets: Some(pb::DiagnosticsTally { ok: 1, unknown: 0, unreachable: 1, broken: 1 }),
        layers: vec![
            layer("signing", "ok", "delegation 3 is good for another 11 h"),
            layer("inventory", "broken", "1 of 2 hosts are not connected: h2"),
        ],
        found: vec![
            target(
                "h1/targets/web",
                "broken",
                vec![probe("process", "ok", 3_000_000, ""), probe("http", "broken", 200_000_000, "")],
            ),
            target("h2/targets/db", "unreachable", vec![never]),
            target("h1/targets/host", "ok", vec![probe("host", "ok", 1_000_000, "")]),
        ],
        omitted: 0,
    }
}
