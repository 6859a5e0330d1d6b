//! The host's clock against a time server.

use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{HostPort, Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockSubject {
    /// The time server.
    pub server: HostPort,
    /// The difference from which on it is a warning.
    pub warn: Duration,
    /// The difference from which on it is critical.
    pub critical: Duration,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Clock,
    about: "The host's clock against a time server, by SNTP: one question, nothing is set. A server that does not answer, or is not \
            synchronised itself, tells nothing. Rule `clock_skew` speaks for it.",
    stands: Stands::Host,
    interval: Duration::from_secs(300),
    timeout: Duration::from_secs(3),
    keys: &[
        Key::needed("server", "time.example:123", "`HOST:PORT` of the time server"),
        Key::of("warn", "100ms", "the difference from which on it is a warning"),
        Key::of("critical", "1s", "the difference from which on it is critical"),
    ],
    series: &[("NAME.offset_seconds", "how far the host's clock is behind (negative: ahead)")],
    example: "kind = \"clock\"\nserver = \"time.example:123\"\nwarn = \"50ms\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let (warn, critical) = (keys.span("warn")?, keys.span("critical")?);
    if warn > critical {
        return Err(keys.misfit("warn", "warn must not be longer than critical"));
    }
    Ok(Subject::Clock(ClockSubject { server: keys.address("server")?, warn, critical }))
}
