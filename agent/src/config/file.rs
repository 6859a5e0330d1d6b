//! `agent.toml` as it is written: one field for each key, nothing checked beyond types.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prunella_model::host::Dependency;
use prunella_model::step::StepKind;
use prunella_model::time::parse_span;
use prunella_model::{HostId, PartName, ServiceName, TargetName};
use prunella_settings::Spanned;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::file_parts::{Parts, Words};
use super::keys::Entries;
use super::size::Size;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) agent: Agent,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) host: Host,
    #[serde(default)]
    pub(super) target: Vec<Target>,
    /// The fleet's policy, where one file holds both: `prunella up` reads it, an agent has no use for it.
    #[serde(default, rename = "policy")]
    pub(super) _policy: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) host: Option<HostId>,
    pub(super) helper: Option<String>,
    pub(super) state_dir: Option<String>,
    pub(super) snapshot_every: Option<Spanned<Span>>,
    pub(super) control: Vec<Spanned<String>>,
    pub(super) agents: Vec<Spanned<String>>,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) repairs_per_hour: Option<u32>,
    pub(super) observe_only: bool,
    pub(super) pause_file: Option<String>,
    pub(super) intervals: Option<Spanned<Intervals>>,
}

/// Within which bounds the fleet's policy may say how often probes look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intervals {
    pub(super) least: Spanned<Span>,
    pub(super) most: Spanned<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Host {
    pub(super) interval: Option<Spanned<Span>>,
    pub(super) permit: Option<Permits>,
    pub(super) part: Parts,
    pub(super) probe: Vec<Spanned<Entries>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ManagerKind {
    Command,
    Systemd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) name: Spanned<TargetName>,
    pub(super) service: Option<ServiceName>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) critical: bool,
    #[serde(default)]
    pub(super) depends_on: Vec<Spanned<Dependency>>,
    pub(super) manager: Option<Spanned<ManagerKind>>,
    pub(super) start: Option<Spanned<Vec<String>>>,
    pub(super) stop: Option<Spanned<Vec<String>>>,
    pub(super) pid_file: Option<Spanned<String>>,
    pub(super) working_dir: Option<Spanned<String>>,
    pub(super) env: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) output: Option<Spanned<String>>,
    pub(super) start_with_agent: Option<Spanned<bool>>,
    pub(super) stop_with_agent: Option<Spanned<bool>>,
    pub(super) unit: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) probe: Vec<Spanned<Entries>>,
    #[serde(default)]
    pub(super) directory: Vec<Directory>,
    #[serde(default)]
    pub(super) file: Vec<FilePart>,
    pub(super) permit: Option<Permits>,
    #[serde(default)]
    pub(super) part: Parts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    pub(super) name: Spanned<PartName>,
    pub(super) path: Spanned<String>,
    pub(super) quota: Spanned<Size>,
    pub(super) older_than: Option<Span>,
    #[serde(default, rename = "match")]
    pub(super) matching: Vec<Spanned<String>>,
    pub(super) interval: Option<Spanned<Span>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePart {
    pub(super) name: Spanned<PartName>,
    pub(super) path: Spanned<String>,
    pub(super) known_good_after: Option<Span>,
    pub(super) validate: Option<Spanned<Words>>,
    pub(super) source: Option<String>,
    pub(super) timeout: Option<Span>,
    pub(super) interval: Option<Spanned<Span>>,
}

/// A span of time, such as `250ms`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parse_span(&String::deserialize(from)?).map(Self).map_err(de::Error::custom)
    }
}

/// `permit = ["restart_service"]`, or a table: `[target.permit]`, `restart_service = { per_hour = 4 }`.
#[derive(Debug)]
pub(super) struct Permits(pub(super) Vec<(Spanned<StepKind>, PermitDetail)>);

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PermitDetail {
    pub(super) per_hour: Option<u32>,
    pub(super) approvals: u32,
}

impl<'de> Deserialize<'de> for Permits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // An untagged enum would lose the place of an error inside; a visitor keeps it.
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Permits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of steps, or a table with a step for each key")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Permits, A::Error> {
                let mut permits = Vec::new();
                while let Some(step) = list.next_element()? {
                    permits.push((step, PermitDetail::default()));
                }
                Ok(Permits(permits))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Permits, A::Error> {
                let mut permits = Vec::new();
                while let Some(entry) = table.next_entry()? {
                    permits.push(entry);
                }
                Ok(Permits(permits))
            }
        }
        from.deserialize_any(Either)
    }
}
