//! Processor, memory, disks, inodes, open files, load, pressure and network of the host.
//!
//! A handful of files of `/proc`, kept open and read into one buffer: some ten microseconds a look, and nothing allocated.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use prunella_model::TargetName;
use prunella_model::observation::Finding;
use tokio::time::Instant;

use crate::board::{Board, Look, Series};

/// How often file systems are asked how full they are, and how often it is asked which there are.
const DISKS_EVERY: Duration = Duration::from_secs(10);
/// Kinds of file system that hold real, local data. Others have no space of their own, or may hang.
const DISK_KINDS: [&str; 9] = ["ext4", "ext3", "ext2", "xfs", "btrfs", "zfs", "f2fs", "vfat", "overlay"];
/// The most file systems that are looked at.
const DISKS_MAX: usize = 64;
/// As much as the largest of the files needs; what is cut off is only more network devices.
const BUFFER: usize = 16 * 1024;

/// See the module.
pub(super) struct Host {
    files: Files,
    series: AllSeries,
    buffer: Box<[u8]>,
    /// Busy and all ticks of the processors.
    ticks: Option<(u64, u64)>,
    /// Bytes received and sent until then.
    traffic: Option<(u64, u64, Instant)>,
    disks_at: Option<Instant>,
}

struct Files {
    stat: Option<File>,
    memory: Option<File>,
    load: Option<File>,
    open: Option<File>,
    network: Option<File>,
    pressure: [Option<File>; 3],
}

struct AllSeries {
    cpu: Option<Series>,
    memory: Option<Series>,
    memory_total: Option<Series>,
    disk: Option<Series>,
    disk_free: Option<Series>,
    disk_total: Option<Series>,
    inodes: Option<Series>,
    open: Option<Series>,
    load: Option<Series>,
    received: Option<Series>,
    sent: Option<Series>,
    pressure: [Option<Series>; 3],
}

impl Host {
    pub(super) fn new(board: &Board) -> Self {
        let host = TargetName::host();
        let series = |metric: &str| super::series(board, &host, metric);
        let open = |path: &str| File::open(path).ok();
        Self {
            files: Files {
                stat: open("/proc/stat"),
                memory: open("/proc/meminfo"),
                load: open("/proc/loadavg"),
                open: open("/proc/sys/fs/file-nr"),
                network: open("/proc/self/net/dev"),
                // Kernels without pressure accounting have none of these; they stay absent then.
                pressure: ["cpu", "memory", "io"].map(|it| open(&format!("/proc/pressure/{it}"))),
            },
            series: AllSeries {
                cpu: series("cpu.used_percent"),
                memory: series("memory.used_percent"),
                memory_total: series("memory.total_bytes"),
                disk: series("disk.used_percent"),
                disk_free: series("disk.free_bytes"),
                disk_total: series("disk.total_bytes"),
                inodes: series("inodes.used_percent"),
                open: series("files.used_percent"),
                load: series("load.one_minute"),
                received: series("network.received_bytes_per_second"),
                sent: series("network.sent_bytes_per_second"),
                pressure: ["cpu", "memory", "io"].map(|it| series(&format!("pressure.{it}_percent"))),
            },
            buffer: vec![0; BUFFER].into_boxed_slice(),
            ticks: None,
            traffic: None,
            disks_at: None,
        }
    }

