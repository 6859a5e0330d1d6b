//! Events API version 2 of PagerDuty.

use prunella_model::incident::Severity;
use serde_json::{Value, json};

use crate::notify::message::{Message, Turn};

/// The longest summary that PagerDuty takes, in characters.
const SUMMARY_MAX: usize = 1024;

/// Null for news of which nobody has to do anything: an alert of it would stay open for ever.
pub(super) fn body(it: &Message, routing_key: &str) -> Option<Value> {
    if it.turn == Turn::News && it.severity == Severity::Info && !it.id.starts_with("test-") {
        return None;
    }
    let severity = match it.severity {
        Severity::Info | Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    };
    let summary: String = it.title.chars().take(SUMMARY_MAX).collect();
    let source = if it.host.is_empty() { &it.fleet } else { &it.host };
    let links: Vec<Value> = it.link.iter().map(|it| json!({ "href": it, "text": "Prunella" })).collect();
    Some(json!({
        "routing_key": routing_key,
        "event_action": if it.is_over() { "resolve" } else { "trigger" },
        "dedup_key": format!("prunella/{}/{}", it.fleet, it.key),
        "client": "Prunella",
        "payload": {
            "summary": summary, "source": source, "severity": severity, "timestamp": it.time,
            "component": it.target, "class": it.rule,
            "custom_details": { "moment": it.moment.as_str(), "text": it.text },
        },
        "links": links,
    }))
}
