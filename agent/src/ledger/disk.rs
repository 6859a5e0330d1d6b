//! The file under the ledger.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::CAPACITY;

/// What the ledger asks of its disk. A trait, so that tests can let it fail.
pub(super) trait Disk: Send {
    /// Writes inside the file.
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Puts a whole new file in the old one's place, synced; after a crash there is either the one or the other.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A real file, locked against a second agent.
#[derive(Debug)]
pub(super) struct FileDisk {
    path: PathBuf,
    file: Option<File>,
    /// Held for its lock. It is a file of its own because the ledger's is replaced.
    _lock: File,
}

impl FileDisk {
    /// A disk for a file that does not exist yet.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let lock = private().create(true).truncate(false).write(true).open(beside(path, "lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), file: None, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The file and what it holds; none when there is no file.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Vec<u8>)>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut disk = Self::new(path)?;
        let mut bytes = Vec::with_capacity(CAPACITY);
        // One byte more than there may be is enough to see that it is too long.
        (&file).take(CAPACITY as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > CAPACITY {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is longer than a ledger can be"));
        }
        disk.file = Some(file);
        Ok(Some((disk, bytes)))
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for FileDisk {
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(bytes, at as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        // The size never changes, so there is nothing but data to sync.
        let file = self.file()?;
        file.sync_data()?;
        // What is in a file without a name is gone with this agent, and the next one would not know what was done.
        match file.metadata()?.nlink() {
            0 => Err(io::Error::new(ErrorKind::NotFound, "it was removed or replaced while the agent ran")),
            _ => Ok(()),
        }
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let new = beside(&self.path, "new");
        let mut file = private().create(true).truncate(true).write(true).read(true).open(&new)?;
        // Written in full, not merely reserved: later syncs then change no metadata, and a full disk shows here.
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let directory = self.path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
        self.file = Some(file);
        Ok(())
    }
}

/// For files that nobody but the agent's user may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
