//! What is asked of the store: listed, taken, verified.

use std::fs;
use std::sync::Arc;

use prunella_model::TargetName;
use prunella_model::question::Answer;
use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotKind, SnapshotReport};

use tokio::sync::mpsc;

use super::{Entry, SnapshotError, Snapshots, is_held, read, sha256, unhex};
use crate::clock;
use crate::config::AgentConfig;

/// How many questions are answered at the same time.
pub(crate) const ANSWERS_MAX: usize = 4;

impl Snapshots {
    /// Answers a question. It reads files, so it must not be asked where the agent would wait for it.
    pub(crate) fn answer(&self, config: &AgentConfig, ask: &SnapshotAsk) -> SnapshotAnswer {
        let answered = match ask {
            SnapshotAsk::List => Ok(self.reports(|_| true)),
            SnapshotAsk::Verify { id } => {
                let wanted = self.reports(|it| id.is_none_or(|id| it.id == id));
                match (id, wanted.is_empty()) {
                    (Some(id), true) => Err(format!("there is no snapshot {id}")),
                    (Some(_) | None, _) => Ok(wanted.into_iter().map(|it| self.verified(it)).collect()),
                }
            }
            SnapshotAsk::Take { target, kind: kind @ (SnapshotKind::Manual | SnapshotKind::Emergency) } => {
                self.take(config, target.as_ref(), *kind)
            }
            SnapshotAsk::Take { kind, .. } => Err(format!("{} snapshots are taken by the agent itself", kind.as_str())),
        };
        match answered {
            Ok(all) => SnapshotAnswer::Snapshots(all),
            Err(why) => SnapshotAnswer::Failed { why },
        }
    }

    /// Answers a question when the files are read, without keeping commands waiting.
    ///
    /// A few at a time: more are not answered, and whoever asks is told so by its own clock.
    pub(crate) fn answer_soon(
        self: &Arc<Self>,
        config: &Arc<AgentConfig>,
        number: u64,
        ask: SnapshotAsk,
        to: &mpsc::Sender<(u64, Answer)>,
    ) {
        let (snapshots, config) = (Arc::clone(self), Arc::clone(config));
        let Ok(permit) = to.clone().try_reserve_owned() else { return };
        tokio::spawn(async move {
            let reading = tokio::task::spawn_blocking(move || snapshots.answer(&config, &ask));
            if let Ok(answer) = reading.await {
                permit.send((number, Answer::Snapshots(answer)));
            }
        });
    }

    /// Takes one of each declared file of a target; of every target when it is none. Files that are missing are left out.
    pub(crate) fn take(
        &self,
        config: &AgentConfig,
        target: Option<&TargetName>,
        kind: SnapshotKind,
    ) -> Result<Vec<SnapshotReport>, String> {
        if let Some(name) = target.filter(|name| config.target(name).is_none()) {
            return Err(format!("agent.toml names no target {name}"));
        }
        let mut taken = Vec::new();
        for it in config.targets.iter().filter(|it| target.is_none_or(|name| it.name == *name)) {
            for file in &it.files {
                match read(&file.path) {
                    Ok(content) => {
                        self.keep(&it.name, &file.name, kind, &content).map_err(|error| error.to_string())?;
                        let digest = content.digest.to_string();
                        let mine = |entry: &Entry| {
                            entry.kind == kind
                                && entry.target == it.name
                                && entry.file == file.name
                                && entry.sha256 == digest
                        };
                        taken.extend(self.reports(mine));
                    }
                    Err(SnapshotError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        match taken.is_empty() {
            true => Err("there is no declared file of which a snapshot could be taken".to_owned()),
            false => Ok(taken),
        }
    }

    fn reports(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<SnapshotReport> {
        let entries = self.entries();
        let now = clock::wall_now();
        let all = entries.iter().enumerate().filter(|(_, it)| wanted(it));
        all.filter_map(|(at, it)| {
            Some(SnapshotReport {
                id: it.id,
                target: it.target.clone(),
                part: it.file.clone(),
                kind: it.kind,
                sha256: unhex(&it.sha256)?,
                bytes: it.bytes,
                taken_at: it.taken_at,
                held: is_held(&entries, at, now),
                intact: None,
            })
        })
        .collect()
    }

    fn verified(&self, it: SnapshotReport) -> SnapshotReport {
        let intact = fs::read(self.object(it.sha256)).is_ok_and(|content| sha256(&content) == it.sha256);
        SnapshotReport { intact: Some(intact), ..it }
    }
}
