//! A private host with its own systemd, in namespaces of its own, so that no unit of the real host is ever touched.
//!
//! Its first process sees only the units that are given here; the real host's files and kernel parameters are
//! read-only to it. It needs root. It ends with this, and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::peers::Shelf;
use crate::chain::{Run, monotonic};

/// How long it may take until its first process is there.
const BOOT_TIME: Duration = Duration::from_secs(10);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the first process does before it becomes systemd. `$1` is the benchmark's directory, `$2` that of the units.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/lock
mount -t cgroup2 none /sys/fs/cgroup
exec env -i container=prunella SYSTEMD_UNIT_PATH="$2" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=bench.target --log-target=console --show-status=no
"#;

/// Steps aside into a control group of its own, so that its systemd has one that it may divide. `$0` is that group.
const ASIDE: &str = r#"mkdir "$0" && echo $$ >"$0/cgroup.procs" && exec "$@""#;

/// Units without which an agent cannot talk to systemd.
const BUS: [(&str, &str); 2] = [
    ("dbus.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n"),
    (
        "dbus.service",
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\nType=notify\n\
         ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n",
    ),
];

/// See the module.
#[derive(Debug)]
pub(super) struct PrivateHost {
    boot: Child,
    init: Option<Pid>,
    group: PathBuf,
    log: PathBuf,
}

impl PrivateHost {
    /// Why there can be none here; none when there can.
    pub(super) fn lacking(shelf: &Shelf) -> Option<String> {
        let files = [("/lib/systemd/systemd", "systemd"), ("/usr/bin/dbus-daemon", "dbus")];
        let missing = files.iter().find(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package);
        let missing = missing.or_else(|| shelf.find("unshare").is_none().then_some("util-linux"));
        if let Some(package) = missing {
            return Some(crate::bench::peers::install(package));
        }
        if !rustix::process::geteuid().is_root() {
            return Some("needs root, for a systemd of its own in its own namespaces".to_owned());
        }
        cgroup().is_none().then(|| "needs a mounted cgroup v2".to_owned())
    }

    /// Boots one that wants the `units` (name and text), which lie with everything else below `at`.
    pub(super) fn boot(at: &Path, units: &[(String, String)]) -> anyhow::Result<Self> {
        let dir = at.join("units");
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let wants: Vec<&str> = units.iter().map(|(name, _)| name.as_str()).collect();
        let target = format!("[Unit]\nDefaultDependencies=no\nWants=dbus.service {}\n", wants.join(" "));
        fs::write(dir.join("bench.target"), target)?;
        for (name, text) in BUS.iter().copied().chain(units.iter().map(|(name, text)| (name.as_str(), text.as_str()))) {
            fs::write(dir.join(name), text).with_context(|| format!("writing the unit {name}"))?;
        }
        let group = cgroup().context("no cgroup v2 is mounted")?.join(format!("prunella-bench-{}", std::process::id()));
        let log = at.join("boot.log");
        let out = fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let apart = ["--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--mount-proc"];
        let boot = Command::new("sh")
            .arg("-c")
            .arg(ASIDE)
            .arg(&group)
            .arg("unshare")
            .args(apart)
            .args(["sh", "-c", BOOT, "boot"])
            .args([at, &dir])
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .context("starting a private host")?;
        let mut host = Self { boot, init: None, group, log };
        let deadline = monotonic() + BOOT_TIME;
        while host.init.is_none() {
            let ended = host.boot.try_wait()?.is_some();
            anyhow::ensure!(!ended && monotonic() < deadline, "the private host did not start; {}", host.last_words());
            host.init = only_child(host.boot.id());
            std::thread::sleep(LOOK);
        }
        Ok(host)
    }

    /// What it said last.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(5).collect();
        format!("it said: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }
}

impl Drop for PrivateHost {
    fn drop(&mut self) {
        // The end of its first process is the end of everything in it.
        if let Some(init) = self.init {
            let _ = kill_process(init, Signal::KILL);
        }
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        let deadline = monotonic() + BOOT_TIME;
        while remove_groups(&self.group).is_err() && self.group.exists() && monotonic() < deadline {
            std::thread::sleep(LOOK);
        }
    }
}

/// A process of a private host, by what it wrote down of itself there: its id here. None when it does not live.
pub(super) fn seen_from_here(run: Run) -> Option<i32> {
    let own = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ids: Vec<&str> = status.lines().find_map(|it| it.strip_prefix("NSpid:"))?.split_whitespace().collect();
        let inner = ids.last()?.parse::<i32>().ok()?;
        let here = Run { pid, ..run };
        (ids.len() > 1 && inner == run.pid && here.lives()).then_some(pid)
    };
    let entries = fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|it| it.file_name().to_str()?.parse().ok()).find_map(own)
}

/// This process's own group in the unified hierarchy, as a directory.
fn cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then_some(at)
    })?;
    Some(Path::new(root).join(own)).filter(|it| it.is_dir())
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    for it in fs::read_dir(group)?.flatten() {
        if it.file_type()?.is_dir() {
            remove_groups(&it.path())?;
        }
    }
    fs::remove_dir(group)
}

fn only_child(pid: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
