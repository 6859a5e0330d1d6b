//! What a process and all its children use, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::chain::monotonic;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, which Linux has fixed.
const TICKS: u32 = 100;

/// What was used between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Memory in RAM.
    pub(super) rss_mib: f64,
    /// What of it belongs to no file.
    pub(super) anonymous_mib: f64,
    /// The same with what is shared divided among those who share it.
    pub(super) pss_mib: f64,
    /// Of one core.
    pub(super) cpu_percent: f64,
    /// How often a thread began to run because something happened that it waited for.
    pub(super) wakeups_per_second: f64,
    pub(super) processes: usize,
    pub(super) threads: usize,
}

/// The counters of a process and all below it.
#[derive(Debug)]
pub(super) struct Counters {
    at: Duration,
    each: BTreeMap<u32, Process>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Process {
    /// Of all its threads, to the nanosecond; `stat` would say hundredths of a second.
    spent: Duration,
    /// Of children that have ended.
    children: Duration,
    switches: u64,
    threads: usize,
    rss_kib: u64,
    anonymous_kib: u64,
    pss_kib: u64,
}

impl Counters {
    /// Reads those of `root` and its children now.
    pub(super) fn of(root: u32) -> Self {
        let at = monotonic();
        Self { at, each: family(root).into_iter().filter_map(|pid| Some((pid, Process::of(pid)?))).collect() }
    }

    /// Those of one process, without its children: what an agent starts for others is not what it costs.
    pub(super) fn alone(pid: u32) -> Self {
        Self { at: monotonic(), each: Process::of(pid).map(|it| (pid, it)).into_iter().collect() }
    }

    /// What was used since `before`; none when nothing lives any more.
    pub(super) fn since(&self, before: &Self) -> Option<Cost> {
        let lasted = self.at.checked_sub(before.at).filter(|it| !it.is_zero())?.as_secs_f64();
        let (mut spent, mut switches) = (Duration::ZERO, 0);
        for (pid, now) in &self.each {
            // Whoever appeared meanwhile counts from nothing; whoever ended is in the time of its parent's children.
            let then = before.each.get(pid).copied();
            let known = then.unwrap_or(Process { children: now.children, ..Process::default() });
            spent += now.spent.saturating_sub(known.spent) + now.children.saturating_sub(known.children);
            switches += now.switches.saturating_sub(known.switches);
        }
        let sum = |of: fn(&Process) -> u64| self.each.values().map(of).sum::<u64>();
        let mib = |of| round(count(sum(of)) / 1024.0, 100.0);
        (!self.each.is_empty()).then(|| Cost {
            rss_mib: mib(|it| it.rss_kib),
            anonymous_mib: mib(|it| it.anonymous_kib),
            pss_mib: mib(|it| it.pss_kib),
            cpu_percent: round(spent.as_secs_f64() / lasted * 100.0, 1e4),
            wakeups_per_second: round(count(switches) / lasted, 100.0),
            processes: self.each.len(),
            threads: self.each.values().map(|it| it.threads).sum(),
        })
    }
}

impl Process {
    /// None when it has ended.
    fn of(pid: u32) -> Option<Self> {
        let mut it = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may end while it is read.
            let Some((spent, switches)) = thread(&task.path()) else { continue };
            it.spent += spent;
            it.switches += switches;
            it.threads += 1;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
        it.children = Duration::from_secs(u64::from(ticks(13)? + ticks(14)?)) / TICKS;
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kib = |key: &str| {
            let line = memory.lines().find_map(|it| it.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        it.rss_kib = kib("Rss:").unwrap_or(0);
        it.pss_kib = kib("Pss:").unwrap_or(0);
        it.anonymous_kib = kib("Anonymous:").unwrap_or(0);
        Some(it)
    }
}

fn thread(task: &std::path::Path) -> Option<(Duration, u64)> {
    let times = fs::read_to_string(task.join("schedstat")).ok()?;
    let spent = times.split(' ').next()?.parse().ok()?;
    let status = fs::read_to_string(task.join("status")).ok()?;
    let switches = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()?;
    Some((Duration::from_nanos(spent), switches))
}

/// A process and all below it.
fn family(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|it| it.parse::<u32>().ok()));
        }
    }
    all
}

pub(super) fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Exact up to 2^53, which no counter here reaches.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(super) fn count(of: u64) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_counted_with_its_children() {
        let mut sleeping = std::process::Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
        let deadline = monotonic() + Duration::from_secs(10);
        while family(sleeping.id()).len() < 2 && monotonic() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let all = family(sleeping.id());
        let before = Counters::of(sleeping.id());
        std::thread::sleep(Duration::from_millis(20));
        let cost = Counters::of(sleeping.id()).since(&before).unwrap();
        assert_eq!((all.len(), cost.processes, cost.threads), (2, 2, 2));
        assert!(cost.rss_mib > 0.0 && cost.rss_mib >= cost.pss_mib && cost.rss_mib >= cost.anonymous_mib, "{cost:?}");
        for pid in all.into_iter().rev() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        sleeping.wait().unwrap();
        assert_eq!(Counters::of(sleeping.id()).since(&before), None, "what has ended costs nothing that is known");
    }

    #[test]
    fn work_is_seen() {
        let own = std::process::id();
        let before = Counters::of(own);
        let until = monotonic() + Duration::from_millis(50);
        while monotonic() < until {
            std::hint::spin_loop();
        }
        let cost = Counters::of(own).since(&before).unwrap();
        assert!(cost.cpu_percent > 1.0, "{cost:?}");
    }
}
