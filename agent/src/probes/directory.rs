//! A directory's size against its quota.

use prunella_model::observation::Finding;

use crate::board::{Board, Look, Series};
use crate::config::DirectoryConfig;
use crate::tree;

/// See the module.
pub(super) struct Directory {
    part: DirectoryConfig,
    used: Option<Series>,
}

impl Directory {
    pub(super) fn new(part: &DirectoryConfig, used: Option<Series>) -> Self {
        Self { part: part.clone(), used }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let path = self.part.path.clone();
        // A walk may take long on a slow disk, and must not hold up the agent meanwhile.
        let walk = tokio::task::spawn_blocking(move || tree::Tree::open(&path).and_then(|tree| tree.used_bytes()));
        let used_bytes = match walk.await {
            Ok(Ok(used)) => used,
            Ok(Err(error)) => return Look::broken(error.to_string()),
            Err(error) => return Look::broken(error.to_string()),
        };
        let quota_bytes = self.part.quota_bytes;
        if let Some(series) = self.used {
            board.measure(series, (percent(used_bytes, quota_bytes) * 10.0).round() / 10.0);
        }
        let finding = Finding::DirectoryUse { used_bytes, quota_bytes };
        if used_bytes <= quota_bytes { Look::up(finding) } else { Look::down(finding) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn percent(used: u64, quota: u64) -> f64 {
    if quota == 0 { 0.0 } else { used as f64 / quota as f64 * 100.0 }
}
