//! A file's content against its known-good snapshot, and the keeping of such snapshots.
//!
//! inotify tells of changes at once; a look now and then makes good what its queue may have lost.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inotify::{Inotify, WatchDescriptor, WatchMask};
use prunella_model::observation::Finding;
use prunella_model::{PartName, ProbeName, TargetName};
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::Orders;
use crate::board::{Board, Look};
use crate::config::{AgentConfig, FileConfig};
use crate::snapshot::{Snapshots, digest_of};

/// Whether a file may be kept is asked at least this often.
const KEEP_EVERY_MAX: Duration = Duration::from_secs(15);
/// And at most this often.
const KEEP_EVERY_MIN: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct File {
    target: TargetName,
    part: PartName,
    path: PathBuf,
    snapshots: Arc<Snapshots>,
}

impl File {
    pub(super) fn new(target: &TargetName, part: &FileConfig, snapshots: &Arc<Snapshots>) -> Self {
        let (target, path) = (target.clone(), part.path.clone());
        Self { target, part: part.name.clone(), path, snapshots: Arc::clone(snapshots) }
    }

    pub(super) async fn look(&mut self) -> Look {
        let path = self.path.clone();
        let sha256 = match spawn_blocking(move || digest_of(&path)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Look::broken(error.to_string()),
            Err(error) => return Look::broken(error.to_string()),
        };
        let known_good = self.snapshots.known_good(&self.target, &self.part);
        match (sha256, known_good) {
            (Some(sha256), Some(known)) if sha256 == known => Look::up(Finding::FileAsKnown { sha256 }),
            (sha256, Some(known)) => Look::down(Finding::FileChanged { sha256, known_good: Some(known) }),
            // Nothing to compare with: this proves nothing, neither good nor bad.
            (sha256, None) => Look {
                status: prunella_model::observation::Status::Unknown,
                finding: Finding::FileChanged { sha256, known_good: None },
            },
        }
    }
}

/// Begins to watch all files for changes and to keep their contents once they are known to be good.
pub(crate) fn begin(
    config: &AgentConfig,
    board: &Arc<Board>,
    snapshots: &Arc<Snapshots>,
    orders_of: impl Fn(&TargetName, &ProbeName) -> Option<Arc<Orders>>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let mut watched = Vec::new();
    for target in &config.targets {
        for file in &target.files {
            let orders = ProbeName::new(file.name.as_str()).ok().and_then(|name| orders_of(&target.name, &name));
            let Some(orders) = orders else { continue };
            watched.push((file.path.clone(), Arc::clone(&orders)));
            let keeper = Keeper {
                target: target.name.clone(),
                file: file.clone(),
                board: Arc::clone(board),
                snapshots: Arc::clone(snapshots),
                orders,
            };
            tasks.push(tokio::spawn(keeper.run()));
        }
    }
    if !watched.is_empty() {
        tasks.push(tokio::spawn(tell_changes(watched)));
    }
    tasks
}

/// Watches the directories of the files: a file that is replaced is another file, but its directory stays.
async fn tell_changes(watched: Vec<(PathBuf, Arc<Orders>)>) {
    let mask = WatchMask::CLOSE_WRITE | WatchMask::MODIFY | WatchMask::MOVE | WatchMask::CREATE | WatchMask::DELETE;
    let mut names: BTreeMap<WatchDescriptor, Vec<(OsString, Arc<Orders>)>> = BTreeMap::new();
    let inotify = Inotify::init().and_then(|inotify| {
        for (path, orders) in watched {
            let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match (inotify.watches().add(dir, mask), path.file_name()) {
                (Ok(watch), Some(name)) => names.entry(watch).or_default().push((name.to_owned(), orders)),
                (Err(error), _) => {
                    tracing::warn!(target: "prunella::probes", path = %dir.display(), %error, "changes of a file are noticed late: its directory cannot be watched");
                }
                (Ok(_), None) => {}
            }
        }
        #[expect(deprecated, reason = "its successor is unsafe; an Inotify keeps its descriptor open, which is all it asks")]
        AsyncFd::new(inotify)
    });
    let mut inotify = match inotify {
        Ok(inotify) => inotify,
        Err(error) => {
            tracing::warn!(target: "prunella::probes", %error, "changes of files are noticed late: inotify is not available");
            return;
        }
    };
    let mut buffer = [0u8; 4096];
    loop {
        let Ok(mut ready) = inotify.readable_mut().await else { return };
        match ready.get_inner_mut().read_events(&mut buffer) {
            Ok(events) => {
                for event in events {
                    let files = names.get(&event.wd).into_iter().flatten();
                    files.filter(|(name, _)| event.name == Some(name)).for_each(|(_, orders)| orders.changed());
                }
            }
            Err(_) => ready.clear_ready(),
        }
    }
}

/// Keeps one file's content once its target has been well with it for long enough.
struct Keeper {
    target: TargetName,
    file: FileConfig,
    board: Arc<Board>,
    snapshots: Arc<Snapshots>,
    orders: Arc<Orders>,
}

impl Keeper {
    async fn run(self) {
        let wait = self.file.known_good_after;
        let every = (wait / 8).clamp(KEEP_EVERY_MIN, KEEP_EVERY_MAX);
        let mut content = None;
        loop {
            sleep(every).await;
            // A well target is the rarer news: the file is read only while it is.
            let Some(well) = self.board.well_since(&self.target) else {
                content = None;
                continue;
            };
            let path = self.file.path.clone();
            let Ok(Ok(Some(digest))) = spawn_blocking(move || digest_of(&path)).await else {
                content = None;
                continue;
            };
            let since = match content {
                Some((known, since)) if known == digest => since,
                Some(_) | None => {
                    content = Some((digest, Instant::now()));
                    continue;
                }
            };
            let known = self.snapshots.known_good(&self.target, &self.file.name) == Some(digest);
            if !known && well.max(since).elapsed() >= wait {
                self.keep(digest).await;
            }
        }
    }

    async fn keep(&self, digest: prunella_model::observation::Sha256) {
        let (snapshots, target, file) = (Arc::clone(&self.snapshots), self.target.clone(), self.file.clone());
        let keep = move || snapshots.keep_known_good(&target, &file.name, &file.path, digest);
        match spawn_blocking(keep).await {
            Ok(Ok(kept)) => {
                if kept {
                    tracing::info!(target: "prunella::snapshot", target_name = %self.target, file = %self.file.name, %digest, "kept as known-good");
                }
                self.orders.changed();
            }
            Ok(Err(error)) => {
                tracing::warn!(target: "prunella::snapshot", target_name = %self.target, file = %self.file.name, %error, "a known-good content cannot be kept");
            }
            Err(error) => {
                tracing::warn!(target: "prunella::snapshot", target_name = %self.target, %error, "a known-good content cannot be kept");
            }
        }
    }
}
