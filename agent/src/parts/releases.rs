//! Releases: directories beside each other, one of which a link names as the current one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prunella_model::part::Act;
use prunella_model::{PartName, TargetName};

use super::{Context, blocking, program, told};
use crate::config::PartState;
use crate::config::part::Releases;
use crate::snapshot;

/// How many known-good releases are remembered.
const GOOD_MAX: usize = 16;

/// What is remembered of a set of releases between lives of the agent.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Memory {
    /// Known to be good, the latest last.
    good: Vec<PartName>,
}

fn memory_file(state_dir: &Path, target: &TargetName, part: &PartName) -> PathBuf {
    state_dir.join(format!("releases-{target}-{part}.json"))
}

/// The name of the release that the link names; none when there is no link, or it leads elsewhere.
fn current(it: &Releases) -> Option<PartName> {
    let to = fs::read_link(&it.link).ok()?;
    let to = if to.is_absolute() { to } else { it.link.parent()?.join(to) };
    let of = fs::canonicalize(to.parent()?).ok()?;
    if of != fs::canonicalize(&it.dir).ok()? {
        return None;
    }
    release(it, to.file_name()?.to_str()?)
}

fn release(it: &Releases, name: &str) -> Option<PartName> {
    let (prefix, suffix) = &it.affixes;
    let fits = name.starts_with(prefix.as_str()) && name.ends_with(suffix.as_str());
    PartName::new(name).ok().filter(|_| fits)
}

/// All releases, oldest first.
fn all(it: &Releases) -> Result<Vec<PartName>, String> {
    let fail = |error: std::io::Error| format!("{} cannot be read: {error}", it.dir.display());
    let mut all: Vec<(SystemTime, PartName)> = Vec::new();
    for entry in fs::read_dir(&it.dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(name) = entry.file_name().to_str().and_then(|name| release(it, name)) else { continue };
        // Nix's own are links themselves; otherwise a link is no release.
        let nix = !it.affixes.0.is_empty();
        let fits = entry.file_type().is_ok_and(|kind| kind.is_dir() || (nix && kind.is_symlink()));
        if let (true, Ok(made)) = (fits, entry.metadata().and_then(|it| it.modified())) {
            all.push((made, name));
        }
    }
    all.sort();
    Ok(all.into_iter().map(|(_, name)| name).collect())
}

/// Those that may go: the oldest beyond the number that is kept, never the current one nor one known to be good last.
fn spare(it: &Releases, all: &[PartName], current: Option<&PartName>, good: Option<&PartName>) -> Vec<PartName> {
    let beyond = all.len().saturating_sub(it.keep);
    let older = all.iter().take(beyond);
    older.filter(|name| Some(*name) != current && Some(*name) != good).cloned().collect()
}

/// What is known now; remembers the current release as good when the target was well with it for long enough.
pub(super) fn look(
    it: &Releases,
    state_dir: &Path,
    target: &TargetName,
    part: &PartName,
    well: Option<Duration>,
) -> PartState {
    let file = memory_file(state_dir, target, part);
    let mut memory: Memory = fs::read(&file).ok().and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default();
    let now = current(it);
    let all = all(it).unwrap_or_default();
    // The link's own age: a target that was well before the switch says nothing of the release after it.
    let linked = fs::symlink_metadata(&it.link).and_then(|it| it.modified()).ok();
    let linked = linked.and_then(|it| SystemTime::now().duration_since(it).ok());
    let long = |span: Option<Duration>| span.is_some_and(|it_is| it_is >= it.known_good_after);
    if let Some(name) = now.as_ref().filter(|name| memory.good.last() != Some(*name) && long(well) && long(linked)) {
        memory.good.retain(|it| it != name);
        memory.good.push(name.clone());
        memory.good.drain(..memory.good.len().saturating_sub(GOOD_MAX));
        if let Err(why) = remember(state_dir, &file, &memory) {
            tracing::warn!(target: "prunella::snapshot", target_name = %target, %part, %why, "a known-good release cannot be remembered");
        }
    }
    let known_good = memory.good.iter().rev().find(|it| Some(*it) != now.as_ref() && all.contains(it)).cloned();
    let spare = spare(it, &all, now.as_ref(), known_good.as_ref()).len();
    PartState { now: None, current: now, known_good, spare: u32::try_from(spare).ok() }
}

