//! A control group, v1 or v2: memory, kills for want of it, throttling, processes.

use std::fs;
use std::path::{Path, PathBuf};

use prunella_model::TargetName;
use prunella_model::observation::Level;
use prunella_model::time::format_span;
use tokio::time::Instant;

use crate::board::{Board, Look, Series};
use crate::config::CgroupSubject;
use crate::services::Services;

/// Where control groups are mounted.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// See the module.
pub(super) struct Cgroup {
    root: PathBuf,
    subject: CgroupSubject,
    series: AllSeries,
    /// Where the group was found, and what it said then.
    known: Option<Known>,
    /// The latest kills for want of memory, and when they were seen.
    killed: Option<(u64, Instant)>,
}

/// The series of one control group.
pub(super) struct AllSeries {
    pub(super) memory: Option<Series>,
    pub(super) memory_percent: Option<Series>,
    pub(super) throttled: Option<Series>,
    pub(super) processes: Option<Series>,
    pub(super) kills: Option<Series>,
}

struct Known {
    place: Place,
    kills: Option<u64>,
    periods: Option<(u64, u64)>,
}

/// The directories of one group; the same one for all with v2.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    memory: PathBuf,
    processor: PathBuf,
    processes: PathBuf,
    v2: bool,
}

/// What a group says at one time. What its kernel does not keep is absent.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reading {
    memory: Option<u64>,
    memory_limit: Option<u64>,
    kills: Option<u64>,
    /// Periods, and those in which it was throttled.
    periods: Option<(u64, u64)>,
    processes: Option<u64>,
    processes_limit: Option<u64>,
}

/// Whether control groups are the unified ones below `root`.
pub(super) fn unified(root: &Path) -> bool {
    root.join("cgroup.controllers").is_file()
}

impl Place {
    fn declared(root: &Path, path: &Path) -> Self {
        if unified(root) {
            return Self::unified(root.join(path));
        }
        let of = |controller: &str| root.join(controller).join(path);
        Self { memory: of("memory"), processor: of("cpu"), processes: of("pids"), v2: false }
    }

    fn unified(dir: PathBuf) -> Self {
        Self { memory: dir.clone(), processor: dir.clone(), processes: dir, v2: true }
    }

    /// The group of a process, from its `/proc/PID/cgroup`.
    fn of(root: &Path, table: &str) -> Option<Self> {
        let lines = || table.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let below = |path: &str| path.trim_start_matches('/').to_owned();
        if unified(root) {
            return lines().find(|(it, _)| it.is_empty()).map(|(_, path)| Self::unified(root.join(below(path))));
        }
        let of = |controller: &str| {
            let found = lines().find(|(it, _)| it.split(',').any(|it| it == controller));
            found.map(|(_, path)| root.join(controller).join(below(path)))
        };
        Some(Self { memory: of("memory")?, processor: of("cpu")?, processes: of("pids")?, v2: false })
    }

    fn read(&self) -> Reading {
        let number = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
        let text = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.split_once(' ').filter(|(it, _)| *it == name));
            line.and_then(|(_, value)| value.trim().parse::<u64>().ok())
        };
        let stat = text(&self.memory, "memory.stat");
        let (current, limit, events, idle) = if self.v2 {
            ("memory.current", "memory.max", "memory.events", field(&stat, "inactive_file"))
        } else {
            let idle = field(&stat, "total_inactive_file");
            ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control", idle)
        };
        let processor = text(&self.processor, "cpu.stat");
        Reading {
            memory: number(&self.memory, current).map(|it| it.saturating_sub(idle.unwrap_or(0))),
            // v1 says "no limit" as a number that no machine has.
            memory_limit: number(&self.memory, limit).filter(|it| *it < 1 << 60),
            kills: field(&text(&self.memory, events), "oom_kill"),
            periods: field(&processor, "nr_periods").zip(field(&processor, "nr_throttled")),
            processes: number(&self.processes, "pids.current"),
            processes_limit: number(&self.processes, "pids.max"),
        }
    }
}

impl Cgroup {
    pub(super) fn new(root: &Path, subject: &CgroupSubject, series: AllSeries) -> Self {
        Self { root: root.to_owned(), subject: subject.clone(), series, known: None, killed: None }
    }

    /// None while the target has no process whose group could be looked at.
    pub(super) fn look(&mut self, target: &TargetName, board: &Board, services: &Services) -> Option<Look> {
        let place = match &self.subject.path {
            Some(path) => Place::declared(&self.root, path),
            None => {
                let pid = services.pid(target)?;
                let table = match fs::read_to_string(format!("/proc/{pid}/cgroup")) {
                    Ok(table) => table,
                    Err(error) => {
                        return Some(Look::broken(format!("the process's control group cannot be read: {error}")));
                    }
                };
                match Place::of(&self.root, &table) {
                    Some(place) => place,
                    None => return Some(Look::broken("the process is in no control group that counts its memory")),
                }
            }
        };
        Some(self.judge(place, board))
    }

