//! What an expression may look at, and how it is built from what is believed.

use std::collections::BTreeMap;

use prunella_model::Timestamp;
use prunella_model::observation::{Finding, ProbeKind, Status, Tells};
use prunella_model::policy::{RuleScope, TargetKind};

use super::{Named, Uses};
use crate::host::Host;
use crate::key::at;
use crate::target::Target;

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// True or false.
    Flag(bool),
    /// A measurement.
    Number(f64),
    /// A text.
    Text(String),
    /// Facts by name.
    Map(Facts),
}

/// Facts by name. What is not known, or not fresh, is not there.
pub type Facts = BTreeMap<String, Fact>;

/// What a fact looks like, for whoever checks an expression before there are facts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// True or false.
    Flag,
    /// A measurement.
    Number,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Facts by names that the fleet chooses.
    Open(&'static Shape),
    /// Facts by these names.
    Record(&'static [(&'static str, Shape)]),
}

const STATUSES: &[&str] = &["up", "down", "unknown"];
const KINDS: &[&str] = &["host", "service", "endpoint", "store"];

const LABELS: Shape = Shape::Open(&Shape::Text);
const METRICS: Shape = Shape::Open(&Shape::Number);

/// Everything that an expression may look at.
pub static SCHEMA: &[(&str, Shape)] = &[
    (
        "target",
        Shape::Record(&[
            ("name", Shape::Text),
            ("kind", Shape::Word(KINDS)),
            ("service", Shape::Text),
            ("labels", LABELS),
            ("critical", Shape::Flag),
        ]),
    ),
    ("host", Shape::Record(&[("name", Shape::Text), ("labels", LABELS), ("metrics", METRICS)])),
    ("metrics", METRICS),
    (
        "probes",
        Shape::Open(&Shape::Record(&[
            ("status", Shape::Word(STATUSES)),
            ("since", Shape::Number),
            ("kind", Shape::Text),
            ("finding", Shape::Word(&Finding::NAMES)),
        ])),
    ),
];

/// What a target is, by what watches it.
pub(crate) fn kind(target: &Target) -> TargetKind {
    let has = |wanted: fn(ProbeKind) -> bool| target.probes.iter().any(|probe| wanted(probe.report.kind));
    if target.report.name.is_host() {
        TargetKind::Host
    } else if has(|kind| matches!(kind.tells(), Tells::Life)) {
        TargetKind::Service
    } else if has(ProbeKind::sees_through) {
        TargetKind::Endpoint
    } else {
        TargetKind::Store
    }
}

/// Whether a rule looks at a target.
pub(crate) fn fits(scope: &RuleScope, host: &Host, target: &Target) -> bool {
    let labels = &target.report.labels;
    scope.service.as_ref().is_none_or(|it| target.report.service.as_ref() == Some(it))
        && scope.kind.is_none_or(|it| kind(target) == it)
        && scope.host.as_ref().is_none_or(|it| host.id == *it)
        && scope.target.as_ref().is_none_or(|it| target.report.name == *it)
        && scope.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Up => "up",
        Status::Down => "down",
        Status::Unknown => "unknown",
    }
}

/// What is looked at, and from when on evidence counts.
pub(crate) struct View<'a> {
    pub(crate) host: &'a Host,
    pub(crate) target: &'a Target,
    /// The server's time.
    pub(crate) now: Timestamp,
    /// How long evidence counts when a probe does not say.
    pub(crate) fresh: std::time::Duration,
    /// Only evidence from then on counts, by the host's clock; zero for all.
    pub(crate) since: Timestamp,
}

