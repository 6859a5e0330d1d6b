//! Alerts of another monitoring as reported faults: what Alertmanager posts to a webhook receiver, version 4.
//!
//! Each alert becomes a report by whoever's token it came with, through the same services as everything else. An alert
//! that is resolved takes its report back; whether the fault is over, the target's own probes say.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use super::Gateway;
use super::api::{credentials, json_body, object};
use super::problem::Problem;
use super::transcode::{Credentials, from_value};
use crate::rpc::error;

/// The version of the message that is understood.
const VERSION: &str = "4";

/// The most alerts that one message may carry.
const ALERTS_MAX: usize = 1_000;

/// The longest summary that is passed on, in bytes.
const SUMMARY_MAX: usize = 900;

/// How many targets are asked for at once.
const PAGE: u32 = 1_000;

/// What Alertmanager posts. What else it says is not needed.
#[derive(Debug, Deserialize)]
pub(crate) struct Posted {
    version: String,
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default)]
    fingerprint: String,
}

/// What a host has: its targets, each with its service.
type Targets = Vec<(String, Option<String>)>;

/// `POST /api/alertmanager`.
pub(crate) async fn take(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, Problem> {
    let who = credentials(request.headers()).for_several();
    let fields = object(&json_body(request).await?)?;
    let posted: Posted = serde_json::from_value(fields.into())
        .map_err(|wrong| error::invalid("body", format!("is no message of Alertmanager: {wrong}")))?;
    if posted.version != VERSION {
        let why = format!("is {:?}; only {VERSION} is understood", posted.version);
        return Err(error::invalid("version", why).into());
    }
    if posted.alerts.len() > ALERTS_MAX {
        let why = format!("has {} alerts; at most {ALERTS_MAX} are taken: set max_alerts", posted.alerts.len());
        return Err(error::invalid("alerts", why).into());
    }
    let mut hosts = BTreeMap::new();
    let mut said = Vec::new();
    for alert in &posted.alerts {
        let mut line = Map::new();
        line.insert("fingerprint".into(), alert.fingerprint.clone().into());
        line.insert("status".into(), alert.status.clone().into());
        match file(&gateway, &who, alert, &mut hosts).await {
            Ok(Value::Object(answer)) => line.extend(answer),
            Ok(_) => {}
            // The alert is at fault, and no repetition would help it.
            Err(status) if is_about_the_alert(&status) => {
                line.insert("problem".into(), Problem::from(status).into_value());
            }
            Err(status) => return Err(status.into()),
        }
        said.push(Value::Object(line));
    }
    Ok(Json(json!({ "alerts": said })))
}

/// Whether a failure concerns one alert alone. Others are answered as a whole, and Alertmanager sends all again, which
/// files nothing twice.
fn is_about_the_alert(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition)
}

async fn file(
    gateway: &Gateway,
    who: &Credentials,
    alert: &Alert,
    hosts: &mut BTreeMap<String, Targets>,
) -> Result<Value, Status> {
    if alert.fingerprint.is_empty() || alert.starts_at.is_empty() {
        return Err(error::invalid("alert", "must have a fingerprint and startsAt"));
    }
    let host = find_host(gateway, who, alert, hosts).await?;
    let targets = hosts.get(&host).map(Vec::as_slice).unwrap_or_default();
    let target = find_target(&host, targets, &alert.labels)?;
    let mut request = json!({ "target": format!("hosts/{host}/targets/{target}"), "reportId": alert.fingerprint });
    match alert.status.as_str() {
        "firing" => {
            request["severity"] = severity(&alert.labels).into();
            request["summary"] = summary(alert).into();
            request["requestId"] = format!("{}@{}", alert.fingerprint, alert.starts_at).into();
            call(gateway, who, "IncidentService", "ReportIncident", request).await
        }
        "resolved" => {
            request["why"] = "resolved, says Alertmanager".into();
            request["requestId"] = format!("{}@{}-{}", alert.fingerprint, alert.starts_at, alert.ends_at).into();
            call(gateway, who, "IncidentService", "WithdrawReport", request).await
        }
        other => Err(error::invalid("status", format!("{other:?} is neither firing nor resolved"))),
    }
}

