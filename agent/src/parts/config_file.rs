//! Configuration files: validated, and replaced only by what the validator accepts.

use std::path::Path;
use std::time::Duration;

use prunella_model::part::Act;

use super::{Context, program, told};
use crate::config::part::{ConfigFile, Program};
use crate::snapshot;

/// In a validator's words it stands for the file that holds the content.
const FILE: &str = "{file}";

pub(super) async fn act(it: &Context<'_>, file: &ConfigFile, act: &Act) -> Result<String, String> {
    match act {
        Act::ValidateConfig => {
            let validator = file.validate.as_ref().ok_or("its validator is not declared")?;
            let words = words(validator, &file.path).join(" ");
            if let Some(told) = told(it.mode, || format!("run {words}")) {
                return Ok(told);
            }
            validate(validator, &file.path, it.part.limit).await?;
            Ok(format!("{} is valid: {words} succeeded", file.path.display()))
        }
        Act::UpdateConfig => update(it, file).await,
        other => Err(format!("{} is nothing that a file can do", other.kind().as_str())),
    }
}

/// Runs the validator on `path`.
///
/// # Errors
/// What the validator says.
pub(crate) async fn validate(validator: &Program, path: &Path, limit: Duration) -> Result<(), String> {
    let said = program::succeed(validator, &words(validator, path), limit).await;
    said.map(drop).map_err(|why| format!("{} is not valid: {why}", path.display()))
}

/// Whether the validator can look at a content before it is in place.
fn looks_ahead(validator: &Program) -> bool {
    validator.run.iter().any(|word| word.contains(FILE))
}

fn words(validator: &Program, path: &Path) -> Vec<String> {
    validator.run.iter().map(|word| word.replace(FILE, &path.display().to_string())).collect()
}

/// Puts the source's content in place: valid before where that can be looked at, valid after in any case.
async fn update(it: &Context<'_>, file: &ConfigFile) -> Result<String, String> {
    let text = |error: snapshot::SnapshotError| error.to_string();
    let source = file.source.as_ref().ok_or("its source is not declared")?;
    let new = snapshot::digest_of(source).map_err(text)?;
    let new = new.ok_or_else(|| format!("its source {} does not exist", source.display()))?;
    let old = snapshot::digest_of(&file.path).map_err(text)?;
    if old == Some(new) {
        return Ok(format!("{} has the content of {} already", file.path.display(), source.display()));
    }
    let before = old.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
    if let Some(ahead) = file.validate.as_ref().filter(|it| looks_ahead(it)) {
        validate(ahead, source, it.part.limit).await?;
    }
    if let Some(told) = told(it.mode, || format!("put {new} from {} in the place of {before}", source.display())) {
        return Ok(told);
    }
    it.snapshots.copy(it.target, &it.part.name, source, &file.path, new).map_err(text)?;
    if let Some(validator) = &file.validate
        && let Err(why) = validate(validator, &file.path, it.part.limit).await
    {
        let Some(old) = old else { return Err(format!("{why}; there was no content before to put back")) };
        let back = it.snapshots.restore(it.target, &it.part.name, &file.path, old).map_err(text)?;
        return Err(format!("{why}; {back}"));
    }
    Ok(format!("{} updated to {new} from {}; before it was {before}", file.path.display(), source.display()))
}
