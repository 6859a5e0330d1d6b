//! What an agent says of its host: everything that exists there, and everything that may ever be done.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::BootId;
use crate::observation::{Observation, ProbeKind, SeriesName, Sha256};
use crate::outcome::OutcomeReport;
use crate::part::PartReport;
use crate::step::StepKind;
use crate::{Generation, HostId, PartName, ProbeName, ServiceName, TargetName, TargetRef};

/// What [`HostReport::observe_only`] says when the host's administrator wants it so.
pub const BY_CHOICE: &str = "agent.toml says so";

/// What a target needs in order to work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dependency {
    /// A target of the same host: `db`.
    Local(TargetName),
    /// A target of any host: `hosts/h1/targets/db`.
    Target(TargetRef),
    /// Any healthy member of a service: `services/db`.
    Service(ServiceName),
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(target) => write!(f, "{target}"),
            Self::Target(it) => write!(f, "hosts/{}/targets/{}", it.host, it.target),
            Self::Service(service) => write!(f, "services/{service}"),
        }
    }
}

/// A text that names no dependency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no dependency; write a target of this host (db), hosts/H/targets/T or services/S")]
pub struct BadDependency {
    /// The text.
    pub text: String,
}

impl FromStr for Dependency {
    type Err = BadDependency;
    fn from_str(text: &str) -> Result<Self, BadDependency> {
        let bad = || BadDependency { text: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [target] => TargetName::new(target).map(Self::Local).map_err(|_| bad()),
            ["services", service] => ServiceName::new(service).map(Self::Service).map_err(|_| bad()),
            ["hosts", host, "targets", target] => {
                let host = HostId::new(host).map_err(|_| bad())?;
                let target = TargetName::new(target).map_err(|_| bad())?;
                Ok(Self::Target(TargetRef { host, target }))
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Dependency {
    type Error = BadDependency;
    fn try_from(text: String) -> Result<Self, BadDependency> {
        text.parse()
    }
}

impl From<Dependency> for String {
    fn from(it: Dependency) -> Self {
        it.to_string()
    }
}

/// One probe of a target, as the agent runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Its name, unique in the target.
    pub name: ProbeName,
    /// What it looks at.
    pub kind: ProbeKind,
    /// How often it looks.
    pub interval: Duration,
    /// How long it waits for an answer.
    pub timeout: Duration,
}

/// One kind of step that the host's administrator permits on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The kind of step.
    pub step: StepKind,
    /// How often in any hour.
    pub per_hour: u32,
    /// How many operators must approve it. The fleet can ask for more, never for fewer.
    pub approvals: u32,
}

/// A directory of a target that may be cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryReport {
    /// Its name.
    pub name: PartName,
    /// Its path.
    pub path: String,
    /// Its quota.
    pub quota_bytes: u64,
}

/// A file of a target that may be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name.
    pub name: PartName,
    /// Its path.
    pub path: String,
    /// The digest of its known-good snapshot; null before there is one.
    pub known_good: Option<Sha256>,
}

/// One target, as its host's administrator declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Its name, unique on the host.
    pub name: TargetName,
    /// The service that it is a member of, if any.
    pub service: Option<ServiceName>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What it needs in order to work.
    pub depends_on: Vec<Dependency>,
    /// Whether its loss is a critical matter.
    pub critical: bool,
    /// Its probes.
    pub probes: Vec<ProbeReport>,
    /// What may be done to it.
    pub permits: Vec<Permit>,
    /// Its directories.
    pub directories: Vec<DirectoryReport>,
    /// Its files.
    pub files: Vec<FileReport>,
    /// Whatever else of it a step may act on.
    pub parts: Vec<PartReport>,
}

/// The whole state of an agent: sent first in each stream, and again when the server asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// The version of the agent.
    pub agent_version: String,
    /// The current boot of the host.
    pub boot: BootId,
    /// Free labels of the host, for example its rack.
    pub labels: BTreeMap<String, String>,
    /// Every target, the host itself included.
    pub targets: Vec<TargetReport>,
    /// Series that are named from here on.
    pub series: Vec<SeriesName>,
    /// The latest verdict of every probe that has one.
    pub observations: Vec<Observation>,
    /// The highest generation that the host has accepted.
    pub mark: Generation,
    /// Outcomes that no server has acknowledged.
    pub outcomes: Vec<OutcomeReport>,
    /// Why the host is paused by its administrator; null when it is not.
    pub paused: Option<String>,
    /// Why the agent only observes; null when it may act.
    pub observe_only: Option<String>,
    /// The digest of the `agent.toml` that the agent runs with; null when it cannot tell.
    #[serde(default)]
    pub config: Option<Sha256>,
    /// The digest of the program that the agent is; null when it cannot tell.
    #[serde(default)]
    pub program: Option<Sha256>,
    /// What on the host's disk is not what the agent runs with, for a person; null when nothing is.
    #[serde(default)]
    pub drift: Option<String>,
    /// Within which bounds the fleet's policy may say how often probes look; null when it may not.
    #[serde(default)]
    pub intervals: Option<IntervalRange>,
}

/// The bounds of a probe's interval, as the host's administrator sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalRange {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

impl IntervalRange {
    /// What is wanted, brought within the bounds.
    #[must_use]
    pub fn bring(&self, wanted: Duration) -> Duration {
        wanted.min(self.most).max(self.least)
    }
}

impl TargetReport {
    /// The declared part that a step of this kind would act on, if the target has it.
    #[must_use]
    pub fn part(&self, step: StepKind, name: &PartName) -> Option<&PartReport> {
        let kind = step.spec().part?;
        self.parts.iter().find(|it| it.kind == kind && it.name == *name)
    }

    /// The declared parts with which a step of this kind can be done.
    pub fn parts_for(&self, step: StepKind) -> impl Iterator<Item = &PartReport> {
        self.parts.iter().filter(move |it| it.can(step))
    }
}