    pub(super) fn look(&mut self, board: &Board) -> Look {
        let buffer = &mut self.buffer[..];
        let set = |series: Option<Series>, value: Option<f64>| {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, value);
            }
        };
        let Some(ticks) = read(&self.files.stat, buffer).and_then(processor) else {
            return Look::broken("/proc/stat cannot be read");
        };
        set(self.series.cpu, self.ticks.and_then(|before| busy_percent(before, ticks)));
        self.ticks = Some(ticks);
        let Some((memory, whole)) = read(&self.files.memory, buffer).and_then(memory_percent) else {
            return Look::broken("/proc/meminfo cannot be read");
        };
        set(self.series.memory, Some(memory));
        set(self.series.memory_total, Some(whole));
        set(self.series.open, read(&self.files.open, buffer).and_then(open_percent));
        let load = read(&self.files.load, buffer).and_then(|it| it.split(' ').next()?.parse().ok());
        set(self.series.load, load);
        for (file, series) in self.files.pressure.iter().zip(self.series.pressure) {
            set(series, read(file, buffer).and_then(pressure));
        }
        if let Some((received, sent)) = read(&self.files.network, buffer).map(traffic) {
            let now = Instant::now();
            if let Some((received_before, sent_before, at)) = self.traffic {
                let passed = now.duration_since(at).max(Duration::from_millis(1)).as_secs_f64();
                // Whole KiB: the agent's own few bytes shall not make news of every second.
                let rate =
                    |before: u64, after: u64| (as_f64(after.saturating_sub(before)) / passed / 1024.0).round() * 1024.0;
                set(self.series.received, Some(rate(received_before, received)));
                set(self.series.sent, Some(rate(sent_before, sent)));
            }
            self.traffic = Some((received, sent, now));
        }
        if self.disks_at.is_none_or(|at| at.elapsed() >= DISKS_EVERY) {
            self.disks_at = Some(Instant::now());
            let Fullest { space, inodes } = fullest_disks();
            set(self.series.disk, space.map(|it| it.used_percent));
            set(self.series.disk_free, space.map(|it| it.free_bytes));
            set(self.series.disk_total, space.map(|it| it.total_bytes));
            set(self.series.inodes, inodes);
        }
        Look::up(Finding::HostRead)
    }
}

fn read<'b>(file: &Option<File>, buffer: &'b mut [u8]) -> Option<&'b str> {
    let read = file.as_ref()?.read_at(buffer, 0).ok()?;
    let text = buffer.get(..read)?;
    // A cut may fall into a character only in a device's name, and there are no others than ASCII.
    std::str::from_utf8(text).ok()
}

/// Busy and all ticks of all processors, from `/proc/stat`.
fn processor(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let mut ticks = [0u64; 8];
    for it in &mut ticks {
        *it = fields.next()?.parse().ok()?;
    }
    let all = ticks.iter().sum::<u64>();
    let [_, _, _, idle, waiting, ..] = ticks;
    Some((all.checked_sub(idle)?.checked_sub(waiting)?, all))
}

fn busy_percent(before: (u64, u64), after: (u64, u64)) -> Option<f64> {
    let all = after.1.checked_sub(before.1).filter(|it| *it > 0)?;
    // The kernel may take ticks back from idle to waiting; then a look can show less than the one before.
    Some(tenths(as_f64(after.0.saturating_sub(before.0)) / as_f64(all) * 100.0))
}

/// The share of memory that could not be had, in percent, and all of it in bytes, from `/proc/meminfo`.
fn memory_percent(text: &str) -> Option<(f64, f64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let all = field("MemTotal:").filter(|it| *it > 0)?;
    let used = tenths(100.0 - as_f64(field("MemAvailable:")?) / as_f64(all) * 100.0);
    Some((used, as_f64(all.saturating_mul(1024))))
}

/// The share of the files that may be open on the whole host, in percent, from `/proc/sys/fs/file-nr`.
fn open_percent(text: &str) -> Option<f64> {
    let mut fields = text.split_ascii_whitespace().map(|it| it.parse::<u64>().ok());
    let (taken, unused, most) = (fields.next()??, fields.next()??, fields.next()??);
    (most > 0).then(|| tenths(as_f64(taken.saturating_sub(unused)) / as_f64(most) * 100.0))
}

/// The share of the last ten seconds in which something waited, in percent.
fn pressure(text: &str) -> Option<f64> {
    text.strip_prefix("some avg10=")?.split(' ').next()?.parse().ok()
}

/// Bytes received and sent by all devices but the loopback.
fn traffic(text: &str) -> (u64, u64) {
    let devices = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    devices.filter(|(name, _)| name.trim() != "lo").fold((0, 0), |(received, sent), (_, counts)| {
        let mut counts = counts.split_ascii_whitespace().map(|it| it.parse::<u64>().unwrap_or(0));
        let (more, also) = (counts.next().unwrap_or(0), counts.nth(7).unwrap_or(0));
        (received.saturating_add(more), sent.saturating_add(also))
    })
}

