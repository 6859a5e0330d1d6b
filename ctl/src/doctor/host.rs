//! What the kernel and the machine must offer.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::{Check, Grade};

/// Below this an agent with many probes and services runs out of descriptors.
const FILES_GOOD: u64 = 1_024;

/// Below this ledger, spool and snapshots may not fit.
const DISK_GOOD_MIB: u64 = 1_024;
const DISK_LEAST_MIB: u64 = 64;

/// This program is newer than 2025; a clock before that was never set.
const CLOCK_LEAST_SECONDS: i64 = 1_735_689_600;

const MIB: u64 = 1024 * 1024;

/// All checks of the host itself.
pub(super) fn checks() -> Vec<Check> {
    vec![proc_mounted(), pidfd(), inotify(), pressure(), clock(), disk(), files(), loopback()]
}

fn proc_mounted() -> Check {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(it) => Check::new(Grade::Good, "procfs", format!("boot {}", it.trim())),
        Err(error) => Check::new(Grade::Unfit, "procfs", format!("no boot id ({error}); mount /proc")),
    }
}

fn pidfd() -> Check {
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Check::new(Grade::Good, "pidfd", "the end of a process is seen at once"),
        Err(error) => Check::new(
            Grade::Unfit,
            "pidfd",
            format!("pidfd_open: {error}; Linux 5.3 or later is needed, see uname -r"),
        ),
    }
}

fn inotify() -> Check {
    match rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC) {
        Ok(_) => Check::new(Grade::Good, "inotify", "a changed file is seen at once"),
        Err(error) => {
            let found = format!(
                "inotify_init: {error}; files are seen at their probe's interval alone: raise fs.inotify.max_user_instances"
            );
            Check::new(Grade::Limited, "inotify", found)
        }
    }
}

fn pressure() -> Check {
    // Opening is not enough: a kernel with pressure switched off refuses the read.
    match std::fs::read_to_string("/proc/pressure/cpu") {
        Ok(_) => Check::new(Grade::Good, "pressure (PSI)", "measured"),
        Err(error) => {
            let found = format!("{error}; pressure of processor, memory and disk is not measured: boot with psi=1");
            Check::new(Grade::Limited, "pressure (PSI)", found)
        }
    }
}

fn clock() -> Check {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if now < CLOCK_LEAST_SECONDS {
        let found = "the clock was never set; certificates will not be valid: start a time service";
        return Check::new(Grade::Unfit, "clock", found);
    }
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = source.map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned());
    let time = jiff::Timestamp::from_second(now).map_or_else(|_| now.to_string(), |it| it.to_string());
    Check::new(
        Grade::Good,
        "clock",
        format!("{time}, source {source}; compare it with the server's: 5 min apart at most"),
    )
}

fn disk() -> Check {
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    disk_of(&here)
}

/// The free space where `path` is.
pub(super) fn disk_of(path: &Path) -> Check {
    let what = "disk space";
    match rustix::fs::statvfs(path) {
        Err(error) => Check::new(Grade::Unfit, what, format!("{}: {error}", path.display())),
        Ok(it) => {
            let free = it.f_bavail.saturating_mul(it.f_frsize) / MIB;
            let found = format!("{free} MiB free at {}", path.display());
            match free {
                DISK_GOOD_MIB.. => Check::new(Grade::Good, what, found),
                DISK_LEAST_MIB.. => {
                    Check::new(Grade::Limited, what, format!("{found}; {DISK_GOOD_MIB} MiB are better"))
                }
                _ => Check::new(Grade::Unfit, what, format!("{found}; at least {DISK_LEAST_MIB} MiB are needed")),
            }
        }
    }
}

fn files() -> Check {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES_GOOD => {
            let found = format!("{limit} open files; raise it to {FILES_GOOD}: ulimit -n, or LimitNOFILE= in the unit");
            Check::new(Grade::Limited, "file limit", found)
        }
        Some(limit) => Check::new(Grade::Good, "file limit", format!("{limit} open files")),
        None => Check::new(Grade::Good, "file limit", "none"),
    }
}

fn loopback() -> Check {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => Check::new(Grade::Good, "loopback", "ports can be opened on 127.0.0.1"),
        Err(error) => Check::new(Grade::Limited, "loopback", format!("127.0.0.1: {error}; `up` and `demo` need it")),
    }
}
