//! A PostgreSQL server that must let in and answer.

use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls, SimpleQueryMessage};

use super::kit::secret;
use crate::board::{Board, Look, Series};
use crate::config::{HostPort, PostgresAddress, PostgresLogin, PostgresSubject};

/// See the module.
pub(super) struct Postgres {
    subject: PostgresSubject,
    timeout: Duration,
    latency: Option<Series>,
}

impl Postgres {
    pub(super) fn new(subject: &PostgresSubject, timeout: Duration, latency: Option<Series>) -> Self {
        Self { subject: subject.clone(), timeout, latency }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let begun = Instant::now();
        let asked = Box::pin(first_value(&self.subject.login, &self.subject.query, self.timeout)).await;
        let latency = begun.elapsed();
        match asked {
            Err(look) => return look,
            Ok(Some(_)) => {}
            Ok(None) => {
                let why = "the query gives no row".to_owned();
                return Look::down(Finding::BadAnswer { code: None, why });
            }
        }
        if let Some(series) = self.latency {
            board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
        }
        match self.subject.slow {
            Some(slow) if latency > slow => {
                let text = format!("answered in {} ms, slower than {} ms", latency.as_millis(), slow.as_millis());
                Look::checked(Level::Warning, text)
            }
            Some(_) | None => Look::up(Finding::Answered { latency }),
        }
    }
}

/// The first value of a query's first row, over a connection of its own; else what that says of the server.
///
/// The inner value is null as the database says it; none means that there is no row.
pub(super) async fn first_value(
    login: &PostgresLogin,
    query: &str,
    limit: Duration,
) -> Result<Option<Option<String>>, Look> {
    let config = config(login).map_err(Look::broken)?;
    let ask = async {
        let (client, connection) = config.connect(NoTls).await?;
        // Both halves run here, so that nothing is left when the look is given up.
        let query = client.simple_query(query);
        tokio::pin!(connection, query);
        tokio::select! {
            biased;
            answer = &mut query => answer,
            ended = &mut connection => match ended {
                Err(error) => Err(error),
                Ok(()) => query.await,
            },
        }
    };
    match timeout(limit, ask).await {
        Err(_) => Err(Look::down(Finding::NoAnswer { waited: limit })),
        Ok(Err(error)) => Err(judged(&error)),
        Ok(Ok(answer)) => Ok(answer.iter().find_map(|it| match it {
            SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok().flatten().map(str::to_owned)),
            _ => None,
        })),
    }
}

fn config(login: &PostgresLogin) -> Result<Config, String> {
    let mut config = Config::new();
    config.user(&login.user).dbname(&login.database).application_name("prunella-agent");
    match &login.address {
        PostgresAddress::Tcp(HostPort::Address(address)) => {
            config.host(address.ip().to_string()).port(address.port());
        }
        PostgresAddress::Tcp(HostPort::Name(name)) => {
            let (host, port) = name.rsplit_once(':').unwrap_or((name, "5432"));
            config.host(host).port(port.parse().unwrap_or(5432));
        }
        PostgresAddress::Socket(dir, port) => {
            config.host_path(dir).port(*port);
        }
    }
    if let Some(path) = &login.password_file {
        config.password(secret::first_line(path)?.as_str());
    }
    Ok(config)
}

/// What an error says: of the probe when it is not let in or asks nonsense, of the server otherwise.
fn judged(error: &Error) -> Look {
    let words = || crate::driver::causes(error);
    if let Some(code) = error.code() {
        let class = code.code().get(..2).unwrap_or_default();
        // Invalid authorization, no such database, and everything that is wrong with a statement.
        if matches!(class, "28" | "3D" | "42" | "22") && *code != SqlState::INSUFFICIENT_RESOURCES {
            return Look::broken(format!("the server refuses the probe: {}", words()));
        }
        return Look::down(Finding::BadAnswer { code: None, why: words() });
    }
    let io = std::error::Error::source(error).and_then(|it| it.downcast_ref::<std::io::Error>());
    match io {
        Some(io) if io.kind() == std::io::ErrorKind::PermissionDenied => Look::broken(words()),
        Some(io) if io.raw_os_error().is_some() => Look::down(Finding::Unreachable { why: io.to_string() }),
        Some(_) => Look::down(Finding::BadAnswer { code: None, why: words() }),
        // What the client itself cannot do: a kind of login, or a password that is missing.
        None if words().contains("password missing") || words().contains("unsupported") => Look::broken(words()),
        None => Look::down(Finding::BadAnswer { code: None, why: words() }),
    }
}
