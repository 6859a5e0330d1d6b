//! A file system: its space, its inodes, and whether it is there and writable.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use rustix::fs::{StatVfs, StatVfsMountFlags};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::board::{Board, Look, Series};
use crate::config::MountSubject;

/// See the module.
pub(super) struct Mount {
    subject: MountSubject,
    timeout: Duration,
    space: Option<Series>,
    inodes: Option<Series>,
    /// A question that was not answered in time. Another thread that waits for a dead server would help nobody.
    waiting: Option<JoinHandle<Result<Seen, String>>>,
}

struct Seen {
    mounted: bool,
    stat: StatVfs,
}

impl Mount {
    pub(super) fn new(
        subject: &MountSubject,
        timeout: Duration,
        space: Option<Series>,
        inodes: Option<Series>,
    ) -> Self {
        Self { subject: subject.clone(), timeout, space, inodes, waiting: None }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let asked = self.waiting.take();
        let (path, mounted) = (self.subject.path.clone(), self.subject.mounted);
        let mut asked = asked.unwrap_or_else(|| tokio::task::spawn_blocking(move || ask(&path, mounted)));
        let seen = match timeout(self.timeout, &mut asked).await {
            Err(_) => {
                self.waiting = Some(asked);
                return Look::down(Finding::NoAnswer { waited: self.timeout });
            }
            Ok(Err(error)) => return Look::broken(error.to_string()),
            Ok(Ok(Err(why))) => return Look::broken(why),
            Ok(Ok(Ok(seen))) => seen,
        };
        self.judge(&seen, board)
    }

    fn judge(&self, seen: &Seen, board: &Board) -> Look {
        let path = self.subject.path.display();
        if self.subject.mounted && !seen.mounted {
            return Look::checked(Level::Critical, format!("nothing is mounted at {path}"));
        }
        let stat = &seen.stat;
        // As df does it: what only root may use counts neither as free nor as there.
        let space = share(stat.f_blocks.saturating_sub(stat.f_bfree), stat.f_bavail);
        let inodes = share(stat.f_files.saturating_sub(stat.f_ffree), stat.f_favail).filter(|_| stat.f_files > 0);
        for (series, value) in [(self.space, space), (self.inodes, inodes)] {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, value);
            }
        }
        if self.subject.writable && stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Look::checked(Level::Critical, format!("{path} is mounted read-only"));
        }
        let level = |used: Option<f64>| match used {
            Some(used) if used >= self.subject.critical_percent => Level::Critical,
            Some(used) if used >= self.subject.warn_percent => Level::Warning,
            Some(_) | None => Level::Good,
        };
        let text = match (space, inodes) {
            (Some(space), Some(inodes)) => format!("{space} % of the space and {inodes} % of the inodes are used"),
            (Some(space), None) => format!("{space} % of the space is used"),
            (None, _) => return Look::broken(format!("{path} is on a file system that has no space of its own")),
        };
        Look::checked(level(space).max(level(inodes)), text)
    }
}

fn ask(path: &Path, mounted: bool) -> Result<Seen, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("{} cannot be looked at: {error}", path.display());
    let mounted = if mounted {
        let table = std::fs::read("/proc/self/mountinfo").map_err(|error| cannot(&error))?;
        table.split(|it| *it == b'\n').any(|line| {
            line.split(|it| *it == b' ').nth(4).is_some_and(|point| unescaped(point) == path.as_os_str().as_bytes())
        })
    } else {
        false
    };
    let stat = rustix::fs::statvfs(path).map_err(|error| cannot(&error))?;
    Ok(Seen { mounted, stat })
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| *first == b'\\').and_then(|it| std::str::from_utf8(it).ok());
        match code.and_then(|it| u8::from_str_radix(it, 8).ok()) {
            Some(code) => {
                plain.push(code);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// What is used of what is used or free, in percent with one digit; none when there is nothing.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(used: u64, free: u64) -> Option<f64> {
    let all = used.checked_add(free).filter(|it| *it > 0)?;
    Some((used as f64 / all as f64 * 1_000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_paths() {
        assert_eq!(share(1, 3), Some(25.0));
        assert_eq!(share(0, 0), None);
        assert_eq!(unescaped(b"/mnt/a\\040b\\"), b"/mnt/a b\\");
    }
}
