//! Opening a directory whose path somebody else can change a part of.
//!
//! An agent often runs as root, and the directories of a service often belong to the service. Whoever owns one of them
//! could lay a link in it and so lead a repair elsewhere. Links of root and of the agent's own user are followed; one of
//! anybody else is followed only to a directory that belongs to that same user, who gains nothing by it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// How many links one path may lead through: what the kernel allows.
const LINKS_MAX: usize = 40;

/// Opens the directory at `path` for reading.
///
/// # Errors
/// What the system says, and `PermissionDenied` for a link that leads out of its owner's reach.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let own = geteuid().as_raw();
    open_as(path, |uid| uid == 0 || uid == own)
}

fn open_as(path: &Path, trusted: impl Fn(u32) -> bool) -> io::Result<OwnedFd> {
    let through = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(CWD, "/", through | OFlags::DIRECTORY, Mode::empty())?;
    let mut left: VecDeque<OsString> = parts(&std::path::absolute(path)?);
    let (mut links, mut laid_by) = (0, None);
    while let Some(part) = left.pop_front() {
        let next = openat(&at, &part, through, Mode::empty())?;
        let stat = fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        if !trusted(stat.st_uid) && laid_by.replace(stat.st_uid).is_some_and(|it| it != stat.st_uid) {
            return Err(led_astray(path));
        }
        let to = OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes());
        let to = Path::new(&to);
        if to.is_absolute() {
            at = openat(CWD, "/", through | OFlags::DIRECTORY, Mode::empty())?;
        }
        parts(to).into_iter().rev().for_each(|it| left.push_front(it));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(&at, ".", flags, Mode::empty())?;
    match laid_by {
        Some(uid) if fstat(&dir)?.st_uid != uid => Err(led_astray(path)),
        Some(_) | None => Ok(dir),
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|it| match it {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    names.collect()
}

fn led_astray(path: &Path) -> io::Error {
    let why = format!("a link on the way to {} leads out of what its owner owns, and is not followed", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, lchown, symlink};

    use super::*;

    /// A link that belongs to somebody who is not trusted: to user 1 where this may be arranged, else to this user.
    fn laid_by_a_stranger(link: &Path, to: &Path) {
        symlink(to, link).unwrap();
        if geteuid().is_root() {
            lchown(link, Some(1), None).unwrap();
        }
    }

    fn same(a: &OwnedFd, b: &Path) -> bool {
        fstat(a).unwrap().st_ino == fs::metadata(b).unwrap().ino()
    }

    #[test]
    fn links_of_those_who_are_trusted_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        symlink("real", dir.path().join("relative")).unwrap();
        symlink(dir.path().join("relative/../relative"), dir.path().join("absolute")).unwrap();
        let found = open(&dir.path().join("absolute/sub/../sub")).unwrap();
        assert!(same(&found, &dir.path().join("real/sub")));
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(open(&dir.path().join("loop")).is_err());
        assert_eq!(open(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(open(&dir.path().join("file")).is_err());
    }

    #[test]
    fn a_strangers_link_leads_only_to_what_is_the_strangers_own() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        laid_by_a_stranger(&link, Path::new("/usr"));
        let trusted = |uid| uid == 0;
        let error = open_as(&link.join("lib"), trusted).unwrap_err();
        assert!(error.to_string().contains("leads out of what its owner owns"), "{error}");
        fs::remove_file(&link).unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&real, Some(1), None).unwrap();
        }
        laid_by_a_stranger(&link, &real);
        assert!(same(&open_as(&link, trusted).unwrap(), &real), "releases are often switched by such links");
    }
}
