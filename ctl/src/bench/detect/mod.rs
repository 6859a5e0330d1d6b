//! How well anomalies are found on public labelled data.

mod data;
mod judge;
mod nab;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use prunella_engine::detect::anomaly::{Calibrator, HostScore, Metric, Novelty};
use prunella_model::Timestamp;
use serde::Serialize;

use super::figures::Machine;
use crate::Common;
use data::{Host, Series};
use judge::Verdict;

const EXAMPLE: &str = "\
Examples:
  prunella bench detect ./data
  prunella bench detect ./data --json

DIR holds index.json, which says of each host of each set how many rows are history, SET/HOST.csv with
t_s,METRIC...,label, and may hold nab/windows.json with the series of the Numenta Anomaly Benchmark; tables may be gzipped.";

/// Arguments of `prunella bench detect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct DetectArgs {
    /// The labelled data.
    dir: PathBuf,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    sets: BTreeMap<String, Verdict>,
    /// The mean over the sets; null when one of them has none.
    mean_event_f1: Option<f64>,
    mean_recall_at_0_1: Option<f64>,
    nab: Option<Nab>,
    /// The mean time of one sample, from value to calibrated score.
    ns_per_sample: Option<f64>,
    /// What the state of one metric takes.
    bytes_per_metric: usize,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct Nab {
    /// Normalised, 0 to 100.
    standard: Option<f64>,
    series: usize,
}

/// How long scoring took, for how many samples.
#[derive(Debug, Default)]
struct Cost {
    nanos: f64,
    samples: f64,
}

impl DetectArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        let sets = data::sets(&self.dir)?;
        let series = data::nab(&self.dir.join("nab"))?;
        anyhow::ensure!(
            !sets.is_empty() || !series.is_empty(),
            "{}: no labelled data in it, neither index.json nor nab/windows.json; see `prunella bench detect --help`",
            self.dir.display()
        );
        let mut cost = Cost::default();
        let sets: BTreeMap<String, Verdict> =
            sets.iter().map(|(name, hosts)| (name.clone(), verdict(hosts, &mut cost))).collect();
        let mean = |value: fn(&Verdict) -> Option<f64>| {
            let all: Option<Vec<f64>> = sets.values().map(value).collect();
            all.filter(|it| !it.is_empty()).map(|it| judge::round(it.iter().sum::<f64>() / it.len() as f64))
        };
        let figures = Figures {
            mean_event_f1: mean(|it| it.event_f1),
            mean_recall_at_0_1: mean(|it| it.recall_at_0_1),
            nab: (!series.is_empty()).then(|| {
                let scores: Vec<Vec<f64>> = series.iter().map(surprise).collect();
                Nab { standard: nab::score(&series, &scores), series: series.len() }
            }),
            ns_per_sample: (cost.samples > 0.0).then(|| (cost.nanos / cost.samples).round()),
            bytes_per_metric: size_of::<Metric>(),
            sets,
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

fn verdict(hosts: &[Host], cost: &mut Cost) -> Verdict {
    let began = Instant::now();
    let scores: Vec<Vec<f64>> = hosts.iter().map(calibrated).collect();
    cost.nanos += began.elapsed().as_secs_f64() * 1e9;
    cost.samples += hosts.iter().flat_map(|it| &it.rows).map(|it| it.len() as f64).sum::<f64>();
    judge::judge(hosts, &scores, Calibrator::level)
}

/// The calibrated score of each row, as the engine makes it. Minus infinity while nothing is known.
fn calibrated(host: &Host) -> Vec<f64> {
    let mut metrics: Vec<Option<Metric>> = Vec::new();
    let mut score = HostScore::default();
    let rows = host.times.iter().zip(&host.rows);
    rows.map(|(at, row)| {
        let at = Timestamp::from_secs(*at);
        metrics.resize_with(row.len().max(metrics.len()), || None);
        for ((number, value), metric) in (0_u32..).zip(row).zip(&mut metrics) {
            if value.is_finite() {
                score.add(number, metric.get_or_insert_with(|| Metric::new(at, *value)).feed(at, *value));
            }
        }
        score.close(at).map_or(f64::NEG_INFINITY, |it| it.score)
    })
    .collect()
}

/// The score of each value of a single series. It is not calibrated: two weeks of history to do it by are not there.
fn surprise(series: &Series) -> Vec<f64> {
    let mut metric: Option<Metric> = None;
    let mut novelty = Novelty::default();
    let rows = series.times.iter().zip(&series.values);
    rows.map(|(at, value)| {
        let at = Timestamp::from_secs(*at);
        novelty.feed(at, metric.get_or_insert_with(|| Metric::new(at, *value)).feed(at, *value).surprise)
    })
    .collect()
}

fn print(it: &Figures) {
    let or_none = |it: Option<f64>| it.map_or_else(|| "none".to_owned(), |it| format!("{it:.2}"));
    println!("Anomalies found on labelled data. Event-F1: each host at the threshold that is best on the others.");
    println!("At 0.1 and at 1 a day: without labels, by the host's own history.\n");
    println!(
        "  {:<12} {:>6} {:>7} {:>8} {:>9} | {:>7} {:>9} {:>6} | {:>7} {:>9} {:>6}",
        "set", "F1", "recall", "delay", "false/day", "at 0.1:", "false/day", "F1", "at 1:", "false/day", "F1"
    );
    for (name, set) in &it.sets {
        println!(
            "  {name:<12} {:>6} {:>7} {:>8} {:>9} | {:>7} {:>9} {:>6.2} | {:>7} {:>9} {:>6.2}",
            or_none(set.event_f1),
            or_none(set.recall),
            set.delay_s.map_or_else(|| "none".to_owned(), |it| format!("{it:.0} s")),
            or_none(set.false_per_host_day),
            or_none(set.recall_at_0_1),
            or_none(set.false_at_0_1),
            set.event_f1_at_0_1,
            or_none(set.recall_at_1),
            or_none(set.false_at_1),
            set.event_f1_at_1,
        );
    }
    println!("  mean event-F1 {}, mean recall at 0.1 {}", or_none(it.mean_event_f1), or_none(it.mean_recall_at_0_1));
    if let Some(nab) = &it.nab {
        println!("  NAB, standard profile, {} series: {}", nab.series, or_none(nab.standard));
    }
    if let Some(nanos) = it.ns_per_sample {
        println!("  {nanos:.0} ns a sample, {} bytes a metric", it.bytes_per_metric);
    }
    println!("{}", it.machine.line());
}
