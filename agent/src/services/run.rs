//! One run of a process, held by its pidfd: it cannot be mistaken for a later process with the same id.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::Instance;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::probes::process::Stat;

/// How the agent stands to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bond {
    /// The agent is its parent and made it the leader of its own process group.
    Child,
    /// An earlier agent was its parent, and made it the leader of its own process group.
    Heir,
    /// It detached itself, and its group is not known to hold only what belongs to it.
    #[default]
    Stranger,
}

impl Bond {
    /// How the next agent will stand to the same run.
    pub(super) const fn bequeathed(self) -> Self {
        match self {
            Self::Child | Self::Heir => Self::Heir,
            Self::Stranger => Self::Stranger,
        }
    }
}

/// How a run ended, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) instance: Instance,
    pub(super) pid: Pid,
    /// When it began; none when the agent did not see that.
    pub(super) began: Option<Instant>,
    /// Its start, in ticks since boot.
    pub(super) ticks: u64,
    pub(super) bond: Bond,
    pidfd: AsyncFd<OwnedFd>,
    ended: watch::Sender<bool>,
}

/// Names a run: no two processes of one boot have both the same id and the same start.
pub(super) fn instance(pid: u32, ticks: u64) -> Instance {
    Instance(Arc::from(format!("pid:{pid}@{ticks}")))
}

impl Run {
    /// Takes hold of the process `pid`. With `ticks` it must have started then.
    pub(super) fn hold(pid: u32, ticks: Option<u64>, bond: Bond) -> io::Result<Self> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(id, PidfdFlags::NONBLOCK)?;
        // Read after opening: the start of whatever process the descriptor now holds.
        let stat = Stat::of(pid).ok_or(io::ErrorKind::NotFound)?;
        let gone = stat.ended && bond != Bond::Child;
        if gone || ticks.is_some_and(|it| it != stat.start) {
            return Err(io::ErrorKind::NotFound.into());
        }
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open, which is all it asks")]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Self {
            instance: instance(pid, stat.start),
            pid: id,
            began: (bond == Bond::Child).then(Instant::now),
            ticks: stat.start,
            bond,
            pidfd,
            ended: watch::Sender::new(false),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// When it began, as time since boot, to the kernel's grain.
    pub(super) fn began_at(&self) -> Duration {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let (whole, rest) = (self.ticks / per_second, self.ticks % per_second);
        Duration::from_secs(whole) + Duration::from_millis(rest.saturating_mul(1000) / per_second)
    }

    /// Whether the group with the run's id surely is the run's own. An ended child holds its id until the agent takes its
    /// status. That of another parent's process may have been given to a new one, which may lead a group by now.
    fn owns_group(&self) -> bool {
        match self.bond {
            Bond::Child => true,
            Bond::Heir => Stat::of(self.id()).is_none_or(|it| it.start == self.ticks),
            Bond::Stranger => false,
        }
    }

    /// Waits until the process has ended; the kernel says so at once.
    pub(super) async fn wait(&self) -> io::Result<()> {
        self.pidfd.readable().await.map(|mut it| it.retain_ready())
    }

    /// Takes the ended process's status from the kernel, and ends what is left of its group.
    pub(super) fn bury(&self) -> Ending {
        // What a service leaves behind would hold its ports against its next run.
        if self.owns_group() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        self.reap()
    }

    /// Takes the ended process's status from the kernel; of a process that is not the agent's child there is none.
    pub(super) fn reap(&self) -> Ending {
        let status = match self.bond {
            Bond::Child => {
                waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
            }
            Bond::Heir | Bond::Stranger => Ok(None),
        };
        let status = status.ok().flatten();
        Ending {
            code: status.as_ref().and_then(|it| it.exit_status()),
            signal: status.as_ref().and_then(|it| it.terminating_signal()),
        }
    }

    /// Tells whoever waits in [`Run::ends_within`]. Called once what follows from the end has been noted.
    pub(super) fn tell_ended(&self) {
        self.ended.send_replace(true);
    }

    /// Whether the end comes, and has been noted, within `span`.
    pub(super) async fn ends_within(&self, span: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        timeout(span, ended.wait_for(|it| *it)).await.is_ok()
    }

    /// Sends a signal to the process alone. One that has ended is fine.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a signal to all that belongs to the run, as far as that is known.
    pub(super) fn signal_all(&self, signal: Signal) -> io::Result<()> {
        if self.owns_group() && kill_process_group(self.pid, signal).is_ok() {
            return Ok(());
        }
        self.signal(signal)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_process_id_that_was_given_out_again_is_not_the_run() {
        let mut other = Command::new("/bin/sleep").arg("1000").process_group(0).spawn().unwrap();
        let start = Stat::of(other.id()).unwrap().start;
        assert!(Run::hold(other.id(), Some(start), Bond::Heir).is_ok());
        let error = Run::hold(other.id(), Some(start - 1), Bond::Heir).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "it began at another time than the run that was noted");
        // One that was held while it lived, and whose id leads another group by now.
        let mut run = Run::hold(other.id(), Some(start), Bond::Heir).unwrap();
        run.ticks -= 1;
        assert!(!run.owns_group());
        run.bury();
        assert!(Stat::of(other.id()).is_some_and(|it| !it.ended), "a stranger was killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
