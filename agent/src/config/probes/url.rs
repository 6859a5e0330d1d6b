//! Addresses of the form `http://HOST:PORT/PATH`.

use prunella_settings::Spanned;

use super::HostPort;
use crate::config::check::{Checked, Checker};
use crate::config::keys::Keys;

/// Where to connect, and what to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Where to connect.
    pub address: HostPort,
    /// What the `Host` header says.
    pub host: String,
    /// Path and query, with the leading slash.
    pub path: String,
}

impl Url {
    /// Reads an address; none when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let plain = path.bytes().all(|it| it.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !plain {
            return None;
        }
        let with_port = if authority.rsplit(']').next().is_some_and(|it| it.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:{}", if tls { 443 } else { 80 })
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { tls, address: HostPort::parse(&with_port)?, host: authority.to_owned(), path })
    }
}

impl Checker<'_> {
    /// An address that is asked without TLS.
    pub(crate) fn plain_url(&self, text: &Spanned<String>) -> Checked<Url> {
        Url::parse(text.get_ref()).filter(|it| !it.tls).ok_or_else(|| {
            let what = "write the address as http://HOST:PORT/PATH, without spaces or a user";
            self.source.at(text.span(), format!("{:?} cannot be asked; {what}", text.get_ref()))
        })
    }
}

impl Keys<'_> {
    /// An address that must be there.
    pub(crate) fn url(&self, name: &str) -> Checked<Url> {
        let text = self.word(name)?;
        Url::parse(text.get_ref()).ok_or_else(|| {
            let what = "write the address as http://HOST:PORT/PATH or https://…, without spaces or a user";
            self.wrong(text.span(), format!("{:?} cannot be probed; {what}", text.get_ref()))
        })
    }
}
