//! A file that lines are appended to.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::super::check::Checked;
use super::super::keys::{Key, Keys};
use super::{Row, Stands, Subject};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSubject {
    /// The file.
    pub path: PathBuf,
    /// A line counts when it contains this.
    pub pattern: String,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Log,
    about: "Lines of a file that contain a text, from the end of the file on as it is at the first look; across rotation and \
            truncation. Rule `log_errors` counts them over five minutes.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::needed("path", "/var/log/app.log", "the file; one that appears later is read from its beginning"),
        Key::needed("pattern", "ERROR", "what a line must contain to count"),
    ],
    series: &[],
    example: "kind = \"log\"\npath = \"/var/log/app.log\"\npattern = \"ERROR\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Log(LogSubject { path: keys.path("path")?, pattern: keys.word("pattern")?.into_inner() }))
}
