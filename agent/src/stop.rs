//! What makes the agent stop in good order: a signal, or the end of its parent.

use std::io;

use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why the agent cannot watch for its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    /// The system refuses.
    #[error("cannot watch for signals and the parent's end")]
    Io(#[from] io::Error),
    /// The parent has ended already.
    #[error("process {expected} is not the parent of this agent, or has ended")]
    Orphan {
        /// The process that was named.
        expected: u32,
    },
}

/// Waits for what makes the agent stop.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    parent: Option<AsyncFd<rustix::fd::OwnedFd>>,
}

impl Stop {
    /// Begins to watch: for SIGTERM and SIGINT, and for the end of `parent` when one is given.
    ///
    /// The parent is watched by pidfd. A parent-death signal would come when the *thread* that started the agent ends.
    ///
    /// # Errors
    /// [`StopError`].
    pub(crate) fn watch(parent: Option<u32>) -> Result<Self, StopError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent: parent.map(watch_parent).transpose()?,
        })
    }

    /// Returns why to stop, once there is a reason. Dropping the future loses nothing.
    pub(crate) async fn asked(&mut self) -> &'static str {
        let ended = async {
            match &self.parent {
                // An error means that the descriptor is of no use any more, just as after the end.
                Some(parent) => drop(parent.ready(Interest::READABLE).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupted",
            () = ended => "the parent process ended",
        }
    }
}

fn watch_parent(expected: u32) -> Result<AsyncFd<rustix::fd::OwnedFd>, StopError> {
    let orphan = || StopError::Orphan { expected };
    let pid = i32::try_from(expected).ok().and_then(Pid::from_raw).ok_or_else(orphan)?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|_| orphan())?;
    // Only after opening: from here on the descriptor and the check speak of the same process.
    if getppid() != Some(pid) {
        return Err(orphan());
    }
    #[expect(deprecated, reason = "its replacement is unsafe to call; the owned descriptor stays open all the time")]
    let parent = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    Ok(parent)
}
