//! An HTTP/1.1 address that must answer with an expected status.
//!
//! Only the status line matters, so this speaks just enough HTTP to get one. Each look makes a connection of its own, as
//! a new user would: one that is kept open would not notice that nobody accepts any more.

use std::io;
use std::time::Duration;

use prunella_model::observation::Finding;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::{HostPort, HttpSubject};

/// The longest beginning of an answer in which its status line must end. Health pages fit as a whole.
const BEGINNING_MAX: usize = 2048;
/// How much of an answer's rest is read, so that closing does not look like a reset to the server.
const REST_MAX: usize = 64 * 1024;
/// How long that may take: the verdict is certain by then, and must not wait for a server that never closes.
const REST_WITHIN: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Http {
    address: HostPort,
    request: String,
    expect: Vec<u16>,
    timeout: Duration,
    latency: Option<Series>,
}

/// What came back.
enum Answer {
    Status {
        code: u16,
        /// Nothing more will come.
        whole: bool,
    },
    NotHttp(String),
}

impl Http {
    pub(super) fn new(subject: &HttpSubject, timeout: Duration, latency: Option<Series>) -> Self {
        let host = match &subject.address {
            HostPort::Address(address) => address.to_string(),
            HostPort::Name(name) => name.clone(),
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: prunella-agent/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            subject.path,
            env!("CARGO_PKG_VERSION")
        );
        let (address, expect) = (subject.address.clone(), subject.expect_status.clone());
        Self { address, request, expect, timeout, latency }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        let mut stream = match timeout_at(deadline, connect(&self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return not_connected(&error),
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
        };
        let answer = timeout_at(deadline, self.ask(&mut stream)).await;
        let latency = begun.elapsed();
        match answer {
            Err(_) => Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(error)) => Look::down(Finding::BadAnswer { code: None, why: error.to_string() }),
            Ok(Ok(Answer::NotHttp(why))) => Look::down(Finding::BadAnswer { code: None, why }),
            Ok(Ok(Answer::Status { code, whole })) => {
                if let Some(series) = self.latency {
                    // A tenth of a millisecond is as fine as anybody needs, and often the same as before.
                    board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
                }
                if !whole {
                    let _ = timeout(REST_WITHIN, drain(&mut stream)).await;
                }
                let good =
                    if self.expect.is_empty() { (200..400).contains(&code) } else { self.expect.contains(&code) };
                if good {
                    return Look::up(Finding::Answered { latency });
                }
                let expected = match &self.expect[..] {
                    [] => "200 to 399".to_owned(),
                    some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
                };
                Look::down(Finding::BadAnswer { code: Some(code), why: format!("status {code}; expected {expected}") })
            }
        }
    }

    async fn ask(&self, stream: &mut TcpStream) -> io::Result<Answer> {
        stream.write_all(self.request.as_bytes()).await?;
        let mut line = [0u8; BEGINNING_MAX];
        let mut filled = 0;
        loop {
            let room = line.get_mut(filled..).unwrap_or_default();
            let read = stream.read(room).await?;
            filled += read;
            let text = line.get(..filled).unwrap_or_default();
            if let Some(end) = text.iter().position(|it| *it == b'\n') {
                return Ok(status(text.get(..end).unwrap_or_default(), is_whole(text)));
            }
            if read == 0 {
                let why = if filled == 0 { "it closed the connection without an answer" } else { "no status line" };
                return Ok(Answer::NotHttp(why.to_owned()));
            }
        }
    }
}

fn status(line: &[u8], whole: bool) -> Answer {
    let code = line
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.split(|it| *it == b' ').nth(1))
        .and_then(|code| std::str::from_utf8(code).ok())
        .and_then(|code| code.trim_end().parse().ok());
    let other = || Answer::NotHttp("the answer is not HTTP/1.1".to_owned());
    code.map_or_else(other, |code| Answer::Status { code, whole })
}

/// Whether this is all of an answer; false when it cannot be told.
fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").and_then(|it| answer.split_at_checked(it + 4));
    let Some((head, body)) = end else { return false };
    let length = head.split(|it| *it == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|it| *it == b':')?)?;
        let value = std::str::from_utf8(value.get(1..)?).ok()?;
        name.eq_ignore_ascii_case(b"content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|it| body.len() >= it)
}

async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0u8; 2048];
    let mut left = REST_MAX;
    while left > 0 {
        match stream.read(&mut rest).await? {
            0 => return Ok(()),
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_says_so() {
        assert!(is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        for part in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok",
        ] {
            assert!(!is_whole(part.as_bytes()), "{part:?}");
        }
    }
}
