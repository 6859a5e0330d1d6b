//! One exchange of HTTP/1.1 in full: what is sent, and the answer with its headers and its body.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest head of an answer.
const HEAD_MAX: usize = 16 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 96;
/// How much is read at once.
const PIECE: usize = 8 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body was longer than what was asked for.
    pub(crate) cut: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NotHttp(String),
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// The text of a request that asks for one answer.
pub(crate) fn request<'h>(
    path: &str,
    host: &str,
    accept: &str,
    headers: impl Iterator<Item = (&'h String, &'h String)> + Clone,
) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.clone().any(|(it, _)| it.eq_ignore_ascii_case(name));
    for (name, value) in [
        ("Host", host),
        ("User-Agent", concat!("prunella-agent/", env!("CARGO_PKG_VERSION"))),
        ("Accept", accept),
        ("Connection", "close"),
    ] {
        if !has(name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// Sends a request and reads its answer, of whose body at most `body_max` bytes are kept.
///
/// # Errors
/// [`HttpError`] when the connection fails or what comes back is not HTTP/1.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
    body_max: usize,
) -> Result<Answer, HttpError> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut text = Vec::new();
    let mut ended = false;
    loop {
        if let Some(answer) = read(&text, ended, body_max)? {
            return Ok(answer);
        }
        let before = text.len();
        text.resize(before + PIECE, 0);
        let read = match stream.read(text.get_mut(before..).unwrap_or_default()).await {
            Ok(read) => read,
            // Many servers end a TLS connection without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error.into()),
        };
        text.truncate(before + read);
        ended = read == 0;
    }
}

/// Reads an answer as far as it has come; none when more is needed.
fn read(text: &[u8], ended: bool, body_max: usize) -> Result<Option<Answer>, HttpError> {
    let not = |why: &str| HttpError::NotHttp(why.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let body = match head.parse(text) {
        Ok(httparse::Status::Complete(at)) => text.get(at..).unwrap_or_default(),
        Ok(httparse::Status::Partial) if ended && text.is_empty() => {
            return Err(not("it closed the connection without an answer"));
        }
        Ok(httparse::Status::Partial) if ended || text.len() > HEAD_MAX => return Err(not("the answer breaks off")),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(not("the answer is not HTTP/1.1")),
    };
    let lower =
        |it: &httparse::Header<'_>| (it.name.to_ascii_lowercase(), String::from_utf8_lossy(it.value).trim().to_owned());
    let mut answer = Answer {
        code: head.code.ok_or_else(|| not("the answer has no status"))?,
        headers: head.headers.iter().map(lower).collect(),
        body: Vec::new(),
        cut: false,
    };
    let whole = if answer.header("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        let whole = unchunked(body, &mut answer.body).map_err(|()| not("the answer's pieces cannot be told apart"))?;
        whole || answer.body.len() > body_max
    } else {
        let length = answer.header("content-length").and_then(|it| it.parse::<usize>().ok());
        let length = if matches!(answer.code, 204 | 304) { Some(0) } else { length };
        let least = length.unwrap_or(usize::MAX).min(body_max.saturating_add(1));
        if body.len() < least && !ended {
            return Ok(None);
        }
        if body.len() < least && length.is_some() {
            return Err(not("the answer breaks off"));
        }
        answer.body = body.get(..length.unwrap_or(body.len())).unwrap_or(body).to_vec();
        true
    };
    match (whole, ended) {
        (true, _) => {}
        (false, false) => return Ok(None),
        (false, true) => return Err(not("the answer breaks off")),
    }
    answer.cut = answer.body.len() > body_max;
    answer.body.truncate(body_max);
    Ok(Some(answer))
}

/// Puts chunks together; whether the last one has come.
fn unchunked(mut text: &[u8], body: &mut Vec<u8>) -> Result<bool, ()> {
    loop {
        let (at, length) = match httparse::parse_chunk_size(text) {
            Ok(httparse::Status::Complete(it)) => it,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(()),
        };
        if length == 0 {
            return Ok(true);
        }
        let length = usize::try_from(length).map_err(|_| ())?;
        let data = text.get(at..).unwrap_or_default();
        let Some((chunk, rest)) = data.split_at_checked(length) else {
            body.extend_from_slice(data);
            return Ok(false);
        };
        body.extend_from_slice(chunk);
        text = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(text: &str, ended: bool) -> Option<(u16, String, bool)> {
        read(text.as_bytes(), ended, 10).unwrap().map(|it| (it.code, String::from_utf8(it.body).unwrap(), it.cut))
    }

    #[test]
    fn an_answer_ends_by_its_length_its_last_chunk_or_its_connection() {
        let head = "HTTP/1.1 200 OK\r\n";
        assert_eq!(got(&format!("{head}content-length: 2\r\n\r\nok"), false), Some((200, "ok".to_owned(), false)));
        assert_eq!(got(&format!("{head}content-length: 3\r\n\r\nok"), false), None);
        assert!(read(format!("{head}content-length: 3\r\n\r\nok").as_bytes(), true, 10).is_err(), "it breaks off");
        assert_eq!(got(&format!("{head}\r\nok"), false), None);
        assert_eq!(got(&format!("{head}\r\nok"), true), Some((200, "ok".to_owned(), false)));
        assert_eq!(got(&format!("{head}\r\n0123456789abc"), false), Some((200, "0123456789".to_owned(), true)));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n4\r\n, y");
        assert_eq!(got(&chunked, false), None);
        assert!(read(chunked.as_bytes(), true, 10).is_err(), "it breaks off");
        assert_eq!(got(&format!("{chunked}e\r\n0\r\n\r\n"), false), Some((200, "ok, ye".to_owned(), false)));
        assert_eq!(got("HTTP/1.1 204 No Content\r\n\r\n", false), Some((204, String::new(), false)));
        assert!(read(b"SSH-2.0\r\n", false, 10).is_err());
        assert!(read(b"", true, 10).is_err() && read(b"HTTP/1.1 2", true, 10).is_err());
        let bad = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
        assert!(read(bad.as_bytes(), false, 10).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_too_strange(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200), ended: bool) {
            let _ = read(&text, ended, 50);
            let chunked = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(), &text].concat();
            let _ = read(&chunked, ended, 50);
        }
    }
}
