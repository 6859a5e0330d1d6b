//! The layout of the PetShop data set (Hardt et al., CLeaR 2024).
//!
//! `graph.csv` is an adjacency matrix, callers in rows. A metrics table has three header rows (service, metric, statistic),
//! a row that names the index, and then one row for each interval, its first column the Unix time at which it began.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use prunella_engine::suspects::{Service, Window, Worse};
use serde::Deserialize;

/// One labelled failure, ready to be judged.
#[derive(Debug)]
pub(super) struct Issue {
    /// The folder of its graph.
    pub(super) scenario: String,
    /// The split that it belongs to.
    pub(super) split: String,
    /// Its own folder.
    pub(super) name: String,
    /// The names of the services, in the order of the graph.
    pub(super) names: Vec<String>,
    /// The services.
    pub(super) services: Vec<Service>,
    /// The place of the service whose indicator was violated.
    pub(super) violated: usize,
    /// The violated indicator.
    pub(super) indicator: String,
    /// Which way that gets worse.
    pub(super) worse: Worse,
    /// The name of the true cause.
    pub(super) cause: String,
}

#[derive(Debug, Deserialize)]
struct Label {
    target: Violation,
    root_cause: Culprit,
}

#[derive(Debug, Deserialize)]
struct Violation {
    node: String,
    metric: String,
    agg: String,
    timestamp: f64,
}

#[derive(Debug, Deserialize)]
struct Culprit {
    node: String,
}

/// Service, metric, statistic.
type Column = (String, String, String);

/// The values of every column, and when each interval began.
#[derive(Debug, Default)]
struct Table {
    times: Vec<f64>,
    columns: BTreeMap<Column, Vec<Option<f64>>>,
}

struct Graph {
    names: Vec<String>,
    calls: Vec<Vec<usize>>,
}

/// Measurements of a service's own resources, where a data set has them.
const RESOURCES: [&str; 3] = ["cpu", "memory", "disk"];

/// Indicators that get worse as they fall. All others get worse as they rise.
const FALLING: [&str; 2] = ["availability", "success"];

/// Every issue below `dir`, in order.
pub(super) fn read(dir: &Path) -> anyhow::Result<Vec<Issue>> {
    let mut issues = Vec::new();
    if dir.join("graph.csv").is_file() {
        scenario(dir, &mut issues)?;
    }
    for below in folders(dir)? {
        if below.join("graph.csv").is_file() {
            scenario(&below, &mut issues)?;
        }
    }
    Ok(issues)
}

fn scenario(dir: &Path, issues: &mut Vec<Issue>) -> anyhow::Result<()> {
    let graph = graph(&dir.join("graph.csv"))?;
    let history = table(&dir.join("noissue"))?;
    for split in folders(dir)? {
        for folder in folders(&split)? {
            if folder.join("target.json").is_file() {
                let issue = issue(&folder, &graph, &history).with_context(|| folder.display().to_string())?;
                issues.push(Issue { scenario: name(dir), split: name(&split), name: name(&folder), ..issue });
            }
        }
    }
    Ok(())
}

fn issue(folder: &Path, graph: &Graph, history: &Table) -> anyhow::Result<Issue> {
    let label: Label = serde_json::from_reader(File::open(folder.join("target.json"))?).context("target.json")?;
    let during = table(folder)?;
    let violation = &label.target;
    let violated = graph.names.iter().position(|it| *it == violation.node);
    let violated = violated.with_context(|| format!("{} is not in graph.csv", violation.node))?;
    let services = graph.names.iter().zip(&graph.calls).map(|(name, calls)| {
        let indicator = (name.clone(), violation.metric.clone(), violation.agg.clone());
        let requests = (name.clone(), "requests".to_owned(), "Sum".to_owned());
        let resource = |it: &&Column| it.0 == *name && RESOURCES.iter().any(|word| it.1.contains(word));
        Service {
            calls: calls.clone(),
            indicator: window(history, &during, &indicator, violation.timestamp),
            requests: split(&during, &requests, violation.timestamp).1,
            resources: during
                .columns
                .keys()
                .filter(resource)
                .map(|it| window(history, &during, it, violation.timestamp))
                .collect(),
        }
    });
    Ok(Issue {
        scenario: String::new(),
        split: String::new(),
        name: String::new(),
        services: services.collect(),
        names: graph.names.clone(),
        violated,
        worse: if FALLING.iter().any(|it| violation.metric.contains(it)) { Worse::Low } else { Worse::High },
        indicator: label.target.metric,
        cause: label.root_cause.node,
    })
}

fn window(history: &Table, during: &Table, column: &Column, alarm: f64) -> Window {
    let (before, after) = split(during, column, alarm);
    let history = history.columns.get(column).into_iter().flatten().flatten().copied().collect();
    Window { history, before: before.into_iter().flatten().collect(), after }
}

/// A column's intervals that had ended when the alarm was raised, and the others.
fn split(table: &Table, column: &Column, alarm: f64) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let step = match table.times[..] {
        [first, second, ..] => second - first,
        [] | [_] => 0.0,
    };
    let Some(values) = table.columns.get(column) else { return (Vec::new(), Vec::new()) };
    let over = table.times.iter().take_while(|began| **began + step <= alarm).count();
    let (before, after) = values.split_at(over.min(values.len()));
    (before.to_vec(), after.to_vec())
}

fn graph(path: &Path) -> anyhow::Result<Graph> {
    let rows = rows(path)?;
    let mut rows = rows.iter();
    let names: Vec<String> = rows.next().context("graph.csv is empty")?.iter().skip(1).map(str::to_owned).collect();
    let mut calls = vec![Vec::new(); names.len()];
    for row in rows {
        let caller = row.get(0).unwrap_or_default();
        let place = names.iter().position(|it| it == caller);
        let place = place.with_context(|| format!("graph.csv: row {caller:?} has no column"))?;
        let cells = row.iter().skip(1).enumerate().filter(|(_, cell)| cell.parse::<f64>().is_ok_and(|it| it > 0.0));
        calls[place] = cells.map(|(called, _)| called).collect();
    }
    Ok(Graph { names, calls })
}

fn table(folder: &Path) -> anyhow::Result<Table> {
    let path = [folder.join("metrics.csv"), folder.join("metrics.csv.gz")].into_iter().find(|it| it.is_file());
    let path = path.with_context(|| format!("{}: no metrics.csv and no metrics.csv.gz", folder.display()))?;
    let rows = rows(&path)?;
    let [services, metrics, statistics, _, values @ ..] = &rows[..] else {
        bail!("{}: fewer than four rows", path.display());
    };
    let mut table = Table::default();
    for row in values {
        let began = row.get(0).unwrap_or_default();
        table.times.push(began.parse().with_context(|| format!("{}: {began:?} is no time", path.display()))?);
    }
    let headers = services.iter().zip(metrics).zip(statistics).enumerate().skip(1);
    for (at, ((service, metric), statistic)) in headers {
        let column = (service.to_owned(), metric.to_owned(), statistic.to_owned());
        let cells = values.iter().map(|row| row.get(at).and_then(|cell| cell.parse().ok()));
        table.columns.insert(column, cells.collect());
    }
    Ok(table)
}

fn rows(path: &Path) -> anyhow::Result<Vec<csv::StringRecord>> {
    let named = || path.display().to_string();
    let file = File::open(path).with_context(named)?;
    let plain: Box<dyn Read> = match path.extension() {
        Some(end) if end == "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some(_) | None => Box::new(file),
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(plain);
    reader.records().collect::<Result<_, _>>().with_context(named)
}

/// The folders in `dir`, by name.
fn folders(dir: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.insert(path);
        }
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
