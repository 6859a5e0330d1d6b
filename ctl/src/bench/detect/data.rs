//! Reads labelled series.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// One host's metrics, in step.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Seconds of each row.
    pub(super) times: Vec<u64>,
    /// Row by row. Not a number where the file has none.
    pub(super) rows: Vec<Vec<f64>>,
    /// Which rows lie in a labelled range.
    pub(super) labels: Vec<bool>,
    /// The rows before that one are history: they are learned from, not scored.
    pub(super) train: usize,
}

#[derive(Debug, Deserialize)]
struct SetEntry {
    hosts: BTreeMap<String, HostEntry>,
}

#[derive(Debug, Deserialize)]
struct HostEntry {
    train_rows: usize,
}

/// The hosts of every set that `index.json` in `dir` names.
pub(super) fn sets(dir: &Path) -> anyhow::Result<BTreeMap<String, Vec<Host>>> {
    let path = dir.join("index.json");
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let index: BTreeMap<String, SetEntry> = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let mut sets = BTreeMap::new();
    for (name, entry) in index {
        let mut hosts = Vec::new();
        for (host, it) in entry.hosts {
            let file = existing(&dir.join(&name).join(format!("{host}.csv")))?;
            hosts.push(read(&file, it.train_rows)?);
        }
        sets.insert(name, hosts);
    }
    Ok(sets)
}

fn read(path: &Path, train: usize) -> anyhow::Result<Host> {
    let mut host = Host { train, ..Host::default() };
    for (row, record) in rows(path)?.iter().enumerate() {
        let at = || format!("{}: row {}", path.display(), row + 1);
        let number = |text: &str| text.trim().parse::<f64>().unwrap_or(f64::NAN);
        let mut values: Vec<f64> = record.iter().map(number).collect();
        let (Some(label), true) = (values.pop(), values.len() > 1) else {
            anyhow::bail!("{}: needs a time, a metric and a label", at());
        };
        let time =
            record.get(0).and_then(|it| it.trim().parse().ok()).with_context(|| format!("{}: bad time", at()))?;
        values.remove(0);
        host.times.push(time);
        host.rows.push(values);
        host.labels.push(label > 0.5);
    }
    Ok(host)
}

/// One series of the Numenta Anomaly Benchmark.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) times: Vec<u64>,
    pub(super) values: Vec<f64>,
    /// The anomaly windows: their first and last rows.
    pub(super) windows: Vec<(usize, usize)>,
}

/// The series that `windows.json` in `dir` names; none without that file.
pub(super) fn nab(dir: &Path) -> anyhow::Result<Vec<Series>> {
    let path = dir.join("windows.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let index: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let mut all = Vec::new();
    for (name, windows) in index {
        let file = existing(&dir.join(&name))?;
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for record in rows(&file)? {
            let (Some(at), Some(value)) = (record.get(0), record.get(1)) else {
                anyhow::bail!("{}: needs a time and a value", file.display());
            };
            times.push(seconds(at).with_context(|| file.display().to_string())?);
            values.push(value.trim().parse().unwrap_or(f64::NAN));
        }
        let mut marked = Vec::new();
        for (from, to) in windows {
            let (from, to) = (seconds(&from)?, seconds(&to)?);
            let first = times.partition_point(|it| *it < from);
            let after = times.partition_point(|it| *it <= to);
            anyhow::ensure!(first < after, "{}: a window of {name} lies outside of it", path.display());
            marked.push((first, after - 1));
        }
        all.push(Series { times, values, windows: marked });
    }
    Ok(all)
}

/// Seconds since the epoch of a time like `2014-02-26 13:45:00`, in UTC.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let time: jiff::civil::DateTime = text.trim().parse().with_context(|| format!("{text:?} is not a time"))?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC)?;
    u64::try_from(zoned.timestamp().as_second()).with_context(|| format!("{text:?} is before 1970"))
}

/// The file, or the file with `.gz` behind its name.
fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    let zipped = PathBuf::from(format!("{}.gz", path.display()));
    [path.to_path_buf(), zipped]
        .into_iter()
        .find(|it| it.is_file())
        .with_context(|| format!("{}: no such file, plain or .gz", path.display()))
}

fn rows(path: &Path) -> anyhow::Result<Vec<csv::StringRecord>> {
    let named = || path.display().to_string();
    let file = File::open(path).with_context(named)?;
    let plain: Box<dyn Read> = match path.extension() {
        Some(end) if end == "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some(_) | None => Box::new(file),
    };
    csv::Reader::from_reader(plain).records().collect::<Result<_, _>>().with_context(named)
}
