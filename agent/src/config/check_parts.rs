//! Declared parts: from what is written to what is meant.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_model::PartName;
use prunella_model::part::PartKind;
use prunella_model::step::Risk;
use prunella_model::time::format_span;
use prunella_settings::Spanned;

use super::check::{Checked, Checker, KNOWN_GOOD_AFTER};
use super::file::Span;
use super::file_parts::{self as file, Words};
use super::part::{
    Backup, Bounds, Cache, CachePlace, ConfigFile, Knob, Machine, Memory, PartConfig, Program, Releases, Stray, Way,
    What,
};

/// How long an act may take when nothing else is said.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest time that may be declared: somebody waits for the outcome.
const LIMIT_MAX: Duration = Duration::from_secs(3600);
/// How many releases are kept when nothing else is said.
const KEEP: usize = 5;
/// How many backups are kept when nothing else is said.
const KEEP_BACKUPS: usize = 10;
/// How much is backed up at most when nothing else is said.
const BACKUP_MOST: u64 = 10 << 30;
/// How much a control group gives back at once when nothing else is said.
const RECLAIM: u64 = 256 << 20;
/// How long a stray process may take to end by itself when nothing else is said.
const GRACE: Duration = Duration::from_secs(2);
/// Where Nix keeps its commands on a host that has it for all users.
const NIX: &str = "/nix/var/nix/profiles/default/bin";

