//! What the kernel tells of by itself: a probe that hears it looks at once instead of at its interval.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use inotify::{Inotify, WatchMask};
use prunella_model::{ProbeName, TargetName};
use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::Orders;
use super::kernel::{KMSG, KernelLog};

/// Pressure is told when tasks were stalled for 150 ms of a window of 2 s. Windows of whole 2 s are allowed to everybody.
const TRIGGER: &[u8] = b"some 150000 2000000\0";

/// What a probe wants to hear of.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A record of the kernel's log.
    Kernel(Arc<KernelLog>),
    /// A change of a file that the kernel makes, such as a control group's counts.
    Modified(PathBuf),
    /// Tasks are stalled for want of this resource (`cpu`, `memory` or `io`).
    Pressure(&'static str),
}

/// A source, and the probe that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) target: TargetName,
    pub(crate) probe: ProbeName,
    pub(crate) source: Source,
}

/// Begins to listen to all sources.
pub(crate) fn begin(
    wanted: Vec<Wanted>,
    orders_of: impl Fn(&TargetName, &ProbeName) -> Option<Arc<Orders>>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for it in wanted {
        let Some(orders) = orders_of(&it.target, &it.probe) else { continue };
        tasks.push(tokio::spawn(listen(it.source, orders)));
    }
    tasks
}

async fn listen(source: Source, orders: Arc<Orders>) {
    match source {
        Source::Kernel(log) => log.follow(KMSG, orders).await,
        Source::Modified(path) => {
            if let Err(error) = modified(&path, &orders).await {
                tracing::info!(target: "prunella::probes", path = %path.display(), %error, "its changes are noticed at the probe's interval only");
            }
        }
        Source::Pressure(resource) => {
            // Kernels without pressure accounting, and containers that may not ask for it, are looked at by the clock.
            if let Err(error) = pressure(resource, &orders).await {
                tracing::debug!(target: "prunella::probes", resource, %error, "pressure is noticed at the probe's interval only");
            }
        }
    }
}

async fn modified(path: &std::path::Path, orders: &Orders) -> io::Result<()> {
    let inotify = Inotify::init()?;
    inotify.watches().add(path, WatchMask::MODIFY)?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an Inotify keeps its descriptor open, which is all it asks"
    )]
    let mut inotify = AsyncFd::new(inotify)?;
    let mut buffer = [0u8; 1024];
    loop {
        let mut ready = inotify.readable_mut().await?;
        let told = match ready.get_inner_mut().read_events(&mut buffer) {
            Ok(events) => events.count() > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.clear_ready();
                false
            }
            Err(error) => return Err(error),
        };
        if told {
            orders.changed();
        }
    }
}

async fn pressure(resource: &str, orders: &Orders) -> io::Result<()> {
    let trigger = trigger(resource)?;
    #[expect(deprecated, reason = "its successor is unsafe; a File keeps its descriptor open, which is all it asks")]
    let trigger = AsyncFd::with_interest(trigger, Interest::PRIORITY)?;
    loop {
        let mut ready = trigger.ready(Interest::PRIORITY).await?;
        ready.clear_ready();
        orders.changed();
    }
}

fn trigger(resource: &str) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(format!("/proc/pressure/{resource}"))?;
    file.write_all(TRIGGER)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_changed_file_makes_its_probe_look() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        std::fs::write(&path, "oom_kill 0").unwrap();
        let orders = Arc::<Orders>::default();
        let listening = tokio::spawn(listen(Source::Modified(path.clone()), Arc::clone(&orders)));
        let told = async {
            // It is not known when listening has begun, so there is a change until one is heard.
            loop {
                std::fs::write(&path, "oom_kill 1").unwrap();
                if tokio::time::timeout(Duration::from_millis(50), orders.heard()).await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("the change was not told");
        listening.abort();
    }

    #[tokio::test]
    async fn pressure_can_be_asked_for_where_the_kernel_has_it() {
        match trigger("memory") {
            Ok(file) => {
                #[expect(deprecated, reason = "its successor is unsafe; a File keeps its descriptor open")]
                let it = AsyncFd::with_interest(file, Interest::PRIORITY).unwrap();
                assert!(it.get_ref().metadata().is_ok());
            }
            Err(error) => eprintln!("SKIPPED: no pressure triggers here: {error}"),
        }
    }
}
