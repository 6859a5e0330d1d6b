//! Removing what a directory's age rule covers, oldest first, until it is small enough.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::StepError;
use crate::config::{DirectoryConfig, TargetConfig};
use crate::parts::Mode;
use crate::snapshot::{SnapshotError, Snapshots};
use crate::tree::{Leaf, Tree, TreeError};

/// The most files that the listing of one cleaning holds: some 10 MiB of names.
const LISTED_MAX: usize = 100_000;

pub(super) async fn clean(
    snapshots: &Arc<Snapshots>,
    target: &TargetConfig,
    directory: &DirectoryConfig,
    until_percent: u8,
    mode: Mode,
) -> Result<String, StepError> {
    let name = directory.name.clone();
    let directory = directory.clone();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A large directory takes long, and the agent must not wait for it.
    let (snapshots, of) = (Arc::clone(snapshots), target.name.clone());
    let cleaning = move || {
        // What is about to go is written down first: nothing can put it back, but a person can see what it was.
        let keep = |leaves: &[Leaf]| snapshots.keep_listing(&of, &directory.name, &listing(leaves));
        if mode == Mode::Rehearse {
            return remove_oldest(&directory, until_percent, since_epoch, |_| Ok(()), |_, _| Ok(true));
        }
        remove_oldest(&directory, until_percent, since_epoch, keep, Tree::remove)
    };
    let done = tokio::task::spawn_blocking(cleaning).await.map_err(|_| StepError::BrokenOff)?;
    match done {
        Ok(it) => {
            let would = if mode == Mode::Rehearse { "would be " } else { "" };
            Ok(format!(
                "{name}: {} files of {} bytes {would}removed, {} bytes left; {} more files are covered by its rule",
                it.files, it.bytes, it.left, it.more
            ))
        }
        Err(error) => Err(StepError::Clean { target: target.name.clone(), directory: name, why: error.to_string() }),
    }
}

/// What a cleaning did.
#[derive(Debug, PartialEq, Eq)]
struct Cleaned {
    files: u64,
    bytes: u64,
    /// Bytes still in use.
    left: u64,
    /// Files that the rule covers, and that stayed.
    more: u64,
}

/// One line for each file: its size, when it was last written, its path.
fn listing(leaves: &[Leaf]) -> String {
    let lines = leaves.iter().take(LISTED_MAX);
    lines.map(|it| format!("{}\t{}\t{}\n", it.bytes, it.written, it.path.display())).collect()
}

fn remove_oldest(
    directory: &DirectoryConfig,
    until_percent: u8,
    now: Duration,
    keep: impl FnOnce(&[Leaf]) -> Result<(), SnapshotError>,
    remove: impl Fn(&Tree, &Leaf) -> std::io::Result<bool>,
) -> Result<Cleaned, TreeError> {
    let tree = Tree::open(&directory.path)?;
    let (mut leaves, used) = tree.leaves(|path| directory.matching.is_match(path))?;
    let newest = now.saturating_sub(directory.older_than).as_secs();
    let old_enough = |written: i64| u64::try_from(written).unwrap_or(0) <= newest;
    leaves.retain(|it| old_enough(it.written));
    leaves.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
    if let Err(error) = keep(&leaves) {
        // A full disk is what this step is there for, so it must not need room first.
        tracing::warn!(target: "prunella::repair", directory = %directory.path.display(), %error, "what is removed cannot be written down");
    }
    let goal = u128::from(directory.quota_bytes) * u128::from(until_percent) / 100;
    let mut done = Cleaned { files: 0, bytes: 0, left: used, more: 0 };
    for leaf in &leaves {
        if u128::from(done.left) <= goal {
            done.more += 1;
            continue;
        }
        match remove(&tree, leaf) {
            Ok(true) => {
                done.files += 1;
                done.bytes += leaf.bytes;
                done.left = done.left.saturating_sub(leaf.bytes);
            }
            // It changed or vanished meanwhile: whoever did that owns it now.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(target: "prunella::repair", file = %leaf.path.display(), %error, "a file cannot be removed");
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use globset::{Glob, GlobSet};
    use prunella_model::PartName;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn put(dir: &Path, name: &str, bytes: usize, age: u64) {
        fs::write(dir.join(name), "x".repeat(bytes)).unwrap();
        let written = UNIX_EPOCH + NOW - Duration::from_secs(age);
        File::options().write(true).open(dir.join(name)).unwrap().set_modified(written).unwrap();
    }

    fn directory(path: &Path) -> DirectoryConfig {
        DirectoryConfig {
            name: PartName::new("logs").unwrap(),
            path: path.to_owned(),
            quota_bytes: 1000,
            older_than: Duration::from_secs(100),
            matching: GlobSet::builder().add(Glob::new("*.log").unwrap()).build().unwrap(),
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_until_it_is_small_enough() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "oldest.log", 300, 400);
        put(dir.path(), "older.log", 300, 300);
        put(dir.path(), "old.log", 200, 200);
        put(dir.path(), "young.log", 100, 50);
        put(dir.path(), "oldest.db", 100, 500);
        let done = remove_oldest(&directory(dir.path()), 70, NOW, |_| Ok(()), Tree::remove).unwrap();
        assert_eq!(done, Cleaned { files: 1, bytes: 300, left: 700, more: 2 });
        let mut listed = String::new();
        let full = |leaves: &[Leaf]| {
            listed = listing(leaves);
            Err(SnapshotError::Unfit { path: "here".into(), why: "has no room" })
        };
        let done = remove_oldest(&directory(dir.path()), 0, NOW, full, Tree::remove).unwrap();
        assert_eq!(listed, "300\t999700\tolder.log\n200\t999800\told.log\n");
        assert_eq!(done, Cleaned { files: 2, bytes: 500, left: 200, more: 0 });
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["oldest.db", "young.log"], "what the rule does not cover stays, however full it is");
    }

    #[test]
    fn an_open_file_can_go_and_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a.log", 900, 200);
        let _held = File::open(dir.path().join("a.log")).unwrap();
        assert_eq!(remove_oldest(&directory(dir.path()), 70, NOW, |_| Ok(()), Tree::remove).unwrap().files, 1);
        assert_eq!(remove_oldest(&directory(dir.path()), 70, NOW, |_| Ok(()), Tree::remove).unwrap().files, 0);
    }
}
