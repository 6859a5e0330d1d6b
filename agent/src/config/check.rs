//! From what is written to what is meant: defaults, and everything that types alone cannot check.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::{GlobBuilder, GlobSetBuilder};
use prunella_model::host::{Dependency, IntervalRange, Permit};
use prunella_model::step::StepKind;
use prunella_model::time::format_span;
use prunella_model::{HostId, PartName, ProbeName, TargetName};
use prunella_settings::{Located, Source, Spanned};

use super::file::{self, Intervals, ManagerKind, Span};
use super::keys::Entries;
use super::part::ConfigFile;
use super::probes::{INTERVAL_MAX, INTERVAL_MIN};
use super::{
    AgentConfig, CommandConfig, DirectoryConfig, FileConfig, HostLimits, ManagerConfig, ProbeConfig, Subject,
    TargetConfig,
};

/// How often a probe looks when nothing else is said: a second is cheap and finds a hung service soon.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often directories are walked when nothing else is said: a walk costs more than a look.
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(10);
/// How often a file's digest is taken besides its change events, which can be lost.
const FILE_INTERVAL: Duration = Duration::from_secs(60);
/// How long a probe waits when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long everything must be well for a file's content to count as known-good.
pub(super) const KNOWN_GOOD_AFTER: Duration = Duration::from_secs(60);
/// How old a file must be to be removed when nothing else is said.
const OLDER_THAN: Duration = Duration::from_secs(86_400);
/// How often an hour a permitted step may happen when nothing else is said.
const PER_HOUR: u32 = 10;
/// Repairs of the host in any hour when nothing else is said.
const REPAIRS_PER_HOUR: u32 = 10;
/// The most targets: what one host's report may hold.
const TARGETS_MAX: usize = 500;

/// Checks one file.
pub(super) struct Checker<'t> {
    pub(super) source: Source<'t>,
    /// The directory that relative paths start from.
    pub(super) dir: &'t Path,
    /// What the kernel calls this host.
    pub(super) kernel_name: &'t str,
}

pub(super) type Checked<T> = Result<T, Located>;

