//! An HTTP address and what it must answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::{Row, Stands, Subject, Url};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSubject {
    /// The address.
    pub url: Url,
    /// Statuses that are good; empty means 200 to 399.
    pub expect_status: Vec<u16>,
    /// What the body must contain.
    pub expect_text: Option<String>,
    /// What headers of the answer must contain, by lower-case name.
    pub expect_headers: BTreeMap<String, String>,
    /// Headers that are sent.
    pub headers: BTreeMap<String, String>,
    /// An answer that takes longer is a warning.
    pub slow: Option<Duration>,
    /// Roots that are trusted instead of the host's.
    pub ca_file: Option<PathBuf>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Http,
    about: "An HTTP/1.1 address that must answer with an expected status, and where it is said with an expected text and headers \
            (of a cache, for example). Each look makes a connection of its own, as a new user would. Over TLS the server's \
            certificate is checked as a browser would.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::needed("url", "http://127.0.0.1:8080/health", "`http://HOST:PORT/PATH` or `https://…`"),
        Key::maybe("expect_status", "200 to 399", "statuses that are good: `[200, 204]`"),
        Key::maybe("expect_text", "any", "a text that the first 256 KiB of the body must contain"),
        Key::maybe(
            "expect_headers",
            "any",
            "texts that headers of the answer must contain: `{ cache-control = \"max-age\", x-cache = \"HIT\" }`",
        ),
        Key::maybe("headers", "none", "headers to send: `{ host = \"shop.example\" }`"),
        Key::maybe("slow", "never", "an answer that takes longer is a warning"),
        Key::maybe("ca_file", "the host's own", "a PEM file of the roots that are trusted"),
    ],
    series: &[
        ("NAME.latency_seconds", "from the first byte sent to the verdict"),
        ("NAME.age_seconds", "how old a cache says its answer is (header `Age`), where headers or a text are expected"),
    ],
    example: "kind = \"http\"\nurl = \"https://shop.example/health\"\nexpect_status = [200]\nexpect_text = \"ok\"\n\
              expect_headers = { cache-control = \"max-age\" }\nslow = \"500ms\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let headers = keys.pairs("headers")?;
    let plain = |text: &str| !text.chars().any(char::is_control);
    let token =
        |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    if headers.iter().any(|(name, value)| !token(name) || !plain(value)) {
        return Err(keys.misfit("headers", "a header's name is a word, and its value a single line"));
    }
    let expect_text = keys.text("expect_text")?;
    if let Some(text) = expect_text.as_ref().filter(|it| it.get_ref().is_empty()) {
        return Err(keys.wrong(text.span(), "every answer contains an empty text"));
    }
    let expect_headers = keys.pairs("expect_headers")?;
    Ok(Subject::Http(HttpSubject {
        url: keys.url("url")?,
        expect_status: keys.codes("expect_status")?.map(Spanned::into_inner).unwrap_or_default(),
        expect_text: expect_text.map(Spanned::into_inner),
        expect_headers: expect_headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        headers,
        slow: keys.maybe_span("slow")?,
        ca_file: keys.maybe_path("ca_file")?,
    }))
}
