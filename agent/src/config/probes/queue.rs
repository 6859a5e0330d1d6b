//! The length of a queue of jobs.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{PostgresLogin, RedisLogin, Row, Stands, Subject, postgres, redis};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSubject {
    /// Where its jobs wait.
    pub source: QueueSource,
    /// The length from which on it is a warning.
    pub warn: Option<f64>,
    /// The length from which on it is critical.
    pub critical: Option<f64>,
    /// The most jobs that it can hold.
    pub limit: Option<f64>,
}

/// Where the jobs of a queue wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueSource {
    /// A list of a Redis server.
    Redis(RedisLogin, String),
    /// A query that gives a number.
    Postgres(PostgresLogin, String),
    /// The files of a directory.
    Directory(PathBuf),
}

#[derive(Clone, Copy)]
enum Source {
    Redis,
    Postgres,
    Directory,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Queue,
    about: "The length of a queue of jobs, on the target that works on it: a Redis list, a number that a query gives, or the files of \
            a directory. A long queue alone is no fault: rule `queue_backlog` watches whether it drains (see \
            [queues](queues.md)); `warn` and `critical` are for those who know their limits.",
    stands: Stands::Target,
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(3),
    keys: &[
        Key::needed("source", "redis", "`redis`, `postgres` or `directory`"),
        Key::maybe("list", "needed for `redis`", "the key of the list (LLEN) or stream (XLEN)"),
        Key::maybe(
            "query",
            "needed for `postgres`",
            "a query whose first value is the length: `SELECT count(*) FROM jobs`",
        ),
        Key::maybe("path", "needed for `directory`", "the directory; files whose name begins with a dot do not count"),
        Key::maybe(
            "address",
            "127.0.0.1:6379, or /var/run/postgresql",
            "where the server is, as for `redis` and `postgres`",
        ),
        Key::maybe("user", "as for `redis` and `postgres`", "who logs in"),
        Key::maybe("database", "postgres", "the database, of `postgres`"),
        redis::PASSWORD,
        Key::maybe("warn", "never", "the length from which on it is a warning"),
        Key::maybe("critical", "never", "the length from which on it is critical"),
        Key::maybe("limit", "unlimited", "the most that it can hold, for `queue.used_percent`"),
    ],
    series: &[
        ("queue.length", "jobs that wait; of a probe with a name of its own `queue.NAME.length`"),
        ("queue.oldest_seconds", "how long the oldest file has waited; of `directory`"),
        ("queue.used_percent", "the length, of `limit`"),
    ],
    example: "name = \"mail\"\nkind = \"queue\"\nsource = \"redis\"\nlist = \"jobs:mail\"\nlimit = 10000",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let set = [("redis", Source::Redis), ("postgres", Source::Postgres), ("directory", Source::Directory)];
    let needs = |name: &str, example: &str| {
        keys.text(name)?
            .map(prunella_settings::Spanned::into_inner)
            .filter(|it| !it.is_empty())
            .ok_or_else(|| keys.unfit(format!("a queue probe with this source needs {name}, for example {example:?}")))
    };
    let chosen = keys.choice("source", &set)?;
    let only = [
        ("list", matches!(chosen, Source::Redis), "redis"),
        ("query", matches!(chosen, Source::Postgres), "postgres"),
        ("database", matches!(chosen, Source::Postgres), "postgres"),
        ("path", matches!(chosen, Source::Directory), "directory"),
        ("address", !matches!(chosen, Source::Directory), "redis\" or \"postgres"),
        ("user", !matches!(chosen, Source::Directory), "redis\" or \"postgres"),
        ("password_file", !matches!(chosen, Source::Directory), "redis\" or \"postgres"),
    ];
    if let Some((name, _, source)) = only.iter().find(|(name, fits, _)| !fits && keys.has(name)) {
        return Err(keys.misfit(name, format!("{name} goes with source = \"{source}\" alone")));
    }
    let source = match chosen {
        Source::Redis => QueueSource::Redis(redis::login(keys, "127.0.0.1:6379")?, needs("list", "jobs")?),
        Source::Postgres => QueueSource::Postgres(
            postgres::login(keys, "/var/run/postgresql")?,
            needs("query", "SELECT count(*) FROM jobs")?,
        ),
        Source::Directory => QueueSource::Directory(keys.checker.path(&needs("path", "/var/spool/jobs")?)),
    };
    let (warn, critical, limit) = (keys.number("warn")?, keys.number("critical")?, keys.number("limit")?);
    if warn.zip(critical).is_some_and(|(warn, critical)| warn > critical) {
        return Err(keys.misfit("warn", "warn must not be more than critical"));
    }
    if limit == Some(0.0) {
        return Err(keys.misfit("limit", "a queue that can hold nothing is none"));
    }
    Ok(Subject::Queue(QueueSubject { source, warn, critical, limit }))
}
