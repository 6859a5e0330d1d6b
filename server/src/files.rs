//! Small files: read with errors that say what to do, replaced so that a crash leaves the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use prunella_seal::{KeyTextError, SecretKey};
use zeroize::Zeroizing;

/// The mode of files that anybody may read.
pub const PUBLIC: u32 = 0o644;

/// The mode of files that only their owner may read.
pub const SECRET: u32 = 0o600;

/// The largest file that is read whole. Certificates, keys and settings are a thousandth of it.
const READ_MAX: u64 = 4 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is far too large to be what it should be.
    #[error("{} is larger than {READ_MAX} bytes; it cannot be the file that is meant", path.display())]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// A secret that others may read.
    #[error(
        "{} may be read by others (mode {mode:04o}); a key must be its owner's alone: run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds no key.
    #[error("{} holds no usable key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyTextError,
    },
}

/// The environment's variables that are text; a name or a value that is none can be no key.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The text of a file.
///
/// # Errors
/// [`FileError`].
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let read = |source| FileError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(read)?.len() > READ_MAX {
        return Err(FileError::Large { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(read)
}

/// The text of a file that only its owner may read; it is wiped after use.
///
/// # Errors
/// [`FileError::Open`] when others may read it too, and those of [`read_text`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let read = |source| FileError::Read { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    read_text(path).map(Zeroizing::new)
}

/// The signing key in a file that only its owner may read.
///
/// # Errors
/// [`FileError`].
pub fn read_key(path: &Path) -> Result<SecretKey, FileError> {
    let text = read_secret(path)?;
    text.trim().parse().map_err(|source| FileError::Key { path: path.to_owned(), source })
}

/// Replaces a file as a whole, durably.
///
/// # Errors
/// [`FileError::Write`]; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let write = |source| FileError::Write { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let put = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        // A file left over from a crash keeps its old mode, so it is set in any case.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    };
    put().map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.key");
        let key = SecretKey::from_entropy(&[7; 32]);
        replace(&path, key.to_text().as_bytes(), SECRET).unwrap();
        assert_eq!(read_key(&path).unwrap().public(), key.public());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_replaced_file_is_the_new_one_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.json");
        replace(&path, b"one", PUBLIC).unwrap();
        replace(&path, b"two", SECRET).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