fn remember(state_dir: &Path, file: &Path, memory: &Memory) -> Result<(), String> {
    let text = serde_json::to_vec(memory).map_err(|error| error.to_string())?;
    fs::create_dir_all(state_dir).map_err(|error| error.to_string())?;
    snapshot::replace(file, &text, 0o600, None).map_err(|error| error.to_string())
}

pub(super) async fn act(it: &Context<'_>, releases: &Releases, act: &Act) -> Result<String, String> {
    match act {
        Act::SwitchGeneration { to } => switch(it, releases, to).await,
        Act::PruneGenerations => {
            let state = look(releases, it.state_dir, it.target, &it.part.name, None);
            let all = all(releases)?;
            let spare = spare(releases, &all, state.current.as_ref(), state.known_good.as_ref());
            let names: Vec<String> = spare.iter().map(PartName::to_string).collect();
            let dir = releases.dir.clone();
            if let Some(told) = told(it.mode, || {
                format!("remove {} releases from {}: {}", names.len(), dir.display(), names.join(", "))
            }) {
                return Ok(told);
            }
            blocking(move || prune(&dir, &spare)).await?;
            Ok(format!("{} releases removed from {}: {}", names.len(), releases.dir.display(), names.join(", ")))
        }
        other => Err(format!("{} is nothing that is done to releases", other.kind().as_str())),
    }
}

fn prune(dir: &Path, spare: &[PartName]) -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted: BTreeMap<&str, ()> = mounts.lines().filter_map(|it| it.split(' ').nth(4)).map(|it| (it, ())).collect();
    for name in spare {
        let path = dir.join(name.as_str());
        let fail = |error: std::io::Error| format!("{} cannot be removed: {error}", path.display());
        if let Some(at) = mounted.keys().find(|at| Path::new(at).starts_with(&path)) {
            return Err(format!("{} is not removed: {at} is mounted there", path.display()));
        }
        let meta = fs::symlink_metadata(&path).map_err(fail)?;
        // Nix removes what a link names by itself, once nothing names it.
        if meta.is_symlink() { fs::remove_file(&path) } else { fs::remove_dir_all(&path) }.map_err(fail)?;
    }
    Ok(())
}

async fn switch(it: &Context<'_>, releases: &Releases, to: &PartName) -> Result<String, String> {
    if !all(releases)?.contains(to) {
        return Err(format!("{} holds no release {to}", releases.dir.display()));
    }
    let before = current(releases);
    if before.as_ref() == Some(to) {
        return Ok(format!("{} names {to} already", releases.link.display()));
    }
    let was = before.as_ref().map_or_else(|| "nothing that is a release".to_owned(), PartName::to_string);
    if let Some(told) = told(it.mode, || format!("point {} from {was} to {to}", releases.link.display())) {
        return Ok(told);
    }
    point(releases, to)?;
    if let Some(activate) = &releases.activate
        && let Err(why) = program::succeed(activate, &activate.run, it.part.limit).await
    {
        let back = match &before {
            Some(before) => {
                point(releases, before).map(|()| format!("{} names {before} again", releases.link.display()))
            }
            None => Err("there was no release before".to_owned()),
        };
        return Err(format!("{to} could not be activated: {why}; {}", back.unwrap_or_else(|why| why)));
    }
    Ok(format!("{} names {to} now; before it was {was}", releases.link.display()))
}

/// Replaces the link whole: whoever follows it finds the old release or the new one.
fn point(it: &Releases, to: &PartName) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{} cannot be replaced: {error}", it.link.display());
    match fs::symlink_metadata(&it.link) {
        Ok(meta) if !meta.is_symlink() => return Err(format!("{} is no link, and stays as it is", it.link.display())),
        Ok(_) | Err(_) => {}
    }
    let parent = it.link.parent().unwrap_or(Path::new("/"));
    // Relative where it was or can be, so that the whole can be moved.
    let dir = it.dir.strip_prefix(parent).unwrap_or(&it.dir);
    let beside = parent.join(format!(
        ".{}.prunella-{}",
        it.link.file_name().and_then(|it| it.to_str()).unwrap_or("link"),
        std::process::id()
    ));
    let _ = fs::remove_file(&beside);
    symlink(dir.join(to.as_str()), &beside).map_err(fail)?;
    if let Err(error) = fs::rename(&beside, &it.link) {
        let _ = fs::remove_file(&beside);
        return Err(fail(error));
    }
    fs::File::open(parent).and_then(|it| it.sync_all()).map_err(fail)
}
