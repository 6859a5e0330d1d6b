//! One run of a program: bounded in time and output, and killed with all that it started.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest};
use tokio::process::Command;
use tokio::time::timeout;

/// The most output that is read; a program that says more is not listened to any longer.
pub(crate) const OUTPUT_MAX: usize = 64 * 1024;
/// The most of its complaints that is read.
const ERRORS_MAX: usize = 4 * 1024;
/// The environment's search path: what a program calls by a bare name must not depend on how the agent was started.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The longest `/etc/passwd` that is read.
const PASSWD_MAX: u64 = 4 * 1024 * 1024;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it said, cut to [`OUTPUT_MAX`].
    pub(crate) output: Vec<u8>,
    /// The beginning of what it complained.
    pub(crate) errors: Vec<u8>,
}

/// A user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Untrusted(String),
    #[error("{program} cannot be run: {source}")]
    NotRun { program: String, source: std::io::Error },
    #[error("{program} was killed: it took longer than {}", prunella_model::time::format_span(*limit))]
    TooSlow { program: String, limit: Duration },
}

impl User {
    /// Looks a user up in `/etc/passwd`. Users of a directory service are not found.
    pub(crate) fn named(name: &str) -> Result<Self, RunError> {
        let unknown = |why: String| RunError::Untrusted(format!("the user {name:?} is not known here: {why}"));
        let meta = std::fs::metadata("/etc/passwd").map_err(|error| unknown(error.to_string()))?;
        if meta.len() > PASSWD_MAX {
            return Err(unknown("/etc/passwd is too long".to_owned()));
        }
        let text = std::fs::read_to_string("/etc/passwd").map_err(|error| unknown(error.to_string()))?;
        Self::of(&text, name).ok_or_else(|| unknown("/etc/passwd does not have it".to_owned()))
    }

    fn of(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

/// Refuses a program that others than root and the agent's own user could have changed.
pub(crate) fn trusted(program: &Path) -> Result<(), RunError> {
    let no = |what: String| Err(RunError::Untrusted(what));
    let own = geteuid().as_raw();
    let safe = |meta: &Metadata, sticky: bool| {
        let others_write =
            meta.permissions().mode() & 0o022 != 0 && !(sticky && meta.permissions().mode() & 0o1000 != 0);
        (meta.uid() == 0 || meta.uid() == own) && !others_write
    };
    let meta = match std::fs::metadata(program) {
        Ok(meta) => meta,
        Err(source) => return Err(RunError::NotRun { program: program.display().to_string(), source }),
    };
    if !meta.is_file() {
        return no(format!("{} is not a file", program.display()));
    }
    if !safe(&meta, false) {
        return no(format!("{} can be changed by others than root and the agent's user", program.display()));
    }
    // The resolved path: a link is only as safe as the directories that it leads through.
    let real = std::fs::canonicalize(program)
        .map_err(|source| RunError::NotRun { program: program.display().to_string(), source })?;
    for dir in real.ancestors().skip(1) {
        if !std::fs::metadata(dir).is_ok_and(|meta| safe(&meta, true)) {
            return no(format!("{} lies in {}, which others can write", program.display(), dir.display()));
        }
    }
    Ok(())
}

/// Kills the whole group unless the run ended by itself. Dropping a look half way must leave nothing behind.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end, without a shell and without input.
pub(crate) async fn run(
    program: &Path,
    args: &[impl AsRef<OsStr>],
    user: Option<User>,
    limit: Duration,
) -> Result<Ended, RunError> {
    let name = || program.display().to_string();
    let not_run = |source| RunError::NotRun { program: name(), source };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(user) = user {
        // Setting a user also drops the supplementary groups of root.
        command.uid(user.uid).gid(user.gid);
    }
    let mut child = command.spawn().map_err(not_run)?;
    let pid = child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?));
    // Declared after the child, so that it goes first: while the leader is not reaped, nobody else can get its group's id.
    let mut group = Group(pid);
    let end = pid.map(ends).transpose().map_err(not_run)?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let all = async {
        // Whoever still holds the output open is part of the run: its end is the end of all of them.
        let (output, errors) = tokio::join!(read_most(output, OUTPUT_MAX), read_most(errors, ERRORS_MAX));
        if let Some(end) = &end {
            end.readable().await?.retain_ready();
        }
        Ok((output, errors))
    };
    let ended = timeout(limit, all).await;
    // What it leaves behind in its group must not outlive it.
    group.kill();
    let status = child.wait().await.map_err(not_run)?;
    match ended {
        Ok(Ok((output, errors))) => Ok(Ended { status, output, errors }),
        Ok(Err(source)) => Err(not_run(source)),
        Err(_) => Err(RunError::TooSlow { program: name(), limit }),
    }
}

/// Becomes readable when the process has ended, without reaping it.
fn ends(pid: Pid) -> std::io::Result<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open, which is all it asks")]
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

async fn read_most(from: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let Some(from) = from else { return text };
    // What is too long is cut here; the writer then finds its pipe closed.
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let _ = from.take(most).read_to_end(&mut text).await;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnagios:x:117:125::/var/lib/nagios:/bin/false\nbad:x:y:1::/:\n";
        assert_eq!(User::of(passwd, "nagios"), Some(User { uid: 117, gid: 125 }));
        assert_eq!(User::of(passwd, "bad"), None);
        assert_eq!(User::of(passwd, "nag"), None);
    }
}
