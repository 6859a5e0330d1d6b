//! What the kernel says of kills for want of memory and of failing hardware, from `/dev/kmsg`.
//!
//! The log is followed from its end on: what was said before the agent started is history. Lines that programs write there
//! carry another facility than the kernel's own, and nobody can feign that one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use prunella_model::observation::Level;
use prunella_model::time::format_span;
use rustix::fs::OFlags;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::Orders;
use crate::board::{Board, Look, Series};
use crate::config::KernelSubject;

/// The kernel's log.
pub(super) const KMSG: &str = "/dev/kmsg";
/// The longest record that the kernel gives out.
const RECORD_MAX: usize = 8 * 1024;
/// How much of a line is told.
const TOLD_MAX: usize = 160;

/// What fails, by words of the kernel's own lines (6.x; the same since 3.x where not said otherwise).
const FATAL: [&str; 18] = [
    "Out of memory: Killed process",
    "Memory cgroup out of memory: Killed process",
    "Kernel panic",
    "BUG: unable to handle",
    "BUG: soft lockup",
    "watchdog: BUG",
    "blocked for more than",
    "[Hardware Error]: Uncorrected",
    "Machine check events logged",
    "UE memory",
    "I/O error, dev ",
    "critical medium error",
    "EXT4-fs error",
    "Remounting filesystem read-only",
    "XFS (", // With the next word, below.
    "BTRFS error",
    "nvme nvme", // With the next word, below.
    "failed command: ",
];
/// What is still corrected, or throttled.
const WARNS: [&str; 3] = ["[Hardware Error]: Corrected", "CE memory", "temperature above threshold"];

/// See the module.
pub(super) struct Kernel {
    subject: KernelSubject,
    log: Arc<KernelLog>,
    complaints: Option<Series>,
}

/// What was read of the kernel's log.
#[derive(Debug, Default)]
pub(crate) struct KernelLog(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// Why the log cannot be followed.
    deaf: Option<String>,
    count: u32,
    fatal: Option<(String, Instant)>,
    warning: Option<(String, Instant)>,
}

impl Kernel {
    pub(super) fn new(subject: &KernelSubject, log: &Arc<KernelLog>, complaints: Option<Series>) -> Self {
        Self { subject: subject.clone(), log: Arc::clone(log), complaints }
    }

    pub(super) fn look(&mut self, board: &Board) -> Look {
        let heard = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &heard.deaf {
            return Look::broken(why.clone());
        }
        if let Some(series) = self.complaints {
            board.measure(series, f64::from(heard.count));
        }
        let recent = |it: &Option<(String, Instant)>| {
            it.as_ref().filter(|(_, at)| at.elapsed() < self.subject.recent).map(|(text, _)| text.clone())
        };
        match (recent(&heard.fatal), recent(&heard.warning)) {
            (Some(text), _) => Look::checked(Level::Critical, text),
            (None, Some(text)) => Look::checked(Level::Warning, text),
            (None, None) => {
                Look::checked(Level::Good, format!("no complaint within {}", format_span(self.subject.recent)))
            }
        }
    }
}