    fn judge(&mut self, place: Place, board: &Board) -> Look {
        let reading = place.read();
        if reading.memory.is_none() && reading.periods.is_none() {
            return Look::broken(format!("there is no control group at {}", place.memory.display()));
        }
        let before = self.known.take().filter(|it| it.place == place);
        if let (Some(now), Some(was)) = (reading.kills, before.as_ref().and_then(|it| it.kills))
            && now > was
        {
            let more = self.killed.filter(|(_, at)| at.elapsed() < self.subject.recent).map_or(0, |(count, _)| count);
            self.killed = Some((more + (now - was), Instant::now()));
        }
        let throttled = before.as_ref().and_then(|it| it.periods).zip(reading.periods).and_then(|(was, now)| {
            let periods = now.0.checked_sub(was.0).filter(|it| *it > 0)?;
            Some(percent(now.1.saturating_sub(was.1), periods))
        });
        let memory = reading.memory.zip(reading.memory_limit).map(|(used, limit)| percent(used, limit.max(1)));
        let processes = reading.processes.zip(reading.processes_limit).map(|(used, most)| percent(used, most.max(1)));
        for (series, value) in [
            (self.series.memory, reading.memory.map(as_f64)),
            (self.series.memory_percent, memory),
            (self.series.throttled, throttled),
            (self.series.processes, processes),
            (self.series.kills, reading.kills.map(as_f64)),
        ] {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, value);
            }
        }
        self.known = Some(Known { place, kills: reading.kills, periods: reading.periods });
        let recent = self.subject.recent;
        if let Some((count, _)) = self.killed.filter(|(_, at)| at.elapsed() < recent) {
            let (many, span) = (if count == 1 { "process was" } else { "processes were" }, format_span(recent));
            return Look::checked(Level::Critical, format!("{count} {many} killed for want of memory within {span}"));
        }
        if let Some(used) = memory.filter(|it| *it >= self.subject.warn_memory_percent) {
            return Look::checked(Level::Warning, format!("{used} % of its memory limit is used"));
        }
        if let Some(share) = throttled.filter(|it| *it >= self.subject.warn_throttled_percent) {
            return Look::checked(Level::Warning, format!("it was throttled in {share} % of the periods"));
        }
        Look::checked(Level::Good, "within its limits")
    }
}

fn percent(part: u64, all: u64) -> f64 {
    (as_f64(part) / as_f64(all) * 1_000.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "shares and sizes need no more than 52 bits")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    fn probe(root: &Path) -> Cgroup {
        let subject = CgroupSubject {
            path: Some(PathBuf::from("a.slice")),
            warn_memory_percent: 90.0,
            warn_throttled_percent: 50.0,
            recent: Duration::from_secs(600),
        };
        let series = AllSeries { memory: None, memory_percent: None, throttled: None, processes: None, kills: None };
        Cgroup::new(root, &subject, series)
    }

    fn text(look: &Look) -> (Level, String) {
        match &look.finding {
            prunella_model::observation::Finding::Checked { level, text } => (*level, text.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_unified_group_is_judged_by_kills_memory_and_throttling() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("a.slice");
        write(dir.path(), &[("cgroup.controllers", "")]);
        write(
            &group,
            &[
                ("memory.current", "500\n"),
                ("memory.max", "1000\n"),
                ("memory.stat", "anon 100\ninactive_file 100\n"),
                ("memory.events", "low 0\noom 1\noom_kill 3\n"),
                ("cpu.stat", "usage_usec 1\nnr_periods 100\nnr_throttled 10\n"),
                ("pids.current", "5\n"),
                ("pids.max", "max\n"),
            ],
        );
        let (to, _from) = tokio::sync::mpsc::channel(4);
        let board = Board::new(to);
        let mut it = probe(dir.path());
        let place = || Place::declared(dir.path(), Path::new("a.slice"));
        let reading = place().read();
        assert_eq!((reading.memory, reading.memory_limit, reading.kills), (Some(400), Some(1000), Some(3)));
        assert_eq!((reading.processes, reading.processes_limit), (Some(5), None));
        assert_eq!(text(&it.judge(place(), &board)).0, Level::Good, "kills from before are history");
        write(&group, &[("cpu.stat", "nr_periods 200\nnr_throttled 90\n")]);
        assert_eq!(
            text(&it.judge(place(), &board)),
            (Level::Warning, "it was throttled in 80 % of the periods".to_owned())
        );
        write(&group, &[("memory.current", "1000\n")]);
        assert_eq!(text(&it.judge(place(), &board)), (Level::Warning, "90 % of its memory limit is used".to_owned()));
        write(&group, &[("memory.events", "oom_kill 4\n"), ("memory.current", "100\n")]);
        let killed = it.judge(place(), &board);
        assert_eq!(text(&killed), (Level::Critical, "1 process was killed for want of memory within 10m".to_owned()));
        assert_eq!(text(&it.judge(place(), &board)).0, Level::Critical, "it is told for a while");
        fs::remove_dir_all(&group).unwrap();
        assert!(matches!(it.judge(place(), &board).finding, prunella_model::observation::Finding::ProbeBroken { .. }));
    }

    #[test]
    fn groups_of_both_kinds_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let table = "5:memory:/system.slice/a.service\n4:cpu,cpuacct:/a\n3:pids:/b\n0::/new\n";
        let old = Place::of(dir.path(), table).unwrap();
        assert_eq!(old.memory, dir.path().join("memory/system.slice/a.service"));
        assert!(!old.v2 && Place::of(dir.path(), "0::/new\n").is_none());
        write(dir.path(), &[("cgroup.controllers", "")]);
        assert_eq!(Place::of(dir.path(), table), Some(Place::unified(dir.path().join("new"))));
        write(
            &dir.path().join("old"),
            &[("memory.limit_in_bytes", "9223372036854771712\n"), ("memory.usage_in_bytes", "7")],
        );
        let old = Place { v2: false, ..Place::unified(dir.path().join("old")) };
        assert_eq!((old.read().memory, old.read().memory_limit), (Some(7), None));
    }
}
