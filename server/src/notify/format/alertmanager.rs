//! `POST /api/v2/alerts` of Alertmanager.

use prunella_model::incident::Severity;
use serde_json::{Map, Value, json};

use crate::notify::message::{Message, Moment, Turn};

/// Labels say what it is, and must be the same in all messages of one matter, or Alertmanager takes them for two. So when it
/// is graver than it was told to be, the alert of `before` ends.
pub(super) fn body(it: &Message, before: Option<Severity>) -> Value {
    let mut alerts = vec![alert(it)];
    if let Some(severity) = before.filter(|before| *before != it.severity) {
        alerts.push(alert(&Message { severity, moment: Moment::Resolved, turn: Turn::Ends, ..it.clone() }));
    }
    Value::Array(alerts)
}

fn alert(it: &Message) -> Value {
    let alert = if it.rule.is_empty() { "prunella_fleet" } else { &it.rule };
    let mut labels = Map::from_iter([
        ("alertname".to_owned(), alert.into()),
        ("severity".to_owned(), it.severity.as_str().into()),
        ("fleet".to_owned(), it.fleet.clone().into()),
        ("prunella_key".to_owned(), it.key.clone().into()),
    ]);
    for (name, value) in [("host", &it.host), ("target", &it.target)] {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.clone().into());
        }
    }
    let annotations = json!({ "summary": it.title, "description": it.text, "moment": it.moment.as_str() });
    let mut alert = Map::from_iter([("labels".to_owned(), labels.into()), ("annotations".to_owned(), annotations)]);
    if let Some(link) = &it.link {
        alert.insert("generatorURL".to_owned(), link.clone().into());
    }
    // A matter lasts until we say that it is over. News has no end that we would tell: without one Alertmanager drops it
    // after its own resolve_timeout.
    match it.turn {
        Turn::Ends | Turn::EndsQuietly => {
            alert.insert("endsAt".to_owned(), it.time.clone().into());
        }
        Turn::News => {
            alert.insert("startsAt".to_owned(), it.time.clone().into());
        }
        Turn::Begins => {
            alert.insert("startsAt".to_owned(), it.time.clone().into());
            alert.insert("endsAt".to_owned(), "2999-01-01T00:00:00Z".into());
        }
    }
    alert.into()
}
