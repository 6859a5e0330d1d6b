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
/// holds, `before` how grave the receiver was told that this matter is, and `told` what it called it then.
#[must_use]
pub fn post(
    receiver: &Receiver,
    secret: Option<&str>,
    message: &Message,
    before: Option<Severity>,
    told: Option<&str>,
) -> Option<Post> {
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
            body: alertmanager::body(message, before),
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
            body: pagerduty::body(message, secret.unwrap_or_default())?,
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

#[cfg(test)]
mod tests;