impl View<'_> {
    /// Whether the samples of the host are recent enough to judge by.
    pub(crate) fn measured(&self) -> bool {
        let recent = self.host.contact().is_some_and(|contact| self.now.since(contact) <= self.fresh);
        recent && self.host.last_frame.is_some_and(|at| at >= self.since)
    }

    /// When the newest evidence for `uses` was seen, by the host's clock.
    pub(crate) fn evidence(&self, uses: &Uses) -> Timestamp {
        let frame = self.host.last_frame.unwrap_or_default();
        if !uses.metrics.is_none() || !uses.host_metrics.is_none() {
            return frame;
        }
        let used = self.target.probes.iter().filter(|probe| uses.probes.has(probe.report.name.as_str()));
        used.filter_map(|probe| Some(probe.last()?.host)).max().unwrap_or(frame)
    }

    /// The facts that `uses` names, as far as they are known and fresh.
    pub(crate) fn facts(&self, uses: &Uses) -> Facts {
        let report = &self.target.report;
        let mut target = Facts::from([
            ("name".to_owned(), Fact::Text(report.name.to_string())),
            ("kind".to_owned(), Fact::Text(kind(self.target).as_str().to_owned())),
            ("labels".to_owned(), labels(&report.labels)),
            ("critical".to_owned(), Fact::Flag(report.critical)),
        ]);
        if let Some(service) = &report.service {
            target.insert("service".to_owned(), Fact::Text(service.to_string()));
        }
        let host_target = self.host.targets.iter().find(|it| it.report.name.is_host());
        let none = BTreeMap::new();
        let host_labels = self.host.report.as_ref().map_or(&none, |report| &report.labels);
        let host = Facts::from([
            ("name".to_owned(), Fact::Text(self.host.id.to_string())),
            ("labels".to_owned(), labels(host_labels)),
            ("metrics".to_owned(), self.metrics(host_target, &uses.host_metrics)),
        ]);
        Facts::from([
            ("target".to_owned(), Fact::Map(target)),
            ("host".to_owned(), Fact::Map(host)),
            ("metrics".to_owned(), self.metrics(Some(self.target), &uses.metrics)),
            ("probes".to_owned(), self.probes(&uses.probes)),
        ])
    }

    fn metrics(&self, of: Option<&Target>, used: &Named) -> Fact {
        let mut all = Facts::new();
        if used.is_none() || !self.measured() {
            return Fact::Map(all);
        }
        for number in of.iter().flat_map(|target| &target.series) {
            let Some(Some(series)) = self.host.series.get(at(*number)) else { continue };
            let Some(value) = series.value.filter(|_| used.has(series.metric.as_str())) else { continue };
            all.insert(series.metric.to_string(), Fact::Number(value));
        }
        Fact::Map(all)
    }

    fn probes(&self, used: &Named) -> Fact {
        let mut all = Facts::new();
        let contact = self.host.contact();
        for probe in self.target.probes.iter().filter(|probe| used.has(probe.report.name.as_str())) {
            let seen = probe.fresh(self.now, contact, self.fresh).filter(|seen| seen.host >= self.since);
            let Some(seen) = seen else { continue };
            let mut one = Facts::from([
                ("status".to_owned(), Fact::Text(word(seen.status).to_owned())),
                ("since".to_owned(), Fact::Number(self.now.since(probe.since_at).as_secs_f64())),
                ("kind".to_owned(), Fact::Text(probe.report.kind.as_str().to_owned())),
            ]);
            if let Some(finding) = &probe.finding {
                one.insert("finding".to_owned(), Fact::Text(finding.as_str().to_owned()));
            }
            all.insert(probe.report.name.to_string(), Fact::Map(one));
        }
        Fact::Map(all)
    }

    /// The values that a verdict stands on, in a few words; at most four.
    pub(crate) fn values(&self, uses: &Uses) -> String {
        let mut all = Vec::new();
        for (metrics, of) in [(self.metrics(Some(self.target), &uses.metrics), ""), (self.host_metrics(uses), "host ")]
        {
            let Fact::Map(metrics) = metrics else { continue };
            for (name, value) in metrics {
                if let Fact::Number(value) = value {
                    all.push(format!("{of}{name} {}", figure(value)));
                }
            }
        }
        if let Fact::Map(probes) = self.probes(&uses.probes) {
            for (name, probe) in probes {
                if let Fact::Map(probe) = probe
                    && let Some(Fact::Text(status)) = probe.get("status")
                {
                    all.push(format!("{name} {status}"));
                }
            }
        }
        all.truncate(4);
        all.join(", ")
    }

    fn host_metrics(&self, uses: &Uses) -> Fact {
        let host_target = self.host.targets.iter().find(|it| it.report.name.is_host());
        self.metrics(host_target, &uses.host_metrics)
    }
}

fn labels(labels: &BTreeMap<String, String>) -> Fact {
    Fact::Map(labels.iter().map(|(key, value)| (key.clone(), Fact::Text(value.clone()))).collect())
}

/// A value with at most two digits after the point, and none where they say nothing.
fn figure(value: f64) -> String {
    if value.abs() >= 1000.0 || libm::trunc(value) == value { format!("{value:.0}") } else { format!("{value:.2}") }
}
