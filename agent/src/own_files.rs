//! Whether the agent still is what is on the disk: its program and its `agent.toml`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_model::observation::Sha256;
use sha2::Digest as _;
use tokio::time::Instant;

/// How often the files are looked at; what has changed there is no emergency.
const LOOK: Duration = Duration::from_secs(10);

/// The largest program whose digest is taken: a shipped one has a quarter of it, one with all symbols takes seconds.
const PROGRAM_MAX: u64 = 64 * 1024 * 1024;

/// What tells one state of a file from another without reading it.
type Mark = (u64, u64, i64, i64);

/// See the module.
pub(crate) struct OwnFiles {
    path: PathBuf,
    config: Option<Sha256>,
    program: Option<Sha256>,
    mark: Option<Mark>,
    looked: Instant,
    /// What is wrong with `agent.toml`, as far as it was looked at.
    changed: Option<String>,
    drift: Option<String>,
}

impl OwnFiles {
    /// The files of an agent that was just started with the `agent.toml` at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        let config = digest(path, u64::MAX);
        let program = digest(Path::new("/proc/self/exe"), PROGRAM_MAX);
        Self {
            path: path.to_owned(),
            config,
            program,
            mark: mark(path),
            looked: Instant::now(),
            changed: None,
            drift: None,
        }
    }

    /// The digest of the `agent.toml` that the agent runs with.
    pub(crate) fn config(&self) -> Option<Sha256> {
        self.config
    }

    /// The digest of the program that the agent is.
    pub(crate) fn program(&self) -> Option<Sha256> {
        self.program
    }

    /// What is not on the disk as the agent runs with it, for a person.
    pub(crate) fn drift(&self) -> Option<String> {
        self.drift.clone()
    }

    /// Looks, when it is time to. Returns whether the answer has changed.
    pub(crate) fn look(&mut self) -> bool {
        self.look_at(Instant::now())
    }

    fn look_at(&mut self, now: Instant) -> bool {
        if now.duration_since(self.looked) < LOOK {
            return false;
        }
        self.looked = now;
        let found = self.find();
        std::mem::replace(&mut self.drift, found) != self.drift
    }

    fn find(&mut self) -> Option<String> {
        let replaced = std::fs::read_link("/proc/self/exe")
            .is_ok_and(|it| it.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"));
        if replaced {
            return Some("the program was replaced: restart the agent to run the new one".to_owned());
        }
        let now = mark(&self.path);
        // Only a file that was touched is read.
        if now != self.mark {
            self.mark = now;
            self.changed = (digest(&self.path, u64::MAX) != self.config)
                .then(|| format!("{} was changed: restart the agent to use it", self.path.display()));
        }
        self.changed.clone()
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let it = std::fs::metadata(path).ok()?;
    Some((it.ino(), it.len(), it.mtime(), it.mtime_nsec()))
}

fn digest(path: &Path, limit: u64) -> Option<Sha256> {
    let it = std::fs::metadata(path).ok()?;
    // Reading a pipe in the file's place would hold up the agent's loop until somebody writes to it.
    if !it.is_file() || it.len() > limit {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    Some(Sha256(sha2::Sha256::digest(bytes).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_drift_until_it_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "[agent]\n").unwrap();
        let mut files = OwnFiles::of(&path);
        let begun = files.looked;
        assert!(files.config().is_some());
        std::fs::write(&path, "[agent]\nhost = \"h2\"\n").unwrap();
        assert!(!files.look_at(begun), "not before its time");
        assert!(files.look_at(begun + LOOK));
        assert!(files.drift().is_some_and(|why| why.contains("agent.toml was changed")));
        assert!(!files.look_at(begun + LOOK * 2), "nothing new");
        std::fs::write(&path, "[agent]\n").unwrap();
        assert!(files.look_at(begun + LOOK * 3));
        assert_eq!(files.drift(), None);
    }

    #[test]
    fn a_pipe_in_place_of_the_file_is_drift_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "[agent]\n").unwrap();
        let mut files = OwnFiles::of(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(files.look_at(files.looked + LOOK));
        assert!(files.drift().is_some_and(|why| why.contains("agent.toml was changed")));
    }
}
