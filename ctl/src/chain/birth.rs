//! The parish register: each service writes down when it began, so that a witness needs to believe nobody else.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// One run of one process: its id, and when it began in clock ticks since boot, so that a reused id is not mistaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

impl Run {
    /// The run that has the process id `pid` now; none when there is no such process or it has ended.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything, so fields count from the last parenthesis; state is the third.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ended = matches!(fields.first(), Some(&"Z" | &"X"));
        let start_ticks = fields.get(19)?.parse().ok()?;
        (!ended).then_some(Self { pid, start_ticks })
    }

    /// Whether this very run goes on.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The beginning of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// Which run.
    pub run: Run,
    /// When its `main` began, by the monotonic clock.
    pub at: Duration,
}

impl Birth {
    /// That of this process, which began at `at`.
    pub(super) fn here(at: Duration) -> io::Result<Self> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let run = Run::of(pid).ok_or_else(|| io::Error::other("cannot read /proc/self/stat"))?;
        Ok(Self { run, at })
    }

    /// Adds a line to the register. One write, so that lines of two processes do not mix.
    pub(super) fn record(&self, path: &Path) -> io::Result<()> {
        let line = format!("{} {} {}\n", self.run.pid, self.run.start_ticks, self.at.as_nanos());
        OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
    }

    /// All births in the register, oldest first; none when it does not exist yet.
    #[must_use]
    pub fn read_all(path: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let run = Run { pid: words.next()?.parse().ok()?, start_ticks: words.next()?.parse().ok()? };
        Some(Self { run, at: Duration::from_nanos(words.next()?.parse().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_read_back_and_this_run_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        assert!(Birth::read_all(&path).is_empty());
        let birth = Birth::here(Duration::from_nanos(17)).unwrap();
        birth.record(&path).unwrap();
        birth.record(&path).unwrap();
        assert_eq!(Birth::read_all(&path), vec![birth, birth]);
        assert!(birth.run.lives());
        let other = Run { start_ticks: birth.run.start_ticks + 1, ..birth.run };
        assert!(!other.lives(), "the same process id at another time is another run");
    }
}
