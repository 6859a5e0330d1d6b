//! Files against a recorded baseline.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};

use prunella_model::observation::{Level, Sha256};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256 as Hasher};

use crate::board::{Board, Look, Series};
use crate::config::DriftSubject;

/// The most files of one baseline.
const FILES_MAX: usize = 20_000;
/// The longest baseline that is read.
const BASELINE_MAX: u64 = 16 * 1024 * 1024;
/// How many differences are named.
const NAMED: usize = 3;

/// See the module.
pub(super) struct Drift {
    // Shared with the thread that reads, because a slow disk must not hold up the agent.
    watch: Arc<Mutex<Watch>>,
    differences: Option<Series>,
}

struct Watch {
    subject: DriftSubject,
    /// Where the agent keeps its own baseline.
    own: PathBuf,
    /// What files were when they were last read; a file that still looks so is not read again.
    known: BTreeMap<PathBuf, (Stamp, Sha256)>,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Digests = BTreeMap<PathBuf, Sha256>;

impl Drift {
    pub(super) fn new(subject: &DriftSubject, own: PathBuf, differences: Option<Series>) -> Self {
        let watch = Watch { subject: subject.clone(), own, known: BTreeMap::new() };
        Self { watch: Arc::new(Mutex::new(watch)), differences }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let watch = Arc::clone(&self.watch);
        let compare = move || match watch.try_lock() {
            Ok(mut it) => it.compare(),
            Err(TryLockError::Poisoned(it)) => it.into_inner().compare(),
            Err(TryLockError::WouldBlock) => Err("the files are still being read".to_owned()),
        };
        let differences = match tokio::task::spawn_blocking(compare).await {
            Ok(Ok(differences)) => differences,
            Ok(Err(why)) => return Look::broken(why),
            Err(error) => return Look::broken(error.to_string()),
        };
        if let Some(series) = self.differences {
            board.measure(series, f64::from(u32::try_from(differences.len()).unwrap_or(u32::MAX)));
        }
        if differences.is_empty() {
            return Look::checked(Level::Good, "as the baseline says");
        }
        let mut text = differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if differences.len() > NAMED {
            text.push_str(&format!(" and {} more", differences.len() - NAMED));
        }
        Look::checked(Level::Critical, text)
    }
}

impl Watch {
    /// What differs, in words.
    fn compare(&mut self) -> Result<Vec<String>, String> {
        let now = self.digests()?;
        let path = self.subject.baseline.as_ref().unwrap_or(&self.own);
        let baseline = match read_baseline(path) {
            Ok(baseline) => baseline,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.subject.baseline.is_none() => {
                write_baseline(path, &now).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
                tracing::info!(target: "prunella::probes", baseline = %path.display(), files = now.len(), "a baseline was recorded");
                now.clone()
            }
            Err(error) => return Err(format!("the baseline {} cannot be read: {error}", path.display())),
        };
        let mut differences = Vec::new();
        for (path, digest) in &now {
            match baseline.get(path) {
                Some(known) if known == digest => {}
                Some(_) => differences.push(format!("changed {}", path.display())),
                None => differences.push(format!("added {}", path.display())),
            }
        }
        let missing = baseline.keys().filter(|path| !now.contains_key(*path) && !self.subject.exclude.is_match(path));
        differences.extend(missing.map(|path| format!("missing {}", path.display())));
        Ok(differences)
    }

