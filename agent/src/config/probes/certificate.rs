//! A TLS server's certificate.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use rustls_pki_types::ServerName;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSubject {
    /// The server.
    pub address: HostPort,
    /// The name that is asked for, and that the certificate must have.
    pub server_name: ServerName<'static>,
    /// Less than this before its end is a warning.
    pub warn: Duration,
    /// Less than this is critical.
    pub critical: Duration,
    /// Whether the chain must lead to a trusted root.
    pub chain: bool,
    /// Roots that are trusted instead of the host's.
    pub ca_file: Option<PathBuf>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Certificate,
    about: "The certificate that a TLS server shows: its end (and that of the intermediates that it sends), its name and its \
            chain. A server that cannot be reached tells nothing of its certificate: unknown. Rules `certificate_expiring` and \
            `certificate_invalid` speak for it.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(3_600),
    timeout: Duration::from_secs(10),
    keys: &[
        Key::needed("address", "shop.example:443", "`HOST:PORT` of the server"),
        Key::maybe(
            "server_name",
            "the host of `address`",
            "the name that is asked for and that the certificate must have",
        ),
        Key::of("warn", "14d", "how long before its end it is a warning"),
        Key::of("critical", "3d", "how long before its end it is critical"),
        Key::of("chain", "true", "whether the chain must lead to a trusted root; `false` for one that is its own root"),
        Key::maybe("ca_file", "the host's own", "a PEM file of the roots that are trusted"),
    ],
    series: &[("NAME.days_left", "days until the first certificate of the chain ends; negative when it has ended")],
    example: "kind = \"certificate\"\naddress = \"127.0.0.1:443\"\nserver_name = \"shop.example\"\nwarn = \"21d\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let address = keys.address("address")?;
    let name = keys.text("server_name")?;
    let (text, at) = match &name {
        Some(name) => (name.get_ref().clone(), name.span()),
        None => (address.host(), keys.kind_at()),
    };
    let server_name = ServerName::try_from(text.clone())
        .map_err(|_| keys.wrong(at, format!("{text:?} is not a name that a certificate can have")))?;
    let (warn, critical) = (keys.span("warn")?, keys.span("critical")?);
    if critical > warn {
        return Err(keys.unfit("critical must not be longer than warn"));
    }
    let (chain, ca_file) = (keys.switch("chain")?, keys.maybe_path("ca_file")?);
    Ok(Subject::Certificate(CertificateSubject { address, server_name, warn, critical, chain, ca_file }))
}
