//! Peers that start a dead process again, each configured as its own manual says and no further.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Found, Peer};

/// The program that is watched: the same for all.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Watched {
    /// This program.
    pub(in crate::bench) program: PathBuf,
    /// Where it listens.
    pub(in crate::bench) port: u16,
    /// The directory of its own, with its register, its data and its supervisor's files.
    pub(in crate::bench) at: PathBuf,
}

impl Watched {
    /// The register of its runs.
    pub(in crate::bench) fn births(&self) -> PathBuf {
        self.at.join("births")
    }

    fn words(&self) -> [String; 9] {
        let path = |it: &Path| it.display().to_string();
        let (births, data) = (path(&self.births()), path(&self.at.join("data")));
        let [chain, db, port] = ["chain", "db", "--port"].map(str::to_owned);
        let [to, at] = ["--births", "--data"].map(str::to_owned);
        [path(&self.program), chain, db, port, self.port.to_string(), to, births, at, data]
    }

    /// Its command line. Every word is plain, so that it means the same in every configuration.
    pub(in crate::bench) fn line(&self) -> String {
        self.words().join(" ")
    }

    /// Its command.
    pub(in crate::bench) fn command(&self) -> Command {
        let [program, rest @ ..] = self.words();
        let mut command = Command::new(program);
        command.args(rest);
        command
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.at.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(path)
    }
}

/// An error when a path cannot stand unquoted in everybody's configuration.
pub(in crate::bench) fn must_be_plain(path: &Path) -> anyhow::Result<()> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"/._-+@".contains(&it);
    anyhow::ensure!(
        path.to_str().is_some_and(|it| it.bytes().all(plain)),
        "{}: the peers' configurations cannot hold such a path; use one of letters, digits and /._-+@ (TMPDIR says where \
         the benchmark works)",
        path.display()
    );
    Ok(())
}

/// A supervisor that is a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Supervisor {
    /// Looks at a pid file every second.
    Monit,
    /// Waits for its children; counts a start as good after a second.
    Supervisord,
    /// Waits for its child; starts it at most once a second.
    S6,
    /// The same for a service that says when it is ready.
    S6Ready,
    /// Waits for its child; starts it at most once a second.
    Runit,
}

impl Supervisor {
    pub(in crate::bench) const ALL: [Self; 5] = [Self::Monit, Self::Supervisord, Self::S6, Self::S6Ready, Self::Runit];

    pub(in crate::bench) const fn name(self) -> &'static str {
        match self {
            Self::Monit => "monit, 1 s cycle",
            Self::Supervisord => "supervisord",
            Self::S6 => "s6-supervise",
            Self::S6Ready => "s6-supervise, readiness",
            Self::Runit => "runit",
        }
    }

    /// The Debian package that it comes from.
    pub(in crate::bench) const fn package(self) -> &'static str {
        match self {
            Self::Monit => "monit",
            Self::Supervisord => "supervisor",
            Self::S6 | Self::S6Ready => "s6",
            Self::Runit => "runit",
        }
    }

    pub(in crate::bench) const fn program(self) -> &'static str {
        match self {
            Self::Monit => "monit",
            Self::Supervisord => "supervisord",
            Self::S6 | Self::S6Ready => "s6-supervise",
            Self::Runit => "runsv",
        }
    }

    /// Whether what it starts belongs to nobody, and is left behind at its end.
    pub(in crate::bench) const fn orphans(self) -> bool {
        match self {
            Self::Monit => true,
            Self::Supervisord | Self::S6 | Self::S6Ready | Self::Runit => false,
        }
    }

    /// Starts it with the one thing that it shall watch.
    pub(in crate::bench) fn start(self, found: &Found, watched: &Watched) -> anyhow::Result<Peer> {
        let (at, line) = (watched.at.display(), watched.line());
        let mut command = found.command();
        match self {
            Self::Monit => {
                // It waits for the end of what it calls, and finds the service by its pid file.
                let start = format!(
                    "#!/bin/sh\n{line} </dev/null >>{at}/out 2>&1 &\necho $! >{at}/pid.new\nmv {at}/pid.new {at}/pid\n"
                );
                let start = watched.write("start", &start, 0o755)?;
                let start = start.display();
                let control = format!(
                    "set daemon 1\nset logfile {at}/monit.log\nset pidfile {at}/monit.pid\nset idfile {at}/monit.id\n\
                     set statefile {at}/monit.state\ncheck process watched with pidfile {at}/pid\n  \
                     start program = \"{start}\"\n  stop program = \"/bin/true\"\n"
                );
                command.arg("-I").arg("-c").arg(watched.write("monitrc", &control, 0o600)?);
            }
            Self::Supervisord => {
                let control = format!(
                    "[supervisord]\nnodaemon=true\nlogfile={at}/supervisord.log\npidfile={at}/supervisord.pid\n\
                     [program:watched]\ncommand={line}\nautorestart=true\n\
                     stdout_logfile=NONE\nstderr_logfile=NONE\n"
                );
                command.arg("-c").arg(watched.write("supervisord.conf", &control, 0o644)?);
            }
            Self::S6 | Self::Runit => {
                watched.write("run", &format!("#!/bin/sh\nexec {line}\n"), 0o755)?;
                command.arg(&watched.at);
            }
            Self::S6Ready => {
                watched.write("run", &format!("#!/bin/sh\necho >&3\nexec 3>&-\nexec {line}\n"), 0o755)?;
                watched.write("notification-fd", "3\n", 0o644)?;
                command.arg(&watched.at);
            }
        }
        Peer::start(command, &watched.at.join("peer.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_go_into_foreign_configurations() {
        must_be_plain(Path::new("/usr/lib/x86_64-linux-gnu/prunella+1.0_a@b")).unwrap();
        for bad in ["/tmp/a b", "/tmp/$HOME", "/tmp/%n", "/tmp/a;b", "/tmp/a\"b", "/tmp/ä", "/tmp/a\nb"] {
            let why = must_be_plain(Path::new(bad)).unwrap_err().to_string();
            assert!(why.contains("TMPDIR"), "{bad}: {why}");
        }
    }

    #[test]
    fn each_supervisor_has_its_own_name() {
        let mut names: Vec<_> = Supervisor::ALL.iter().map(|it| it.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Supervisor::ALL.len());
    }
}
