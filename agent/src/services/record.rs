//! What an agent notes of a service's run, so that the next agent finds it again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use prunella_model::observation::Instance;
use serde::{Deserialize, Serialize};

use super::run::{Bond, Run, instance};
use crate::probes::process::Stat;

/// The variable in a service's environment that tells whose it is. It finds a run that began right before the agent was
/// killed, and was not noted any more.
pub(super) const MARK: &str = "PRUNELLA_SERVICE";

/// One run, as noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The boot; after another one nothing of it is left.
    boot: String,
    pub(super) pid: u32,
    pub(super) ticks: u64,
    /// Whether it was stopped on purpose.
    pub(super) stopped: bool,
    /// How the next agent stands to it.
    #[serde(default)]
    pub(super) bond: Bond,
}

impl Record {
    pub(super) fn of(run: &Run, stopped: bool) -> Self {
        Self { boot: boot_id(), pid: run.id(), ticks: run.ticks, stopped, bond: run.bond.bequeathed() }
    }

    /// The same run, which nobody wants to go on.
    pub(super) fn stopped(self) -> Self {
        Self { stopped: true, ..self }
    }

    pub(super) fn instance(&self) -> Instance {
        instance(self.pid, self.ticks)
    }
}

/// Where the run of one service is noted.
#[derive(Debug)]
pub(super) struct Notebook {
    path: PathBuf,
}

impl Notebook {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The value of [`MARK`] for this service: no other service on this host has the same.
    pub(super) fn mark(&self) -> String {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()).display().to_string()
    }

    /// What was noted in this boot.
    pub(super) fn read(&self) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (record.boot == boot_id()).then_some(record)
    }

    /// Notes a run. It is not forced to the disk: what a power loss takes has ended with it.
    pub(super) fn write(&self, record: &Record) {
        let write = || {
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            let beside = self.path.with_extension("new");
            fs::write(&beside, serde_json::to_vec(record)?)?;
            fs::rename(&beside, &self.path)
        };
        if let Err(error) = write().and_then(|()| self.launched()) {
            tracing::warn!(target: "prunella::services", path = %self.path.display(), %error, "a run cannot be noted; an agent that starts now would not find it");
        }
    }

    /// Notes that a run is about to begin, until [`Notebook::write`] notes which.
    pub(super) fn launching(&self) {
        let write = || {
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            fs::write(self.launch(), boot_id())
        };
        if let Err(error) = write() {
            tracing::warn!(target: "prunella::services", path = %self.path.display(), %error, "a start cannot be noted; an agent that is killed right now would not find the run");
        }
    }

    /// Whether a run may have begun that was not noted.
    pub(super) fn was_launching(&self) -> bool {
        fs::read_to_string(self.launch()).is_ok_and(|it| it == boot_id())
    }

    fn launched(&self) -> std::io::Result<()> {
        match fs::remove_file(self.launch()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn launch(&self) -> PathBuf {
        self.path.with_extension("launching")
    }

    /// Forgets the run: for the next agent this service has not run in this boot.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// A living process that bears this service's mark, leads a group, and began after `ticks`.
    pub(super) fn find_marked(&self, ticks: u64) -> Option<(u32, u64)> {
        let mark = self.mark();
        let pids = fs::read_dir("/proc").ok()?.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
        pids.filter_map(|pid| {
            let stat = Stat::of(pid)?;
            let fits = stat.group == pid && stat.start > ticks && !stat.ended;
            (fits && is_marked(pid, &mark)).then_some((pid, stat.start))
        })
        // The first of them is the service; others would be what it started.
        .min_by_key(|(_, start)| *start)
    }
}

/// Whether the process bears this mark.
pub(super) fn is_marked(pid: u32, mark: &str) -> bool {
    let line = format!("{MARK}={mark}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|it| *it == 0).any(|it| it == line.as_bytes())
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
