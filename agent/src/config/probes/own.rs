//! A target's own process or unit.

use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::super::ManagerConfig;
use super::super::check::Checked;
use super::super::keys::Keys;
use super::{Row, Stands, Subject};

const SECOND: Duration = Duration::from_secs(1);

/// A process that the agent starts.
pub(super) static PROCESS: Row = Row {
    kind: ProbeKind::Process,
    about: "The main process of a target with `manager = \"command\"`. That it ends is told by the kernel, at once; the \
            interval is that of its measurements. Such a target has one even if it is not written.",
    stands: Stands::Target,
    interval: SECOND,
    timeout: SECOND,
    keys: &[],
    series: &[
        ("process.rss_bytes", "resident memory"),
        ("process.cpu_percent", "processor time, of one processor"),
        ("process.threads", "threads"),
        ("process.open_files", "open files"),
    ],
    example: "kind = \"process\"\ninterval = \"500ms\"",
    check: process,
};

/// A unit of systemd.
pub(super) static UNIT: Row = Row {
    kind: ProbeKind::Unit,
    about: "The unit of a target with `manager = \"systemd\"`, told by systemd's own signals. Such a target has one even if \
            it is not written.",
    stands: Stands::Target,
    interval: SECOND,
    timeout: SECOND,
    keys: &[],
    series: &[],
    example: "kind = \"unit\"",
    check: unit,
};

fn process(keys: &Keys<'_>) -> Checked<Subject> {
    match keys.manager {
        ManagerConfig::Command(_) => Ok(Subject::Process),
        _ => Err(keys.unfit("a process probe needs manager = \"command\"; with systemd use kind = \"unit\"")),
    }
}

fn unit(keys: &Keys<'_>) -> Checked<Subject> {
    match keys.manager {
        ManagerConfig::Systemd { .. } => Ok(Subject::Unit),
        _ => Err(keys.unfit("a unit probe needs manager = \"systemd\"")),
    }
}
