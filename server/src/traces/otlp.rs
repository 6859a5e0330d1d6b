//! An incident as one trace, in the JSON of OTLP over HTTP (opentelemetry-proto 1, `ExportTraceServiceRequest`).
//!
//! Ids are made of the fleet's name and the incident's id, so that whoever has the one finds the other, and a trace that
//! is sent twice is the same trace.

use prost_types::Timestamp;
use prunella_proto::control::v1 as pb;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The span is about work inside the process.
const INTERNAL: u8 = 1;

/// What a span ended with.
#[derive(Clone, Copy)]
enum Ended {
    Well,
    Badly,
    Unsaid,
}

/// The identifier of an incident's trace: 32 hexadecimal digits.
#[must_use]
pub fn trace_id(fleet: &str, incident: &str) -> String {
    hex(&Sha256::digest(format!("prunella {fleet} {incident}"))[..16])
}

/// The request that exports a closed incident; null when it is not closed, or its times are missing.
#[must_use]
pub fn export(fleet: &str, incident: &pb::Incident) -> Option<Value> {
    let trace = Trace { fleet, id: trace_id(fleet, &incident.name) };
    let root = trace.span_id("incident", 0);
    let (fault, diagnosis) = (incident.fault.as_ref()?, incident.diagnosis.as_ref());
    let (host, target) = fault.target.split_once("/targets/").unwrap_or((&fault.target, ""));
    let host = host.trim_start_matches("hosts/");
    let closing = incident.closing.as_deref().unwrap_or_default();
    let healed = matches!(closing, "repaired" | "self_recovered" | "upstream_recovered" | "optimised");
    let mut facts = vec![
        fact("prunella.incident", &incident.name),
        fact("prunella.fleet", fleet),
        fact("host.name", host),
        fact("prunella.target", target),
        fact("prunella.rule", &fault.rule),
        fact("prunella.severity", &incident.severity),
        fact("prunella.closing", closing),
    ];
    facts.extend(diagnosis.map(|it| fact("prunella.cause", &it.cause)));
    let ended = if healed { Ended::Well } else { Ended::Badly };
    let mut spans = vec![trace.span(
        &root,
        None,
        &format!("incident {}", fault.rule),
        (incident.open_time.as_ref()?, incident.close_time.as_ref()?),
        facts,
        (ended, &fault.summary),
    )];
    for (index, stage) in incident.stages.iter().enumerate() {
        let (Some(from), Some(to)) = (&stage.start_time, &stage.end_time) else { continue };
        let facts = vec![fact("prunella.result", &stage.result)];
        let id = trace.span_id("stage", index);
        spans.push(trace.span(&id, Some(&root), &stage.stage, (from, to), facts, (Ended::Unsaid, "")));
    }
    let mut carried_out = Vec::new();
    for (index, it) in incident.attempts.iter().enumerate() {
        let (Some(from), Some(to), Some(outcome)) = (&it.decide_time, &it.outcome_time, &it.outcome) else { continue };
        let mut facts = vec![
            fact("prunella.repair", &it.repair),
            fact("prunella.command", &it.command),
            fact("prunella.outcome", outcome),
        ];
        facts.extend(it.verdict.as_deref().map(|verdict| fact("prunella.verdict", verdict)));
        facts.extend(it.steps.iter().enumerate().map(|(number, step)| fact(&format!("prunella.step.{number}"), step)));
        let ended = if outcome == "done" { Ended::Well } else { Ended::Badly };
        let detail = it.outcome_detail.as_deref().unwrap_or_default();
        let id = trace.span_id("command", index);
        carried_out.push(trace.span(
            &id,
            Some(&root),
            &format!("carry out {}", it.repair),
            (from, to),
            facts,
            (ended, detail),
        ));
    }
    let mut resources = vec![resource("prunella-server", None, spans)];
    if !carried_out.is_empty() {
        resources.push(resource("prunella-agent", Some(host), carried_out));
    }
    Some(json!({ "resourceSpans": resources }))
}

struct Trace<'a> {
    fleet: &'a str,
    id: String,
}

