//! Measurements that a target exposes as text for Prometheus.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::{Row, Stands, Subject, Url};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSubject {
    /// Where it exposes them.
    pub url: Url,
    /// What is taken, by the name that it gets.
    pub select: Vec<Selected>,
    /// Roots that are trusted instead of the host's.
    pub ca_file: Option<PathBuf>,
}

/// The samples that make one series: all of one name that have certain labels; their values are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The last part of the series' name.
    pub series: String,
    /// The name of the samples.
    pub metric: String,
    /// Labels that they must have.
    pub labels: BTreeMap<String, String>,
    /// Whether they count up, so that their growth for each second is what matters.
    pub rate: bool,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Metrics,
    about: "Measurements that the target exposes as text for Prometheus. Only what is selected becomes series; where a selector fits \
            several samples, they are added up. A value that is missing is absent, never zero, and a warning. For thresholds write \
            a [rule](rules.md): `metrics['app.errors_per_second'] > 5.0`.",
    stands: Stands::Target,
    interval: Duration::from_secs(15),
    timeout: Duration::from_secs(5),
    keys: &[
        Key::needed("url", "http://127.0.0.1:9100/metrics", "where it exposes them"),
        Key::needed(
            "select",
            "{ load = \"node_load1\" }",
            "series by name: `{ errors = 'http_requests_total{code=\"500\"}' }`",
        ),
        Key::maybe(
            "rates",
            "none",
            "those of `select` that count up: `[\"errors\"]`; measured as growth for each second",
        ),
        Key::maybe("ca_file", "the host's own", "a PEM file of the roots that are trusted"),
    ],
    series: &[
        ("NAME.SERIES", "the value"),
        ("NAME.SERIES_per_second", "the growth, of those in `rates`; a counter that begins anew is not taken for one"),
    ],
    example: "name = \"app\"\nkind = \"metrics\"\nurl = \"http://127.0.0.1:8080/metrics\"\n\
              select = { errors = 'http_requests_total{code=\"500\"}', busy = \"workers_busy\" }\nrates = [\"errors\"]",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let rates = keys.words("rates")?.map(Spanned::into_inner).unwrap_or_default();
    let mut select = Vec::new();
    for (series, selector) in keys.pairs("select")? {
        let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
        if series.is_empty() || !series.bytes().all(fits) {
            return Err(keys.misfit("select", format!("{series:?} cannot name a series; use a-z, 0-9 and _")));
        }
        let Some((metric, labels)) = selector_of(&selector) else {
            let what = format!("{selector:?} is not a selector; write NAME or NAME{{label=\"value\"}}");
            return Err(keys.misfit("select", what));
        };
        select.push(Selected { rate: rates.contains(&series), series, metric, labels });
    }
    if select.is_empty() {
        return Err(keys.misfit("select", "select names no series"));
    }
    if let Some(strange) = rates.iter().find(|it| select.iter().all(|known| known.series != **it)) {
        return Err(keys.misfit("rates", format!("{strange:?} is not in select")));
    }
    Ok(Subject::Metrics(MetricsSubject { url: keys.url("url")?, select, ca_file: keys.maybe_path("ca_file")? }))
}

/// Reads `NAME` or `NAME{label="value",…}`.
fn selector_of(text: &str) -> Option<(String, BTreeMap<String, String>)> {
    let text = text.trim();
    let word = |it: &str| {
        !it.is_empty()
            && !it.starts_with(|it: char| it.is_ascii_digit())
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b':'))
    };
    let Some((name, rest)) = text.split_once('{') else {
        return word(text).then(|| (text.to_owned(), BTreeMap::new()));
    };
    let mut labels = BTreeMap::new();
    for pair in rest.strip_suffix('}')?.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (label, value) = pair.split_once('=')?;
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        labels.insert(Some(label.trim()).filter(|it| word(it))?.to_owned(), value.to_owned());
    }
    word(name.trim()).then(|| (name.trim().to_owned(), labels))
}
