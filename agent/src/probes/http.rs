//! An HTTP/1.1 address that must answer with an expected status.
//!
//! Mostly the status line is all that matters, so this speaks just enough HTTP to get one. Each look makes a connection of its own, as
//! a new user would: one that is kept open would not notice that nobody accepts any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::kit::http1::{self, HttpError};
use super::kit::tls::{self, Roots};
use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::{HttpSubject, Url};

/// The longest beginning of an answer in which its status line must end. Health pages fit as a whole.
const BEGINNING_MAX: usize = 2048;
/// How much of an answer's rest is read, so that closing does not look like a reset to the server.
const REST_MAX: usize = 64 * 1024;
/// How long that may take: the verdict is certain by then, and must not wait for a server that never closes.
const REST_WITHIN: Duration = Duration::from_millis(10);
/// How much of a body is searched.
const BODY_MAX: usize = 256 * 1024;

/// See the module.
pub(super) struct Http {
    subject: HttpSubject,
    request: String,
    timeout: Duration,
    roots: Arc<Roots>,
    latency: Option<Series>,
    age: Option<Series>,
}

/// What came back.
enum Answer {
    Status {
        code: u16,
        /// Nothing more will come.
        whole: bool,
    },
    Full(http1::Answer),
    NotHttp(String),
}

impl Http {
    pub(super) fn new(
        subject: &HttpSubject,
        timeout: Duration,
        roots: &Arc<Roots>,
        latency: Option<Series>,
        age: Option<Series>,
    ) -> Self {
        let url = &subject.url;
        let request = http1::request(&url.path, &url.host, "*/*", subject.headers.iter());
        Self { subject: subject.clone(), request, timeout, roots: Arc::clone(roots), latency, age }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        let mut stream = match timeout_at(deadline, connect(&self.subject.url.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return not_connected(&error),
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
        };
        if !self.subject.url.tls {
            return self.judge(&mut stream, begun, board).await;
        }
        // A handshake needs more room than all else; only the probes that make one shall have it.
        let handshake = Box::pin(secure(&self.subject.url, &self.roots, self.subject.ca_file.as_deref(), stream));
        match timeout_at(deadline, handshake).await {
            Ok(Ok(mut stream)) => self.judge(&mut stream, begun, board).await,
            Ok(Err(look)) => look,
            Err(_) => Look::down(Finding::NoAnswer { waited: self.timeout }),
        }
    }

    async fn judge(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), begun: Instant, board: &Board) -> Look {
        let answer = timeout_at(begun + self.timeout, self.ask(stream)).await;
        let latency = begun.elapsed();
        let (code, full) = match answer {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(error)) => return Look::down(Finding::BadAnswer { code: None, why: error.to_string() }),
            Ok(Ok(Answer::NotHttp(why))) => return Look::down(Finding::BadAnswer { code: None, why }),
            Ok(Ok(Answer::Status { code, whole })) => {
                if !whole {
                    let _ = timeout(REST_WITHIN, drain(stream)).await;
                }
                (code, None)
            }
            Ok(Ok(Answer::Full(answer))) => (answer.code, Some(answer)),
        };
        if let Some(series) = self.latency {
            // A tenth of a millisecond is as fine as anybody needs, and often the same as before.
            board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
        }
        let expect = &self.subject.expect_status;
        let good = if expect.is_empty() { (200..400).contains(&code) } else { expect.contains(&code) };
        if !good {
            let expected = match &expect[..] {
                [] => "200 to 399".to_owned(),
                some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
            };
            let why = format!("status {code}; expected {expected}");
            return Look::down(Finding::BadAnswer { code: Some(code), why });
        }
        if let Some(why) = full.as_ref().and_then(|it| self.objection(it, board)) {
            return Look::down(Finding::BadAnswer { code: Some(code), why });
        }
        match self.subject.slow {
            Some(slow) if latency > slow => {
                let text = format!("answered in {} ms, slower than {} ms", latency.as_millis(), slow.as_millis());
                Look::checked(Level::Warning, text)
            }
            Some(_) | None => Look::up(Finding::Answered { latency }),
        }
    }

    /// What is wrong with an answer beyond its status; none when nothing is.
    fn objection(&self, answer: &http1::Answer, board: &Board) -> Option<String> {
        let age = answer.header("age").and_then(|it| it.parse::<u32>().ok());
        if let (Some(series), Some(age)) = (self.age, age) {
            board.measure(series, f64::from(age));
        }
        for (name, expected) in &self.subject.expect_headers {
            match answer.header(name) {
                Some(found) if found.to_ascii_lowercase().contains(&expected.to_ascii_lowercase()) => {}
                Some(found) => return Some(format!("header {name} is {found:?}; expected {expected:?}")),
                None => return Some(format!("there is no header {name}; expected {expected:?}")),
            }
        }
        let text = self.subject.expect_text.as_ref()?;
        let has = answer.body.windows(text.len()).any(|it| it == text.as_bytes());
        (!has).then(|| format!("its text does not contain {text:?}"))
    }

    async fn ask(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Answer> {
        if self.subject.expect_text.is_some() || !self.subject.expect_headers.is_empty() {
            return match http1::exchange(stream, &self.request, BODY_MAX).await {
                Ok(answer) => Ok(Answer::Full(answer)),
                Err(HttpError::NotHttp(why)) => Ok(Answer::NotHttp(why)),
                Err(HttpError::Io(error)) => Err(error),
            };
        }
        stream.write_all(self.request.as_bytes()).await?;
        stream.flush().await?;
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

/// A TLS connection to what `url` names; else what that says of it.
pub(super) async fn secure(
    url: &Url,
    roots: &Roots,
    ca_file: Option<&std::path::Path>,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Look> {
    let host = url.address.host();
    let name = ServerName::try_from(host.clone())
        .map_err(|_| Look::broken(format!("{host:?} is not a name that a certificate can have")))?;
    let config = roots.get(ca_file).and_then(|roots| tls::client(roots, b"http/1.1")).map_err(Look::broken)?;
    tls::connect(config, name, stream)
        .await
        .map_err(|error| Look::down(Finding::BadAnswer { code: None, why: tls::objection(&error) }))
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

async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
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
