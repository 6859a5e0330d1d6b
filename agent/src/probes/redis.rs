//! A Redis server, asked in its own protocol (RESP2).

use std::io;
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::kit::secret;
use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::{RedisLogin, RedisSubject};

/// The longest line of an answer.
const LINE_MAX: u64 = 4 * 1024;
/// The longest text of an answer: INFO is some kilobytes.
const TEXT_MAX: usize = 256 * 1024;

/// See the module.
pub(super) struct Redis {
    subject: RedisSubject,
    timeout: Duration,
    series: AllSeries,
    /// Evicted keys until then.
    evicted: Option<(f64, Instant)>,
}

/// The series of one Redis probe.
pub(super) struct AllSeries {
    pub(super) latency: Option<Series>,
    pub(super) used: Option<Series>,
    pub(super) used_percent: Option<Series>,
    pub(super) clients: Option<Series>,
    pub(super) evicted: Option<Series>,
}

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A simple text, a number, or a text of many lines.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Nil,
    /// What it has against the question.
    Error(String),
}

/// A connection that is logged in.
pub(super) struct Session(BufReader<TcpStream>);

impl Session {
    /// Connects and logs in; else what that says of the server.
    pub(super) async fn open(login: &RedisLogin) -> Result<Self, Look> {
        let stream = connect(&login.address).await.map_err(|error| not_connected(&error))?;
        let mut session = Self(BufReader::new(stream));
        if let Some(path) = &login.password_file {
            let password = secret::first_line(path).map_err(Look::broken)?;
            let reply = match &login.user {
                Some(user) => session.ask(&["AUTH", user, &password]).await?,
                None => session.ask(&["AUTH", &password]).await?,
            };
            if let Reply::Error(why) = reply {
                return Err(refused(&why));
            }
        }
        Ok(session)
    }

    /// Asks one question.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Reply, Look> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let bad = |error: io::Error| Look::down(Finding::BadAnswer { code: None, why: error.to_string() });
        self.0.get_mut().write_all(text.as_bytes()).await.map_err(bad)?;
        reply(&mut self.0).await.map_err(bad)
    }
}

/// What an error says: of the probe when it is not let in, of the server otherwise.
pub(super) fn refused(why: &str) -> Look {
    match why.split(' ').next() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "ERR") => Look::broken(format!("the server refuses the probe: {why}")),
        _ => Look::down(Finding::BadAnswer { code: None, why: why.to_owned() }),
    }
}

async fn reply(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Reply> {
    let odd = || io::Error::other("the answer is not Redis");
    let line = line(from).await?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(odd)?;
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(rest.parse().map_err(|_| odd())?),
        "$" if rest == "-1" => Reply::Nil,
        "$" => {
            let length: usize = rest.parse().map_err(|_| odd())?;
            if length > TEXT_MAX {
                return Err(io::Error::other(format!("the answer is longer than {TEXT_MAX} bytes")));
            }
            let mut text = vec![0; length + 2];
            from.read_exact(&mut text).await?;
            text.truncate(length);
            Reply::Text(String::from_utf8_lossy(&text).into_owned())
        }
        _ => return Err(odd()),
    })
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(LINE_MAX).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None if line.is_empty() => Err(io::Error::other("it closed the connection without an answer")),
        None => Err(io::Error::other("the answer is not Redis")),
    }
}

impl Redis {
    pub(super) fn new(subject: &RedisSubject, timeout: Duration, series: AllSeries) -> Self {
        Self { subject: subject.clone(), timeout, series, evicted: None }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let begun = Instant::now();
        let asked = timeout(self.timeout, self.ask()).await;
        let latency = begun.elapsed();
        let info = match asked {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(look)) => return look,
            Ok(Ok(info)) => info,
        };
        if let Some(series) = self.series.latency {
            board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
        }
        match info.and_then(|info| self.warning(&info, board)) {
            Some(warning) => Look::checked(Level::Warning, warning),
            None => Look::up(Finding::Answered { latency }),
        }
    }

    /// Asks PING, then INFO; none for a server that has no INFO, or does not show it.
    async fn ask(&self) -> Result<Option<String>, Look> {
        let mut session = Session::open(&self.subject.login).await?;
        match session.ask(&["PING"]).await? {
            Reply::Text(text) if text == "PONG" => {}
            Reply::Error(why) => return Err(refused(&why)),
            other => {
                let why = format!("PING was answered with {other:?}");
                return Err(Look::down(Finding::BadAnswer { code: None, why }));
            }
        }
        match session.ask(&["INFO"]).await? {
            Reply::Text(text) => Ok(Some(text)),
            Reply::Error(_) | Reply::Number(_) | Reply::Nil => Ok(None),
        }
    }

    /// Measures what the server tells of itself, and says what is not well in it.
    fn warning(&mut self, info: &str, board: &Board) -> Option<String> {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.split_once(':').filter(|(it, _)| *it == name))
                .map(|(_, value)| value.trim())
        };
        let number = |name: &str| field(name)?.parse::<f64>().ok();
        let set = |series: Option<Series>, value: Option<f64>| {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, value);
            }
        };
        set(self.series.used, number("used_memory"));
        set(self.series.clients, number("connected_clients"));
        let limit = number("maxmemory").filter(|it| *it > 0.0);
        let share = number("used_memory").zip(limit).map(|(used, limit)| (used / limit * 1_000.0).round() / 10.0);
        set(self.series.used_percent, share);
        if let Some(evicted) = number("evicted_keys") {
            let now = Instant::now();
            if let Some((before, at)) = self.evicted {
                let passed = now.duration_since(at).max(Duration::from_millis(1)).as_secs_f64();
                set(self.series.evicted, Some(((evicted - before).max(0.0) / passed * 10.0).round() / 10.0));
            }
            self.evicted = Some((evicted, now));
        }
        if field("master_link_status") == Some("down") {
            return Some("this replica has lost its master".to_owned());
        }
        if field("rdb_last_bgsave_status") == Some("err") || field("aof_last_write_status") == Some("err") {
            return Some("its last save to disk failed".to_owned());
        }
        let full = share.filter(|it| *it >= self.subject.warn_memory_percent);
        full.map(|it| format!("{it} % of its memory limit is used"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_read_in_their_kinds() {
        let read = async |text: &str| reply(&mut text.as_bytes()).await.map_err(|it| it.to_string());
        assert_eq!(read("+PONG\r\n").await, Ok(Reply::Text("PONG".to_owned())));
        assert_eq!(read(":12\r\n").await, Ok(Reply::Number(12)));
        assert_eq!(read("$2\r\nok\r\n").await, Ok(Reply::Text("ok".to_owned())));
        assert_eq!(read("$-1\r\n").await, Ok(Reply::Nil));
        assert_eq!(read("-ERR no\r\n").await, Ok(Reply::Error("ERR no".to_owned())));
        for odd in ["", "\r\n", "HTTP/1.1 400\r\n", "$x\r\n", "$999999999\r\n", "+PONG", ":x\r\n", "ü\r\n"] {
            assert!(read(odd).await.is_err(), "{odd:?}");
        }
    }
}
