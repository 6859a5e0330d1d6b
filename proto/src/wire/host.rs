//! The whole state of an agent.

use prunella_model::host::{
    Dependency, DirectoryReport, FileReport, HostReport, IntervalRange, Permit, ProbeReport, TargetReport,
};

use super::command::boot_id;
use super::error::{WireError, Within as _, Wrong};
use super::field::{
    cut, encode_generation, generation, labels, list, name, optional_digest, optional_name, prose, text,
};
use super::limits::{
    DEPENDENCIES_MAX, OBSERVATIONS_MAX, OUTCOMES_MAX, PARTS_MAX, PATH_MAX, PERMITS_MAX, PROBES_MAX, SERIES_MAX,
    TARGETS_MAX,
};
use super::observation::{encode_observation, encode_series, observation, series};
use super::outcome::{encode_outcome_report, outcome_report};
use super::part::{encode_part, part};
use super::step::{encode_probe_kind, encode_step_kind, probe_kind, step_kind};
use super::time::{encode_span, span};
use crate::agent::v1 as pb;

/// A host's report as it travels.
pub(super) fn encode_report(it: &HostReport) -> pb::HostReport {
    pb::HostReport {
        agent_version: cut(&it.agent_version),
        boot_id: it.boot.0.clone(),
        labels: it.labels.clone(),
        targets: it.targets.iter().map(encode_target).collect(),
        series: it.series.iter().map(encode_series).collect(),
        observations: it.observations.iter().map(encode_observation).collect(),
        mark: Some(encode_generation(it.mark)),
        outcomes: it.outcomes.iter().map(encode_outcome_report).collect(),
        paused: it.paused.as_deref().map(cut),
        observe_only: it.observe_only.as_deref().map(cut),
        config_digest: it.config.map(|it| it.0.to_vec()),
        program_digest: it.program.map(|it| it.0.to_vec()),
        drift: it.drift.as_deref().map(cut),
        intervals: it
            .intervals
            .map(|it| pb::IntervalRange { least: Some(encode_span(it.least)), most: Some(encode_span(it.most)) }),
    }
}

/// Reads a host's report.
pub(super) fn report(it: pb::HostReport) -> Result<HostReport, WireError> {
    Ok(HostReport {
        agent_version: prose("agent_version", it.agent_version)?,
        boot: boot_id("boot_id", it.boot_id)?,
        labels: labels("labels", it.labels)?,
        targets: list("targets", TARGETS_MAX, it.targets, target)?,
        series: list("series", SERIES_MAX, it.series, series)?,
        observations: list("observations", OBSERVATIONS_MAX, it.observations, observation)?,
        mark: generation("mark", it.mark)?,
        outcomes: list("outcomes", OUTCOMES_MAX, it.outcomes, outcome_report)?,
        paused: it.paused.map(|it| prose("paused", it)).transpose()?,
        observe_only: it.observe_only.map(|it| prose("observe_only", it)).transpose()?,
        config: optional_digest("config_digest", it.config_digest.as_ref())?,
        program: optional_digest("program_digest", it.program_digest.as_ref())?,
        drift: it.drift.map(|it| prose("drift", it)).transpose()?,
        intervals: it.intervals.map(|it| interval_range(it).within("intervals")).transpose()?,
    })
}

fn interval_range(it: pb::IntervalRange) -> Result<IntervalRange, WireError> {
    Ok(IntervalRange { least: span("least", it.least)?, most: span("most", it.most)? })
}

fn encode_target(it: &TargetReport) -> pb::Target {
    pb::Target {
        name: it.name.as_str().to_owned(),
        service: it.service.as_ref().map(|it| it.as_str().to_owned()),
        labels: it.labels.clone(),
        depends_on: it.depends_on.iter().map(Dependency::to_string).collect(),
        critical: it.critical,
        probes: it.probes.iter().map(encode_probe).collect(),
        permits: it.permits.iter().map(encode_permit).collect(),
        directories: it.directories.iter().map(encode_directory).collect(),
        files: it.files.iter().map(encode_file).collect(),
        parts: it.parts.iter().map(encode_part).collect(),
    }
}

fn target(it: pb::Target) -> Result<TargetReport, WireError> {
    Ok(TargetReport {
        name: name("name", &it.name)?,
        service: optional_name("service", it.service.as_ref())?,
        labels: labels("labels", it.labels)?,
        depends_on: list("depends_on", DEPENDENCIES_MAX, it.depends_on, |it| dependency(&it))?,
        critical: it.critical,
        probes: list("probes", PROBES_MAX, it.probes, probe)?,
        permits: list("permits", PERMITS_MAX, it.permits, permit)?,
        directories: list("directories", PARTS_MAX, it.directories, directory)?,
        files: list("files", PARTS_MAX, it.files, file)?,
        parts: list("parts", PARTS_MAX, it.parts, part)?,
    })
}

fn dependency(text: &str) -> Result<Dependency, WireError> {
    text.parse()
        .map_err(|bad: prunella_model::host::BadDependency| Wrong::BadText { why: bad.to_string() }.in_field(""))
}

fn encode_probe(it: &ProbeReport) -> pb::Probe {
    pb::Probe {
        name: it.name.as_str().to_owned(),
        kind: encode_probe_kind(it.kind),
        interval: Some(encode_span(it.interval)),
        timeout: Some(encode_span(it.timeout)),
    }
}

fn probe(it: pb::Probe) -> Result<ProbeReport, WireError> {
    Ok(ProbeReport {
        name: name("name", &it.name)?,
        kind: probe_kind("kind", it.kind)?,
        interval: span("interval", it.interval)?,
        timeout: span("timeout", it.timeout)?,
    })
}

const fn encode_permit(it: &Permit) -> pb::Permit {
    pb::Permit { step: encode_step_kind(it.step), per_hour: it.per_hour, approvals: it.approvals }
}

fn permit(it: pb::Permit) -> Result<Permit, WireError> {
    Ok(Permit { step: step_kind("step", it.step)?, per_hour: it.per_hour, approvals: it.approvals })
}

fn encode_directory(it: &DirectoryReport) -> pb::Directory {
    pb::Directory { name: it.name.as_str().to_owned(), path: it.path.clone(), quota_bytes: it.quota_bytes }
}

fn directory(it: pb::Directory) -> Result<DirectoryReport, WireError> {
    Ok(DirectoryReport {
        name: name("name", &it.name)?,
        path: text("path", PATH_MAX, it.path)?,
        quota_bytes: it.quota_bytes,
    })
}

fn encode_file(it: &FileReport) -> pb::File {
    pb::File {
        name: it.name.as_str().to_owned(),
        path: it.path.clone(),
        known_good: it.known_good.map(|it| it.0.to_vec()),
    }
}

fn file(it: pb::File) -> Result<FileReport, WireError> {
    Ok(FileReport {
        name: name("name", &it.name)?,
        path: text("path", PATH_MAX, it.path)?,
        known_good: optional_digest("known_good", it.known_good.as_ref())?,
    })
}
