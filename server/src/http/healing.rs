//! Paths that take more than one call: a health check of named components, and the recovery of an issue.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use super::Gateway;
use super::alertmanager::call;
use super::api::{credentials, json_body, object};
use super::problem::Problem;
use super::transcode::Credentials;
use crate::rpc::error;

/// The most components of one health check.
const COMPONENTS_MAX: usize = 100;

/// The word that lets the engine choose the repair.
const AUTO: &str = "auto";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recover {
    issue_id: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    validate_only: bool,
    #[serde(default)]
    request_id: String,
}

/// `POST /api/healing/recover`.
pub(crate) async fn recover(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, Problem> {
    let who = credentials(request.headers());
    let asked: Recover = read(request).await?;
    let id = asked.issue_id.strip_prefix("incidents/").unwrap_or(&asked.issue_id);
    let incident =
        call(&gateway, &who, "IncidentService", "GetIncident", json!({ "name": format!("incidents/{id}") })).await?;
    if let Some(closing) = incident["closing"].as_str() {
        let why = format!("incident {id} is closed already: {closing}");
        return Err(Problem::new(StatusCode::CONFLICT, "CLOSED", why));
    }
    let why = if asked.why.is_empty() { "asked for through the API".to_owned() } else { asked.why };
    let mut request = json!({
        "target": incident["fault"]["target"],
        "why": why,
        "validateOnly": asked.validate_only,
        "requestId": asked.request_id,
    });
    if !asked.action.is_empty() && asked.action != AUTO {
        request["repair"] = asked.action.into();
    }
    Ok(Json(call(&gateway, &who, "IncidentService", "RunRepair", request).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    /// Empty means the fleet.
    #[serde(default)]
    components: Vec<String>,
}

/// `POST /api/healing/health-check`.
pub(crate) async fn check(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, Problem> {
    let who = credentials(request.headers()).for_several();
    let asked: Check = read(request).await?;
    if asked.components.len() > COMPONENTS_MAX {
        let why = format!("has {} entries; at most {COMPONENTS_MAX} are allowed", asked.components.len());
        return Err(error::invalid("components", why).into());
    }
    let names = if asked.components.is_empty() { vec!["fleet".to_owned()] } else { asked.components };
    let mut sweeps = BTreeMap::new();
    let mut said = Vec::new();
    for name in names {
        let name = full_name(&name);
        let mut line = Map::from_iter([("name".to_owned(), Value::from(name.clone()))]);
        match one(&gateway, &who, &name, &mut sweeps).await {
            Ok(found) => line.extend(found),
            Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                return Err(status.into());
            }
            Err(status) => {
                line.insert("problem".into(), Problem::from(status).into_value());
            }
        }
        said.push(Value::Object(line));
    }
    Ok(Json(json!({ "components": said })))
}

/// The health that is known of a component, and the sweep that has its probes look at once.
async fn one(
    gateway: &Gateway,
    who: &Credentials,
    name: &str,
    sweeps: &mut BTreeMap<String, Value>,
) -> Result<Map<String, Value>, Status> {
    let mut line = Map::new();
    let health = call(gateway, who, "HealthService", "GetHealth", json!({ "name": name })).await?;
    line.insert("health".into(), health["health"].clone());
    let scope = name.split_once("/targets/").map_or(name, |(host, _)| host);
    let sweep = match sweeps.get(scope) {
        Some(sweep) => sweep.clone(),
        // One sweep looks at all targets of a host.
        None => call(gateway, who, "DiagnosticsService", "RunDiagnostics", json!({ "scope": scope })).await?,
    };
    sweeps.insert(scope.to_owned(), sweep.clone());
    line.insert("sweep".into(), sweep);
    Ok(line)
}

/// `HOST` and `HOST/TARGET` as resource names; others as they are.
fn full_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["fleet"] | ["hosts" | "services" | "layers", _] => name.to_owned(),
        [host] => format!("hosts/{host}"),
        [host, target] => format!("hosts/{host}/targets/{target}"),
        _ => name.to_owned(),
    }
}

async fn read<T: for<'a> Deserialize<'a>>(request: Request) -> Result<T, Problem> {
    let fields = object(&json_body(request).await?)?;
    serde_json::from_value(fields.into()).map_err(|wrong| error::invalid("body", wrong).into())
}

/// How the OpenAPI document describes the body of a recovery.
pub(crate) fn described_recover() -> Value {
    json!({
        "type": "object",
        "required": ["issue_id"],
        "properties": {
            "issue_id": { "type": "string", "description": "the incident" },
            "action": { "type": "string", "description": "auto, or the name of a repair" },
            "why": { "type": "string" },
            "validate_only": { "type": "boolean" },
            "request_id": { "type": "string" },
        },
    })
}

/// How the OpenAPI document describes the body of a health check.
pub(crate) fn described_check() -> Value {
    json!({
        "type": "object",
        "properties": {
            "components": {
                "type": "array",
                "maxItems": COMPONENTS_MAX,
                "items": { "type": "string" },
                "description": "fleet, HOST or HOST/TARGET; empty means the fleet",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_may_be_named_shortly() {
        for (short, full) in [
            ("fleet", "fleet"),
            ("web-1", "hosts/web-1"),
            ("web-1/web", "hosts/web-1/targets/web"),
            ("hosts/web-1", "hosts/web-1"),
            ("hosts/web-1/targets/web", "hosts/web-1/targets/web"),
            ("services/shop", "services/shop"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }
}
