//! The short paths: the ones that people and older programs know, each an RPC of the control protocol.
//!
//! One table, walked by the router, by the OpenAPI document and by tests. A row fills fields of the request from the path
//! and with fixed values; the rest comes from the query (GET, DELETE) or the JSON body (POST).

use axum::routing::MethodFilter;
use serde_json::{Map, Value};

use super::{alertmanager, healing};

/// A fixed value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// A flag that is set.
    Set,
    /// A text.
    Text(&'static str),
    /// A list with one text.
    Only(&'static str),
}

/// How a short path is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    /// As OpenAPI writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    /// As the router takes it.
    pub(crate) const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// One short path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short {
    /// How it is called.
    pub(crate) verb: Verb,
    /// The path; `{id}` is the only variable part.
    pub(crate) path: &'static str,
    /// The service, without its package.
    pub(crate) service: &'static str,
    /// The RPC.
    pub(crate) rpc: &'static str,
    /// The field that `{id}` fills, and the collection that is put before it.
    pub(crate) id: Option<(&'static str, &'static str)>,
    /// Fields with fixed values, by their JSON names.
    pub(crate) fixed: &'static [(&'static str, Fixed)],
    /// What it is for, in a line.
    pub(crate) about: &'static str,
}

const fn get(path: &'static str, service: &'static str, rpc: &'static str, about: &'static str) -> Short {
    Short { verb: Verb::Get, path, service, rpc, id: None, fixed: &[], about }
}

const fn post(path: &'static str, service: &'static str, rpc: &'static str, about: &'static str) -> Short {
    Short { verb: Verb::Post, path, service, rpc, id: None, fixed: &[], about }
}

const OPEN: &[(&str, Fixed)] = &[("openOnly", Fixed::Set)];
const CRITICAL: &[(&str, Fixed)] = &[("openOnly", Fixed::Set), ("severities", Fixed::Only("critical"))];
const REPAIRED: &[(&str, Fixed)] = &[("attemptedOnly", Fixed::Set)];
const FLEET: &[(&str, Fixed)] = &[("name", Fixed::Text("fleet"))];
const THROUGH_API: &[(&str, Fixed)] = &[("why", Fixed::Text("cancelled through the API"))];

/// Every short path.
pub(crate) const TABLE: &[Short] = &[
    Short { fixed: FLEET, ..get("/health", "HealthService", "GetHealth", "The fleet's health.") },
    get("/status", "FleetService", "GetFleet", "The fleet at a glance."),
    Short { fixed: OPEN, ..get("/issues/active", "IncidentService", "ListIncidents", "Open incidents.") },
    Short {
        fixed: CRITICAL,
        ..get("/issues/critical", "IncidentService", "ListIncidents", "Open incidents of critical severity.")
    },
    post("/repairs/execute", "IncidentService", "RunRepair", "Runs a repair on a target, through all brakes."),
    Short {
        id: Some(("name", "incidents/")),
        ..get("/repairs/status/{id}", "IncidentService", "GetIncident", "How the repair of an incident stands.")
    },
    Short {
        fixed: REPAIRED,
        ..get("/repairs/history", "IncidentService", "ListIncidents", "Incidents with at least one repair.")
    },
    Short {
        verb: Verb::Delete,
        id: Some(("name", "incidents/")),
        fixed: THROUGH_API,
        ..get("/repairs/{id}", "IncidentService", "CancelIncident", "Cancels what is done about an incident.")
    },
    post("/diagnostics/run", "DiagnosticsService", "RunDiagnostics", "Has every probe look at once."),
    get("/diagnostics/history", "DiagnosticsService", "ListDiagnostics", "Reports of sweeps, newest first."),
    get("/learning/insights", "LearningService", "ListInsights", "Recurring faults, and which repair helps."),
    Short {
        id: Some(("name", "hosts/")),
        ..get(
            "/learning/health/{id}",
            "LearningService",
            "GetTargetHealth",
            "One target: its health, its faults, and what is expected. {id} is HOST%2Ftargets%2FTARGET.",
        )
    },
    get("/learning/predictions", "LearningService", "ListPredictions", "What is expected to happen."),
    Short {
        id: Some(("name", "hosts/")),
        ..get(
            "/learning/predictions/{id}",
            "LearningService",
            "ListPredictions",
            "What is expected of a host (HOST) or a target (HOST%2Ftargets%2FTARGET).",
        )
    },
    get("/learning/recommendations", "LearningService", "ListRecommendations", "What a person might do, and why."),
    get("/learning/export", "LearningService", "ExportKnowledge", "Everything that was learned, as a document."),
    post("/learning/import", "LearningService", "ImportKnowledge", "Takes in what a fleet exported."),
    Short { fixed: FLEET, ..get("/api/health", "HealthService", "GetHealth", "The fleet's health.") },
    get("/api/healing/status", "FleetService", "GetFleet", "The fleet at a glance."),
    Short { fixed: OPEN, ..get("/api/healing/issues", "IncidentService", "ListIncidents", "Open incidents.") },
    Short {
        fixed: REPAIRED,
        ..get(
            "/api/healing/recovery-history",
            "IncidentService",
            "ListIncidents",
            "Incidents with at least one repair.",
        )
    },
    get("/api/healing/config", "AdminService", "GetPolicy", "The policy in force."),
    get("/api/healing/metrics", "HealthService", "ListHealth", "Health by layer, host, service and target."),
];

