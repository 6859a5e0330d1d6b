//! Keeps a file that others append to within a size: what it holds is moved to `FILE.1`, that to `FILE.2`, and so on.
//!
//! The writer keeps its descriptor, so the content is copied and the file emptied. What is written between the two is
//! lost; that is the price of asking nothing of the writer, which must append.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

/// How large a file may become before it is moved: some days of a talkative service.
pub const BYTES: u64 = 16 * 1024 * 1024;

/// How many full ones are kept beside it.
pub const KEPT: u32 = 3;

/// How often a file's size is looked at. What a writer adds meanwhile comes on top.
pub const LOOK: Duration = Duration::from_secs(10);

/// Moves what `path` holds aside when it is larger than `bytes`; true when it did. Whatever is no plain file is left alone,
/// links included: they may lead to what somebody else means to keep.
///
/// # Errors
/// When the file system does not let it happen; nothing is emptied that was not copied.
pub fn keep_within(path: &Path, bytes: u64, kept: u32) -> io::Result<bool> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !meta.is_file() || meta.len() <= bytes {
        return Ok(false);
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let full = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    for number in (1..kept).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    if kept > 0 {
        let first = numbered(path, 1);
        match fs::remove_file(&first) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Made anew, so that a link which was laid there leads nowhere.
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&first)?;
        io::copy(&mut (&full).take(full.metadata()?.len()), &mut to)?;
    }
    full.set_len(0)?;
    Ok(true)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Keeps files within [`BYTES`], for ever.
pub(crate) async fn watch(files: Vec<PathBuf>) {
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let files = files.clone();
        let look = move || files.iter().for_each(|file| keep(file));
        // It fails only when the agent is ending.
        if tokio::task::spawn_blocking(look).await.is_err() {
            return;
        }
    }
}

/// The same with the usual sizes; what goes wrong is said.
pub fn keep(file: &Path) {
    if let Err(error) = keep_within(file, BYTES, KEPT) {
        tracing::warn!(target: "prunella::services", file = %file.display(), %error, "the file has grown large and cannot be moved aside");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_writer_that_never_stops_fills_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        let mut writer = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for round in 0..6_u8 {
            writer.write_all(&[b'0' + round; 150]).unwrap();
            assert!(keep_within(&path, 100, 2).unwrap());
            assert!(!keep_within(&path, 100, 2).unwrap(), "it is empty now");
        }
        writer.write_all(b"end").unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read("out.log").as_str(), &read("out.log.1")[..1], &read("out.log.2")[..1]), ("end", "5", "4"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_is_neither_followed_nor_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, [1; 200]).unwrap();
        let path = dir.path().join("out.log");
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(!keep_within(&path, 100, 2).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, [2; 200]).unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join("out.log.1")).unwrap();
        assert!(keep_within(&path, 100, 1).unwrap());
        assert_eq!(fs::read(&precious).unwrap(), [1; 200]);
    }
}
