//! Declared parts as they are written: `[[target.part.cache]]`, and the same below `[host]`.

use std::collections::BTreeMap;

use prunella_model::PartName;
use prunella_model::step::{Risk, Signal};
use prunella_settings::Spanned;
use serde::Deserialize;

use super::file::Span;
use super::size::Size;

/// The parts of one target, by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Parts {
    pub(super) reload: Vec<Way>,
    pub(super) connections: Vec<Way>,
    pub(super) program: Vec<DeclaredProgram>,
    pub(super) cache: Vec<Cache>,
    pub(super) stray: Vec<Stray>,
    pub(super) memory: Vec<Memory>,
    pub(super) store: Vec<Store>,
    pub(super) releases: Vec<Releases>,
    pub(super) weight: Vec<Weight>,
    pub(super) sysctl: Vec<Sysctl>,
    pub(super) balancer: Vec<Balancer>,
    pub(super) instances: Vec<Instances>,
    pub(super) certificate: Vec<Certificate>,
    pub(super) standby: Vec<Standby>,
    pub(super) backup: Vec<Backup>,
    pub(super) machine: Vec<Machine>,
}

/// A program: its words alone, or a table with how it runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    Plain(Vec<String>),
    Full(Program),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    pub(super) run: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) working_dir: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Way {
    pub(super) name: Spanned<PartName>,
    pub(super) run: Option<Spanned<Words>>,
    pub(super) signal: Option<Signal>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredProgram {
    pub(super) name: Spanned<PartName>,
    pub(super) run: Spanned<Words>,
    pub(super) risk: Option<Risk>,
    pub(super) undo: Option<Spanned<PartName>>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    pub(super) name: Spanned<PartName>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) redis: Option<Spanned<String>>,
    pub(super) password_file: Option<String>,
    pub(super) bound: Option<Spanned<Size>>,
    pub(super) rebuild: Option<Spanned<Words>>,
    #[serde(default)]
    pub(super) warm: Vec<Spanned<String>>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stray {
    pub(super) name: Spanned<PartName>,
    pub(super) port: Option<u16>,
    pub(super) executable: Option<String>,
    pub(super) user: Option<String>,
    pub(super) older_than: Option<Span>,
    pub(super) most: Option<usize>,
    pub(super) grace: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) name: Spanned<PartName>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) bytes: Option<Size>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) name: Spanned<PartName>,
    #[serde(default)]
    pub(super) nix: bool,
    pub(super) collect: Option<Spanned<Words>>,
    pub(super) optimize: Option<Spanned<Words>>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Releases {
    pub(super) name: Spanned<PartName>,
    pub(super) link: Option<Spanned<String>>,
    pub(super) dir: Option<Spanned<String>>,
    pub(super) nix_profile: Option<Spanned<String>>,
    pub(super) keep: Option<Spanned<usize>>,
    pub(super) known_good_after: Option<Span>,
    pub(super) activate: Option<Spanned<Words>>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weight {
    pub(super) name: Spanned<PartName>,
    pub(super) knob: Spanned<String>,
    pub(super) least: Spanned<i64>,
    pub(super) most: i64,
    pub(super) goal: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sysctl {
    pub(super) name: Spanned<PartName>,
    pub(super) key: Spanned<String>,
    pub(super) least: Spanned<i64>,
    pub(super) most: i64,
    pub(super) goal: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Balancer {
    pub(super) name: Spanned<PartName>,
    pub(super) socket: String,
    pub(super) server: Spanned<String>,
    pub(super) least: Option<i64>,
    pub(super) most: Option<i64>,
    pub(super) goal: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instances {
    pub(super) name: Spanned<PartName>,
    pub(super) template: Spanned<String>,
    pub(super) systemctl: Option<String>,
    pub(super) least: Spanned<i64>,
    pub(super) most: i64,
    pub(super) goal: Option<i64>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) name: Spanned<PartName>,
    pub(super) path: String,
    pub(super) renew: Spanned<Words>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Standby {
    pub(super) name: Spanned<PartName>,
    pub(super) data_dir: String,
    pub(super) promote: Spanned<Words>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    pub(super) name: Spanned<PartName>,
    pub(super) paths: Spanned<Vec<String>>,
    pub(super) to: String,
    pub(super) keep: Option<Spanned<usize>>,
    pub(super) most: Option<Size>,
    pub(super) timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    pub(super) name: Spanned<PartName>,
    pub(super) systemctl: Option<String>,
    pub(super) nft: Option<String>,
    #[serde(default)]
    pub(super) allow: Vec<u16>,
    pub(super) timeout: Option<Span>,
}
