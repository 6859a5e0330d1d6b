//! How often the true root cause of a labelled failure is named.

mod petshop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use prunella_engine::suspects::{self, Suspect};
use serde::Serialize;

use super::figures::Machine;
use crate::Common;
use petshop::Issue;

const EXAMPLE: &str = "\
Examples:
  prunella bench cause ./petshop
  prunella bench cause ./petshop/low_traffic --json

DIR has the layout of the PetShop data set (CC-BY-4.0, github.com/amazon-science/petshop-root-cause-analysis): graph.csv,
noissue/metrics.csv and SPLIT/issue_N/{metrics.csv,target.json}, here or one level below; the tables may be gzipped.";

/// Arguments of `prunella bench cause`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct CauseArgs {
    /// The data set.
    dir: PathBuf,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

/// How many suspects of each issue are printed.
const NAMED: usize = 5;

/// What one labelled failure came to.
#[derive(Debug, Serialize)]
struct Verdict {
    scenario: String,
    split: String,
    issue: String,
    /// The indicator that was violated.
    indicator: String,
    /// The true cause.
    cause: String,
    /// The place of the true cause among the suspects, from 1; null when it is not among them.
    rank: Option<usize>,
    suspects: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Named {
    service: String,
    score: f64,
    deviation: Option<f64>,
    share: Option<f64>,
}

/// How many of some failures were explained.
#[derive(Debug, PartialEq, Serialize)]
struct Tally {
    /// A scenario and a split, or an indicator; null for all together.
    of: Option<String>,
    issues: usize,
    top1: f64,
    top3: f64,
}

impl Tally {
    /// None when there is nothing to count.
    fn of<'a>(of: Option<String>, verdicts: impl Iterator<Item = &'a Verdict>) -> Option<Self> {
        let ranks: Vec<Option<usize>> = verdicts.map(|it| it.rank).collect();
        let within = |most: usize| ranks.iter().filter(|it| it.is_some_and(|rank| rank <= most)).count();
        let share = |count: usize| {
            let (count, all) = (u32::try_from(count).ok()?, u32::try_from(ranks.len()).ok()?);
            (all > 0).then(|| (f64::from(count) / f64::from(all) * 1e4).round() / 1e4)
        };
        Some(Self { of, issues: ranks.len(), top1: share(within(1))?, top3: share(within(3))? })
    }
}

#[derive(Debug, Serialize)]
struct Figures {
    top1: f64,
    top3: f64,
    issues: usize,
    /// The mean time that one ranking took.
    mean_micros: f64,
    splits: Vec<Tally>,
    indicators: Vec<Tally>,
    verdicts: Vec<Verdict>,
    machine: Machine,
}

impl CauseArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let issues = petshop::read(&self.dir)?;
        let began = Instant::now();
        let verdicts: Vec<Verdict> = issues.iter().map(judge).collect();
        let spent = began.elapsed();
        let all = Tally::of(None, verdicts.iter())
            .with_context(|| format!("{}: no issues in it; see `prunella bench cause --help`", self.dir.display()))?;
        let figures = Figures {
            top1: all.top1,
            top3: all.top3,
            issues: all.issues,
            mean_micros: (spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(all.issues)?)).round(),
            splits: groups(&verdicts, |it| format!("{}/{}", it.scenario, it.split)),
            indicators: groups(&verdicts, |it| it.indicator.clone()),
            verdicts,
            machine,
        };
        if let Some(format) = common.format(self.json) {
            format.print(&figures)?;
        } else {
            print(&figures);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn judge(issue: &Issue) -> Verdict {
    let ranked = suspects::rank(&issue.services, issue.violated, issue.worse);
    let name = |it: &Suspect| issue.names.get(it.service).cloned().unwrap_or_default();
    Verdict {
        scenario: issue.scenario.clone(),
        split: issue.split.clone(),
        issue: issue.name.clone(),
        indicator: issue.indicator.clone(),
        cause: issue.cause.clone(),
        rank: ranked.iter().position(|it| name(it) == issue.cause).map(|place| place + 1),
        suspects: ranked
            .iter()
            .take(NAMED)
            .map(|it| Named { service: name(it), score: it.score, deviation: it.deviation, share: it.share })
            .collect(),
    }
}

/// One tally for each key, in order.
fn groups(verdicts: &[Verdict], key: impl Fn(&Verdict) -> String) -> Vec<Tally> {
    let keys: std::collections::BTreeSet<String> = verdicts.iter().map(&key).collect();
    keys.into_iter()
        .filter_map(|it| Tally::of(Some(it.clone()), verdicts.iter().filter(|one| key(one) == it)))
        .collect()
}

fn print(it: &Figures) {
    println!("{} labelled failures; how often the true cause is named first, and among the first three:", it.issues);
    println!("  {:<28} {:>4}  {:.2}  {:.2}", "all", it.issues, it.top1, it.top3);
    for tally in it.splits.iter().chain(&it.indicators) {
        let of = tally.of.as_deref().unwrap_or_default();
        println!("  {of:<28} {:>4}  {:.2}  {:.2}", tally.issues, tally.top1, tally.top3);
    }
    for miss in it.verdicts.iter().filter(|it| it.rank != Some(1)) {
        let place = miss.rank.map_or_else(|| "not among the suspects".to_owned(), |it| format!("in place {it}"));
        let first = miss.suspects.first().map_or("nobody", |it| it.service.as_str());
        println!("  missed {}/{}/{}: {} is {place}, behind {first}", miss.scenario, miss.split, miss.issue, miss.cause);
    }
    println!("{:.0} µs for each; {}", it.mean_micros, it.machine.line());
}

#[cfg(test)]
mod tests;
