//! Who waits for whose file locks, from `/proc/locks`.

use std::collections::BTreeMap;

use prunella_model::observation::{Level, Wait};
use prunella_model::{HostId, TargetName, TargetRef};

use super::process::Stat;
use crate::board::{Board, Look};
use crate::services::Services;

/// How far up a process's ancestors are followed.
const ANCESTORS_MAX: usize = 64;
/// The most waits that are told.
const WAITS_MAX: usize = 256;

/// See the module.
pub(super) struct Locks {
    host: HostId,
    targets: Vec<TargetName>,
}

/// One process that waits for another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blocked {
    waiter: u32,
    holder: u32,
    /// Kind of lock, and the file as the kernel names it: device and inode.
    what: String,
}

impl Locks {
    pub(super) fn new(host: &HostId, targets: Vec<TargetName>) -> Self {
        Self { host: host.clone(), targets }
    }

    pub(super) fn look(&mut self, board: &Board, services: &Services) -> Look {
        let table = match std::fs::read_to_string("/proc/locks") {
            Ok(table) => table,
            Err(error) => return Look::broken(format!("/proc/locks cannot be read: {error}")),
        };
        let blocked = blocked(&table);
        let mut waits = Vec::new();
        if !blocked.is_empty() {
            let mains: BTreeMap<u32, &TargetName> =
                self.targets.iter().filter_map(|it| Some((services.pid(it)?, it))).collect();
            for it in blocked {
                let (Some(waiter), Some(holder)) = (owner(it.waiter, &mains), owner(it.holder, &mains)) else {
                    continue;
                };
                // Processes of one target are its own affair.
                if waiter == holder || waits.len() == WAITS_MAX {
                    continue;
                }
                let on = TargetRef::new(self.host.clone(), holder.clone());
                waits.push(Wait { waiter: waiter.clone(), on, what: it.what });
            }
        }
        let text = format!("{} targets wait for a lock", waits.len());
        board.waits(waits);
        Look::checked(Level::Good, text)
    }
}

/// The target whose main process a process is, or descends from.
fn owner<'t>(pid: u32, mains: &BTreeMap<u32, &'t TargetName>) -> Option<&'t TargetName> {
    let mut pid = pid;
    for _ in 0..ANCESTORS_MAX {
        if let Some(target) = mains.get(&pid) {
            return Some(target);
        }
        if pid <= 1 {
            return None;
        }
        pid = Stat::of(pid)?.parent;
    }
    None
}

/// Whoever waits, with the holder: a waiting line (`->`) follows the line of the lock that it waits for.
fn blocked(table: &str) -> Vec<Blocked> {
    let mut found = Vec::new();
    let mut held: Option<(&str, u32)> = None;
    for line in table.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(number) = words.next() else { continue };
        let mut words = words.peekable();
        let waits = words.next_if(|it| *it == "->").is_some();
        let kind = words.next();
        let mut rest = words.skip(2);
        // A lock of an open file (OFD) belongs to no process: its id is -1.
        let pid = rest.next().and_then(|it| it.parse::<u32>().ok()).filter(|it| *it != 0);
        let (Some(kind), Some(file)) = (kind, rest.next()) else { continue };
        match (waits, pid, held) {
            (false, pid, _) => held = pid.map(|pid| (number, pid)),
            (true, Some(waiter), Some((same, holder))) if same == number && waiter != holder => {
                found.push(Blocked { waiter, holder, what: format!("{} lock on file {file}", kind.to_lowercase()) });
            }
            (true, _, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_with_the_holder() {
        let table = "1: POSIX  ADVISORY  WRITE 10 08:01:100 0 EOF\n1: -> POSIX  ADVISORY  WRITE 20 08:01:100 0 EOF\n\
            1: -> POSIX  ADVISORY  READ 30 08:01:100 0 EOF\n2: FLOCK  ADVISORY  WRITE 40 08:01:200 0 EOF\n\
            3: OFDLCK ADVISORY  WRITE -1 08:01:300 0 EOF\n3: -> OFDLCK ADVISORY  WRITE -1 08:01:300 0 EOF\n\
            4: -> FLOCK  ADVISORY  WRITE 50 08:01:400 0 EOF\nnonsense\n\n";
        let of = |waiter| Blocked { waiter, holder: 10, what: "posix lock on file 08:01:100".to_owned() };
        assert_eq!(blocked(table), [of(20), of(30)]);
    }
}
