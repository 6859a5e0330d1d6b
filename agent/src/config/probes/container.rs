//! A container of a Docker-compatible engine.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSubject {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// The container's name or id.
    pub container: String,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Container,
    about: "A container of Docker, Podman or another engine with Docker's API on a Unix socket: it must run, and its own health \
            check, if it has one, must not fail. An engine that cannot be asked is a broken probe.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(3),
    keys: &[
        Key::needed("container", "web", "the container's name or id"),
        Key::of("socket", "/var/run/docker.sock", "the engine's socket; Podman: `/run/podman/podman.sock`"),
    ],
    series: &[("NAME.restarts", "how often the engine restarted it")],
    example: "kind = \"container\"\ncontainer = \"web\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let container = keys.word("container")?;
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    if !container.get_ref().bytes().all(plain) {
        return Err(keys.wrong(container.span(), format!("{:?} is not a container's name", container.get_ref())));
    }
    Ok(Subject::Container(ContainerSubject { socket: keys.path("socket")?, container: container.into_inner() }))
}
