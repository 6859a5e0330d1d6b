//! Which receivers a message goes to. Pure.

use std::collections::BTreeSet;

use prunella_proto::control::v1 as pb;

use super::config::Route;
use super::message::{Message, Moment};

/// The receivers of a message, each once. `target` is what is known of the target concerned.
#[must_use]
pub fn receivers<'a>(routes: &'a [Route], message: &Message, target: Option<&pb::Target>) -> BTreeSet<&'a str> {
    routes.iter().filter(|it| fits(it, message, target)).flat_map(|it| &it.receivers).map(String::as_str).collect()
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

    fn routes(text: &str) -> Vec<Route> {
        toml::from_str::<Notify>(text).unwrap().route
    }

    fn message(severity: Severity, moment: Moment, host: &str) -> Message {
        Message {
            key: "1-1".into(),
            id: "1-2".into(),
            time: String::new(),
            moment,
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
}
