//! Instances of a systemd template: as many as shall run, numbered from 1.

use std::collections::BTreeSet;
use std::time::Duration;

use prunella_model::part::Act;

use super::{Mode, bounded, program, told};
use crate::config::part::{Bounds, Program};

/// How long listing units may take.
const LIST: Duration = Duration::from_secs(5);

fn words(systemctl: &str, more: &[&str]) -> Vec<String> {
    std::iter::once(systemctl).chain(more.iter().copied()).map(str::to_owned).collect()
}

fn plain() -> Program {
    Program { run: Vec::new(), user: None, working_dir: "/".into(), env: Default::default() }
}

/// The numbers of the instances that run or start.
async fn running(template: &str, systemctl: &str) -> Result<BTreeSet<u32>, String> {
    let units = format!("{template}*.service");
    let list = ["list-units", "--type=service", "--state=active,activating", "--plain", "--no-legend", &units];
    let said = program::succeed(&plain(), &words(systemctl, &list), LIST).await?;
    let number = |word: &str| word.strip_prefix(template)?.strip_suffix(".service")?.parse().ok();
    Ok(said.split_whitespace().filter_map(number).collect())
}

/// How many run; none when that cannot be told.
pub(super) async fn count(template: &str, systemctl: &str) -> Option<i64> {
    running(template, systemctl).await.ok().and_then(|it| i64::try_from(it.len()).ok())
}

pub(super) async fn scale(
    template: &str,
    systemctl: &str,
    bounds: Bounds,
    act: &Act,
    limit: Duration,
    mode: Mode,
) -> Result<String, String> {
    let wanted = usize::try_from(bounded(act, bounds)?).map_err(|_| "fewer than none cannot run")?;
    let now = running(template, systemctl).await?;
    let (verb, chosen): (&str, Vec<u32>) = if wanted > now.len() {
        ("start", (1..).filter(|it| !now.contains(it)).take(wanted - now.len()).collect())
    } else {
        // The latest go first, so that the numbers stay dense.
        ("stop", now.iter().rev().take(now.len() - wanted).copied().collect())
    };
    if chosen.is_empty() {
        return Ok(format!("{wanted} instances of {template} run already"));
    }
    let units: Vec<String> = chosen.iter().map(|it| format!("{template}{it}.service")).collect();
    if let Some(told) = told(mode, || format!("{verb} {}; {} run now", units.join(", "), now.len())) {
        return Ok(told);
    }
    let mut all = words(systemctl, &[verb]);
    all.extend(units.iter().cloned());
    program::succeed(&plain(), &all, limit).await?;
    let after = running(template, systemctl).await?.len();
    if after != wanted {
        return Err(format!("{verb} {} succeeded, but {after} instances run instead of {wanted}", units.join(", ")));
    }
    Ok(format!("{verb} {}: {wanted} instances run; before there were {}", units.join(", "), now.len()))
}
