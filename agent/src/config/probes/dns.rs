//! A name that must resolve.

use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSubject {
    /// The name server; none means the first of `/etc/resolv.conf`.
    pub server: Option<HostPort>,
    /// The name, without a dot at its end.
    pub query: String,
    /// What is asked for.
    pub record: RecordType,
    /// Answers that must be there.
    pub expect: Vec<String>,
    /// Whether no others may be there.
    pub exact: bool,
}

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// A mail server: `10 mail.example.com`.
    Mx,
    /// A name server.
    Ns,
    /// A pointer back to a name.
    Ptr,
    /// A text.
    Txt,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Dns,
    about: "A name that must resolve at a name server, and where it is said to expected answers. Asked over UDP, again within its \
            time if nothing comes, and over TCP when the answer does not fit. Rule `dns_wrong` speaks for it.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(3),
    keys: &[
        Key::needed("query", "shop.example", "the name that is asked for"),
        Key::maybe("server", "the first of /etc/resolv.conf", "`HOST:PORT` of the name server"),
        Key::of("record", "a", "`a`, `aaaa`, `cname`, `mx`, `ns`, `ptr` or `txt`"),
        Key::maybe(
            "expect",
            "any answer",
            "answers that must be there: `[\"192.0.2.1\"]`; of `mx`: `\"10 mail.example\"`",
        ),
        Key::of("exact", "false", "whether there must be no others"),
    ],
    series: &[("NAME.latency_seconds", "until the answer")],
    example: "kind = \"dns\"\nserver = \"127.0.0.1:53\"\nquery = \"shop.example\"\nexpect = [\"192.0.2.1\"]\nexact = true",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let query = keys.word("query")?;
    let name = query.get_ref().trim_end_matches('.').to_ascii_lowercase();
    let label = |it: &str| {
        (1..=63).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(keys.wrong(query.span(), format!("{:?} is not a name that can be asked for", query.get_ref())));
    }
    let types = [
        ("a", RecordType::A),
        ("aaaa", RecordType::Aaaa),
        ("cname", RecordType::Cname),
        ("mx", RecordType::Mx),
        ("ns", RecordType::Ns),
        ("ptr", RecordType::Ptr),
        ("txt", RecordType::Txt),
    ];
    let record = keys.choice("record", &types)?;
    let mut expect = keys.words("expect")?.map(Spanned::into_inner).unwrap_or_default();
    if record != RecordType::Txt {
        expect.iter_mut().for_each(|it| *it = it.trim_end_matches('.').to_ascii_lowercase());
    }
    let server = keys.maybe_address("server")?;
    Ok(Subject::Dns(DnsSubject { server, query: name, record, expect, exact: keys.switch("exact")? }))
}
