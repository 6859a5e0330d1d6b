//! Which receivers a message goes to, and as what. Pure.

use std::collections::BTreeSet;

use prunella_proto::control::v1 as pb;

use super::config::Route;
use super::message::{Message, Moment};
use super::progress::Progress;

/// The receivers of a message, each once. `target` is what is known of the target concerned.
#[must_use]
pub fn receivers<'a>(routes: &'a [Route], message: &Message, target: Option<&pb::Target>) -> BTreeSet<&'a str> {
    routes.iter().filter(|it| fits(it, message, target)).flat_map(|it| &it.receivers).map(String::as_str).collect()
}

/// The message as a receiver shall get it; null when it shall not. Of what has become graver, `passed` are the moments that
/// the incident has passed, the latest first: whoever would have been told of one of them is told now.
#[must_use]
pub(super) fn addressed(
    routes: &[Route],
    receiver: &str,
    message: &Message,
    passed: &[Moment],
    target: Option<&pb::Target>,
    progress: &Progress,
) -> Option<Message> {
    let told = progress.told.get(&message.key);
    let as_moment = |moment: &Moment| Message { moment: *moment, ..message.clone() };
    let wanted = |it: &Message| receivers(routes, it, target).contains(receiver);
    let chosen = if passed.is_empty() {
        // Whoever was told of the beginning is told of the end, whatever the routes say by then.
        (wanted(message) || (message.is_over() && told.is_some())).then(|| message.clone())
    } else {
        // And whoever was told how grave it is, is told that it is graver.
        let graver = told.is_some_and(|it| it.severity < message.severity);
        let latest = || passed.first().filter(|_| graver).map(as_moment);
        passed.iter().map(as_moment).find(wanted).or_else(latest)
    };
    chosen.filter(|it| progress.is_news(it))
}

fn fits(route: &Route, message: &Message, target: Option<&pb::Target>) -> bool {
    let about_fleet = message.moment == Moment::Fleet;
    let service = target.and_then(|it| it.service.as_deref());
    let labelled = |(key, value): (&String, &String)| target.is_some_and(|it| it.labels.get(key) == Some(value));
    route.moments.contains(&message.moment)
        && (about_fleet || message.severity >= route.severity)
        && (route.hosts.is_empty() || route.hosts.iter().any(|it| named(it, &message.host)))
        && (route.services.is_empty() || service.is_some_and(|it| route.services.iter().any(|wanted| wanted == it)))
        && route.labels.iter().all(labelled)
}

fn named(pattern: &str, host: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => host.starts_with(start),
        None => host == pattern,
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::incident::Severity;

    use super::*;
    use crate::notify::config::Notify;
    use crate::notify::message::Turn;

    fn routes(text: &str) -> Vec<Route> {
        toml::from_str::<Notify>(text).unwrap().route
    }

    fn message(severity: Severity, moment: Moment, host: &str) -> Message {
        Message {
            key: "1-1".into(),
            id: "1-2".into(),
            time: String::new(),
            moment,
            turn: match moment {
                Moment::Resolved => Turn::Ends,
                Moment::Fleet => Turn::News,
                Moment::Opened | Moment::NeedsPerson | Moment::Overdue => Turn::Begins,
            },
            severity,
            fleet: "f".into(),
            host: host.into(),
            target: format!("{host}/web"),
            rule: String::new(),
            title: String::new(),
            text: String::new(),
            link: None,
        }
    }

    #[test]
    fn severity_moment_and_place_narrow() {
        let all = routes(
            "[[route]]\nreceivers = [\"a\"]\n[[route]]\nreceivers = [\"b\", \"a\"]\nseverity = \"critical\"\nhosts = [\"db-*\"]\n",
        );
        let of = |severity, moment, host| {
            receivers(&all, &message(severity, moment, host), None).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(Severity::Critical, Moment::NeedsPerson, "db-1"), ["a", "b"]);
        assert_eq!(of(Severity::Critical, Moment::NeedsPerson, "web-1"), ["a"]);
        assert_eq!(of(Severity::Low, Moment::NeedsPerson, "db-1"), [""; 0]);
        assert_eq!(of(Severity::Critical, Moment::Opened, "db-1"), [""; 0], "what heals by itself wakes nobody");
    }

    #[test]
    fn labels_and_services_are_those_of_the_target() {
        let all = routes("[[route]]\nreceivers = [\"a\"]\nservices = [\"shop\"]\nlabels = { team = \"x\" }\n");
        let mut target = pb::Target { service: Some("shop".into()), ..Default::default() };
        let it = message(Severity::High, Moment::NeedsPerson, "h");
        assert!(receivers(&all, &it, Some(&target)).is_empty());
        target.labels.insert("team".into(), "x".into());
        assert_eq!(receivers(&all, &it, Some(&target)).len(), 1);
        assert!(receivers(&all, &it, None).is_empty());
    }

    #[test]
    fn what_becomes_graver_is_told_as_if_it_had_always_been() {
        let all = routes(
            "[[route]]\nreceivers = [\"chat\"]\n[[route]]\nreceivers = [\"oncall\"]\nseverity = \"critical\"\n\
             [[route]]\nreceivers = [\"log\"]\nmoments = [\"opened\"]\n",
        );
        let mut desk: std::collections::BTreeMap<&str, Progress> = std::collections::BTreeMap::new();
        let mut tell = |severity, moment, passed: &[Moment]| {
            let it = message(severity, moment, "h");
            let mut told = Vec::new();
            for name in ["chat", "oncall", "log"] {
                let progress = desk.entry(name).or_default();
                if let Some(it) = addressed(&all, name, &it, passed, None, progress) {
                    progress.arrived(&it, None, prunella_model::Timestamp::ZERO);
                    told.push(format!("{name} {}", it.moment.as_str()));
                }
            }
            told
        };
        let person = [Moment::NeedsPerson, Moment::Opened];
        assert_eq!(tell(Severity::Medium, Moment::Opened, &[]), ["log opened"]);
        assert_eq!(tell(Severity::Medium, Moment::NeedsPerson, &[]), ["chat needs_person"]);
        assert_eq!(
            tell(Severity::Critical, Moment::Opened, &person),
            ["chat needs_person", "oncall needs_person", "log opened"],
            "it is told anew, and to whom it was not grave enough"
        );
        assert_eq!(tell(Severity::Critical, Moment::Opened, &person), [""; 0], "once");
        assert_eq!(
            tell(Severity::Critical, Moment::Resolved, &[]),
            ["chat resolved", "oncall resolved", "log resolved"]
        );
        assert_eq!(tell(Severity::High, Moment::Opened, &[Moment::Opened]), ["log opened"], "what heals wakes nobody");
    }

    #[test]
    fn the_latest_moment_that_an_incident_has_passed_comes_first() {
        let mut it = pb::Incident { state: pb::incident::State::Held.into(), ..Default::default() };
        assert_eq!(Moment::passed(&it), [Moment::Opened]);
        it.response = Some(pb::Response { miss_time: Some(prost_types::Timestamp::default()), ..Default::default() });
        it.state = pb::incident::State::NeedsHuman.into();
        assert_eq!(Moment::passed(&it), [Moment::NeedsPerson, Moment::Overdue, Moment::Opened]);
    }
}
