//! The processes of the host, as far as rules about them need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::probes::process::Stat;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) stat: Stat,
    /// Its program; none for the kernel's own threads, and where it cannot be read.
    pub(super) program: Option<PathBuf>,
    pub(super) uid: u32,
}

/// All processes that can be looked at now.
pub(super) fn all() -> Result<Vec<Process>, String> {
    let entries = std::fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    let pids = entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter_map(of).collect())
}

/// One process; none when it is gone or has ended.
pub(super) fn of(pid: u32) -> Option<Process> {
    use std::os::unix::fs::MetadataExt as _;
    let stat = Stat::of(pid).filter(|it| !it.ended)?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    Some(Process { pid, stat, program, uid })
}

/// A process and all that descend from it.
pub(super) fn family(all: &[Process], root: u32) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> = all.iter().map(|it| (it.pid, it.stat.parent)).collect();
    let descends = |pid: &u32| {
        let mut at = *pid;
        // No chain of parents is longer than there are processes.
        for _ in 0..=parents.len() {
            if at == root {
                return true;
            }
            match parents.get(&at) {
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    let mut family: BTreeSet<u32> = parents.keys().copied().filter(descends).collect();
    family.insert(root);
    family
}

/// The sockets that listen on a TCP port, by their inode.
pub(super) fn listening(port: u16) -> BTreeSet<u64> {
    /// As the kernel writes the state of a socket that listens.
    const LISTEN: &str = "0A";
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = std::fs::read_to_string(table) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(&state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let is = local.rsplit_once(':').and_then(|(_, it)| u16::from_str_radix(it, 16).ok()) == Some(port);
            if let (true, LISTEN, Ok(inode)) = (is, state, inode.parse()) {
                inodes.insert(inode);
            }
        }
    }
    inodes
}

/// Whether a process holds one of these sockets.
pub(super) fn holds(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok()).any(|link| {
        let socket = link.to_str().and_then(|it| it.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        socket.is_some_and(|inode: u64| sockets.contains(&inode))
    })
}
