//! Backups: contents under their digests, and a list of what was where. Every copy is read again before it counts.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::{Mode, blocking, told};
use crate::clock;
use crate::config::part::Backup;
use crate::snapshot;
use crate::tree::Tree;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    bytes: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    sha256: String,
}

pub(super) async fn make(backup: &Backup, mode: Mode) -> Result<String, String> {
    let backup = backup.clone();
    blocking(move || copy(&backup, mode)).await
}

fn io<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> String + use<'p> {
    move |error| format!("{} {what}: {error}", path.display())
}

/// All regular files of the paths; links are not followed.
fn files(paths: &[PathBuf]) -> Result<Vec<(PathBuf, u64)>, String> {
    let mut all = Vec::new();
    for path in paths {
        let meta = fs::symlink_metadata(path).map_err(io("cannot be read", path))?;
        if meta.is_dir() {
            let tree = Tree::open(path).map_err(|error| error.to_string())?;
            let (leaves, _) = tree.leaves(|_| true).map_err(|error| error.to_string())?;
            all.extend(leaves.into_iter().map(|it| (path.join(it.path), it.bytes)));
        } else if meta.is_file() {
            all.push((path.clone(), meta.len()));
        } else {
            return Err(format!("{} is neither a file nor a directory", path.display()));
        }
    }
    all.sort();
    Ok(all)
}

fn copy(backup: &Backup, mode: Mode) -> Result<String, String> {
    let files = files(&backup.paths)?;
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    if bytes > backup.most {
        return Err(format!("{bytes} bytes would be copied, and {} are permitted at most", backup.most));
    }
    if let Some(told) = told(mode, || format!("copy {} files of {bytes} bytes to {}", files.len(), backup.to.display()))
    {
        return Ok(told);
    }
    let (objects, lists) = (backup.to.join("objects"), backup.to.join("lists"));
    for dir in [&objects, &lists] {
        fs::create_dir_all(dir).map_err(io("cannot be made", dir))?;
    }
    let mut entries = Vec::new();
    let mut added = 0u64;
    for (path, _) in &files {
        let (entry, new) = keep(path, &objects)?;
        added += if new { entry.bytes } else { 0 };
        entries.push(entry);
    }
    let text = serde_json::to_vec(&entries).map_err(|error| error.to_string())?;
    let list = lists.join(format!("{:020}.json", clock::wall_now().as_micros()));
    snapshot::replace(&list, &text, 0o600, None).map_err(io("cannot be written", &list))?;
    let dropped = prune(backup.keep, &objects, &lists)?;
    Ok(format!(
        "{} files of {bytes} bytes backed up and read again, {added} bytes of them new; list {}; {dropped} older contents dropped",
        files.len(),
        list.display()
    ))
}

/// Copies one file under its digest, unless its content is there already and whole.
fn keep(path: &Path, objects: &Path) -> Result<(Entry, bool), String> {
    let mut from = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(io("cannot be read", path))?;
    let beside = objects.join(format!(".new-{}", std::process::id()));
    let copying = (|| {
        let mut to = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        let mut bytes = 0u64;
        loop {
            let read = from.read(&mut buffer)?;
            let Some(some) = buffer.get(..read).filter(|it| !it.is_empty()) else { break };
            hash.update(some);
            to.write_all(some)?;
            bytes += some.len() as u64;
        }
        to.sync_all()?;
        Ok((bytes, hex(&hash.finalize())))
    })();
    let (bytes, sha256) = copying.map_err(io("cannot be copied", path))?;
    let object = objects.join(&sha256);
    let new = digest(&object).as_deref() != Some(&sha256);
    if new {
        fs::rename(&beside, &object).map_err(io("cannot be put in place", &object))?;
        if digest(&object).as_deref() != Some(&sha256) {
            return Err(format!(
                "{} was copied, but its copy reads differently: the disk is not to be trusted",
                path.display()
            ));
        }
    } else {
        fs::remove_file(&beside).map_err(io("cannot be removed", &beside))?;
    }
    let meta = from.metadata().map_err(io("cannot be read", path))?;
    let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
    Ok((Entry { path: path.to_owned(), bytes, mode, uid, gid, sha256 }, new))
}

fn digest(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut buffer).ok()?;
        match buffer.get(..read)? {
            [] => return Some(hex(&hash.finalize())),
            some => hash.update(some),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// Drops the oldest lists beyond the number that is kept, and contents that no list names any more.
fn prune(keep: usize, objects: &Path, lists: &Path) -> Result<usize, String> {
    let names = |dir: &Path| -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(dir).map_err(io("cannot be read", dir))?;
        let mut all: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
        all.sort();
        Ok(all)
    };
    let all = names(lists)?;
    let (old, kept) = all.split_at(all.len().saturating_sub(keep));
    let mut named = BTreeSet::new();
    for list in kept {
        let text = fs::read(list).map_err(io("cannot be read", list))?;
        // A list that cannot be read might name anything: then nothing is dropped.
        let entries: Vec<Entry> =
            serde_json::from_slice(&text).map_err(|error| format!("{} cannot be read: {error}", list.display()))?;
        named.extend(entries.into_iter().map(|it| it.sha256));
    }
    for list in old {
        fs::remove_file(list).map_err(io("cannot be removed", list))?;
    }
    let is_named = |it: &&PathBuf| it.file_name().and_then(|it| it.to_str()).is_some_and(|it| named.contains(it));
    let unnamed: Vec<PathBuf> = names(objects)?.into_iter().filter(|it| !is_named(&it)).collect();
    for object in &unnamed {
        fs::remove_file(object).map_err(io("cannot be removed", object))?;
    }
    Ok(unnamed.len())
}
