//! A file system.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct MountSubject {
    /// A path on it.
    pub path: PathBuf,
    /// The share of space or inodes from which on it is a warning.
    pub warn_percent: f64,
    /// The share from which on it is critical.
    pub critical_percent: f64,
    /// Whether the path must be a mount point.
    pub mounted: bool,
    /// Whether it must be writable.
    pub writable: bool,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Mount,
    about: "A file system: its space and its inodes, that it is mounted at all, and that the kernel has not made it read-only after \
            an error. One that does not answer in time (a dead NFS server) is down; it is not asked again until it has answered.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(5),
    keys: &[
        Key::needed("path", "/var", "a path on it"),
        Key::of("warn_percent", "85", "the share of space or inodes in use from which on it is a warning"),
        Key::of("critical_percent", "95", "the share from which on it is critical"),
        Key::of("mounted", "false", "whether the path itself must be a mount point"),
        Key::of("writable", "true", "whether it must be writable"),
    ],
    series: &[
        (
            "disk.PATH.used_percent",
            "space in use, as `df` counts it; on the host rules `disk_low` and `exhaustion` watch it",
        ),
        ("inodes.PATH.used_percent", "inodes in use; absent on file systems that make them as needed"),
    ],
    example: "name = \"var\"\nkind = \"mount\"\npath = \"/var\"\nmounted = true",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let (warn_percent, critical_percent) = (keys.percent("warn_percent")?, keys.percent("critical_percent")?);
    if warn_percent > critical_percent {
        return Err(keys.misfit("warn_percent", "warn_percent must not be more than critical_percent"));
    }
    let (mounted, writable) = (keys.switch("mounted")?, keys.switch("writable")?);
    Ok(Subject::Mount(MountSubject { path: keys.path("path")?, warn_percent, critical_percent, mounted, writable }))
}
