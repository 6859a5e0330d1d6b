//! The host administrator's own brake: a file. It works with the server down, and nothing on the wire can lift it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The longest reason that is read from a pause file; the rest would only fill reports.
const REASON_MAX: u64 = 200;

/// The files that pause this host while any of them exists.
#[derive(Debug, Clone)]
pub struct PauseFiles {
    paths: Vec<PathBuf>,
}

impl PauseFiles {
    /// Watches these paths. They lie in directories that only the host's administrator and the agent may write to.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }

    /// Why the host is paused; none when it is not.
    ///
    /// A file that is there but cannot be read pauses too: when in doubt, nothing is done.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.paths.iter().find_map(|path| reason_in(path))
    }
}

/// Opens without waiting: a named pipe in place of the file must not stop the agent.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn reason_in(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    match open(path).and_then(|file| file.take(REASON_MAX).read_to_end(&mut text)) {
        Ok(_) => {
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().next().unwrap_or_default().trim();
            let why = if line.is_empty() { "no reason given" } else { line };
            Some(format!("{why} ({})", path.display()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(error) => Some(format!("{} is there, but cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_pauses_as_long_as_it_exists_and_its_first_line_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        let files = PauseFiles::new(vec![dir.path().join("other/pause"), path.clone()]);
        assert_eq!(files.reason(), None);
        std::fs::write(&path, "swapping disks\nuntil noon\n").unwrap();
        assert_eq!(files.reason(), Some(format!("swapping disks ({})", path.display())));
        std::fs::write(&path, "").unwrap();
        assert_eq!(files.reason(), Some(format!("no reason given ({})", path.display())));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.reason(), None);
    }

    #[test]
    fn what_cannot_be_read_pauses() {
        let dir = tempfile::tempdir().unwrap();
        let files = PauseFiles::new(vec![dir.path().to_owned()]);
        assert!(files.reason().is_some_and(|why| why.contains("cannot be read")));
    }
}