/// A path that takes several calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Composed {
    /// The path; it is posted to.
    pub(crate) path: &'static str,
    /// The RPCs that it calls, as the documentation names them.
    pub(crate) rpcs: &'static str,
    /// What it is for, in a line.
    pub(crate) about: &'static str,
    /// The schema of its body.
    pub(crate) body: fn() -> Value,
}

/// Every path that takes several calls.
pub(crate) const COMPOSED: &[Composed] = &[
    Composed {
        path: "/api/healing/health-check",
        rpcs: "`HealthService/GetHealth`, `DiagnosticsService/RunDiagnostics`",
        about: "Health of `components`, and has their probes look at once.",
        body: healing::described_check,
    },
    Composed {
        path: "/api/healing/recover",
        rpcs: "`IncidentService/GetIncident`, `IncidentService/RunRepair`",
        about: "Repairs the issue `issue_id`; `action` is `auto` or a repair.",
        body: healing::described_recover,
    },
    Composed {
        path: "/api/alertmanager",
        rpcs: "`IncidentService/ReportIncident`, `IncidentService/WithdrawReport`",
        about: "Takes alerts as Alertmanager posts them.",
        body: alertmanager::described,
    },
];

impl Short {
    /// Puts what the row itself says into the fields of a request. What the caller gave for a field stays, except for the
    /// part of the path.
    pub(crate) fn fill(&self, id: Option<&str>, fields: &mut Map<String, Value>) {
        for (name, value) in self.fixed {
            let value = match value {
                Fixed::Set => Value::Bool(true),
                Fixed::Text(text) => Value::from(*text),
                Fixed::Only(text) => Value::from(vec![*text]),
            };
            fields.entry(*name).or_insert(value);
        }
        if let (Some((field, collection)), Some(id)) = (self.id, id) {
            let name = if id.starts_with(collection) { id.to_owned() } else { format!("{collection}{id}") };
            fields.insert(field.to_owned(), name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_path_is_documented_and_leads_to_an_rpc() {
        let page = include_str!("../../../docs/api.md");
        for it in TABLE {
            let row = format!(
                "| `{} {}` | `{}/{}` | {} |",
                it.verb.as_str().to_uppercase(),
                it.path,
                it.service,
                it.rpc,
                it.about
            );
            assert!(page.contains(&row), "docs/api.md lacks this row:\n{row}");
            let rpc = format!("/prunella.control.v1.{}/{}", it.service, it.rpc);
            assert!(crate::rpc::gate::TABLE.iter().any(|(row, _)| *row == rpc), "there is no {rpc}");
        }
        for it in COMPOSED {
            let row = format!("| `POST {}` | {} | {} |", it.path, it.rpcs, it.about);
            assert!(page.contains(&row), "docs/api.md lacks this row:\n{row}");
        }
        let rows = page
            .lines()
            .filter(|it| ["GET", "POST", "DELETE"].iter().any(|verb| it.starts_with(&format!("| `{verb} "))));
        assert_eq!(rows.count(), TABLE.len() + COMPOSED.len(), "docs/api.md has rows that are no paths");
    }

    #[test]
    fn a_row_fills_what_the_caller_left_out_and_nothing_else() {
        let row = TABLE.iter().find(|it| it.path == "/repairs/{id}").unwrap();
        let mut fields = Map::from_iter([("why".to_owned(), Value::from("mine"))]);
        row.fill(Some("7-1"), &mut fields);
        assert_eq!(Value::from(fields), serde_json::json!({ "why": "mine", "name": "incidents/7-1" }));
    }
}
