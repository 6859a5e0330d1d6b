//! CloudEvents 1.0, structured mode in JSON.

use serde_json::{Value, json};

use crate::notify::message::Message;

pub(super) fn body(it: &Message) -> Value {
    json!({
        "specversion": "1.0",
        "id": it.id,
        "source": format!("/prunella/{}", it.fleet),
        "type": format!("prunella.{}", it.moment.as_str()),
        "subject": if it.target.is_empty() { &it.fleet } else { &it.target },
        "time": it.time,
        "datacontenttype": "application/json",
        "data": {
            "key": it.key, "severity": it.severity.as_str(), "host": it.host, "target": it.target, "rule": it.rule,
            "title": it.title, "text": it.text, "link": it.link,
        },
    })
}
