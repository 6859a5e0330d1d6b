//! One thing that is killed, and whoever starts it again.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::host::seen_from_here;
use crate::bench::peers::{Peer, Watched};
use crate::chain::{Birth, Run, monotonic};
use crate::demo::records::{Records, name_of};
use crate::lab::Service;

/// How long a supervisor may take before the benchmark gives it up. Some wait half a minute for a start that they
/// take for a failed one.
const RUN_TIME: Duration = Duration::from_secs(90);

/// How often it is looked for the new process. It writes down the time itself, so this adds no error.
const LOOK: Duration = Duration::from_millis(1);

/// For how long a peer's process runs before it is killed: longer than any of them takes a start for a failed one.
const SETTLED: Duration = Duration::from_millis(2_500);

/// For how long after the first kill its process is left alone before it is killed again.
const SOON: Duration = Duration::from_millis(100);

/// For how long news of the server are kept.
const NEWS_KEPT: Duration = Duration::from_secs(120);

/// Who starts it again, and what that needs of the one who kills it.
pub(super) enum Keeper<'a> {
    /// This program.
    Own {
        records: &'a Records,
        /// The target's resource name.
        target: String,
        /// It runs on a private host.
        private: bool,
    },
    /// The systemd of a private host.
    PrivateHost,
    /// Another program.
    Peer {
        /// Held for its end.
        peer: Option<Peer>,
        /// What it starts is reaped by nobody else.
        orphans: bool,
    },
    /// A thread of this process.
    Thread(Restarter),
}

/// See the module.
pub(super) struct Subject<'a> {
    births: PathBuf,
    keeper: Keeper<'a>,
    killed: Cell<Option<Duration>>,
}

/// One repair.
pub(super) struct Repair {
    pub(super) first_line: Duration,
    /// Only for this program: until its own probes saw it healthy.
    pub(super) verified: Option<Duration>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(births: PathBuf, keeper: Keeper<'a>) -> Self {
        Self { births, keeper, killed: Cell::new(None) }
    }

    pub(super) fn own(service: &Service, records: &'a Records, private: bool) -> Self {
        let target = name_of(&service.target);
        Self::new(service.births.clone(), Keeper::Own { records, target, private })
    }

    /// Its process ids may be seen from inside a namespace.
    fn pid(&self, run: Run) -> Option<i32> {
        match &self.keeper {
            Keeper::Own { private: true, .. } | Keeper::PrivateHost => seen_from_here(run),
            Keeper::Own { private: false, .. } | Keeper::Peer { .. } | Keeper::Thread(_) => {
                run.lives().then_some(run.pid)
            }
        }
    }

    /// Waits until it runs, for the first time.
    pub(super) async fn runs(&self) -> anyhow::Result<()> {
        wait(|| Birth::read_all(&self.births).first().map(|it| it.at), monotonic(), "start").await.map(drop)
    }

    /// Waits until what the last kill brought about is over.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        match &self.keeper {
            Keeper::Own { records, target, .. } => {
                let Some(killed) = self.killed.get() else { return Ok(()) };
                let closed = || records.first_since("incident_closed", target, killed);
                wait(closed, killed, "have its incident closed").await.map(drop)
            }
            Keeper::PrivateHost | Keeper::Peer { .. } | Keeper::Thread(_) => {
                let began = Birth::read_all(&self.births).last().context("it never ran")?.at;
                tokio::time::sleep((began + SETTLED).saturating_sub(monotonic())).await;
                Ok(())
            }
        }
    }

    /// Kills it, and waits until it runs again.
    pub(super) async fn kill(&self) -> anyhow::Result<Repair> {
        let before = Birth::read_all(&self.births);
        let run = before.last().context("it never ran")?.run;
        let pid = self.pid(run).and_then(Pid::from_raw).context("it does not run")?;
        if let Keeper::Own { records, .. } = &self.keeper {
            records.forget_before(monotonic().saturating_sub(NEWS_KEPT));
        }
        let killed = monotonic();
        self.killed.set(Some(killed));
        kill_process(pid, Signal::KILL).context("killing it")?;
        if let Keeper::Peer { orphans: true, .. } = &self.keeper {
            // It has become a child of this process. Some take a dead process for a living one until it is reaped.
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
        let born = || Birth::read_all(&self.births).get(before.len()).map(|it| it.at);
        let born = wait(born, killed, "start again").await?;
        let verified = match &self.keeper {
            Keeper::Own { records, target, .. } => {
                let verified = || records.first_since("repair_verified", target, killed);
                Some(wait(verified, killed, "be verified").await?.saturating_sub(killed))
            }
            Keeper::PrivateHost | Keeper::Peer { .. } | Keeper::Thread(_) => None,
        };
        Ok(Repair { first_line: born.saturating_sub(killed), verified })
    }

    /// Kills it, and kills it once more soon after it runs again. How long the second repair takes.
    pub(super) async fn kill_again(&self) -> anyhow::Result<Duration> {
        self.kill().await?;
        let began = Birth::read_all(&self.births).last().context("it never ran")?.at;
        tokio::time::sleep((began + SOON).saturating_sub(monotonic())).await;
        Ok(self.kill().await?.first_line)
    }
}

impl Drop for Subject<'_> {
    fn drop(&mut self) {
        match &mut self.keeper {
            // They end with their fleet and their host.
            Keeper::Own { .. } | Keeper::PrivateHost => return,
            Keeper::Peer { peer, .. } => drop(peer.take()),
            Keeper::Thread(it) => it.end.store(true, Ordering::SeqCst),
        }
        // Whoever is gone cannot start it again; some leave behind what they started.
        let last = Birth::read_all(&self.births).last().map(|it| it.run).filter(|it| it.lives());
        if let Some(pid) = last.and_then(|it| Pid::from_raw(it.pid)) {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        if let Keeper::Thread(it) = &mut self.keeper
            && let Some(thread) = it.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// The floor: a thread that does nothing but start one process again when it has ended.
pub(super) struct Restarter {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Restarter {
    pub(super) fn start(watched: &Watched) -> anyhow::Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let mut command = watched.command();
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let mut child: Child = command.spawn().context("starting the watched program")?;
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            while child.wait().is_ok() && !ended.load(Ordering::SeqCst) {
                match command.spawn() {
                    Ok(next) => child = next,
                    Err(_) => return,
                }
            }
        });
        Ok(Self { end, thread: Some(thread) })
    }
}

async fn wait(look: impl Fn() -> Option<Duration>, since: Duration, what: &str) -> anyhow::Result<Duration> {
    loop {
        if let Some(at) = look() {
            return Ok(at);
        }
        anyhow::ensure!(monotonic() < since + RUN_TIME, "it did not {what} within {RUN_TIME:?}");
        tokio::time::sleep(LOOK).await;
    }
}
