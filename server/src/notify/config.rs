//! `[notify]` of `server.toml`: who is told of what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use prunella_model::incident::Severity;
use serde::Deserialize;

use super::message::Moment;

/// Receivers, and what is routed to them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Where the dashboard is for people who get a message, such as `https://fleet.example`; null leaves links out.
    pub dashboard: Option<String>,
    /// Who can be told.
    pub receiver: Vec<Receiver>,
    /// Who is told of what. Every route that fits counts.
    pub route: Vec<Route>,
}

/// Somebody, or something, that can be told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// Where it listens.
    pub url: String,
    /// A file with what it wants for a password: a bearer token (webhook, alertmanager), the routing key (pagerduty), or
    /// `user:token` (jira).
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The project in which issues are opened (jira).
    #[serde(default)]
    pub project: Option<String>,
}

/// What a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// CloudEvents 1.0 in JSON.
    Webhook,
    /// The API of Prometheus' Alertmanager, version 2.
    Alertmanager,
    /// An incoming webhook of Slack, or of what understands the same.
    Slack,
    /// Events API version 2 of PagerDuty.
    PagerDuty,
    /// The REST API of Jira, version 2.
    Jira,
}

impl Kind {
    /// As the configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
            Self::PagerDuty => "pagerduty",
            Self::Jira => "jira",
        }
    }
}

/// Who is told of what. What is left out does not narrow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Names of receivers.
    pub receivers: Vec<String>,
    /// Only incidents at least so severe.
    #[serde(default = "medium")]
    pub severity: Severity,
    /// At which moments.
    #[serde(default = "usual_moments")]
    pub moments: BTreeSet<Moment>,
    /// Only these hosts; a name may end with `*`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Only these services.
    #[serde(default)]
    pub services: Vec<String>,
    /// Only targets with all of these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

const fn medium() -> Severity {
    Severity::Medium
}

/// A person is told when one is needed, and when it is over. What heals by itself wakes nobody.
fn usual_moments() -> BTreeSet<Moment> {
    BTreeSet::from([Moment::NeedsPerson, Moment::Overdue, Moment::Resolved])
}

impl Notify {
    /// What is wrong with it, in a sentence that names the part.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for it in &self.receiver {
            let name = &it.name;
            let good = !name.is_empty() && name.len() <= 63;
            if !good || !name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-') {
                return Err(format!("receiver {name:?}: a name has 1 to 63 lower-case letters, digits and hyphens"));
            }
            if !names.insert(name.as_str()) {
                return Err(format!("receiver {name:?} is there twice; give each its own name"));
            }
            let host = it.url.parse::<http::Uri>().ok().and_then(|it| it.host().map(str::to_owned));
            if host.is_none() || !(it.url.starts_with("https://") || it.url.starts_with("http://")) {
                return Err(format!("receiver {name:?}: url {:?} must be like https://host/path", it.url));
            }
            match (it.kind, &it.secret_file, &it.project) {
                (Kind::PagerDuty | Kind::Jira, None, _) => {
                    return Err(format!("receiver {name:?}: a {} needs secret_file", it.kind.as_str()));
                }
                (Kind::Jira, _, None) => return Err(format!("receiver {name:?}: a jira needs project")),
                _ => {}
            }
        }
        for (number, it) in self.route.iter().enumerate() {
            let number = number + 1;
            if it.receivers.is_empty() {
                return Err(format!("route {number} has no receivers"));
            }
            if let Some(unknown) = it.receivers.iter().find(|it| !names.contains(it.as_str())) {
                return Err(format!("route {number}: there is no receiver {unknown:?}"));
            }
            if it.moments.is_empty() {
                return Err(format!("route {number} has no moments; leave the key out for the usual ones"));
            }
        }
        Ok(())
    }
}