    fn digests(&mut self) -> Result<Digests, String> {
        let mut files = Vec::new();
        for path in &self.subject.paths {
            gather(path, &mut files).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        }
        files.retain(|path| !self.subject.exclude.is_match(path));
        let mut now = Digests::new();
        let mut known = BTreeMap::new();
        for path in files {
            let read = match self.known.get(&path) {
                Some((stamp, digest)) if stamp_of(&path).is_ok_and(|it| it == *stamp) => Ok((*stamp, *digest)),
                Some(_) | None => digest(&path),
            };
            match read {
                Ok((stamp, digest)) => {
                    known.insert(path.clone(), (stamp, digest));
                    now.insert(path, digest);
                }
                // One that went away meanwhile is missing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
            }
        }
        self.known = known;
        Ok(now)
    }
}

/// All files and links at and below a path; others (sockets, pipes, devices) have no content to compare.
fn gather(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let kind = match fs::symlink_metadata(&path) {
            Ok(meta) => meta.file_type(),
            // What is not there is missing, if the baseline has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if kind.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else if kind.is_file() || kind.is_symlink() {
            files.push(path);
        }
        if files.len() + left.len() > FILES_MAX {
            return Err(io::Error::other(format!("there are more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

fn stamp_of(path: &Path) -> io::Result<Stamp> {
    let meta = fs::symlink_metadata(path)?;
    Ok(Stamp {
        inode: meta.ino(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

fn digest(path: &Path) -> io::Result<(Stamp, Sha256)> {
    // Before reading: a file that is written meanwhile does not look as it did then, and is read again.
    let stamp = stamp_of(path)?;
    let mut hasher = Hasher::new();
    if fs::symlink_metadata(path)?.is_symlink() {
        hasher.update(fs::read_link(path)?.as_os_str().as_bytes());
        return Ok((stamp, Sha256(hasher.finalize().into())));
    }
    // A pipe that took the file's place must not hold up the thread.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file any more"));
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((stamp, Sha256(hasher.finalize().into())));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

fn read_baseline(path: &Path) -> io::Result<Digests> {
    let mut text = Vec::new();
    File::open(path)?.take(BASELINE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BASELINE_MAX {
        return Err(io::Error::other(format!("it is longer than {BASELINE_MAX} bytes")));
    }
    let mut digests = Digests::new();
    for (at, line) in text.split(|it| *it == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let entry = entry(line).ok_or_else(|| {
            io::Error::other(format!("line {} is not as sha256sum writes it, with an absolute path", at + 1))
        })?;
        digests.insert(entry.0, entry.1);
    }
    Ok(digests)
}

/// `<64 hex digits>  <path>`, or ` *<path>` for binary mode.
fn entry(line: &[u8]) -> Option<(PathBuf, Sha256)> {
    let (hex, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    let hex = std::str::from_utf8(hex).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
    path.is_absolute().then_some((path, Sha256(digest)))
}

fn write_baseline(path: &Path, digests: &Digests) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    for (path, digest) in digests {
        // Such a name cannot be written as a line; the file counts as added, which is said.
        if path.as_os_str().as_bytes().contains(&b'\n') {
            continue;
        }
        file.write_all(format!("{digest}  ").as_bytes())?;
        file.write_all(path.as_os_str().as_bytes())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobSetBuilder};

    use super::*;

    #[test]
    fn changed_added_and_missing_files_are_named_and_others_are_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir_all(etc.join("sub")).unwrap();
        for name in ["a", "b", "sub/c"] {
            fs::write(etc.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a", etc.join("link")).unwrap();
        let exclude = GlobSetBuilder::new().add(Glob::new("**/*.bak").unwrap()).build().unwrap();
        let subject = DriftSubject { paths: vec![etc.clone()], exclude, baseline: None };
        let own = dir.path().join("state/baselines/it.drift");
        let mut it = Watch { subject, own: own.clone(), known: BTreeMap::new() };
        assert_eq!(it.compare().unwrap(), Vec::<String>::new(), "the first look records");
        assert_eq!(fs::read_to_string(&own).unwrap().lines().count(), 4);
        fs::write(etc.join("x.bak"), "").unwrap();
        assert_eq!(it.compare().unwrap(), Vec::<String>::new());
        fs::write(etc.join("a"), "A").unwrap();
        fs::remove_file(etc.join("b")).unwrap();
        fs::remove_file(etc.join("link")).unwrap();
        std::os::unix::fs::symlink("b", etc.join("link")).unwrap();
        fs::write(etc.join("sub/d"), "").unwrap();
        let named = |what: &str, name: &str| format!("{what} {}", etc.join(name).display());
        let expected =
            [named("changed", "a"), named("changed", "link"), named("added", "sub/d"), named("missing", "b")];
        let mut found = it.compare().unwrap();
        found.sort();
        let mut sorted = expected.to_vec();
        sorted.sort();
        assert_eq!(found, sorted);
        // What is known by its stamp is believed, so reading it again would show.
        let (stamp, _) = *it.known.get(&etc.join("sub/c")).unwrap();
        it.known.insert(etc.join("sub/c"), (stamp, Sha256([7; 32])));
        assert!(it.compare().unwrap().contains(&named("changed", "sub/c")));
        fs::remove_file(&own).unwrap();
        it.known.clear();
        assert_eq!(it.compare().unwrap(), Vec::<String>::new(), "recorded anew");
        fs::write(&own, "nonsense\n").unwrap();
        assert!(it.compare().unwrap_err().contains("line 1 is not as sha256sum writes it"));
    }
}
