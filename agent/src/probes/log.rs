//! Lines of a log file that contain a text.
//!
//! Reading begins at the end of the file as it is at the first look. A file that was moved away is read to its end
//! before the new one of that name is begun.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};

use prunella_model::observation::Finding;
use rustix::fs::OFlags;

use crate::board::Look;

/// The most that one look reads; a file that grows faster is read on at the next look.
const READ_MAX: u64 = 1024 * 1024;
/// The longest line that is kept until its end comes; the rest of a longer one is not searched.
const LINE_MAX: usize = 16 * 1024;
/// How much of a matching line is told.
const TOLD_MAX: usize = 200;

/// See the module.
pub(super) struct Log {
    // Shared with the thread that reads, because a slow disk must not hold up the agent.
    follower: Arc<Mutex<Follower>>,
}

struct Follower {
    path: PathBuf,
    pattern: Vec<u8>,
    open: Option<Open>,
    /// Whether the file has been looked for: one that appears later is read from its beginning.
    begun: bool,
    /// The start of a line whose end has not been written yet.
    line: Vec<u8>,
    count: u64,
    last: String,
}

struct Open {
    file: File,
    inode: (u64, u64),
    at: u64,
}

impl Log {
    pub(super) fn new(path: &Path, pattern: &str) -> Self {
        let follower = Follower {
            path: path.to_owned(),
            pattern: pattern.as_bytes().to_owned(),
            open: None,
            begun: false,
            line: Vec::new(),
            count: 0,
            last: String::new(),
        };
        Self { follower: Arc::new(Mutex::new(follower)) }
    }

    pub(super) async fn look(&mut self) -> Look {
        let follower = Arc::clone(&self.follower);
        // A look that was given up may still wait for its disk: another one must not queue behind it.
        let read = move || match follower.try_lock() {
            Ok(mut it) => it.look(),
            Err(TryLockError::Poisoned(it)) => it.into_inner().look(),
            Err(TryLockError::WouldBlock) => Look::broken("the file is still being read"),
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Look::broken(error.to_string()))
    }
}

impl Follower {
    fn look(&mut self) -> Look {
        (self.count, self.last) = (0, String::new());
        if let Err(error) = self.read_on() {
            return Look::broken(format!("{} cannot be read: {error}", self.path.display()));
        }
        let finding = Finding::LinesMatched { count: self.count, last: std::mem::take(&mut self.last) };
        if self.count == 0 { Look::up(finding) } else { Look::down(finding) }
    }

    fn read_on(&mut self) -> io::Result<()> {
        let there = match std::fs::metadata(&self.path) {
            // Opening a pipe would wait for whoever writes to it, for ever.
            Ok(there) if !there.is_file() => return Err(io::Error::other("it is not a regular file")),
            Ok(there) => there,
            Err(error) => {
                self.begun |= error.kind() == ErrorKind::NotFound;
                return Err(error);
            }
        };
        let inode = (there.dev(), there.ino());
        if self.open.as_ref().is_some_and(|open| open.inode != inode) {
            self.read_open()?;
            (self.open, self.line) = (None, Vec::new());
        }
        if self.open.is_none() {
            let at = if self.begun { 0 } else { there.len() };
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
            self.open = Some(Open { file, inode, at });
            self.begun = true;
        }
        if let Some(open) = self.open.as_mut().filter(|open| there.len() < open.at) {
            // The file was emptied in place.
            open.at = 0;
            self.line.clear();
        }
        self.read_open()
    }

    fn read_open(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.seek(SeekFrom::Start(open.at))?;
        let mut text = Vec::new();
        let read = (&open.file).take(READ_MAX).read_to_end(&mut text)?;
        open.at += u64::try_from(read).unwrap_or(0);
        let mut rest = &text[..];
        while let Some(end) = rest.iter().position(|it| *it == b'\n') {
            let (head, tail) = rest.split_at(end);
            self.line.extend_from_slice(head);
            self.judge_line();
            self.line.clear();
            rest = tail.get(1..).unwrap_or_default();
        }
        let room = LINE_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(rest.get(..room).unwrap_or(rest));
        Ok(())
    }

    fn judge_line(&mut self) {
        if self.line.windows(self.pattern.len()).any(|it| it == self.pattern) {
            self.count += 1;
            let told = self.line.get(..TOLD_MAX).unwrap_or(&self.line);
            self.last = String::from_utf8_lossy(told).trim_end().to_owned();
            // Replacing what is not UTF-8 can make it longer again.
            while self.last.len() > TOLD_MAX {
                self.last.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    fn seen(follower: &mut Follower) -> (u64, String) {
        match follower.look().finding {
            Finding::LinesMatched { count, last } => (count, last),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_counted_once_across_rotation_and_truncation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "ERROR before\n").unwrap();
        let log = Log::new(&path, "ERROR");
        let mut it = log.follower.lock().unwrap();
        assert_eq!(seen(&mut it).0, 0, "what was there before is history");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"fine\nERROR one\nERR").unwrap();
        assert_eq!(seen(&mut it), (1, "ERROR one".to_owned()));
        file.write_all(b"OR two\n").unwrap();
        assert_eq!(seen(&mut it), (1, "ERROR two".to_owned()), "a line that came in two pieces");
        assert_eq!(seen(&mut it).0, 0);
        file.write_all(b"ERROR three\n").unwrap();
        std::fs::rename(&path, dir.path().join("app.log.1")).unwrap();
        std::fs::write(&path, "ERROR four\n").unwrap();
        assert_eq!(seen(&mut it), (2, "ERROR four".to_owned()), "the rest of the old file, then the new one");
        std::fs::write(&path, "ERROR\n").unwrap();
        assert_eq!(seen(&mut it).0, 1, "emptied in place");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(it.look().finding, Finding::ProbeBroken { .. }));
    }

    #[test]
    fn a_pipe_does_not_hold_up_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let log = Log::new(&path, "ERROR");
        let (done, looked) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(log.follower.lock().unwrap().look().finding));
        let looked = looked.recv_timeout(std::time::Duration::from_secs(10)).expect("it waits for a writer");
        let Finding::ProbeBroken { why } = looked else { panic!("{looked:?}") };
        assert!(why.contains("not a regular file"), "{why}");
    }
}
