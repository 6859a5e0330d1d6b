//! Where the peers' programs are, and from which package they come.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Below a directory into which packages were unpacked, and in the system where a user's PATH does not look.
const BELOW: [&str; 5] = ["", "bin", "sbin", "usr/bin", "usr/sbin"];
const BESIDE: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where peers are looked for.
#[derive(Debug)]
pub(in crate::bench) struct Shelf {
    /// Debian packages unpacked by `dpkg -x`, or a directory of programs; looked into before PATH.
    dir: Option<PathBuf>,
}

/// A peer's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) struct Found {
    program: PathBuf,
    /// The directory of its libraries, when it is not installed but unpacked.
    unpacked: Option<PathBuf>,
}

impl Shelf {
    /// The shelf that `--peers` names; without a directory it is PATH alone.
    ///
    /// # Errors
    /// When there is no such directory.
    pub(in crate::bench) fn new(dir: Option<&Path>) -> anyhow::Result<Self> {
        let Some(dir) = dir else { return Ok(Self { dir: None }) };
        anyhow::ensure!(dir.is_dir(), "--peers {}: there is no such directory", dir.display());
        Ok(Self { dir: Some(std::path::absolute(dir)?) })
    }

    /// Looks for a program.
    pub(in crate::bench) fn find(&self, program: &str) -> Option<Found> {
        let unpacked = self.dir.as_ref().and_then(|dir| {
            let program = BELOW.iter().map(|below| dir.join(below).join(program)).find(|it| it.is_file())?;
            Some(Found { program, unpacked: Some(dir.clone()) })
        });
        unpacked.or_else(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut places = std::env::split_paths(&path).chain(BESIDE.iter().map(PathBuf::from));
            places.find_map(|it| {
                let program = it.join(program);
                program.is_file().then_some(Found { program, unpacked: None })
            })
        })
    }
}

impl Found {
    /// A command that runs it with its own libraries.
    pub(in crate::bench) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(dir) = &self.unpacked {
            command.env("LD_LIBRARY_PATH", libraries(dir)).env("PYTHONPATH", dir.join("usr/lib/python3/dist-packages"));
        }
        command
    }

    /// The directory below which its package lies; empty when it is installed.
    pub(in crate::bench) fn root(&self) -> &Path {
        self.unpacked.as_deref().unwrap_or(Path::new(""))
    }

    /// The version of the installed Debian package; none when the program was not installed as one.
    pub(in crate::bench) fn version(&self, package: &str) -> Option<String> {
        if self.unpacked.is_some() {
            return None;
        }
        let mut ask = Command::new("dpkg-query");
        let ask = ask.args(["-W", "-f", "${Version}", package]).stdin(Stdio::null()).stderr(Stdio::null());
        let said = ask.output().ok().filter(|it| it.status.success())?;
        String::from_utf8(said.stdout).ok().filter(|it| !it.is_empty())
    }
}

/// What a person has to do to have a peer measured.
pub(in crate::bench) fn install(packages: &str) -> String {
    format!("not installed: apt-get install {packages}")
}

/// The directories of shared libraries below a directory into which packages were unpacked.
fn libraries(dir: &Path) -> OsString {
    let mut all = Vec::new();
    for lib in [dir.join("usr/lib"), dir.join("lib")] {
        let inner = std::fs::read_dir(&lib).into_iter().flatten().flatten().map(|it| it.path());
        all.extend(inner.filter(|it| it.to_string_lossy().ends_with("-linux-gnu")));
        all.push(lib);
    }
    all.iter().map(|it| it.as_os_str()).collect::<Vec<_>>().join(OsString::from(":").as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_programs_come_first_and_bring_their_libraries() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("usr/sbin/sh");
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        std::fs::create_dir_all(dir.path().join("usr/lib/x86_64-linux-gnu")).unwrap();
        let shelf = Shelf::new(Some(dir.path())).unwrap();
        let found = shelf.find("sh").unwrap();
        assert_eq!(found.program, own);
        let libraries = libraries(dir.path()).into_string().unwrap();
        assert!(libraries.contains("usr/lib/x86_64-linux-gnu:"), "{libraries}");
        assert_eq!(found.version("dash"), None, "an unpacked program is not the installed package");
        assert_eq!(shelf.find("a-program-that-nobody-has"), None);
        let installed = Shelf::new(None).unwrap().find("sh").unwrap();
        assert_ne!(installed.program, own);
        Shelf::new(Some(&dir.path().join("none"))).unwrap_err();
    }
}
