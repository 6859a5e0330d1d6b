//! The socket by which the helper is asked: only the agent's user gets in.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Duration, Instant};

/// How often a stranger at the door is worth a line in the log.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The system refuses.
    #[error("cannot {verb} the socket {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something else is there.
    #[error("{} is no socket; remove it, or name another path as helper in agent.toml", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Another helper listens.
    #[error("another helper listens on {}; stop it first", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
}

/// A listening socket that only one user may use.
pub(crate) struct Door {
    listener: UnixListener,
    user: u32,
    logged: Option<Instant>,
}

impl Door {
    /// Listens at `path` for processes of `user`.
    ///
    /// The socket belongs to that user and nobody else may connect; that is a second fence. The one that counts is the
    /// kernel's word for who is on the other side of each connection.
    pub(crate) fn open(path: &Path, user: u32) -> Result<Self, DoorError> {
        let io = |verb| move |source| DoorError::Io { verb, path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(DoorError::NoSocket { path: path.to_owned() });
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(DoorError::InUse { path: path.to_owned() });
            }
            // Nobody listens there any more.
            Ok(_) => std::fs::remove_file(path).map_err(io("remove"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("look at")(error)),
        }
        let listener = UnixListener::bind(path).map_err(io("listen on"))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(io("close to others"))?;
        if user != rustix::process::geteuid().as_raw() {
            chown(path, Some(user), None).map_err(io("give away"))?;
        }
        Ok(Self { listener, user, logged: None })
    }

    /// The next connection of the agent's user; others are closed. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.user => return stream,
                    Ok(peer) => self.log(&format!("user {} is not the agent's ({})", peer.uid(), self.user)),
                    Err(error) => self.log(&error.to_string()),
                },
                Err(error) => {
                    self.log(&error.to_string());
                    // Out of descriptors: they come back, and until then the loop must not spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn log(&mut self, why: &str) {
        let now = Instant::now();
        if self.logged.is_none_or(|last| now.duration_since(last) >= LOG_EVERY) {
            self.logged = Some(now);
            tracing::warn!(target: "prunella::helper", %why, "turned somebody away from the helper's socket");
        }
    }
}

/// The number of a user, given by number or by its name in `/etc/passwd`.
///
/// # Errors
/// What is wrong, for a person.
pub fn user_id(user: &str) -> Result<u32, String> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("cannot read /etc/passwd: {error}"))?;
    user_in(&text, user)
        .ok_or_else(|| format!("there is no user {user:?} in /etc/passwd: make one with `useradd --system {user}`"))
}

fn user_in(passwd: &str, user: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\nagent:x:998:997::/:/usr/sbin/nologin\nbroken\n";
        assert_eq!(user_in(text, "agent"), Some(998));
        assert_eq!(user_in(text, "age"), None);
        assert_eq!(user_in(text, "broken"), None);
        assert_eq!(user_id("12"), Ok(12));
    }

    #[tokio::test]
    async fn who_is_not_the_agents_user_is_turned_away() {
        use tokio::io::AsyncReadExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let own = rustix::process::geteuid().as_raw();
        // Given away to another user this needs root, so the door is told afterwards whom it serves.
        let mut door = Door::open(&path, own).unwrap();
        assert!(matches!(Door::open(&path, own), Err(DoorError::InUse { .. })));
        door.user = own.wrapping_add(1);
        let mut stranger = UnixStream::connect(&path).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            _ = door.next() => panic!("a stranger got in"),
            read = stranger.read(&mut byte) => assert_eq!(read.unwrap(), 0, "the connection is closed"),
        }
        door.user = own;
        let _friend = UnixStream::connect(&path).await.unwrap();
        door.next().await;
        drop(door);
        // What is left of an earlier helper does not hinder the next.
        assert!(Door::open(&path, own).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Door::open(&path, own), Err(DoorError::NoSocket { .. })));
    }
}
