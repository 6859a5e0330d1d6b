//! The servers of a backend of HAProxy.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaproxySubject {
    /// HAProxy's runtime socket.
    pub socket: PathBuf,
    /// The backend's name.
    pub backend: String,
    /// Fewer healthy servers than these are critical.
    pub min_healthy: u32,
    /// Fewer healthy servers than these are a warning; none means that each server that is down is one.
    pub warn_healthy: Option<u32>,
    /// So many waiting requests are a warning.
    pub warn_queue: Option<u32>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Haproxy,
    about: "The servers of a backend of HAProxy, as its runtime socket (`show stat`) tells: too few healthy ones are critical, one that \
            is down is a warning, and so is a long queue. A server counts as healthy while HAProxy sends it new requests: one \
            without a check of its own does too, and the verdict says how many those are. Maintenance and draining are somebody's \
            wish and no fault as long as enough others are healthy; a server whose name does not resolve is down. A backend that is \
            not there, or a socket that the agent may not use, is a broken probe. It looks at what is behind HAProxy: nothing restarts HAProxy \
            for it.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::needed("backend", "app", "the backend's (or `listen` section's) name"),
        Key::of(
            "socket",
            "/run/haproxy/admin.sock",
            "the `stats socket` of HAProxy's configuration; `level user` is enough",
        ),
        Key::of("min_healthy", "1", "fewer healthy servers than these are critical"),
        Key::maybe(
            "warn_healthy",
            "each server that is down is a warning",
            "fewer healthy servers than these are a warning, and no other server that is down",
        ),
        Key::maybe("warn_queue", "no queue is", "so many requests that wait for a free server, or more, are a warning"),
    ],
    series: &[
        ("NAME.servers_healthy", "servers that get new requests"),
        ("NAME.servers_down", "servers that fail their check, or whose name does not resolve"),
        ("NAME.servers_away", "servers in maintenance, or that are drained"),
        ("NAME.queue", "requests that wait for a free server"),
        ("NAME.sessions", "sessions that the backend has now"),
    ],
    example: "kind = \"haproxy\"\nbackend = \"app\"\nmin_healthy = 2\nwarn_queue = 50",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let backend = keys.word("backend")?;
    // The letters that HAProxy allows: nothing that would end the question and begin another.
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.:".contains(&it);
    if !backend.get_ref().bytes().all(plain) {
        return Err(keys.wrong(backend.span(), format!("{:?} is not a backend's name", backend.get_ref())));
    }
    let min_healthy = keys.count("min_healthy")?.unwrap_or(1);
    let warn_healthy = keys.count("warn_healthy")?;
    if warn_healthy.is_some_and(|it| it < min_healthy) {
        return Err(keys.misfit("warn_healthy", "warn_healthy must not be less than min_healthy"));
    }
    Ok(Subject::Haproxy(HaproxySubject {
        socket: keys.path("socket")?,
        backend: backend.into_inner(),
        min_healthy,
        warn_healthy,
        warn_queue: keys.count("warn_queue")?,
    }))
}
