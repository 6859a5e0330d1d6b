//! Just enough HTTP/1.1 for services that answer one short request per connection, and for asking them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest request or answer. Paths and texts of the chain are short; whoever sends more is cut off.
const MESSAGE_MAX: usize = 16 * 1024;

/// How long a client may take to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(2);

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub body: String,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }

    /// Whether the service does what it should.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.status == 200
    }
}

/// Asks a service once, on a connection of its own.
///
/// # Errors
/// When it cannot be reached, does not answer within `patience`, or does not speak HTTP.
pub async fn ask(at: SocketAddr, path: &str, patience: Duration) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        stream.take(MESSAGE_MAX as u64).read_to_end(&mut text).await?;
        parse_answer(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
    };
    timeout(patience, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn parse_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer::new(status, body))
}

/// Reads the path of one request, with its query. None when the client left, was too slow, or spoke something else.
pub(super) async fn read_path(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let reading = async {
        let mut part = [0_u8; 1024];
        while !text.windows(4).any(|it| it == b"\r\n\r\n") && text.len() < MESSAGE_MAX {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.extend_from_slice(part.get(..count).unwrap_or_default()),
            }
        }
    };
    timeout(REQUEST_TIME, reading).await.ok()?;
    let line = String::from_utf8_lossy(&text);
    let mut words = line.lines().next()?.split(' ');
    match (words.next()?, words.next()) {
        ("GET" | "POST", Some(path)) if path.starts_with('/') => Some(path.to_owned()),
        _ => None,
    }
}

/// Sends the answer and closes the connection. A client that has gone away is its own business.
pub(super) async fn reply(mut stream: TcpStream, answer: &Answer) {
    let reason = if answer.is_ok() { "OK" } else { "Not OK" };
    let text = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        answer.status,
        answer.body.len(),
        answer.body
    );
    let _ = timeout(REQUEST_TIME, stream.write_all(text.as_bytes())).await;
    let _ = stream.shutdown().await;
}

/// The value of a query's key: `mib` in `/leak?mib=8`.
pub(super) fn query<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_queries_are_read() {
        let answer = parse_answer("HTTP/1.1 503 Not OK\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(answer, Some(Answer::new(503, "no")));
        assert_eq!(parse_answer("SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(query("/leak?a=1&mib=8", "mib"), Some("8"));
        assert_eq!(query("/leak", "mib"), None);
    }
}
