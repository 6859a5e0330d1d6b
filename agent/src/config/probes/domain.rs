//! The end of a domain's registration.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject, Url};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSubject {
    /// The registry's record of the domain.
    pub url: Url,
    /// Less than this before its end is a warning.
    pub warn: Duration,
    /// Less than this is critical.
    pub critical: Duration,
    /// Roots that are trusted instead of the host's.
    pub ca_file: Option<PathBuf>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Domain,
    about: "The end of a domain's registration, as the registry's RDAP service says it. A registry that cannot be asked, or does not say \
            it, tells nothing: a broken probe. Rule `domain_expiring` speaks for it.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(43_200),
    timeout: Duration::from_secs(30),
    keys: &[
        Key::needed(
            "url",
            "https://rdap.example/domain/shop.example",
            "the domain's record at its registry (listed by IANA); up to three redirections are followed",
        ),
        Key::of("warn", "30d", "how long before its end it is a warning"),
        Key::of("critical", "7d", "how long before its end it is critical"),
        Key::maybe("ca_file", "the host's own", "a PEM file of the roots that are trusted"),
    ],
    series: &[("NAME.days_left", "days until it ends; negative when it has ended")],
    example: "kind = \"domain\"\nurl = \"https://rdap.example/domain/shop.example\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let (warn, critical) = (keys.span("warn")?, keys.span("critical")?);
    if critical > warn {
        return Err(keys.misfit("critical", "critical must not be longer than warn"));
    }
    Ok(Subject::Domain(DomainSubject { url: keys.url("url")?, warn, critical, ca_file: keys.maybe_path("ca_file")? }))
}
