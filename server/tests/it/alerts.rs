//! Alerts of another monitoring, and the paths that take several calls.

use prunella_identity::Role;
use serde_json::{Value, json};

use crate::fixture::{Fleet, empty_report};
use crate::healing;
use crate::http::{Answer, Call, door};

fn alert(status: &str, fingerprint: &str, labels: &Value) -> Value {
    json!({
        "status": status,
        "labels": labels,
        "annotations": { "summary": "p99 is\nabove 3 s", "runbook_url": "https://example.org" },
        "startsAt": "2026-03-01T10:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": fingerprint,
    })
}

/// As Alertmanager 0.27 posts it.
fn posted(alerts: &[Value]) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "prunella",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
        "alerts": alerts,
    })
}

async fn issues(call: Call<'_>) -> Vec<Value> {
    let answer = call.get("/api/healing/issues").await.json();
    answer["incidents"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_filed_once_and_taken_back_by_whoever_filed_them() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Operator).await);
    let call = || Call::new(at).token(&token);
    let member = fleet.member("web-1").await;
    let mut session = fleet.connect(&member, healing::report()).await;
    session.hear().await.unwrap();

    let web = json!({ "alertname": "Slow", "instance": "web-1.example.org:9100", "target": "web", "severity": "page" });
    let firing = posted(&[
        alert("firing", "f1", &web),
        alert("firing", "f2", &json!({ "alertname": "Gone", "host": "db-9" })),
        alert("firing", "f3", &json!({ "alertname": "Odd", "host": "web-1", "service": "mail" })),
    ]);
    let first = call().post("/api/alertmanager", &firing).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let lines = first.json()["alerts"].as_array().cloned().unwrap();
    let incident = lines[0]["incident"].as_str().unwrap().to_owned();
    assert_eq!(lines[1]["problem"]["reason"], "UNKNOWN_HOST");
    assert_eq!(lines[2]["problem"]["reason"], "UNKNOWN_TARGET");
    let again = call().post("/api/alertmanager", &firing).await.json();
    assert_eq!(again["alerts"][0], lines[0], "the same alert gets the same answer");

    let open = issues(call()).await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["fault"]["severity"], "critical");
    let report = &open[0]["reports"][0];
    assert_eq!((&report["summary"], &report["by"]), (&json!("Slow: p99 is above 3 s"), &json!("op")));
    assert_eq!((open[0]["reports"].as_array().unwrap().len(), report.get("withdrawTime")), (1, None));

    // Somebody else cannot take it back.
    let stranger = json!({ "target": "hosts/web-1/targets/web", "why": "x" });
    let admin = fleet.token_of("other", Role::Operator).await;
    Call::new(at).token(&admin).post("/v1/IncidentService/WithdrawReport", &stranger).await.problem(404, "NOT_FOUND");
    let resolved = posted(&[alert("resolved", "f1", &web)]);
    let said = call().post("/api/alertmanager", &resolved).await.json();
    assert_eq!(said["alerts"][0]["incident"], incident, "{said}");
    let story = call().get(&format!("/repairs/status/{}", incident.trim_start_matches("incidents/"))).await.json();
    assert!(story["reports"][0]["withdrawTime"].is_string(), "{story}");
    assert_eq!(story.get("recoverTime"), None, "that it is gone by another's word is no recovery");
    drop(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_need_an_operator_and_the_version_that_is_understood() {
    let fleet = Fleet::start().await;
    let (at, viewer) = (door(&fleet), fleet.operator_token(Role::Viewer).await);
    let host = fleet.member("h1").await;
    let mut session = fleet.connect(&host, empty_report()).await;
    session.hear().await.unwrap();
    let firing = posted(&[alert("firing", "f1", &json!({ "host": "h1" }))]);
    Call::new(at).post("/api/alertmanager", &firing).await.problem(401, "NO_CREDENTIALS");
    Call::new(at).token(&viewer).post("/api/alertmanager", &firing).await.problem(403, "ROLE_TOO_LOW");
    let newer = json!({ "version": "5", "alerts": [] });
    Call::new(at).token(&viewer).post("/api/alertmanager", &newer).await.problem(400, "INVALID_ARGUMENT");
    drop(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_is_recovered_by_its_id_and_components_are_checked_by_name() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Operator).await);
    let call = || Call::new(at).token(&token);
    let member = fleet.member("web-1").await;
    let mut session = fleet.connect(&member, healing::report()).await;
    session.hear().await.unwrap();

    let report = json!({ "target": "hosts/web-1/targets/web", "severity": "high", "summary": "old prices" });
    let issue = call().post("/v1/IncidentService/ReportIncident", &report).await.json()["incident"].clone();
    let body = json!({ "issue_id": issue, "action": "defragment" });
    call().post("/api/healing/recover", &body).await.problem(404, "NOT_FOUND");
    let body = json!({ "issue_id": issue, "action": "restart_service", "validate_only": true });
    let said: Answer = call().post("/api/healing/recover", &body).await;
    assert!(said.body.contains("would run restart_service"), "{}", said.body);
    let body = json!({ "issue_id": issue, "action": "auto", "validate_only": true });
    let said = call().post("/api/healing/recover", &body).await;
    assert!(matches!(said.status, 200 | 409), "the engine chooses, or says why nothing fits: {}", said.body);
    call().post("/api/healing/recover", &json!({ "issue_id": "7-7" })).await.problem(404, "NOT_FOUND");
    let once = json!({ "issue_id": issue, "action": "restart_service", "request_id": "r1" });
    let first = call().post("/api/healing/recover", &once).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(call().post("/api/healing/recover", &once).await.body, first.body, "a repeated call is the same call");
    let other = json!({ "issue_id": issue, "action": "auto", "request_id": "r1" });
    call().post("/api/healing/recover", &other).await.problem(400, "INVALID_ARGUMENT");

    let body = json!({ "components": ["web-1/web", "web-1", "nobody"] });
    let checked = call().post("/api/healing/health-check", &body).await.json();
    let lines = checked["components"].as_array().unwrap();
    assert_eq!(lines[0]["name"], "hosts/web-1/targets/web");
    assert!(lines[0]["sweep"]["name"].as_str().unwrap().starts_with("diagnostics/"), "{checked}");
    assert_eq!(lines[0]["sweep"], lines[1]["sweep"], "one sweep looks at the whole host");
    assert_eq!(lines[2]["problem"]["status"], 404);
    let whole = call().post("/api/healing/health-check", &json!({})).await.json();
    assert_eq!(whole["components"][0]["name"], "fleet");
    drop(session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_call_is_the_same_call_for_every_method_that_changes_something() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Operator).await);
    let call = |once: &str| Call::new(at).token(&token).with("idempotency-key", once);
    let pauses = || async {
        let answer = Call::new(at).token(&token).get("/v1/EventService/ListEvents?kinds=paused").await.json();
        answer["events"].as_array().map_or(0, Vec::len)
    };
    let pause = json!({ "name": "fleet", "why": "drill" });
    let first = call("a").post("/v1/FleetService/Pause", &pause).await;
    assert_eq!((first.status, pauses().await), (200, 1), "{}", first.body);
    let again = call("a").post("/v1/FleetService/Pause", &pause).await;
    assert_eq!((again.body, pauses().await), (first.body, 1));
    let other = json!({ "name": "fleet", "why": "another drill" });
    call("a").post("/v1/FleetService/Pause", &other).await.problem(400, "INVALID_ARGUMENT");
    // What was refused may be tried again under the same name, and somebody else's names are their own.
    let nobody = json!({ "name": "hosts/nobody", "why": "drill" });
    call("b").post("/v1/FleetService/Pause", &nobody).await.problem(404, "NOT_FOUND");
    assert_eq!(call("b").post("/v1/FleetService/Pause", &other).await.status, 200);
    assert_eq!(pauses().await, 2);
    let token = fleet.token_of("other", Role::Operator).await;
    let theirs = Call::new(at).token(&token).with("idempotency-key", "a");
    assert_eq!(theirs.post("/v1/FleetService/Pause", &other).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promised_path_answers() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Admin).await);
    let document = Call::new(at).get("/openapi.json").await.json();
    for path in [
        "/health",
        "/status",
        "/diagnostics/history",
        "/repairs/history",
        "/learning/insights",
        "/learning/predictions",
        "/learning/recommendations",
        "/learning/export",
        "/issues/active",
        "/issues/critical",
        "/api/health",
        "/api/healing/status",
        "/api/healing/issues",
        "/api/healing/recovery-history",
        "/api/healing/config",
        "/api/healing/metrics?kind=layers",
    ] {
        let answer = Call::new(at).token(&token).get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let known = path.split('?').next().unwrap();
        assert!(document["paths"][known]["get"].is_object(), "/openapi.json lacks {known}");
    }
    for path in ["/api/healing/health-check", "/api/healing/recover", "/api/alertmanager", "/diagnostics/run"] {
        assert!(document["paths"][path]["post"].is_object(), "/openapi.json lacks {path}");
    }
}
