//! Declared parts, and what is done with them.

use prunella_model::PartName;
use prunella_model::part::{Act, PartReport, Setting};
use prunella_model::step::{Step, StepKind};

use super::error::{WireError, Wrong};
use super::field::{cut, list, name, optional_name, prose};
use super::limits::PERMITS_MAX;
use super::step::{encode_part_kind, encode_risk, encode_step_kind, part_kind, percent, risk, step_kind};
use super::time::{encode_span, span};
use crate::agent::v1 as pb;

/// A part as it travels.
pub(super) fn encode_part(it: &PartReport) -> pb::Part {
    let text = |name: &PartName| name.as_str().to_owned();
    pb::Part {
        name: text(&it.name),
        kind: encode_part_kind(it.kind),
        about: cut(&it.about),
        acts: it.acts.iter().map(|it| encode_step_kind(*it)).collect(),
        risk: encode_risk(it.risk),
        limit: Some(encode_span(it.limit)),
        setting: it.setting.map(|it| pb::Setting { now: it.now, least: it.least, most: it.most, goal: it.goal }),
        current: it.current.as_ref().map(text),
        known_good: it.known_good.as_ref().map(text),
        spare: it.spare,
        undo: it.undo.as_ref().map(text),
    }
}

/// Reads a part.
pub(super) fn part(it: pb::Part) -> Result<PartReport, WireError> {
    let setting = |it: pb::Setting| Setting { now: it.now, least: it.least, most: it.most, goal: it.goal };
    Ok(PartReport {
        name: name("name", &it.name)?,
        kind: part_kind("kind", it.kind)?,
        about: prose("about", it.about)?,
        acts: list("acts", PERMITS_MAX, it.acts, |it| step_kind("", it))?,
        risk: risk("risk", it.risk)?,
        limit: span("limit", it.limit)?,
        setting: it.setting.map(setting),
        current: optional_name("current", it.current.as_ref())?,
        known_good: optional_name("known_good", it.known_good.as_ref())?,
        spare: it.spare,
        undo: optional_name("undo", it.undo.as_ref())?,
    })
}

/// What is done with a part, as it travels.
pub(super) fn encode_use(part: &PartName, act: &Act) -> pb::UsePart {
    let until = match act {
        Act::OptimizeCache { until_percent } => Some(i64::from(*until_percent)),
        other => other.value(),
    };
    let (release, risk) = match act {
        Act::SwitchGeneration { to } => (Some(to.as_str().to_owned()), 0),
        Act::RunDeclared { risk } => (None, encode_risk(*risk)),
        _ => (None, 0),
    };
    pb::UsePart { part: part.as_str().to_owned(), act: encode_step_kind(act.kind()), value: until, release, risk }
}

/// Reads what is done with a part. A field that its kind does not need is an error: it would mean something unknown.
pub(super) fn use_part(it: pb::UsePart) -> Result<Step, WireError> {
    let part: PartName = name("part", &it.part)?;
    let kind = step_kind("act", it.act)?;
    let mut left = it.clone();
    let act = act(kind, &mut left)?;
    let needless = [("value", left.value.is_some()), ("release", left.release.is_some()), ("risk", left.risk != 0)];
    if let Some((field, _)) = needless.into_iter().find(|(_, set)| *set) {
        let why = format!("{} has no {field}", kind.as_str());
        return Err(Wrong::BadText { why }.in_field(field));
    }
    Ok(Step::Use { part, act })
}

/// Takes what the kind needs out of the message.
fn act(kind: StepKind, it: &mut pb::UsePart) -> Result<Act, WireError> {
    let mut value = || it.value.take().ok_or_else(|| Wrong::Missing.in_field("value"));
    Ok(match kind {
        StepKind::ReloadService => Act::ReloadService,
        StepKind::ReinitConnections => Act::ReinitConnections,
        StepKind::RunDeclared => Act::RunDeclared { risk: risk("risk", std::mem::take(&mut it.risk))? },
        StepKind::ClearCache => Act::ClearCache,
        StepKind::OptimizeCache => {
            let found = u32::try_from(value()?).unwrap_or(u32::MAX);
            Act::OptimizeCache { until_percent: percent("value", found)? }
        }
        StepKind::RebuildCache => Act::RebuildCache,
        StepKind::WarmCache => Act::WarmCache,
        StepKind::UpdateConfig => Act::UpdateConfig,
        StepKind::ValidateConfig => Act::ValidateConfig,
        StepKind::KillProcess => Act::KillProcess,
        StepKind::FreeMemory => Act::FreeMemory,
        StepKind::CollectGarbage => Act::CollectGarbage,
        StepKind::OptimizeStore => Act::OptimizeStore,
        StepKind::SwitchGeneration => {
            let to = it.release.take().ok_or_else(|| Wrong::Missing.in_field("release"))?;
            Act::SwitchGeneration { to: name("release", &to)? }
        }
        StepKind::PruneGenerations => Act::PruneGenerations,
        StepKind::SetWeight => Act::SetWeight { value: value()? },
        StepKind::SetSysctl => Act::SetSysctl { value: value()? },
        StepKind::DrainServer => Act::DrainServer,
        StepKind::ReadyServer => Act::ReadyServer,
        StepKind::SetServerWeight => Act::SetServerWeight { value: value()? },
        StepKind::ScaleInstances => Act::ScaleInstances { value: value()? },
        StepKind::RenewCertificate => Act::RenewCertificate,
        StepKind::PromoteStandby => Act::PromoteStandby,
        StepKind::MakeBackup => Act::MakeBackup,
        StepKind::Lockdown => Act::Lockdown,
        StepKind::EndLockdown => Act::EndLockdown,
        StepKind::ShutDownHost => Act::ShutDownHost,
        StepKind::RebootHost => Act::RebootHost,
        StepKind::StartService
        | StepKind::StopService
        | StepKind::RestartService
        | StepKind::SignalProcess
        | StepKind::CleanDirectory
        | StepKind::RestoreFile => {
            let why = format!("{} acts on no declared part", kind.as_str());
            return Err(Wrong::BadText { why }.in_field("act"));
        }
    })
}
