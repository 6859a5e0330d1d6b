//! Server and agents as child processes of this one, none of which outlives it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use prunella_agent::bounded;
use rustix::process::{Pid, Signal, kill_process};

/// How long a child may take to end in good order: an agent first stops what it supervises.
const END_TIME: Duration = Duration::from_secs(5);

/// How often an ending child is looked at. Only the way out waits for this.
const LOOK: Duration = Duration::from_millis(10);

/// How many bytes of a child's log are shown when it fails.
const TAIL: usize = 2_000;

/// A child process: one of our programs, with its output in a log file.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
    /// Dropped when nobody needs to look at the size of the log any more.
    _bounded: mpsc::Sender<()>,
}

impl Child {
    /// Starts one of our programs that knows `--with-parent`. Its output is added to `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the process not started.
    pub fn start(
        program: &Path,
        name: &str,
        args: &[OsString],
        envs: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        bounded::keep(log);
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let out = open().with_context(|| format!("writing {}", log.display()))?;
        let err = open().with_context(|| format!("writing {}", log.display()))?;
        let process = Command::new(program)
            .args(args)
            .args(["--with-parent".to_owned(), std::process::id().to_string()])
            .envs(envs.iter().copied())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // A Ctrl-C at the terminal is for this process alone, which then ends the others in the right order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), process, log: log.to_owned(), _bounded: bound(log.to_owned()) })
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// An error that says how it ended and what it said last, if it has ended.
    ///
    /// # Errors
    /// That error.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} has ended ({status}); {}", self.name, self.last_words()),
        }
    }

    /// The end of its log, and where the rest is.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(TAIL)..).unwrap_or_default();
        format!("its log {} ends with:\n{}", self.log.display(), String::from_utf8_lossy(tail).trim_end())
    }

    /// Sends a signal to the child.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A child that has ended and not been waited for is still there, so no other process can be meant.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it at once, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When the system cannot say that it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let _ = self.process.kill();
        self.process.wait()?;
        Ok(())
    }
}

/// Keeps the size of a log within bounds until what it returns is dropped.
fn bound(log: PathBuf) -> mpsc::Sender<()> {
    let (owner, gone) = mpsc::channel();
    std::thread::spawn(move || {
        while gone.recv_timeout(bounded::LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            bounded::keep(&log);
        }
    });
    owner
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ends children in good order: all are asked, and what has not ended in time is killed.
pub fn end_all(children: &mut [Child]) {
    for child in &*children {
        child.signal(Signal::TERM);
    }
    let deadline = Instant::now() + END_TIME;
    for child in children {
        while Instant::now() < deadline && matches!(child.process.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = child.kill();
    }
}
