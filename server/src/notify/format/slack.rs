//! An incoming webhook of Slack.

use serde_json::{Value, json};

use crate::notify::message::Message;

pub(super) fn body(it: &Message) -> Value {
    let state = if it.is_over() { "over" } else { it.moment.as_str() };
    let title = format!("[{}] {} — {state}", it.severity.as_str(), it.title);
    let link = it.link.as_ref().map(|link| format!("\n<{link}|{}>", it.key)).unwrap_or_default();
    json!({
        "text": escaped(&title),
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": format!("*{}*\n{}{link}", escaped(&title), escaped(&it.text)) } },
            { "type": "context", "elements": [{ "type": "plain_text", "text": format!("{} · {}", it.fleet, it.time) }] },
        ],
    })
}

/// The three characters that Slack reads as markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