impl Trace<'_> {
    fn span_id(&self, kind: &str, number: usize) -> String {
        hex(&Sha256::digest(format!("prunella {} {} {kind} {number}", self.fleet, self.id))[..8])
    }

    fn span(
        &self,
        id: &str,
        parent: Option<&str>,
        name: &str,
        (from, to): (&Timestamp, &Timestamp),
        attributes: Vec<Value>,
        (ended, message): (Ended, &str),
    ) -> Value {
        let status = match ended {
            Ended::Unsaid => json!({}),
            Ended::Well => json!({ "code": 1 }),
            Ended::Badly => json!({ "code": 2, "message": message }),
        };
        let mut span = json!({
            "traceId": self.id,
            "spanId": id,
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(from),
            "endTimeUnixNano": nanos(to),
            "attributes": attributes,
            "status": status,
        });
        if let (Some(parent), Some(fields)) = (parent, span.as_object_mut()) {
            fields.insert("parentSpanId".to_owned(), parent.into());
        }
        span
    }
}

fn resource(service: &str, host: Option<&str>, spans: Vec<Value>) -> Value {
    let mut attributes = vec![fact("service.name", service), fact("service.namespace", "prunella")];
    attributes.extend(host.map(|it| fact("host.name", it)));
    json!({
        "resource": { "attributes": attributes },
        "scopeSpans": [{ "scope": { "name": "prunella", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
    })
}

fn fact(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are texts in that JSON.
fn nanos(it: &Timestamp) -> String {
    (i128::from(it.seconds) * 1_000_000_000 + i128::from(it.nanos)).max(0).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 5_000_000 })
    }

    fn incident() -> pb::Incident {
        let fault = pb::Fault {
            rule: "process_down".to_owned(),
            target: "hosts/h1/targets/web".to_owned(),
            summary: "web ended".to_owned(),
            ..pb::Fault::default()
        };
        let stage = pb::StageRecord {
            stage: "DETECT".to_owned(),
            start_time: at(100),
            end_time: at(101),
            ..pb::StageRecord::default()
        };
        let lasting = pb::StageRecord { end_time: None, ..stage.clone() };
        let attempt = pb::Attempt {
            repair: "restart_service".to_owned(),
            command: "1-1".to_owned(),
            steps: vec!["restart web".to_owned()],
            decide_time: at(101),
            outcome: Some("done".to_owned()),
            outcome_time: at(102),
            ..pb::Attempt::default()
        };
        let under_way = pb::Attempt { outcome: None, outcome_time: None, ..attempt.clone() };
        pb::Incident {
            name: "incidents/1-1".to_owned(),
            fault: Some(fault),
            open_time: at(100),
            close_time: at(400),
            closing: Some("repaired".to_owned()),
            stages: vec![stage, lasting],
            attempts: vec![attempt, under_way],
            ..pb::Incident::default()
        }
    }

    #[test]
    fn an_incident_is_one_trace_across_server_and_agent() {
        let it = export("f", &incident()).unwrap();
        let [server, agent] = &it["resourceSpans"].as_array().unwrap()[..] else { panic!("two resources: {it}") };
        let spans = |it: &Value| it["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        let (server, agent) = (spans(server), spans(agent));
        assert_eq!((server.len(), agent.len()), (2, 1), "what has not ended is no span: {it}");
        let (root, stage, carried_out) = (&server[0], &server[1], &agent[0]);
        assert_eq!(root["traceId"], trace_id("f", "incidents/1-1"));
        assert_eq!(root["traceId"].as_str().unwrap().len(), 32);
        assert_eq!((&root["startTimeUnixNano"], &root["status"]["code"]), (&"100005000000".into(), &1.into()));
        assert!(root.get("parentSpanId").is_none());
        for child in [stage, carried_out] {
            assert_eq!((&child["traceId"], &child["parentSpanId"]), (&root["traceId"], &root["spanId"]));
            assert_ne!(child["spanId"], root["spanId"]);
        }
        assert_eq!(carried_out["endTimeUnixNano"], "102005000000");
    }

    #[test]
    fn what_was_given_up_is_an_error_and_what_is_open_is_no_trace() {
        let given_up = pb::Incident { closing: Some("cancelled".to_owned()), ..incident() };
        let it = export("f", &given_up).unwrap();
        let root = &it["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((&root["status"]["code"], &root["status"]["message"]), (&2.into(), &"web ended".into()));
        assert_eq!(export("f", &pb::Incident { close_time: None, ..incident() }), None);
        assert_ne!(trace_id("f", "incidents/1-1"), trace_id("g", "incidents/1-1"));
    }
}
