//! The REST API of Jira, version 2: an issue for each matter, and a comment for what follows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::notify::message::Message;

/// The longest summary that Jira takes, in characters.
const SUMMARY_MAX: usize = 255;

/// The path and the body; null for the end of a matter of which no issue is known.
pub(super) fn request(it: &Message, project: &str, told: Option<&str>) -> Option<(String, Value)> {
    match told {
        Some(key) => {
            let body = json!({ "body": format!("{}: {}\n\n{}", it.moment.as_str(), it.title, it.text) });
            Some((format!("/rest/api/2/issue/{key}/comment"), body))
        }
        None if it.is_over() => None,
        None => {
            let link = it.link.as_ref().map(|it| format!("\n\n{it}")).unwrap_or_default();
            let summary: String = it.title.replace('\n', " ").chars().take(SUMMARY_MAX).collect();
            let fields = json!({
                "project": { "key": project },
                "issuetype": { "name": "Task" },
                "summary": summary,
                "description": format!("{}{link}", it.text),
                "labels": ["prunella", format!("severity-{}", it.severity.as_str())],
            });
            Some(("/rest/api/2/issue".to_owned(), json!({ "fields": fields })))
        }
    }
}

/// The key of the issue that was made.
pub(super) fn key(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let key = answer.get("key")?.as_str()?;
    // It becomes part of a path.
    let good = !key.is_empty() && key.len() <= 64 && key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    good.then(|| key.to_owned())
}

/// `user:token` as Jira wants it.
pub(super) fn basic(secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(secret))
}
