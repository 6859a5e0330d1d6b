//! The agent's own directory: small files that are there whole, or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why the agent's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or the directory itself cannot be read or written.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another agent uses the directory.
    #[error("another agent runs with {}; stop it first, or give this one a state_dir of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file is there, but not as this program writes it.
    #[error("{} is damaged; stop the agent, empty its state_dir and join this host again with a new token", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The agent's own directory, readable by nobody else.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens the directory; makes it when it is not there.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| StateError::Io {
            verb: "make the directory",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes sure that no other agent uses the directory, for as long as the returned file is open.
    ///
    /// # Errors
    /// [`StateError::InUse`] when one does.
    pub fn lock(&self) -> Result<File, StateError> {
        let path = self.path("lock");
        let io = |source| StateError::Io { verb: "lock", path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(StateError::InUse { path: self.path.clone() }),
            Err(error) => Err(io(error.into())),
        }
    }

    /// Where a file of that name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; none when there is no such file.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { verb: "read", path, source }),
        }
    }

    /// Reads a JSON file; none when there is no such file.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(it) => Ok(Some(it)),
            Err(source) => Err(StateError::Damaged { path: self.path(name), source }),
        }
    }

    /// Replaces a file. After a crash it is either the old one or the new one, whole.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let (path, fresh) = (self.path(name), self.path(&format!(".{name}.new")));
        let replace = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(|source| StateError::Io { verb: "write", path: path.clone(), source })
    }

    /// Replaces a JSON file.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        let bytes =
            serde_json::to_vec_pretty(value).map_err(|source| StateError::Damaged { path: self.path(name), source })?;
        self.write(name, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_private_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("a/state")).unwrap();
        assert_eq!(state.read("key.pem").unwrap(), None);
        state.write("key.pem", b"first").unwrap();
        state.write("key.pem", b"2nd").unwrap();
        assert_eq!(state.read("key.pem").unwrap().as_deref(), Some(&b"2nd"[..]));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path("key.pem")), 0o600);
        assert_eq!(mode(state.path("")), 0o700);
        assert_eq!(fs::read_dir(state.path("")).unwrap().count(), 1, "nothing half-written is left");
    }

    #[test]
    fn two_agents_cannot_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateError::InUse { .. })));
        drop(lock);
        assert!(state.lock().is_ok());
    }

    #[test]
    fn a_damaged_file_is_named_and_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.write("enrolment.json", b"{\"fleet\":").unwrap();
        let error = state.read_json::<serde_json::Value>("enrolment.json").unwrap_err().to_string();
        assert!(error.contains("enrolment.json") && error.contains("join this host again"), "{error}");
    }
}
