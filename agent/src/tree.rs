//! A directory and what lies below it, without ever leaving it.
//!
//! Every name is opened relative to the directory above it, links are never followed, and mounts are never entered, so
//! whoever can write below the directory cannot lead a walk or a removal elsewhere.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat, unlinkat};
use rustix::io::Errno;

use crate::safe_dir;

/// The deepest level that is walked; real trees are shallower, and hostile ones are endless.
const DEPTH_MAX: usize = 64;
/// The most entries that one walk looks at: about a second's work.
const ENTRIES_MAX: u64 = 1_000_000;

/// Why a tree cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// It cannot be opened.
    #[error("{} cannot be opened as a directory: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// It has too many entries.
    #[error("{} has more than {ENTRIES_MAX} entries", path.display())]
    TooLarge { path: PathBuf },
}

/// An open directory that stands for everything below it.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
    root: OwnedFd,
    device: u64,
}

/// A regular file below the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Its path, relative to the directory.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// When it was last written: seconds since the epoch.
    pub(crate) written: i64,
    /// When it was last read or written, as far as the mount keeps account of reading.
    pub(crate) used: i64,
    inode: u64,
}

impl Tree {
    pub(crate) fn open(path: &Path) -> Result<Self, TreeError> {
        let fail = |source| TreeError::Open { path: path.to_owned(), source };
        // The directory itself must be no link. What leads to it may be one, but not one that somebody else has laid.
        let (dir, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or(OsStr::new(".")));
        let root =
            safe_dir::open(dir).and_then(|dir| Ok(openat(dir, name, DIRECTORY, Mode::empty())?)).map_err(fail)?;
        let device = fstat(&root).map_err(|error| fail(error.into()))?.st_dev;
        Ok(Self { path: path.to_owned(), root, device })
    }

    /// The sizes of all regular files, together. What vanishes or cannot be entered meanwhile counts nothing.
    pub(crate) fn used_bytes(&self) -> Result<u64, TreeError> {
        let mut used = 0u64;
        self.each_file(|_, stat, _| used = used.saturating_add(bytes(stat)))?;
        Ok(used)
    }

    /// All regular files, and the sum of their sizes; only those that `wanted` names are listed.
    pub(crate) fn leaves(&self, wanted: impl Fn(&Path) -> bool) -> Result<(Vec<Leaf>, u64), TreeError> {
        let mut leaves = Vec::new();
        let mut used = 0u64;
        self.each_file(|dir, stat, name| {
            used = used.saturating_add(bytes(stat));
            let path = dir.join(OsStr::from_bytes(name.to_bytes()));
            if wanted(&path) {
                leaves.push(Leaf {
                    path,
                    bytes: bytes(stat),
                    written: stat.st_mtime,
                    used: stat.st_mtime.max(stat.st_atime),
                    inode: stat.st_ino,
                });
            }
        })?;
        Ok((leaves, used))
    }

    fn each_file(&self, mut see: impl FnMut(&Path, &Stat, &CStr)) -> Result<(), TreeError> {
        let open = |error: Errno| TreeError::Open { path: self.path.clone(), source: error.into() };
        // Reading moves a position that all copies share, so the root is opened anew for each walk.
        let root = openat(&self.root, c".", DIRECTORY, Mode::empty()).map_err(open)?;
        let mut stack = vec![(Dir::new(root).map_err(open)?, PathBuf::new())];
        let mut seen = 0;
        while let Some((dir, path)) = stack.last_mut() {
            let Some(Ok(entry)) = dir.read() else {
                stack.pop();
                continue;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(TreeError::TooLarge { path: self.path.clone() });
            }
            let Ok(fd) = dir.fd() else { continue };
            let Ok(stat) = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if stat.st_dev == self.device => see(path, &stat, name),
                FileType::Directory => {
                    let below = path.join(OsStr::from_bytes(name.to_bytes()));
                    let entered = self.enter(fd, name).and_then(Dir::new);
                    if let (Ok(dir), true) = (entered, stack.len() < DEPTH_MAX) {
                        stack.push((dir, below));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes one file, if it still is the one that was listed; says whether it did.
    pub(crate) fn remove(&self, leaf: &Leaf) -> io::Result<bool> {
        let Some(name) = leaf.path.file_name() else { return Ok(false) };
        let mut dir = openat(&self.root, c".", DIRECTORY, Mode::empty())?;
        for part in leaf.path.parent().into_iter().flat_map(Path::components) {
            let part = std::ffi::CString::new(part.as_os_str().as_bytes())?;
            dir = self.enter(dir.as_fd(), &part)?;
        }
        let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let same = stat.st_ino == leaf.inode && stat.st_mtime == leaf.written && stat.st_dev == self.device;
        if !same || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(false);
        }
        unlinkat(&dir, name, AtFlags::empty())?;
        Ok(true)
    }

    /// Opens a directory right below `dir`: no link, no mount.
    fn enter(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        let stay = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let entered = match openat2(dir, name, DIRECTORY, Mode::empty(), stay) {
            // Kernels before 5.6, and some sandboxes, lack it; the device then tells mounts apart, if not all of them.
            Err(Errno::NOSYS | Errno::PERM) => openat(dir, name, DIRECTORY, Mode::empty()),
            entered => entered,
        }?;
        if fstat(&entered)?.st_dev == self.device { Ok(entered) } else { Err(Errno::XDEV) }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "x".repeat(1000)).unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::create_dir(inside.path().join("sub")).unwrap();
        fs::write(inside.path().join("sub/a.log"), "12345").unwrap();
        symlink(outside.path(), inside.path().join("way-out")).unwrap();
        symlink(outside.path().join("precious"), inside.path().join("link.log")).unwrap();
        let tree = Tree::open(inside.path()).unwrap();
        let (leaves, used) = tree.leaves(|_| true).unwrap();
        assert_eq!((leaves.len(), used), (1, 5));
        assert_eq!(leaves[0].path, Path::new("sub/a.log"));
        // What was a directory at the walk is a link at the removal.
        fs::rename(inside.path().join("sub"), inside.path().join("sub.old")).unwrap();
        fs::write(outside.path().join("a.log"), "12345").unwrap();
        symlink(outside.path(), inside.path().join("sub")).unwrap();
        assert!(tree.remove(&leaves[0]).is_err());
        assert!(outside.path().join("a.log").exists());
        assert!(Tree::open(&inside.path().join("way-out")).is_err(), "the directory itself must be no link either");
    }

    #[test]
    fn a_file_that_is_another_one_by_now_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "old").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let (leaves, _) = tree.leaves(|_| true).unwrap();
        fs::write(dir.path().join("b"), "new").unwrap();
        fs::rename(dir.path().join("b"), &path).unwrap();
        assert!(!tree.remove(&leaves[0]).unwrap());
        assert!(path.exists());
        let (leaves, _) = tree.leaves(|_| true).unwrap();
        assert!(tree.remove(&leaves[0]).unwrap());
        assert!(!path.exists());
    }
}
