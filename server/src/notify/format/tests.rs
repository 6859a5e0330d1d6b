use expect_test::expect;
use prunella_model::incident::Severity;

use super::*;
use prunella_model::event::EventKind;
use prunella_proto::control::v1 as pb;

use crate::notify::message::{Moment, Turn, gravity, matter};

fn message(moment: Moment) -> Message {
    Message {
        key: "6740e3a0-17".into(),
        id: "6740e3a0-99".into(),
        time: "2026-01-02T03:04:05Z".into(),
        moment,
        turn: match moment {
            Moment::Resolved => Turn::Ends,
            Moment::Fleet => Turn::News,
            Moment::Opened | Moment::NeedsPerson | Moment::Overdue => Turn::Begins,
        },
        severity: Severity::Critical,
        fleet: "home".into(),
        host: "h1".into(),
        target: "h1/web".into(),
        rule: "process_down".into(),
        title: "h1/web: web ended <signal 9>".into(),
        text: "Cause: killed".into(),
        link: Some("https://fleet.example/ui/incidents/6740e3a0-17".into()),
    }
}

fn receiver(kind: Kind) -> Receiver {
    Receiver {
        name: "r".into(),
        kind,
        url: "https://r.example/".into(),
        secret_file: None,
        project: Some("OPS".into()),
    }
}

fn body(kind: Kind, moment: Moment) -> Value {
    post(&receiver(kind), Some("s3cret"), &message(moment), None, None).unwrap().body
}

#[test]
fn pagerduty_joins_and_ends_by_one_key() {
    let (begin, end) = (body(Kind::PagerDuty, Moment::NeedsPerson), body(Kind::PagerDuty, Moment::Resolved));
    assert_eq!((&begin["event_action"], &end["event_action"]), (&"trigger".into(), &"resolve".into()));
    assert_eq!((&begin["dedup_key"], &begin["dedup_key"]), (&end["dedup_key"], &"prunella/home/6740e3a0-17".into()));
    assert_eq!((&begin["routing_key"], &begin["payload"]["severity"]), (&"s3cret".into(), &"critical".into()));
}

/// What PagerDuty is sent about an event of the fleet.
fn paged(kind: EventKind, id: &str, host: Option<&str>) -> Option<Value> {
    let event = pb::Event { id: id.into(), host: host.map(str::to_owned), ..Default::default() };
    let it = Message::new("home", None, &event, Moment::of(kind).unwrap(), None, gravity(kind), matter(kind));
    post(&receiver(Kind::PagerDuty), Some("k"), &it, None, None).map(|it| it.body)
}

#[test]
fn what_rang_for_the_fleet_falls_silent() {
    for (begin, end, host) in [
        (EventKind::Paused, EventKind::Resumed, None),
        (EventKind::BreakerOpened, EventKind::BreakerClosed, None),
        (EventKind::HostLost, EventKind::HostConnected, Some("hosts/h1")),
        (EventKind::HealthCritical, EventKind::HealthImproved, None),
        (EventKind::RepairQueueBacklog, EventKind::RepairQueueDrained, None),
    ] {
        let (begin, end) = (paged(begin, "1-1", host).unwrap(), paged(end, "1-2", host).unwrap());
        assert_eq!((&begin["event_action"], &end["event_action"]), (&"trigger".into(), &"resolve".into()), "{begin}");
        assert_eq!(begin["dedup_key"], end["dedup_key"]);
    }
    let (one, other) = (Some("hosts/h1"), Some("hosts/h2"));
    let key = |host| paged(EventKind::HostLost, "1-1", host).unwrap()["dedup_key"].clone();
    assert_ne!(key(one), key(other), "each host is a matter of its own");
    assert_eq!(paged(EventKind::PolicyRollout, "1-1", None), None, "nobody is paged for news");
    assert!(paged(EventKind::InvariantBroken, "1-1", None).is_some());
}