/// Calls a method by its name.
pub(crate) async fn call(
    gateway: &Gateway,
    who: &Credentials,
    service: &str,
    rpc: &str,
    request: Value,
) -> Result<Value, Status> {
    let Some(method) = gateway.transcoder.method(service, rpc) else {
        return Err(Status::unimplemented(format!("there is no method {service}/{rpc}")));
    };
    gateway.transcoder.call(method, &from_value(method, request)?, who).await
}

/// The host that an alert means, by its label `host`, else `instance` without its port, else what that has before its
/// first dot. Its targets are in `hosts` afterwards.
async fn find_host(
    gateway: &Gateway,
    who: &Credentials,
    alert: &Alert,
    hosts: &mut BTreeMap<String, Targets>,
) -> Result<String, Status> {
    let names = host_names(&alert.labels);
    for name in &names {
        if hosts.contains_key(name) {
            return Ok(name.clone());
        }
        match targets_of(gateway, who, name).await {
            Ok(targets) => {
                hosts.insert(name.clone(), targets);
                return Ok(name.clone());
            }
            Err(status) if is_about_the_alert(&status) => {}
            Err(status) => return Err(status),
        }
    }
    let why = match names.first() {
        Some(name) => format!("this fleet has no host {name}: give the alert a label host with the name of one"),
        None => "the alert has neither a label host nor instance".to_owned(),
    };
    Err(error::status(Code::NotFound, "UNKNOWN_HOST", why, &[]))
}

async fn targets_of(gateway: &Gateway, who: &Credentials, host: &str) -> Result<Targets, Status> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = json!({ "parent": format!("hosts/{host}"), "pageSize": PAGE, "pageToken": token });
        let page = call(gateway, who, "FleetService", "ListTargets", request).await?;
        for it in page["targets"].as_array().into_iter().flatten() {
            let name = it["name"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
            all.push((name.to_owned(), it["service"].as_str().map(str::to_owned)));
        }
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Ok(all);
        }
    }
}

fn host_names(labels: &BTreeMap<String, String>) -> Vec<String> {
    let given = |label: &str| labels.get(label).filter(|it| !it.is_empty());
    if let Some(host) = given("host") {
        return vec![host.clone()];
    }
    let Some(instance) = given("instance") else { return Vec::new() };
    let name = match instance.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        Some(_) | None => instance,
    };
    let mut names = vec![name.to_owned()];
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    names.extend(name.split_once('.').filter(|_| !is_address).map(|(first, _)| first.to_owned()));
    names
}

/// The target that an alert means, by its label `target`, else `service` (a target's name or its service), else the host
/// itself.
fn find_target(
    host: &str,
    targets: &[(String, Option<String>)],
    labels: &BTreeMap<String, String>,
) -> Result<String, Status> {
    let given = |label: &str| labels.get(label).filter(|it| !it.is_empty());
    let Some(wanted) = given("target").or_else(|| given("service")) else { return Ok("host".to_owned()) };
    let by_name = targets.iter().find(|(name, _)| name == wanted);
    let by_service = || targets.iter().find(|(_, service)| service.as_ref() == Some(wanted));
    by_name.or_else(by_service).map(|(name, _)| name.clone()).ok_or_else(|| {
        let known: Vec<&str> = targets.iter().map(|(name, _)| name.as_str()).take(20).collect();
        let why = format!("{host} has no target or service {wanted}; it has {}", known.join(", "));
        error::status(Code::NotFound, "UNKNOWN_TARGET", why, &[])
    })
}

