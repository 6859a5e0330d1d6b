//! Other programs of the same trade, which are measured beside this one where they are installed.

mod shelf;
mod supervised;
mod watchers;

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

pub(super) use shelf::{Found, Shelf, install};
pub(super) use supervised::{Supervisor, Watched, must_be_plain};
pub(super) use watchers::{Watcher, Watching};

/// How long a peer may take to end in good order.
const END_TIME: Duration = Duration::from_secs(3);

/// How often an ending peer is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A peer's process. It ends with this.
#[derive(Debug)]
pub(super) struct Peer(Child);

impl Peer {
    /// Starts one with nothing to read, and its output in `log`.
    pub(super) fn start(mut command: Command, log: &std::path::Path) -> anyhow::Result<Self> {
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(log);
        let out = open().with_context(|| format!("writing {}", log.display()))?;
        let err = out.try_clone()?;
        let name = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn();
        started.map(Self).with_context(|| format!("starting {name}"))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END_TIME;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
