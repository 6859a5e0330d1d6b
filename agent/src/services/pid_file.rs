//! The process that a service's own file names, believed only as far as it can be.
//!
//! Such a file outlives its service, and by then the number in it may belong to anybody's process. Whoever may write it
//! can even name any process on purpose. A repair must not end a stranger, so what the file says is held against what the
//! kernel says of the process.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::record::is_marked;
use super::run::{Bond, Run};
use crate::clock;

/// How much later than its file a process may seem to have begun: the grain of the clocks.
const GRAIN: Duration = Duration::from_secs(2);
/// The most that is read; a process id has ten digits at most.
const TEXT_MAX: u64 = 64;

/// What a file says, and whether it is true.
#[derive(Debug)]
pub(super) enum Named {
    /// There is no file, or no living process with that number.
    Nothing,
    /// The number belongs to another process by now: the service has ended.
    Another(String),
    /// It cannot be told whether the process is the service.
    Doubtful(String),
    /// The service.
    Service(Run),
}

/// How to know a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct PidFile<'a> {
    /// Where the file is.
    pub(super) path: &'a Path,
    /// The command line by which the service is started.
    pub(super) start: &'a [String],
    /// The mark that an agent puts into its environment.
    pub(super) mark: &'a str,
}

impl PidFile<'_> {
    /// Takes hold of the process that the file names. `child` is the one that the agent has started itself, if any.
    pub(super) fn look(&self, child: Option<u32>) -> Named {
        let Some((file, pid)) = self.read() else { return Named::Nothing };
        if pid == std::process::id() {
            return Named::Doubtful(format!("{} names this agent itself", self.path.display()));
        }
        // Some do not detach after all, and then are our child.
        let bond = if child == Some(pid) { Bond::Heir } else { Bond::Stranger };
        let Ok(run) = Run::hold(pid, None, bond) else { return Named::Nothing };
        if child == Some(pid) || is_marked(pid, self.mark) {
            return Named::Service(run);
        }
        if let Some(why) = self.objection(&file, pid) {
            return Named::Doubtful(why);
        }
        if began_after(&file, &run) && !runs(pid, self.start) {
            let path = self.path.display();
            return Named::Another(format!("{path} names process {pid}, which began after the file was written"));
        }
        Named::Service(run)
    }

    fn read(&self) -> Option<(std::fs::Metadata, u32)> {
        // What lies there may be a pipe, on which opening would wait.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file: File = OpenOptions::new().read(true).custom_flags(flags).open(self.path).ok()?;
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut text = String::new();
        file.take(TEXT_MAX).read_to_string(&mut text).ok()?;
        let pid = text.trim().parse().ok().filter(|it| *it > 1)?;
        Some((meta, pid))
    }

    /// Why whoever wrote the file may not name this process.
    fn objection(&self, file: &std::fs::Metadata, pid: u32) -> Option<String> {
        let path = self.path.display();
        let (writer, user) = (file.uid(), user_of(pid)?);
        if writer == user {
            return None;
        }
        if writer != 0 && writer != geteuid().as_raw() {
            let why = "a user may not name a process of another one";
            return Some(format!("{path} belongs to user {writer}, and process {pid} to user {user}: {why}"));
        }
        (file.mode() & 0o002 != 0)
            .then(|| format!("everybody may write {path}, so process {pid} is not taken for the service"))
    }
}

/// The user that a process runs as; none when it is gone.
fn user_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|it| it.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// A service writes its number after it has begun. What begins later has inherited it.
fn began_after(file: &std::fs::Metadata, run: &Run) -> bool {
    let Ok(written) = file.modified() else { return false };
    let age = clock::boot_now().saturating_sub(run.began_at());
    SystemTime::now().checked_sub(age).is_some_and(|began| began > written + GRAIN)
}

/// Whether the process still is the very command line: the wall clock may have been set since the file was written.
fn runs(pid: u32, start: &[String]) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|it| *it == 0);
    words.eq(start.iter().map(String::as_bytes))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process that has nothing to do with any service, and a file that names it.
    struct Case {
        dir: tempfile::TempDir,
        other: Child,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let other = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
            std::fs::write(dir.path().join("it.pid"), format!("{}\n", other.id())).unwrap();
            Self { dir, other }
        }

        fn written(&self, at: SystemTime) {
            File::options().write(true).open(self.dir.path().join("it.pid")).unwrap().set_modified(at).unwrap();
        }

        fn look(&self, start: &[&str]) -> Named {
            let start: Vec<String> = start.iter().map(|it| (*it).to_owned()).collect();
            PidFile { path: &self.dir.path().join("it.pid"), start: &start, mark: "none" }.look(None)
        }
    }

    impl Drop for Case {
        fn drop(&mut self) {
            let _ = self.other.kill();
            let _ = self.other.wait();
        }
    }

    #[tokio::test]
    async fn a_number_that_was_given_to_another_process_is_not_the_service() {
        let case = Case::new();
        assert!(matches!(case.look(&["/usr/sbin/served"]), Named::Service(_)), "written after it began");
        case.written(SystemTime::now() - Duration::from_secs(60));
        let found = case.look(&["/usr/sbin/served"]);
        let Named::Another(why) = found else { panic!("{found:?}") };
        assert!(why.contains("began after the file was written"), "{why}");
        let own = case.look(&["/bin/sleep", "1000"]);
        assert!(matches!(own, Named::Service(_)), "a clock that was set does not hide a service: {own:?}");
    }

    #[tokio::test]
    async fn a_file_that_anybody_may_write_names_nobody_elses_process() {
        let case = Case::new();
        let path = case.dir.path().join("it.pid");
        std::fs::write(&path, std::process::id().to_string()).unwrap();
        assert!(matches!(case.look(&[]), Named::Doubtful(why) if why.contains("this agent itself")));
        std::fs::write(&path, "1").unwrap();
        assert!(matches!(case.look(&[]), Named::Nothing), "process 1 is nobody's service");
        std::fs::write(&path, case.other.id().to_string()).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1), None).unwrap();
            assert!(matches!(case.look(&[]), Named::Doubtful(why) if why.contains("belongs to user 1")));
        }
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(matches!(case.look(&[]), Named::Nothing), "a pipe holds nobody up");
    }
}