#[test]
fn alertmanager_knows_both_by_the_same_labels() {
    let (begin, end) = (body(Kind::Alertmanager, Moment::Opened), body(Kind::Alertmanager, Moment::Resolved));
    assert_eq!(begin[0]["labels"], end[0]["labels"]);
    assert_eq!(end[0]["endsAt"], "2026-01-02T03:04:05Z");
    let news = body(Kind::Alertmanager, Moment::Fleet);
    assert_eq!(
        (&news[0]["startsAt"], news[0].get("endsAt")),
        (&"2026-01-02T03:04:05Z".into(), None),
        "it must not last for ever"
    );
    expect![[r#"{"alertname":"process_down","fleet":"home","host":"h1","prunella_key":"6740e3a0-17","severity":"critical","target":"h1/web"}"#]]
        .assert_eq(&begin[0]["labels"].to_string());
    let sent = post(&receiver(Kind::Alertmanager), Some("s"), &message(Moment::Opened), None, None).unwrap();
    assert_eq!(
        (sent.url.as_str(), sent.authorization.as_deref()),
        ("https://r.example/api/v2/alerts", Some("Bearer s"))
    );
}

#[test]
fn slack_is_given_no_markup_from_outside() {
    let text = body(Kind::Slack, Moment::NeedsPerson)["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "[critical] h1/web: web ended &lt;signal 9&gt; — needs_person");
}

#[test]
fn jira_has_one_issue_for_a_matter_and_comments_for_the_rest() {
    let first = post(&receiver(Kind::Jira), Some("ada:key"), &message(Moment::NeedsPerson), None, None).unwrap();
    assert_eq!(first.url, "https://r.example/rest/api/2/issue");
    assert_eq!(first.authorization.as_deref(), Some("Basic YWRhOmtleQ=="));
    assert_eq!(first.body["fields"]["project"]["key"], "OPS");
    let then = post(&receiver(Kind::Jira), None, &message(Moment::Resolved), None, Some("OPS-7")).unwrap();
    assert_eq!(then.url, "https://r.example/rest/api/2/issue/OPS-7/comment");
    assert_eq!(
        post(&receiver(Kind::Jira), None, &message(Moment::Resolved), None, None),
        None,
        "no issue only to say that it is over"
    );
    assert_eq!(name_of(Kind::Jira, b"{\"id\":\"1\",\"key\":\"OPS-7\"}").as_deref(), Some("OPS-7"));
    for odd in [&b"{\"key\":\"../../x\"}"[..], b"{\"key\":7}", b"nonsense", b"{\"key\":\"\"}"] {
        assert_eq!(name_of(Kind::Jira, odd), None);
    }
}

#[test]
fn a_webhook_gets_a_cloud_event() {
    let it = body(Kind::Webhook, Moment::Overdue);
    assert_eq!(
        (&it["id"], &it["source"], &it["type"]),
        (&"6740e3a0-99".into(), &"/prunella/home".into(), &"prunella.overdue".into())
    );
    assert_eq!((&it["subject"], &it["data"]["rule"]), (&"h1/web".into(), &"process_down".into()));
}

#[test]
fn alertmanager_forgets_the_alert_of_what_has_become_graver() {
    let post = post(&receiver(Kind::Alertmanager), None, &message(Moment::NeedsPerson), Some(Severity::Medium), None);
    let body = post.unwrap().body;
    assert_eq!(
        (&body[0]["labels"]["severity"], &body[0]["endsAt"]),
        (&"critical".into(), &"2999-01-01T00:00:00Z".into())
    );
    assert_eq!(
        (&body[1]["labels"]["severity"], &body[1]["endsAt"]),
        (&"medium".into(), &"2026-01-02T03:04:05Z".into())
    );
    let same =
        super::post(&receiver(Kind::Alertmanager), None, &message(Moment::Resolved), Some(Severity::Critical), None);
    assert_eq!(same.unwrap().body.as_array().map(Vec::len), Some(1));
}