impl KernelLog {
    fn deaf(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).deaf = Some(why);
    }

    /// Takes one record; whether it was a complaint.
    fn take(&self, record: &[u8], at: Instant) -> bool {
        let Some((level, text)) = complaint(record) else { return false };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.count = heard.count.saturating_add(1);
        match level {
            Level::Critical => heard.fatal = Some((text, at)),
            Level::Warning | Level::Good => heard.warning = Some((text, at)),
        }
        true
    }

    /// Follows the kernel's log for as long as there is one.
    pub(crate) async fn follow(self: Arc<Self>, path: &'static str, orders: Arc<Orders>) {
        let cannot = |error: &io::Error| format!("the kernel's log {path} cannot be followed: {error}");
        let opened = open(Path::new(path)).and_then(|file| {
            #[expect(
                deprecated,
                reason = "its successor is unsafe; a File keeps its descriptor open, which is all it asks"
            )]
            AsyncFd::new(file)
        });
        let mut log = match opened {
            Ok(log) => log,
            Err(error) => {
                self.deaf(cannot(&error));
                return orders.changed();
            }
        };
        let mut record = [0u8; RECORD_MAX];
        loop {
            let Ok(mut ready) = log.readable_mut().await else { return };
            match ready.get_inner_mut().read(&mut record) {
                Ok(0) => return self.deaf(format!("the kernel's log {path} has ended")),
                Ok(read) => {
                    if self.take(record.get(..read).unwrap_or_default(), Instant::now()) {
                        orders.changed();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                // The ring was written over before it was read; reading goes on at its oldest record.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.deaf(cannot(&error));
                    return orders.changed();
                }
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// What a record of `/dev/kmsg` complains of: `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT`.
fn complaint(record: &[u8]) -> Option<(Level, String)> {
    let record = String::from_utf8_lossy(record);
    let (head, rest) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    // The facility: 0 is the kernel's own.
    if priority >> 3 != 0 {
        return None;
    }
    let line = rest.lines().next()?.trim();
    let has = |words: &str| match words {
        "XFS (" => line.starts_with("XFS (") && (line.contains("orruption") || line.contains("hutting down")),
        "nvme nvme" => line.contains("nvme nvme") && (line.contains("timeout") || line.contains("controller is down")),
        words => line.contains(words),
    };
    let level = match (FATAL.into_iter().any(&has), WARNS.into_iter().any(&has)) {
        (true, _) => Level::Critical,
        (false, true) => Level::Warning,
        (false, false) => return None,
    };
    let end = (0..=TOLD_MAX.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    Some((level, line.get(..end).unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn complaints_are_told_from_chatter_and_from_what_programs_write() {
        let level = |record: &str| complaint(record.as_bytes()).map(|it| it.0);
        let oom = "3,1234,5678,-;Out of memory: Killed process 42 (web) total-vm:1kB, anon-rss:1kB\n SUBSYSTEM=x\n";
        assert_eq!(
            complaint(oom.as_bytes()).unwrap().1,
            "Out of memory: Killed process 42 (web) total-vm:1kB, anon-rss:1kB"
        );
        assert_eq!(level("3,1,1,-;Memory cgroup out of memory: Killed process 1 (a)"), Some(Level::Critical));
        assert_eq!(level("2,1,1,-;EXT4-fs error (device sda1): ext4_find_entry"), Some(Level::Critical));
        assert_eq!(level("3,1,1,-;blk_update_request: I/O error, dev sdb, sector 1"), Some(Level::Critical));
        assert_eq!(level("1,1,1,-;XFS (sda1): Corruption detected"), Some(Level::Critical));
        assert_eq!(level("6,1,1,-;XFS (sda1): Mounting V5 Filesystem"), None);
        assert_eq!(level("4,1,1,-;EDAC MC0: 1 CE memory read error"), Some(Level::Warning));
        assert_eq!(level("6,1,1,-;usb 1-1: new device"), None);
        // Facility 1: a program of the host.
        assert_eq!(level("11,1,1,-;Out of memory: Killed process 42 (web)"), None);
        for odd in ["", ";", "x;Kernel panic", "3", "3,1,1,-;"] {
            assert_eq!(level(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_complaint_is_told_for_a_while() {
        let (to, _from) = tokio::sync::mpsc::channel(4);
        let board = Board::new(to);
        let log = Arc::new(KernelLog::default());
        let mut it = Kernel::new(&KernelSubject { recent: Duration::from_secs(600) }, &log, None);
        assert_eq!(it.look(&board).status, prunella_model::observation::Status::Up);
        let now = Instant::now();
        assert!(log.take(b"3,1,1,-;Out of memory: Killed process 1 (a)", now));
        assert_eq!(it.look(&board).status, prunella_model::observation::Status::Down);
        let before = now.checked_sub(Duration::from_secs(601));
        if let Some(before) = before {
            log.take(b"3,1,1,-;Out of memory: Killed process 1 (a)", before);
            assert_eq!(it.look(&board).status, prunella_model::observation::Status::Up);
        }
        log.deaf("no".to_owned());
        assert_eq!(it.look(&board), Look::broken("no"));
    }
}
