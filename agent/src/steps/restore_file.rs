//! Putting a file back to the content of a snapshot.

use std::sync::Arc;

use prunella_model::observation::Sha256;

use super::StepError;
use crate::config::{FileConfig, TargetConfig};
use crate::snapshot::Snapshots;

pub(super) async fn restore(
    snapshots: &Arc<Snapshots>,
    target: &TargetConfig,
    file: &FileConfig,
    digest: Sha256,
) -> Result<String, StepError> {
    let (snapshots, target, file) = (Arc::clone(snapshots), target.name.clone(), file.clone());
    // It waits for the disk, and the agent must not.
    let restore = move || snapshots.restore(&target, &file.name, &file.path, digest);
    Ok(tokio::task::spawn_blocking(restore).await.map_err(|_| StepError::BrokenOff)??)
}
