//! Requests that were turned away: all are counted and logged, and so many audited as cannot fill the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::record::AuditEntry;
use tonic::Status;

use crate::clock::Clock;
use crate::rpc::accept::Peer;
use crate::store::Backend;
use crate::store::repository::Repository;

/// How many denials are audited in any minute; whoever floods the server must not flood its audit log too.
const AUDITED_PER_MINUTE: u32 = 30;

/// The window that [`AUDITED_PER_MINUTE`] speaks of.
const WINDOW: Duration = Duration::from_secs(60);

/// Notes denials.
#[derive(Debug, Clone)]
pub struct Denials {
    repository: Arc<Repository<Backend>>,
    clock: Clock,
    window: Arc<Mutex<Window>>,
}

#[derive(Debug, Default)]
struct Window {
    since: Timestamp,
    audited: u32,
    /// Denials since the last audited one that were not audited themselves.
    left_out: u64,
}

impl Window {
    /// Whether to audit one more now, and how many were left out before it.
    fn admit(&mut self, now: Timestamp) -> Option<u64> {
        if now.since(self.since) >= WINDOW {
            (self.since, self.audited) = (now, 0);
        }
        if self.audited == AUDITED_PER_MINUTE {
            self.left_out += 1;
            return None;
        }
        self.audited += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Denials {
    /// Nothing denied yet.
    #[must_use]
    pub fn new(repository: Arc<Repository<Backend>>, clock: Clock) -> Self {
        Self { repository, clock, window: Arc::default() }
    }

    /// Notes that a request was turned away.
    pub fn note(&self, path: &str, peer: Option<&Peer>, status: &Status) {
        let actor = peer
            .and_then(|it| it.certificate.as_ref())
            .map_or_else(|| "anyone".to_owned(), |it| it.identity.to_string());
        let address = peer.map(|it| it.address.to_string()).unwrap_or_default();
        tracing::warn!(target: "prunella::rpc", actor, address, path, why = status.message(), "a request was denied");
        let now = self.clock.now();
        let Some(left_out) = self.window.lock().unwrap_or_else(PoisonError::into_inner).admit(now) else { return };
        let more = if left_out > 0 { format!("; {left_out} more were denied before it") } else { String::new() };
        // The path comes from outside: what does not look like a method is not repeated.
        let subject = if path.len() <= 128 && path.is_ascii() { path } else { "(an odd path)" };
        let entry = AuditEntry {
            at: now,
            actor,
            action: "denied".to_owned(),
            subject: subject.to_owned(),
            incident: None,
            detail: format!("from {address}: {}{more}", status.message()),
        };
        // Nobody waits for it: dropping the commit does not take it back.
        if let Err(error) = self.repository.commit(&[], &[entry]).map(drop) {
            tracing::error!(target: "prunella::rpc", error = &error as &dyn std::error::Error, "a denial could not be audited");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_denials_leaves_a_count() {
        let mut window = Window::default();
        let at = Timestamp::from_secs(1_000);
        let audited = (0..100).filter_map(|_| window.admit(at)).count();
        assert_eq!(audited, AUDITED_PER_MINUTE as usize);
        assert_eq!(window.admit(at.after(WINDOW)), Some(100 - u64::from(AUDITED_PER_MINUTE)));
        assert_eq!(window.admit(at.after(WINDOW)), Some(0));
    }
}