impl Checker<'_> {
    /// All parts of one target. `control` are the ports of the control plane.
    pub(super) fn parts(&self, written: file::Parts, control: &[u16]) -> Checked<Vec<PartConfig>> {
        let mut parts = Parts { checker: self, all: Vec::new() };
        for it in written.reload {
            let way = self.way(&it)?;
            parts.add(it.name, it.timeout, What::Reload(way))?;
        }
        for it in written.connections {
            let way = self.way(&it)?;
            parts.add(it.name, it.timeout, What::Connections(way))?;
        }
        for it in written.cache {
            let cache = self.cache(&it)?;
            parts.add(it.name, it.timeout, What::Cache(cache))?;
        }
        for it in written.stray {
            let stray = self.stray(&it)?;
            parts.add(it.name, Some(Span(stray.grace + GRACE)), What::Stray(stray))?;
        }
        for it in written.memory {
            let memory = match &it.group {
                Some(group) => Memory::Group { path: self.group(group)?, bytes: it.bytes.map_or(RECLAIM, |it| it.0) },
                None => Memory::Host,
            };
            parts.add(it.name, it.timeout, What::Memory(memory))?;
        }
        for it in written.store {
            let store = self.store(&it)?;
            parts.add(it.name, it.timeout, store)?;
        }
        for it in written.releases {
            let releases = self.releases(&it)?;
            parts.add(it.name, it.timeout, What::Releases(releases))?;
        }
        for it in written.certificate {
            let renew = self.program(&it.renew)?;
            parts.add(it.name, it.timeout, What::Certificate { path: self.path(&it.path), renew })?;
        }
        for it in written.standby {
            let promote = self.program(&it.promote)?;
            parts.add(it.name, it.timeout, What::Standby { data_dir: self.path(&it.data_dir), promote })?;
        }
        for it in written.backup {
            let backup = self.backup(&it)?;
            parts.add(it.name, it.timeout, What::Backup(backup))?;
        }
        for it in written.machine {
            let (systemctl, nft, allow) = (it.systemctl, it.nft, it.allow);
            let machine = Machine { systemctl, nft, allow, control: control.to_vec() };
            parts.add(it.name, it.timeout, What::Machine(machine))?;
        }
        self.settings(&mut parts, written.weight, written.sysctl, written.balancer, written.instances)?;
        self.programs(&mut parts, written.program)?;
        Ok(parts.all)
    }

    fn settings(
        &self,
        parts: &mut Parts<'_, '_>,
        weights: Vec<file::Weight>,
        sysctls: Vec<file::Sysctl>,
        balancers: Vec<file::Balancer>,
        instances: Vec<file::Instances>,
    ) -> Checked<()> {
        for it in weights {
            let (knob, (low, high)) = match it.knob.get_ref().as_str() {
                "nice" => (Knob::Nice, (-20, 19)),
                "io" => (Knob::Io, (0, 7)),
                _ => (Knob::Group(self.group(&it.knob)?), (0, 1_000_000)),
            };
            let bounds = self.bounds(&it.least, it.most, it.goal, low..high + 1)?;
            parts.add(it.name, None, What::Weight { knob, bounds })?;
        }
        for it in sysctls {
            let path = self.sysctl(&it.key)?;
            let bounds = self.bounds(&it.least, it.most, it.goal, i64::MIN..i64::MAX)?;
            parts.add(it.name, None, What::Sysctl { path, bounds })?;
        }
        for it in balancers {
            let plain = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_graphic() && it != b';');
            if !it.server.get_ref().split_once('/').is_some_and(|(one, two)| plain(one) && plain(two)) {
                return Err(self.source.at(it.server.span(), "write the server as HAProxy does: BACKEND/SERVER"));
            }
            let least = Spanned::new(it.server.span(), it.least.unwrap_or(0));
            let bounds = self.bounds(&least, it.most.unwrap_or(256), it.goal, 0..257)?;
            let (socket, server) = (self.path(&it.socket), it.server.into_inner());
            parts.add(it.name, None, What::Balancer { socket, server, bounds })?;
        }
        for it in instances {
            let template = it.template.get_ref();
            if !template.ends_with('@') || template.len() < 2 || template.contains(['/', ' ']) {
                return Err(self.source.at(it.template.span(), "write the template up to its @, for example worker@"));
            }
            let bounds = self.bounds(&it.least, it.most, it.goal, 0..1001)?;
            let systemctl = it.systemctl.unwrap_or_else(|| "systemctl".to_owned());
            let template = it.template.into_inner();
            parts.add(it.name, it.timeout, What::Instances { template, systemctl, bounds })?;
        }
        Ok(())
    }

    fn programs(&self, parts: &mut Parts<'_, '_>, written: Vec<file::DeclaredProgram>) -> Checked<()> {
        let names: Vec<PartName> = written.iter().map(|it| it.name.get_ref().clone()).collect();
        for it in written {
            if let Some(undo) = &it.undo
                && !names.contains(undo.get_ref())
            {
                let what = format!("this target has no program {}, which should undo this one", undo.get_ref());
                return Err(self.source.at(undo.span(), what));
            }
            let run = self.program(&it.run)?;
            // What nobody has judged is taken for the worst that needs no signature.
            let risk = it.risk.unwrap_or(Risk::High);
            let undo = it.undo.map(Spanned::into_inner);
            parts.add(it.name, it.timeout, What::Program { run, risk, undo })?;
        }
        Ok(())
    }

    pub(super) fn program(&self, words: &Spanned<Words>) -> Checked<Program> {
        let written = match words.get_ref() {
            Words::Plain(run) => {
                file::Program { run: run.clone(), user: None, working_dir: None, env: Default::default() }
            }
            Words::Full(program) => program.clone(),
        };
        Ok(Program {
            run: self.argv(&Spanned::new(words.span(), written.run))?,
            user: written.user,
            working_dir: written.working_dir.map_or_else(|| self.path("."), |it| self.path(&it)),
            env: written.env,
        })
    }

    fn maybe_program(&self, words: Option<&Spanned<Words>>) -> Checked<Option<Program>> {
        words.map(|it| self.program(it)).transpose()
    }

    fn way(&self, it: &file::Way) -> Checked<Way> {
        match (&it.run, it.signal) {
            (Some(run), None) => Ok(Way::Run(self.program(run)?)),
            (None, Some(signal)) => Ok(Way::Signal(signal)),
            (None, None) | (Some(_), Some(_)) => {
                Err(self.source.at(it.name.span(), "write either run, a program, or signal, for example \"hangup\""))
            }
        }
    }

    fn cache(&self, it: &file::Cache) -> Checked<Cache> {
        let place = match (&it.path, &it.redis) {
            (Some(path), None) => CachePlace::Directory(self.path(path.get_ref())),
            (None, Some(redis)) => {
                let wrong = || self.source.at(redis.span(), "write the database as redis://HOST:PORT/NUMBER");
                let rest = redis.get_ref().strip_prefix("redis://").ok_or_else(wrong)?;
                let (address, database) = rest.split_once('/').unwrap_or((rest, "0"));
                CachePlace::Redis {
                    address: self.host_port(address, redis.span())?,
                    database: database.parse().map_err(|_| wrong())?,
                    password_file: it.password_file.as_ref().map(|it| self.path(it)),
                }
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(self
                    .source
                    .at(it.name.span(), "a cache has either path, a directory, or redis, a database"));
            }
        };
        if it.bound.as_ref().is_some_and(|it| it.get_ref().0 == 0) {
            return Err(self.source.at(it.name.span(), "a bound must be more than nothing"));
        }
        Ok(Cache {
            place,
            bound: it.bound.as_ref().map(|it| it.get_ref().0),
            rebuild: self.maybe_program(it.rebuild.as_ref())?,
            warm: it.warm.iter().map(|url| self.plain_url(url)).collect::<Checked<_>>()?,
        })
    }

    fn stray(&self, it: &file::Stray) -> Checked<Stray> {
        if it.port.is_none() && it.executable.is_none() {
            return Err(self
                .source
                .at(it.name.span(), "a stray needs port or executable: a rule must not match everything"));
        }
        Ok(Stray {
            port: it.port,
            executable: it.executable.as_ref().map(|it| self.path(it)),
            user: it.user.clone(),
            older_than: it.older_than.map_or(Duration::ZERO, |it| it.0),
            most: it.most.unwrap_or(1),
            grace: it.grace.map_or(GRACE, |it| it.0),
        })
    }

    fn store(&self, it: &file::Store) -> Checked<What> {
        let nix = |program: &str, word: &str| Program {
            run: vec![format!("{NIX}/{program}"), word.to_owned()],
            user: None,
            working_dir: PathBuf::from("/"),
            env: Default::default(),
        };
        let own = |name, word| it.nix.then(|| nix(name, word));
        let collect = self.maybe_program(it.collect.as_ref())?.or_else(|| own("nix-collect-garbage", "--quiet"));
        let optimize = self.maybe_program(it.optimize.as_ref())?.or_else(|| own("nix-store", "--optimise"));
        if collect.is_none() && optimize.is_none() {
            return Err(self.source.at(it.name.span(), "a store needs collect or optimize, a program, or nix = true"));
        }
        Ok(What::Store { collect, optimize })
    }

    fn releases(&self, it: &file::Releases) -> Checked<Releases> {
        let wrong = |what: &str| Err(self.source.at(it.name.span(), what));
        let (link, dir, affixes) = match (&it.link, &it.dir, &it.nix_profile) {
            (Some(link), Some(dir), None) => {
                (self.path(link.get_ref()), self.path(dir.get_ref()), (String::new(), String::new()))
            }
            (None, None, Some(profile)) => {
                let link = self.path(profile.get_ref());
                let (Some(dir), Some(name)) = (link.parent(), link.file_name().and_then(|it| it.to_str())) else {
                    return wrong("nix_profile names a link, for example /nix/var/nix/profiles/system");
                };
                (link.clone(), dir.to_owned(), (format!("{name}-"), "-link".to_owned()))
            }
            _ => return wrong("releases need link and dir, or nix_profile"),
        };
        let keep = it.keep.as_ref().map_or(KEEP, |it| *it.get_ref());
        if keep == 0 {
            return wrong("at least one release must be kept");
        }
        Ok(Releases {
            link,
            dir,
            affixes,
            keep,
            known_good_after: it.known_good_after.map_or(KNOWN_GOOD_AFTER, |it| it.0),
            activate: self.maybe_program(it.activate.as_ref())?,
        })
    }

    fn backup(&self, it: &file::Backup) -> Checked<Backup> {
        let paths: Vec<PathBuf> = it.paths.get_ref().iter().map(|it| self.path(it)).collect();
        let to = self.path(&it.to);
        if paths.is_empty() {
            return Err(self.source.at(it.paths.span(), "a backup needs at least one path"));
        }
        if paths.iter().any(|path| to.starts_with(path)) {
            return Err(self.source.at(it.paths.span(), "a backup must not lie in what it backs up"));
        }
        let keep = it.keep.as_ref().map_or(KEEP_BACKUPS, |it| *it.get_ref()).max(1);
        Ok(Backup { paths, to, keep, most: it.most.map_or(BACKUP_MOST, |it| it.0) })
    }

    /// A file or directory of a control group, and of nothing else.
    fn group(&self, written: &Spanned<String>) -> Checked<PathBuf> {
        let path = Path::new(written.get_ref());
        let plain = path.components().all(|it| !matches!(it, std::path::Component::ParentDir));
        if plain && path.starts_with("/sys/fs/cgroup") {
            return Ok(path.to_owned());
        }
        Err(self.source.at(written.span(), "write nice, io, or a path below /sys/fs/cgroup"))
    }

    fn sysctl(&self, key: &Spanned<String>) -> Checked<PathBuf> {
        let part =
            |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'));
        if !key.get_ref().split('.').all(part) {
            return Err(self.source.at(key.span(), "write the parameter as sysctl does, for example vm.swappiness"));
        }
        Ok(Path::new("/proc/sys").join(key.get_ref().replace('.', "/")))
    }

    fn bounds(&self, least: &Spanned<i64>, most: i64, goal: Option<i64>, range: Range<i64>) -> Checked<Bounds> {
        let least_is = *least.get_ref();
        let inside = |it: i64| range.contains(&it);
        if least_is > most || !inside(least_is) || !inside(most) || goal.is_some_and(|it| it < least_is || it > most) {
            let (low, high) = (range.start, range.end - 1);
            let what = format!("least, goal and most must rise, within {low} to {high}");
            return Err(self.source.at(least.span(), what));
        }
        Ok(Bounds { least: least_is, most, goal })
    }

    /// A file of a target that has a validator or a source is a part of its own.
    pub(super) fn config_part(&self, name: &PartName, it: ConfigFile, limit: Option<Span>) -> Option<PartConfig> {
        let declared = it.validate.is_some() || it.source.is_some();
        let limit = limit.map_or(LIMIT, |it| it.0.min(LIMIT_MAX));
        declared.then(|| PartConfig { name: name.clone(), limit, what: What::Config(it) })
    }
}

struct Parts<'p, 't> {
    checker: &'p Checker<'t>,
    all: Vec<PartConfig>,
}

impl Parts<'_, '_> {
    fn add(&mut self, name: Spanned<PartName>, limit: Option<Span>, what: What) -> Checked<()> {
        let (kind, span) = (what.kind(), name.span());
        let name = name.into_inner();
        let same = |it: &PartConfig| it.name == name && it.what.kind() == kind;
        if self.all.iter().any(same) {
            let what = format!("this target has a {} {name} already", kind.as_str());
            return Err(self.checker.source.at(span, what));
        }
        let limit = limit.map_or(LIMIT, |it| it.0);
        if limit > LIMIT_MAX || limit.is_zero() {
            let what = format!("a timeout is more than nothing and at most {}", format_span(LIMIT_MAX));
            return Err(self.checker.source.at(span, what));
        }
        debug_assert!(kind != PartKind::Config, "files are added with their directory entry");
        self.all.push(PartConfig { name, limit, what });
        Ok(())
    }
}
