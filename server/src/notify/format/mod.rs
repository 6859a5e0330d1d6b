//! Messages in the forms that receivers understand. Pure: what is sent can be tested without a receiver.

mod alertmanager;
mod cloudevents;
mod jira;
mod pagerduty;
mod slack;

use prunella_model::incident::Severity;
use serde_json::Value;

use super::config::{Kind, Receiver};
use super::message::Message;

/// A request to a receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Where.
    pub url: String,
    /// What kind of JSON it is.
    pub content_type: &'static str,
    /// The value of the `authorization` field; null when there is none.
    pub authorization: Option<String>,
    /// What.
    pub body: Value,
}

/// A message as a receiver of this kind takes it; null when it takes nothing at this moment. `secret` is what its file
/// holds, and `told` what the receiver called this matter when it was told first.
#[must_use]
pub fn post(receiver: &Receiver, secret: Option<&str>, message: &Message, told: Option<&str>) -> Option<Post> {
    let url = receiver.url.trim_end_matches('/').to_owned();
    let bearer = secret.map(|it| format!("Bearer {it}"));
    match receiver.kind {
        Kind::Webhook => Some(Post {
            url: receiver.url.clone(),
            content_type: "application/cloudevents+json",
            authorization: bearer,
            body: cloudevents::body(message),
        }),
        Kind::Alertmanager => Some(Post {
            url: format!("{url}/api/v2/alerts"),
            content_type: "application/json",
            authorization: bearer,
            body: alertmanager::body(message),
        }),
        Kind::Slack => Some(Post {
            url: receiver.url.clone(),
            content_type: "application/json",
            authorization: bearer,
            body: slack::body(message),
        }),
        Kind::PagerDuty => Some(Post {
            url: receiver.url.clone(),
            content_type: "application/json",
            authorization: None,
            body: pagerduty::body(message, secret.unwrap_or_default()),
        }),
        Kind::Jira => {
            let (path, body) = jira::request(message, receiver.project.as_deref().unwrap_or_default(), told)?;
            Some(Post {
                url: format!("{url}{path}"),
                content_type: "application/json",
                authorization: secret.map(jira::basic),
                body,
            })
        }
    }
}

/// What the receiver calls the matter, from its answer; null for those that take our name.
#[must_use]
pub fn name_of(kind: Kind, answer: &[u8]) -> Option<String> {
    match kind {
        Kind::Jira => jira::key(answer),
        Kind::Webhook | Kind::Alertmanager | Kind::Slack | Kind::PagerDuty => None,
    }
}

/// The severity's name.
const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests;
