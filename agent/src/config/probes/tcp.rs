//! An address that must accept a connection.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::super::check::{Checked, Checker};
use super::super::keys::{Key, Keys};
use super::{Row, Stands, Subject};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSubject {
    /// The address.
    pub address: HostPort,
}

/// A host and a port. Names are looked up at each look; addresses need no look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPort {
    /// An address.
    Address(SocketAddr),
    /// A name to look up, and a port: `name:port`.
    Name(String),
}

impl HostPort {
    /// Reads `HOST:PORT`; none when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self::Address(address));
        }
        let good = text.rsplit_once(':').is_some_and(|(host, port)| {
            let host_fits = host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_'));
            !host.is_empty() && host_fits && port.parse::<u16>().is_ok_and(|it| it != 0)
        });
        good.then(|| Self::Name(text.to_owned()))
    }

    /// The host without its port, as a certificate would name it.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Address(address) => address.ip().to_string(),
            Self::Name(name) => name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host).to_owned(),
        }
    }
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Tcp,
    about: "An address that must accept a connection.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(1),
    keys: &[Key::needed("address", "127.0.0.1:5432", "`HOST:PORT`; a name is looked up at each look")],
    series: &[],
    example: "kind = \"tcp\"\naddress = \"127.0.0.1:5432\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Tcp(TcpSubject { address: keys.address("address")? }))
}

impl Checker<'_> {
    pub(crate) fn host_port(&self, text: &str, span: Range<usize>) -> Checked<HostPort> {
        HostPort::parse(text).ok_or_else(|| {
            self.source.at(span, format!("{text:?} is not an address; write HOST:PORT, for example 127.0.0.1:8080"))
        })
    }
}