impl Checker<'_> {
    pub(super) fn config(&self, file: file::File) -> Checked<AgentConfig> {
        let host = match file.agent.host {
            Some(host) => host,
            None => HostId::new(&self.kernel_name.to_ascii_lowercase()).map_err(|bad| {
                self.source.at(0..0, format!("this host's own name cannot be used ({bad}); set host in [agent]"))
            })?,
        };
        let state_dir = self.path(file.agent.state_dir.as_deref().unwrap_or("state"));
        let pause_file = file.limits.pause_file.map_or_else(|| state_dir.join("paused"), |it| self.path(&it));
        let control = self.addresses(file.agent.control)?;
        let agents = self.addresses(file.agent.agents)?;
        let ports = ports(control.iter().chain(&agents));
        let config = AgentConfig {
            host,
            helper: file.agent.helper.map(|it| self.path(&it)),
            state_dir,
            control,
            agents,
            host_parts: self.parts(file.host.part, &ports)?,
            host_permits: file.host.permit.map(|it| self.permits(it)).transpose()?.unwrap_or_default(),
            snapshot_every: file.agent.snapshot_every.map(|it| self.every(&it)).transpose()?,
            labels: file.agent.labels,
            limits: HostLimits {
                repairs_per_hour: file.limits.repairs_per_hour.unwrap_or(REPAIRS_PER_HOUR),
                observe_only: file.limits.observe_only,
                pause_file,
                intervals: file.limits.intervals.map(|it| self.intervals(it)).transpose()?,
            },
            host_probes: self.host_probes(file.host.interval, &file.host.probe)?,
            targets: self.targets(file.target, &ports)?,
        };
        Ok(config)
    }

    fn host_probes(&self, interval: Option<Spanned<Span>>, tables: &[Spanned<Entries>]) -> Checked<Vec<ProbeConfig>> {
        let mut probes = vec![ProbeConfig {
            name: self.probe_name("host", 0..0)?,
            interval: self.interval(interval, INTERVAL)?,
            timeout: TIMEOUT,
            jitter: Duration::ZERO,
            subject: Subject::Host,
        }];
        for probe in tables {
            self.add_probe(&mut probes, probe, &ManagerConfig::None, true)?;
        }
        Ok(probes)
    }

    fn targets(&self, tables: Vec<file::Target>, ports: &[u16]) -> Checked<Vec<TargetConfig>> {
        let mut known: Vec<TargetName> = Vec::new();
        let mut needs = Vec::new();
        let mut targets = Vec::new();
        for table in tables {
            let (name, span) = (table.name.get_ref().clone(), table.name.span());
            if name.is_host() {
                return Err(self.source.at(span, "\"host\" stands for the host itself; choose another name"));
            }
            if known.contains(&name) {
                return Err(self.source.at(span, format!("there is a target {name:?} already")));
            }
            if known.len() == TARGETS_MAX {
                return Err(self.source.at(span, format!("more than {TARGETS_MAX} targets")));
            }
            needs.extend(table.depends_on.iter().map(|it| (it.span(), it.get_ref().clone())));
            targets.push(self.target(&name, table, ports)?);
            known.push(name);
        }
        for (span, need) in needs {
            if let Dependency::Local(target) = need
                && !known.contains(&target)
            {
                let what = format!(
                    "no target {target:?} here; for one elsewhere write hosts/HOST/targets/{target} or services/SERVICE"
                );
                return Err(self.source.at(span, what));
            }
        }
        Ok(targets)
    }

    fn target(&self, name: &TargetName, table: file::Target, ports: &[u16]) -> Checked<TargetConfig> {
        let manager = self.manager(&table)?;
        let mut probes = Vec::new();
        for probe in &table.probe {
            self.add_probe(&mut probes, probe, &manager, false)?;
        }
        let own = match manager {
            ManagerConfig::None => None,
            ManagerConfig::Command(_) => Some(("process", Subject::Process)),
            ManagerConfig::Systemd { .. } => Some(("unit", Subject::Unit)),
        };
        if let Some((own_name, subject)) = own
            && !probes.iter().any(|it: &ProbeConfig| it.subject.kind() == subject.kind())
        {
            let name = self.probe_name(own_name, table.name.span())?;
            let (interval, timeout, jitter) = (INTERVAL, TIMEOUT, Duration::ZERO);
            self.insert(&mut probes, ProbeConfig { name, interval, timeout, jitter, subject }, table.name.span())?;
        }
        let mut directories = Vec::new();
        for part in table.directory {
            directories.push(self.directory(&mut probes, part)?);
        }
        let mut parts = self.parts(table.part, ports)?;
        let mut files = Vec::new();
        for part in table.file {
            let config = ConfigFile {
                path: self.path(part.path.get_ref()),
                validate: part.validate.as_ref().map(|it| self.program(it)).transpose()?,
                source: part.source.as_ref().map(|it| self.path(it)),
            };
            parts.extend(self.config_part(part.name.get_ref(), config, part.timeout));
            files.push(self.file(&mut probes, part)?);
        }
        if probes.is_empty() {
            let what = format!("target {name:?} has nothing to look at; add [[target.probe]], a directory or a file");
            return Err(self.source.at(table.name.span(), what));
        }
        let permits = match table.permit {
            Some(listed) => self.permits(listed)?,
            None => default_permits(&manager, &directories, &files),
        };
        Ok(TargetConfig {
            name: name.clone(),
            service: table.service,
            labels: table.labels,
            depends_on: table.depends_on.into_iter().map(Spanned::into_inner).collect(),
            critical: table.critical,
            manager,
            probes,
            directories,
            files,
            parts,
            permits,
        })
    }

    fn manager(&self, table: &file::Target) -> Checked<ManagerConfig> {
        let kind = table.manager.as_ref().map(|it| *it.get_ref());
        let command_keys = [
            ("start", table.start.as_ref().map(Spanned::span)),
            ("stop", table.stop.as_ref().map(Spanned::span)),
            ("pid_file", table.pid_file.as_ref().map(Spanned::span)),
            ("working_dir", table.working_dir.as_ref().map(Spanned::span)),
            ("env", table.env.as_ref().map(Spanned::span)),
            ("output", table.output.as_ref().map(Spanned::span)),
            ("start_with_agent", table.start_with_agent.as_ref().map(Spanned::span)),
            ("stop_with_agent", table.stop_with_agent.as_ref().map(Spanned::span)),
        ];
        if kind != Some(ManagerKind::Command) {
            for (key, span) in command_keys {
                if let Some(span) = span {
                    return Err(self.source.at(span, format!("{key} goes with manager = \"command\" alone")));
                }
            }
        }
        if kind != Some(ManagerKind::Systemd)
            && let Some(unit) = &table.unit
        {
            return Err(self.source.at(unit.span(), "unit goes with manager = \"systemd\" alone"));
        }
        match &table.manager {
            None => Ok(ManagerConfig::None),
            Some(it) if *it.get_ref() == ManagerKind::Systemd => match &table.unit {
                Some(unit) if unit.get_ref().contains('.') => {
                    Ok(ManagerConfig::Systemd { unit: unit.get_ref().clone() })
                }
                Some(unit) => Err(self.source.at(unit.span(), "write the unit with its suffix: nginx.service")),
                None => {
                    Err(self.source.at(it.span(), "manager = \"systemd\" needs unit, for example \"nginx.service\""))
                }
            },
            Some(it) => self.command(table, it.span()).map(ManagerConfig::Command),
        }
    }

    fn command(&self, table: &file::Target, span: Range<usize>) -> Checked<CommandConfig> {
        let start = table.start.as_ref().ok_or_else(|| {
            self.source.at(
                span,
                "manager = \"command\" needs start, for example [\"/usr/bin/redis-server\", \"--port\", \"6379\"]",
            )
        })?;
        Ok(CommandConfig {
            start: self.argv(start)?,
            stop: table.stop.as_ref().map(|it| self.argv(it)).transpose()?,
            pid_file: table.pid_file.as_ref().map(|it| self.path(it.get_ref())),
            working_dir: table.working_dir.as_ref().map_or_else(|| self.path("."), |it| self.path(it.get_ref())),
            env: table.env.as_ref().map(|it| it.get_ref().clone()).unwrap_or_default(),
            output: table.output.as_ref().map(|it| self.path(it.get_ref())),
            start_with_agent: table.start_with_agent.as_ref().is_none_or(|it| *it.get_ref()),
            stop_with_agent: table.stop_with_agent.as_ref().is_some_and(|it| *it.get_ref()),
        })
    }

    pub(super) fn argv(&self, words: &Spanned<Vec<String>>) -> Checked<Vec<String>> {
        let mut argv = words.get_ref().clone();
        match argv.first_mut() {
            Some(program) if !program.is_empty() => {
                // A bare name is looked up in PATH; a relative path starts where this file is.
                if program.contains('/') {
                    *program = self.path(program).display().to_string();
                }
            }
            Some(_) | None => return Err(self.source.at(words.span(), "the list must begin with a program")),
        }
        if argv.iter().any(|word| word.contains('\0')) {
            return Err(self.source.at(words.span(), "a word must not hold a zero byte"));
        }
        Ok(argv)
    }

    fn directory(&self, probes: &mut Vec<ProbeConfig>, part: file::Directory) -> Checked<DirectoryConfig> {
        if part.quota.get_ref().0 == 0 {
            return Err(self.source.at(part.quota.span(), "a quota must be more than nothing"));
        }
        let mut globs = GlobSetBuilder::new();
        for glob in &part.matching {
            let built = GlobBuilder::new(glob.get_ref()).literal_separator(true).build();
            globs.add(built.map_err(|error| self.source.at(glob.span(), error))?);
        }
        if part.matching.is_empty() {
            return Err(self
                .source
                .at(part.name.span(), "a directory needs match, the files that may be removed: [\"*.log\"]"));
        }
        let matching = globs.build().map_err(|error| self.source.at(part.name.span(), error))?;
        let interval = self.interval(part.interval, DIRECTORY_INTERVAL)?;
        self.part_probe(probes, &part.name, interval, Subject::Directory)?;
        Ok(DirectoryConfig {
            path: self.path(part.path.get_ref()),
            name: part.name.into_inner(),
            quota_bytes: part.quota.into_inner().0,
            older_than: part.older_than.map_or(OLDER_THAN, |it| it.0),
            matching,
        })
    }

    fn file(&self, probes: &mut Vec<ProbeConfig>, part: file::FilePart) -> Checked<FileConfig> {
        let interval = self.interval(part.interval, FILE_INTERVAL)?;
        self.part_probe(probes, &part.name, interval, Subject::File)?;
        Ok(FileConfig {
            path: self.path(part.path.get_ref()),
            name: part.name.into_inner(),
            known_good_after: part.known_good_after.map_or(KNOWN_GOOD_AFTER, |it| it.0),
        })
    }

    fn part_probe(
        &self,
        probes: &mut Vec<ProbeConfig>,
        part: &Spanned<PartName>,
        interval: Duration,
        subject: fn(PartName) -> Subject,
    ) -> Checked<()> {
        let name = self.probe_name(part.get_ref().as_str(), part.span())?;
        let (timeout, jitter, subject) = (TIMEOUT, Duration::ZERO, subject(part.get_ref().clone()));
        self.insert(probes, ProbeConfig { name, interval, timeout, jitter, subject }, part.span())
    }

    pub(super) fn insert(&self, probes: &mut Vec<ProbeConfig>, probe: ProbeConfig, span: Range<usize>) -> Checked<()> {
        if probes.iter().any(|it| it.name == probe.name) {
            let name = &probe.name;
            let what =
                format!("this target has a probe {name:?} already (directories and files give theirs their own name)");
            return Err(self.source.at(span, what));
        }
        probes.push(probe);
        Ok(())
    }

    fn permits(&self, listed: file::Permits) -> Checked<Vec<Permit>> {
        let mut permits: Vec<Permit> = Vec::new();
        for (step, detail) in listed.0 {
            if permits.iter().any(|it| it.step == *step.get_ref()) {
                return Err(self.source.at(step.span(), format!("{} is permitted twice", step.get_ref().as_str())));
            }
            permits.push(Permit {
                step: step.into_inner(),
                per_hour: detail.per_hour.unwrap_or(PER_HOUR),
                approvals: detail.approvals,
            });
        }
        Ok(permits)
    }

    fn addresses(&self, listed: Vec<Spanned<String>>) -> Checked<Vec<String>> {
        listed.into_iter().map(|it| self.host_port(it.get_ref(), it.span()).map(|_| it.into_inner())).collect()
    }

    /// How often a snapshot is taken: more often than once a minute would push older ones out within the hour.
    fn every(&self, span: &Spanned<Span>) -> Checked<Duration> {
        let found = span.get_ref().0;
        if found >= Duration::from_secs(60) {
            return Ok(found);
        }
        Err(self.source.at(span.span(), "a snapshot every minute is the most"))
    }

    pub(super) fn interval(&self, span: Option<Spanned<Span>>, default: Duration) -> Checked<Duration> {
        let Some(span) = span else { return Ok(default) };
        let found = span.get_ref().0;
        if (INTERVAL_MIN..=INTERVAL_MAX).contains(&found) {
            return Ok(found);
        }
        let (low, high) = (format_span(INTERVAL_MIN), format_span(INTERVAL_MAX));
        Err(self.source.at(span.span(), format!("{} is out of range; use {low} to {high}", format_span(found))))
    }

    fn intervals(&self, bounds: Spanned<Intervals>) -> Checked<IntervalRange> {
        let place = bounds.span();
        let Intervals { least, most } = bounds.into_inner();
        let range =
            IntervalRange { least: self.interval(Some(least), INTERVAL)?, most: self.interval(Some(most), INTERVAL)? };
        if range.least <= range.most {
            return Ok(range);
        }
        Err(self.source.at(place, "the least interval is longer than the most; exchange them"))
    }

    pub(super) fn probe_name(&self, text: &str, span: Range<usize>) -> Checked<ProbeName> {
        ProbeName::new(text).map_err(|bad| self.source.at(span, bad))
    }

    pub(super) fn path(&self, text: &str) -> PathBuf {
        match text {
            "." if self.dir.as_os_str().is_empty() => PathBuf::from("."),
            "." => self.dir.to_owned(),
            text => self.dir.join(text),
        }
    }
}

/// The ports of the control plane, as far as this file names them.
fn ports<'a>(addresses: impl Iterator<Item = &'a String>) -> Vec<u16> {
    let mut ports: Vec<u16> = addresses.filter_map(|it| it.rsplit_once(':')?.1.parse().ok()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Restart what the file names, clean the directories and put back the files that it names; nothing else.
fn default_permits(manager: &ManagerConfig, directories: &[DirectoryConfig], files: &[FileConfig]) -> Vec<Permit> {
    let managed = match manager {
        ManagerConfig::None => false,
        ManagerConfig::Command(_) | ManagerConfig::Systemd { .. } => true,
    };
    [
        (StepKind::StartService, managed),
        (StepKind::RestartService, managed),
        (StepKind::CleanDirectory, !directories.is_empty()),
        (StepKind::RestoreFile, !files.is_empty()),
    ]
    .into_iter()
    .filter(|(_, wanted)| *wanted)
    .map(|(step, _)| Permit { step, per_hour: PER_HOUR, approvals: 0 })
    .collect()
}
