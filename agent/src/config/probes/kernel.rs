//! What the kernel says, and who waits for whose locks.

use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// What is taken from the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSubject {
    /// How long a complaint is told.
    pub recent: Duration,
}

/// The kernel's log.
pub(super) static KERNEL: Row = Row {
    kind: ProbeKind::Kernel,
    about: "The kernel's log (`/dev/kmsg`), followed from the start of the agent on: kills for want of memory and failing hardware (memory, \
            processors, disks, file systems) are critical for a while, corrected errors are a warning. Told at once. Lines that \
            programs write there do not count. Needs an agent that runs as root, or CAP_SYSLOG. Rule `kernel_errors` speaks for it.",
    stands: Stands::Host,
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(1),
    keys: &[Key::of("recent", "10m", "how long a complaint is told")],
    series: &[("NAME.complaints", "complaints since the agent started")],
    example: "kind = \"kernel\"\nrecent = \"30m\"",
    check: kernel,
};

/// File locks.
pub(super) static LOCKS: Row = Row {
    kind: ProbeKind::Locks,
    about: "Who waits for whose file locks (`/proc/locks`), between targets of this host: a process belongs to the target whose main \
            process it descends from. It is what rule `deadlock` and `prunella topology` see waits by.",
    stands: Stands::Host,
    interval: Duration::from_secs(2),
    timeout: Duration::from_secs(1),
    keys: &[],
    series: &[],
    example: "kind = \"locks\"",
    check: locks,
};

fn kernel(keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Kernel(KernelSubject { recent: keys.span("recent")? }))
}

fn locks(_keys: &Keys<'_>) -> Checked<Subject> {
    Ok(Subject::Locks)
}
