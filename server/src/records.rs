//! What the driver commits to and notes in, and the exports of the store.

use std::sync::Arc;

use prunella_engine::Event;
use prunella_model::Timestamp;
use prunella_model::record::{AuditEntry, Change};

use crate::config::Config;
use crate::driver::{Commit, CommitFailed, Durable};
use crate::notes::Notes;
use crate::store::repository::Repository;
use crate::store::{Backend, Store as _};

/// What the driver commits to.
pub(crate) struct Records {
    pub(crate) repository: Arc<Repository<Backend>>,
    pub(crate) notes: Notes,
}

impl Durable for Records {
    fn commit(&mut self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Commit {
        match self.repository.commit(&changes, &audit) {
            Ok(commit) => Box::pin(async move { commit.await.map_err(|error| CommitFailed(Box::new(error))) }),
            Err(error) => Box::pin(std::future::ready(Err(CommitFailed(Box::new(error))))),
        }
    }

    fn journal(&mut self, now: Timestamp, event: &Event) {
        self.notes.note(now, event);
    }
}

/// Exports the store now and then, for the day when it cannot be opened.
pub(crate) async fn export(repository: Arc<Repository<Backend>>, config: Config) {
    let dir = config.state_dir.join("export");
    let mut every = tokio::time::interval(config.export.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once; there is nothing new to export then.
    every.tick().await;
    loop {
        every.tick().await;
        let exported = match repository.store().export().await {
            Ok(export) => {
                let dir = dir.clone();
                tokio::task::spawn_blocking(move || crate::store::export::write(&dir, &export)).await
            }
            Err(error) => {
                tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "the store could not be exported");
                continue;
            }
        };
        match exported {
            Ok(Ok(file)) => tracing::debug!(target: "prunella::store", file = %file.display(), "exported the store"),
            Ok(Err(error)) => {
                tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "an export could not be written");
            }
            Err(_) => return,
        }
    }
}