/// The label `severity` in our five words; medium when it says nothing that is known.
fn severity(labels: &BTreeMap<String, String>) -> &'static str {
    match labels.get("severity").map(|it| it.to_ascii_lowercase()).as_deref() {
        Some("critical" | "page" | "emergency") => "critical",
        Some("high" | "error" | "major") => "high",
        Some("low" | "minor") => "low",
        Some("info" | "none" | "informational") => "info",
        Some(_) | None => "medium",
    }
}

/// The alert's name and what it says of itself, in a line.
fn summary(alert: &Alert) -> String {
    let said = |of: &BTreeMap<String, String>, name: &str| of.get(name).filter(|it| !it.is_empty()).cloned();
    let name = said(&alert.labels, "alertname").unwrap_or_else(|| "an alert".to_owned());
    let text = ["summary", "description", "message"].iter().find_map(|it| said(&alert.annotations, it));
    let line = text.map_or_else(|| name.clone(), |text| format!("{name}: {text}"));
    let line = line.split(char::is_control).map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
    let end = line.char_indices().map(|(at, it)| at + it.len_utf8()).take_while(|end| *end <= SUMMARY_MAX).last();
    line.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// How the OpenAPI document describes it.
pub(crate) fn described() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let alert = json!({
        "type": "object",
        "required": ["status", "fingerprint", "startsAt"],
        "properties": {
            "status": { "type": "string", "enum": ["firing", "resolved"] },
            "labels": texts,
            "annotations": texts,
            "startsAt": { "type": "string", "format": "date-time" },
            "endsAt": { "type": "string", "format": "date-time" },
            "fingerprint": { "type": "string" },
        },
    });
    json!({
        "type": "object",
        "required": ["version", "alerts"],
        "properties": {
            "version": { "type": "string", "enum": [VERSION] },
            "alerts": { "type": "array", "maxItems": ALERTS_MAX, "items": alert },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_name_the_host() {
        assert_eq!(host_names(&labels(&[("host", "web-1"), ("instance", "x:1")])), ["web-1"]);
        assert_eq!(host_names(&labels(&[("instance", "web-1:9100")])), ["web-1"]);
        assert_eq!(host_names(&labels(&[("instance", "web-1.example.org:9100")])), ["web-1.example.org", "web-1"]);
        assert_eq!(host_names(&labels(&[("instance", "10.0.0.7:9100")])), ["10.0.0.7"]);
        assert!(host_names(&labels(&[("job", "node")])).is_empty());
    }

    #[test]
    fn labels_name_the_target_and_nothing_is_guessed() {
        let has = [("host".to_owned(), None), ("web".to_owned(), Some("shop".to_owned()))];
        let find = |of: &[(&str, &str)]| find_target("h1", &has, &labels(of));
        assert_eq!(find(&[]).unwrap(), "host");
        assert_eq!(find(&[("target", "web"), ("service", "other")]).unwrap(), "web");
        assert_eq!(find(&[("service", "shop")]).unwrap(), "web");
        let unknown = find(&[("service", "db")]).unwrap_err();
        assert!(unknown.message().contains("h1 has no target or service db; it has host, web"), "{unknown}");
    }

    #[test]
    fn a_summary_is_one_line_that_fits() {
        let alert = |text: &str| Alert {
            status: "firing".into(),
            labels: labels(&[("alertname", "HighLatency")]),
            annotations: labels(&[("summary", text)]),
            starts_at: String::new(),
            ends_at: String::new(),
            fingerprint: String::new(),
        };
        assert_eq!(summary(&alert("p99 is\n 3 s\t!")), "HighLatency: p99 is 3 s !");
        let long = summary(&alert(&"ü".repeat(2_000)));
        assert!(long.len() <= SUMMARY_MAX && long.len() > SUMMARY_MAX - 4, "{}", long.len());
        assert_eq!(severity(&labels(&[("severity", "Warning")])), "medium");
        assert_eq!(severity(&labels(&[("severity", "page")])), "critical");
    }
}
