//! What the main process of a target uses. That it ends is told by its pidfd, at once; this only measures.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use prunella_model::TargetName;
use tokio::time::Instant;

use crate::board::{Board, Look, Series};
use crate::services::Services;

/// Open files are counted at every so many looks: it can cost more than all the rest.
const FILES_EVERY: u32 = 10;
/// Counting open files stops here on kernels that do not keep the count.
const FILES_MAX: usize = 65_536;

/// See the module.
pub(super) struct Process {
    rss: Option<Series>,
    cpu: Option<Series>,
    threads: Option<Series>,
    files: Option<Series>,
    /// The same in percent of what it may open.
    used: Option<Series>,
    page: f64,
    tick: f64,
    open: Option<Open>,
    look: u32,
}

struct Open {
    pid: u32,
    stat: File,
    /// Ticks of processor time used until then.
    used: Option<(u64, Instant)>,
}

/// What `/proc/PID/stat` holds, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// `Z` or `X`: it has ended and waits for its parent.
    pub(crate) ended: bool,
    /// Ticks of processor time used.
    pub(crate) used: u64,
    pub(crate) threads: u64,
    /// Start, in ticks since boot.
    pub(crate) start: u64,
    /// Resident pages.
    pub(crate) pages: u64,
}

impl Stat {
    /// Reads one line of `/proc/PID/stat`. The name in it may hold anything, so reading begins after its last bracket.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line.get(line.iter().rposition(|it| *it == b')')? + 1..)?).ok()?;
        // Fields are numbered as in proc(5), where the state after the name is the third.
        let mut fields = line.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = |skip: usize| fields.nth(skip).and_then(|it| it.parse::<u64>().ok());
        let parent = u32::try_from(number(0)?).ok()?;
        let group = u32::try_from(number(0)?).ok()?;
        let used = number(8)?.checked_add(number(0)?)?;
        let threads = number(4)?;
        let start = number(1)?;
        let pages = number(1)?;
        Some(Self { parent, group, ended: matches!(state, "Z" | "X"), used, threads, start, pages })
    }

    /// Reads that of one process; none when it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }
}

impl Process {
    pub(super) fn new(board: &Board, target: &TargetName) -> Self {
        let series = |metric| super::series(board, target, metric);
        Self {
            rss: series("process.rss_bytes"),
            cpu: series("process.cpu_percent"),
            threads: series("process.threads"),
            files: series("process.open_files"),
            used: series("files.used_percent"),
            page: as_f64(procfs::page_size()),
            tick: as_f64(procfs::ticks_per_second()),
            open: None,
            look: 0,
        }
    }

    pub(super) fn look(&mut self, target: &TargetName, board: &Board, services: &Services) -> Option<Look> {
        match services.pid(target) {
            Some(pid) => self.measure(pid, board),
            None => self.open = None,
        }
        services.seen(target)
    }

    fn measure(&mut self, pid: u32, board: &Board) {
        if self.open.as_ref().is_none_or(|it| it.pid != pid) {
            self.look = 0;
            // The open file belongs to that one process: it cannot show another that gets the same id.
            let Ok(stat) = File::open(format!("/proc/{pid}/stat")) else { return };
            self.open = Some(Open { pid, stat, used: None });
        }
        let Some(open) = &mut self.open else { return };
        let mut line = [0u8; 1024];
        let Ok(read) = open.stat.read_at(&mut line, 0) else { return };
        let Some(stat) = line.get(..read).and_then(Stat::parse) else { return };
        let set = |series: Option<Series>, value| {
            if let Some(series) = series {
                board.measure(series, value);
            }
        };
        set(self.rss, as_f64(stat.pages) * self.page);
        set(self.threads, as_f64(stat.threads));
        let now = Instant::now();
        if let Some((used, at)) = open.used {
            let passed = now.duration_since(at).max(Duration::from_millis(1)).as_secs_f64();
            let percent = as_f64(stat.used.saturating_sub(used)) / self.tick / passed * 100.0;
            set(self.cpu, percent.round());
        }
        open.used = Some((stat.used, now));
        if self.look.is_multiple_of(FILES_EVERY)
            && let Some(files) = open_files(pid)
        {
            set(self.files, files);
            if let Some(limit) = std::fs::read(format!("/proc/{pid}/limits")).ok().as_deref().and_then(files_limit) {
                set(self.used, files / limit * 100.0);
            }
        }
        self.look = self.look.wrapping_add(1);
    }
}

fn open_files(pid: u32) -> Option<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/fd"));
    // Since Linux 6.2 the directory's size is the count.
    match std::fs::metadata(&path).ok().as_ref().map(Metadata::len)? {
        0 => Some(as_f64(u64::try_from(std::fs::read_dir(&path).ok()?.take(FILES_MAX).count()).ok()?)),
        count => Some(as_f64(count)),
    }
}

/// How many files a process may have open, by its `limits`. Null when there is no limit that can be read.
fn files_limit(limits: &[u8]) -> Option<f64> {
    let line = std::str::from_utf8(limits).ok()?.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    (limit > 0).then(|| as_f64(limit))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 is more than any process has of anything")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line =
            b"7 (a) R 9 (b) S 1 42 7 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 3 0 5555 1000 64 18446744073709551615 1 1";
        let stat = Stat::parse(line).unwrap();
        let expected = Stat { parent: 1, group: 42, ended: false, used: 33, threads: 3, start: 5555, pages: 64 };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse(b"7 (a"), None);
        assert_eq!(Stat::parse(b"7 (a) R 9"), None);
        let own = Stat::of(std::process::id()).unwrap();
        assert!(own.pages > 0 && own.threads > 0 && !own.ended);
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let limits = b"Limit Soft Limit Hard Limit Units\nMax open files            1024                 524288               files\n";
        assert_eq!(files_limit(limits), Some(1024.0));
        assert_eq!(files_limit(b"Max open files            unlimited            unlimited            files"), None);
        assert_eq!(files_limit(b""), None);
        let own = std::fs::read("/proc/self/limits").unwrap();
        assert!(files_limit(&own).is_some_and(|limit| limit >= 8.0));
    }
}
