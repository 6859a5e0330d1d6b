//! A Redis server.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSubject {
    /// Where and as whom.
    pub login: RedisLogin,
    /// A share of its memory limit above which it is a warning.
    pub warn_memory_percent: f64,
}

/// Where a Redis server is, and who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisLogin {
    /// Where it listens.
    pub address: HostPort,
    /// The user; none means the default one.
    pub user: Option<String>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
}

/// The keys of a login, for every probe that needs one.
pub(super) const USER: Key = Key::maybe("user", "the default user", "the user that logs in");
pub(super) const PASSWORD: Key = Key::maybe(
    "password_file",
    "no password",
    "a file whose first line is the password, which only root and the agent's user can read",
);

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Redis,
    about: "A Redis server (or one that speaks its protocol) that must answer PING. What it tells of itself (INFO) is measured; a \
            replica without its master, a last save that failed, and memory near its limit are warnings. A refused login is a \
            broken probe; a server that still loads its data is down.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::of("address", "127.0.0.1:6379", "`HOST:PORT`"),
        USER,
        PASSWORD,
        Key::of("warn_memory_percent", "90", "the share of `maxmemory` above which it is a warning"),
    ],
    series: &[
        ("NAME.latency_seconds", "from the connection to the answer"),
        ("NAME.used_memory_bytes", "memory of its data"),
        ("NAME.memory_used_percent", "the same, of its limit; absent without one"),
        ("NAME.clients", "connected clients"),
        ("NAME.evicted_per_second", "keys that were thrown out for want of memory"),
    ],
    example: "kind = \"redis\"\naddress = \"127.0.0.1:6379\"\npassword_file = \"redis.password\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Redis(RedisSubject {
        login: login(keys, "127.0.0.1:6379")?,
        warn_memory_percent: keys.percent("warn_memory_percent")?,
    }))
}

/// Reads the keys of a login; `otherwise` is the address when none is written.
pub(super) fn login(keys: &Keys<'_>, otherwise: &str) -> Checked<RedisLogin> {
    let user = keys.text("user")?;
    let password_file = keys.maybe_path("password_file")?;
    if let (Some(user), None) = (&user, &password_file) {
        return Err(keys.wrong(user.span(), "user needs password_file"));
    }
    let user = user.map(prunella_settings::Spanned::into_inner);
    let address = keys.text("address")?;
    let (text, at) =
        address.map_or_else(|| (otherwise.to_owned(), keys.kind_at()), |it| (it.get_ref().clone(), it.span()));
    Ok(RedisLogin { address: keys.checker.host_port(&text, at)?, user, password_file })
}
