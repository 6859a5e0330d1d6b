//! A control group.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::ManagerConfig;
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupSubject {
    /// Its path below the mount point of control groups; none means that of the target's main process.
    pub path: Option<PathBuf>,
    /// The share of its memory limit from which on it is a warning.
    pub warn_memory_percent: f64,
    /// The share of throttled periods from which on it is a warning.
    pub warn_throttled_percent: f64,
    /// How long a kill for want of memory is told.
    pub recent: Duration,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Cgroup,
    about: "A control group (v1 or v2): its memory against its limit, kills for want of memory, processor throttling, and its \
            processes against their limit. A kill is critical for a while (rule `oom_killed`); with v2 and a `path` it is told at \
            once. Memory is what cannot be dropped: page cache that was not used lately does not count.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(1),
    keys: &[
        Key::maybe(
            "path",
            "that of the target's main process",
            "its path: `system.slice/web.service`, `docker/ID`, `kubepods.slice/…`",
        ),
        Key::of("warn_memory_percent", "90", "the share of its memory limit from which on it is a warning"),
        Key::of(
            "warn_throttled_percent",
            "50",
            "the share of scheduling periods in which it was throttled that is a warning",
        ),
        Key::of("recent", "10m", "how long a kill for want of memory is told"),
    ],
    series: &[
        ("cgroup.memory_bytes", "memory that cannot be dropped"),
        ("cgroup.memory_used_percent", "the same, of its limit; absent without one"),
        ("cgroup.throttled_percent", "periods in which it was throttled since the look before"),
        ("cgroup.processes_used_percent", "processes, of their limit; absent without one"),
        ("cgroup.oom_kills", "kills for want of memory since the group was made"),
    ],
    example: "kind = \"cgroup\"\npath = \"system.slice/web.service\"",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let path = keys.text("path")?;
    if let Some(path) = &path
        && path.get_ref().split('/').any(|it| it == "..")
    {
        return Err(keys.wrong(path.span(), "the path must stay below the control groups"));
    }
    if path.is_none() && *keys.manager == ManagerConfig::None {
        return Err(keys.unfit(
            "without a process of its own, a cgroup probe needs path, for example \"system.slice/web.service\"",
        ));
    }
    Ok(Subject::Cgroup(CgroupSubject {
        path: path.map(|it| PathBuf::from(it.get_ref().trim_matches('/'))),
        warn_memory_percent: keys.percent("warn_memory_percent")?,
        warn_throttled_percent: keys.percent("warn_throttled_percent")?,
        recent: keys.span("recent")?,
    }))
}
