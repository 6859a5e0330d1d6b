//! What the policy says of rules: of shipped ones, and the operators' own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Profile, optional_span};
use crate::incident::Severity;
use crate::time::span;
use crate::{HostId, RepairName, RuleName, ServiceName, TargetName};

/// Changes to one shipped rule. What is null stays as shipped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSetting {
    /// False switches the rule off.
    pub enabled: Option<bool>,
    /// How bad its faults are.
    pub severity: Option<Severity>,
    /// The value above which it speaks, in the rule's own unit.
    pub threshold: Option<f64>,
    /// The value below which it is silent again.
    pub clear: Option<f64>,
    /// How long the condition must hold, as text: `"300s"`.
    #[serde(rename = "for", with = "optional_span")]
    pub hold: Option<Duration>,
    /// How many times in a row, for rules that count.
    pub count: Option<u32>,
    /// True: it only says what it would have opened. A rule that learns starts so; false promotes it.
    pub shadow: Option<bool>,
}

/// Which targets a custom rule looks at. Everything that is given must fit; an empty one fits every target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleScope {
    /// Members of this service.
    pub service: Option<ServiceName>,
    /// Targets of this kind: `host`, `service` (it has a process or a unit), `endpoint` (it only answers), or `store`
    /// (directories and files alone).
    pub kind: Option<TargetKind>,
    /// Targets of this host.
    pub host: Option<HostId>,
    /// Targets of this name.
    pub target: Option<TargetName>,
    /// Targets that carry all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// What a target is, by what watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// The target that stands for a whole host.
    Host,
    /// A process or a unit.
    Service,
    /// Something that only answers: an HTTP or TCP address.
    Endpoint,
    /// Directories, files and logs alone.
    Store,
}

impl TargetKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Host, Self::Service, Self::Endpoint, Self::Store];

    /// Its name in policies and expressions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Service => "service",
            Self::Endpoint => "endpoint",
            Self::Store => "store",
        }
    }
}

/// A rule of the operators' own, beside the shipped ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Its name; no shipped rule may have it.
    pub name: RuleName,
    /// The condition, in CEL: true while the fault is there.
    pub when: String,
    /// How long the condition must hold, as text: `"30s"`.
    #[serde(rename = "for", with = "span", default)]
    pub hold: Duration,
    /// How bad its faults are.
    #[serde(default = "CustomRule::severity")]
    pub severity: Severity,
    /// One line for a person, shown with the values that the condition stands on.
    #[serde(default)]
    pub summary: String,
    /// Repairs that treat it, best first. Without any a person is asked.
    #[serde(default)]
    pub actions: Vec<RepairName>,
    /// Which targets it looks at.
    #[serde(rename = "match", default)]
    pub scope: RuleScope,
    /// How often it is evaluated even if nothing that it uses has changed; null for the profile's own.
    #[serde(with = "optional_span", default)]
    pub interval: Option<Duration>,
    /// True to only say when it would have spoken, and open no incident.
    #[serde(default)]
    pub shadow: bool,
}

impl CustomRule {
    const fn severity() -> Severity {
        Severity::Medium
    }

    /// How often it is evaluated at least, under a profile.
    #[must_use]
    pub fn beat(&self, profile: Profile) -> Duration {
        let shipped = match profile {
            Profile::Standard => Duration::from_secs(10),
            Profile::Rapid => Duration::from_secs(1),
        };
        // A rule must not keep the decider busy, whatever its author writes.
        self.interval.unwrap_or(shipped).max(Duration::from_millis(100))
    }
}
