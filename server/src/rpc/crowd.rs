//! Room for connections: how many there may be, and who has to go when there are more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::accept::Connection;

/// How often it is said that connections are ended or turned away: somebody may bring that about at will.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Open files that connections leave to the store, the journal, and everything else.
const FILES_RESERVED: u64 = 128;

/// Connections of peers that have not shown who they are, oldest first.
///
/// They need no secret, so whoever likes can hold as many as there are places, for as long as he likes. When there is no
/// place left the oldest of them ends: a peer that has something to show has shown it by then.
#[derive(Debug, Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<VecDeque<Weak<Connection>>>>);

impl Strangers {
    pub(super) fn add(&self, connection: &Arc<Connection>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|it| it.upgrade().is_some_and(|it| !it.is_known()));
        }
        all.push_back(Arc::downgrade(connection));
    }

    /// Ends the oldest; false when there is none.
    pub(super) fn end_oldest(&self) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = all.pop_front() {
            if let Some(oldest) = oldest.upgrade().filter(|it| !it.is_known()) {
                oldest.kill();
                return true;
            }
        }
        false
    }
}

/// Raises the limit on open files to what the system permits, and returns it.
pub(super) fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        // Without it there is merely room for fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many of `most` connections there may be when all listeners together may have `quarters` of the `files` that can be
/// open. A server without a file left could neither commit nor accept.
#[must_use]
pub(super) fn within(files: u64, quarters: u64, most: usize) -> usize {
    let room = files.saturating_sub(FILES_RESERVED).max(8) / 4 * quarters;
    usize::try_from(room).map_or(most, |it| it.min(most))
}

/// Says now and then that a listener is full.
#[derive(Debug)]
pub(super) struct Crowd {
    name: &'static str,
    said: Option<Instant>,
    pub(super) turned_away: u64,
    pub(super) ended: u64,
}

impl Crowd {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, said: None, turned_away: 0, ended: 0 }
    }

    pub(super) fn say(&mut self) {
        let lately = self.said.is_some_and(|it| it.elapsed() < SAY_EVERY);
        if lately || (self.turned_away, self.ended) == (0, 0) {
            return;
        }
        tracing::warn!(
            target: "prunella::rpc", listener = self.name, turned_away = self.turned_away, ended = self.ended,
            "too many connections are open: the oldest of unknown peers are ended, and more are turned away"
        );
        (self.said, self.turned_away, self.ended) = (Some(Instant::now()), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_store() {
        assert_eq!((within(1024, 3, 20_000), within(1024, 1, 2_000)), (672, 224));
        assert_eq!((within(1 << 20, 3, 20_000), within(u64::MAX, 1, 2_000)), (20_000, 2_000));
        assert_eq!(within(64, 1, 2_000), 2, "a few in any case");
    }
}
