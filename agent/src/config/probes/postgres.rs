//! A PostgreSQL server.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSubject {
    /// Where and as whom.
    pub login: PostgresLogin,
    /// What is asked; it must give a row.
    pub query: String,
    /// An answer that takes longer is a warning.
    pub slow: Option<Duration>,
}

/// Where a PostgreSQL server is, and who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresLogin {
    /// Where it listens.
    pub address: PostgresAddress,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
}

/// Where a PostgreSQL server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresAddress {
    /// A port of a host.
    Tcp(HostPort),
    /// The directory of its Unix socket, and its port number.
    Socket(PathBuf, u16),
}

/// The keys of a login, for every probe that needs one.
pub(super) const ADDRESS: Key = Key::of(
    "address",
    "/var/run/postgresql",
    "`HOST:PORT`, or the directory of its Unix socket, with `:PORT` after it if that is not 5432",
);
pub(super) const USER: Key = Key::of("user", "postgres", "the role that logs in; give it no right but to log in");
pub(super) const DATABASE: Key = Key::of("database", "postgres", "the database");
pub(super) const PASSWORD: Key = Key::maybe(
    "password_file",
    "no password",
    "a file whose first line is the password, which only root and the agent's user can read",
);

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Postgres,
    about: "A PostgreSQL server that must let in (trust, password, MD5 or SCRAM) and answer a query. A refused login is a \
            broken probe; a server that starts, ends or has no connection left is down. Without TLS: probe a server from its \
            own host.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(3),
    keys: &[
        ADDRESS,
        USER,
        DATABASE,
        PASSWORD,
        Key::of("query", "SELECT 1", "what is asked; it must give a row, and should read only"),
        Key::maybe("slow", "never", "an answer that takes longer is a warning"),
    ],
    series: &[("NAME.latency_seconds", "from the connection to the answer")],
    example: "kind = \"postgres\"\naddress = \"/var/run/postgresql\"\nuser = \"prunella\"\ndatabase = \"shop\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let (login, query) = (login(keys, "/var/run/postgresql")?, keys.word("query")?.into_inner());
    Ok(Subject::Postgres(PostgresSubject { login, query, slow: keys.maybe_span("slow")? }))
}

/// Reads the keys of a login; `otherwise` is the address when none is written.
pub(super) fn login(keys: &Keys<'_>, otherwise: &str) -> Checked<PostgresLogin> {
    let address = keys.text("address")?;
    let (text, at) =
        address.map_or_else(|| (otherwise.to_owned(), keys.kind_at()), |it| (it.get_ref().clone(), it.span()));
    let address = if text.starts_with('/') {
        let (dir, port) = text.rsplit_once(':').unwrap_or((&text, "5432"));
        let port = port.parse().map_err(|_| keys.wrong(at, format!("{port:?} is not a port")))?;
        PostgresAddress::Socket(PathBuf::from(dir), port)
    } else {
        PostgresAddress::Tcp(keys.checker.host_port(&text, at)?)
    };
    let word = |name: &str| {
        let given = keys.text(name)?.map(Spanned::into_inner);
        Ok(given.filter(|it| !it.is_empty()).unwrap_or_else(|| "postgres".to_owned()))
    };
    let (user, database) = (word("user")?, word("database")?);
    Ok(PostgresLogin { address, user, database, password_file: keys.maybe_path("password_file")? })
}
