//! Putting a file back to the content of a snapshot.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::PartName;
use prunella_model::observation::Sha256;
use prunella_model::part::PartKind;

use super::StepError;
use crate::config::part::{Program, What};
use crate::config::{FileConfig, TargetConfig};
use crate::parts::{Mode, validate};
use crate::snapshot::{SnapshotError, Snapshots, digest_of};

/// Puts the content back. Where the file has a validator, a content that it does not accept is not left in place.
pub(super) async fn restore(
    snapshots: &Arc<Snapshots>,
    target: &TargetConfig,
    file: &FileConfig,
    digest: Sha256,
    mode: Mode,
) -> Result<String, StepError> {
    let before = blocking(snapshots, target, file, move |it, target, file| {
        it.content(target, &file.name, digest)?;
        digest_of(&file.path)
    });
    let before = before.await?;
    if mode == Mode::Rehearse {
        let was = before.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
        return Ok(format!("would put {digest} in the place of {was} at {}", file.path.display()));
    }
    let put = |digest| {
        blocking(snapshots, target, file, move |it, target, file| it.restore(target, &file.name, &file.path, digest))
    };
    let done = put(digest).await?;
    let Some((validator, limit)) = validator(target, &file.name) else { return Ok(done) };
    let Err(why) = validate(validator, &file.path, limit).await else { return Ok(done) };
    let back = match before {
        Some(before) => put(before).await?,
        None => "there was no content before to put back".to_owned(),
    };
    Err(StepError::Part {
        target: target.name.clone(),
        act: format!("restore_file {}", file.name),
        why: format!("{why}; {back}"),
    })
}

fn validator<'t>(target: &'t TargetConfig, file: &PartName) -> Option<(&'t Program, Duration)> {
    let is = |it: &&crate::config::PartConfig| it.what.kind() == PartKind::Config && it.name == *file;
    let part = target.parts.iter().find(is)?;
    match &part.what {
        What::Config(it) => it.validate.as_ref().map(|program| (program, part.limit)),
        _ => None,
    }
}

/// It waits for the disk, and the agent must not.
async fn blocking<T: Send + 'static>(
    snapshots: &Arc<Snapshots>,
    target: &TargetConfig,
    file: &FileConfig,
    work: impl FnOnce(&Snapshots, &prunella_model::TargetName, &FileConfig) -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, StepError> {
    let (snapshots, target, file) = (Arc::clone(snapshots), target.name.clone(), file.clone());
    let done = tokio::task::spawn_blocking(move || work(&snapshots, &target, &file)).await;
    Ok(done.map_err(|_| StepError::BrokenOff)??)
}
