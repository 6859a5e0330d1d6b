//! A gRPC server's own health service.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcSubject {
    /// The server.
    pub address: HostPort,
    /// The service that is asked for; empty means the server as a whole.
    pub service: String,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Roots that are trusted instead of the host's.
    pub ca_file: Option<PathBuf>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Grpc,
    about: "A gRPC server that must say by `grpc.health.v1.Health/Check` that it serves. One without that service cannot be \
            probed: a broken probe.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::needed("address", "127.0.0.1:50051", "`HOST:PORT`"),
        Key::maybe("service", "the server as a whole", "the service that is asked for: `shop.v1.Cart`"),
        Key::of("tls", "false", "whether the connection is TLS"),
        Key::maybe("ca_file", "the host's own", "a PEM file of the roots that are trusted"),
    ],
    series: &[("NAME.latency_seconds", "until the answer, with the connection")],
    example: "kind = \"grpc\"\naddress = \"127.0.0.1:50051\"\nservice = \"shop.v1.Cart\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Grpc(GrpcSubject {
        address: keys.address("address")?,
        service: keys.text("service")?.map(Spanned::into_inner).unwrap_or_default(),
        tls: keys.switch("tls")?,
        ca_file: keys.maybe_path("ca_file")?,
    }))
}