/// The space of a file system.
#[derive(Debug, Clone, Copy)]
struct Space {
    /// What is in use, in percent.
    used_percent: f64,
    /// What is free (to the MiB).
    free_bytes: f64,
    /// All that can be used.
    total_bytes: f64,
}

/// Of each the file system with the largest share in use.
#[derive(Debug, Clone, Copy, Default)]
struct Fullest {
    space: Option<Space>,
    /// In percent; null where no file system has a fixed number of them.
    inodes: Option<f64>,
}

fn fullest_disks() -> Fullest {
    let mut worst = Fullest::default();
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else { return worst };
    let local = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        // A file system that can only be read is always full, and nobody can help it.
        (DISK_KINDS.contains(&kind) && !options.split(',').any(|it| it == "ro")).then_some(path)
    });
    for path in local.take(DISKS_MAX) {
        let Some(stat) = CString::new(unescaped(path)).ok().and_then(|it| rustix::fs::statvfs(it).ok()) else {
            continue;
        };
        // As df does it: what only root may use counts neither as free nor as there.
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        if let Some(used_percent) = share(used, stat.f_bavail)
            && worst.space.is_none_or(|it| used_percent > it.used_percent)
        {
            let free_bytes = as_f64(stat.f_bavail.saturating_mul(stat.f_frsize) >> 20 << 20);
            let total_bytes = as_f64(used.saturating_add(stat.f_bavail).saturating_mul(stat.f_frsize));
            worst.space = Some(Space { used_percent, free_bytes, total_bytes });
        }
        let inodes = share(stat.f_files.saturating_sub(stat.f_ffree), stat.f_favail).filter(|_| stat.f_files > 0);
        worst.inodes = worst.inodes.into_iter().chain(inodes).reduce(f64::max);
    }
    worst
}

/// What is used of what is used or free, in percent; none when there is nothing.
fn share(used: u64, free: u64) -> Option<f64> {
    let all = used.checked_add(free).filter(|it| *it > 0)?;
    Some(tenths(as_f64(used) / as_f64(all) * 100.0))
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "rates and shares need no more than 52 bits")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let before = processor("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2").unwrap();
        let after = processor("cpu  30 0 20 130 20 0 0 0 0 0\n").unwrap();
        assert_eq!(busy_percent(before, after), Some(30.0));
        assert_eq!(busy_percent(after, after), None, "no time has passed");
        assert_eq!(
            memory_percent("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"),
            Some((75.0, 1_024_000.0))
        );
        assert_eq!(open_percent("1100\t100\t4000\n"), Some(25.0));
        assert_eq!((share(1, 3), share(0, 0)), (Some(25.0), None));
        assert_eq!(pressure("some avg10=1.25 avg60=0.00 avg300=0.00 total=1\nfull …"), Some(1.25));
        let table = "Inter-|\n face |\n    lo: 5 0 0 0 0 0 0 0 5 0\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n";
        assert_eq!(traffic(table), (100, 200));
        for text in ["", "cpu", "cpu 1 2", "MemTotal: x"] {
            assert!(processor(text).is_none() && memory_percent(text).is_none() && pressure(text).is_none());
            assert!(open_percent(text).is_none());
        }
    }

    #[test]
    fn this_host_can_be_read() {
        let (to, _from) = tokio::sync::mpsc::channel(4);
        let board = Board::new(to);
        let mut host = Host::new(&board);
        assert_eq!(host.look(&board).finding, Finding::HostRead);
        let disks = fullest_disks();
        assert!(disks.space.is_none_or(|it| it.free_bytes <= it.total_bytes && it.used_percent <= 100.0), "{disks:?}");
        assert!(disks.inodes.is_none_or(|it| (0.0..=100.0).contains(&it)), "{disks:?}");
    }
}
