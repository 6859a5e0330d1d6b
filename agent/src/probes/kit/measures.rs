//! Series whose names are only known when something is first measured.

use prunella_model::{MetricName, TargetName};

use crate::board::{Board, Series};

/// The most series of one probe: what a program prints must not fill the fleet's memory.
pub(crate) const SERIES_MAX: usize = 32;

/// See the module.
pub(crate) struct Measures {
    target: TargetName,
    prefix: String,
    known: Vec<(String, Option<Series>)>,
}

impl Measures {
    /// Series of `target` whose names begin with `prefix`.
    pub(crate) fn new(target: &TargetName, prefix: &str) -> Self {
        Self { target: target.clone(), prefix: prefix.to_owned(), known: Vec::new() }
    }

    /// Takes a value of the series `label`, which gets its number when it is first seen. Too many are left out.
    pub(crate) fn set(&mut self, board: &Board, label: &str, unit: &str, value: f64) {
        let known = self.known.iter().find(|(it, _)| it == label).map(|(_, series)| *series);
        let series = match known {
            Some(series) => series,
            None if self.known.len() == SERIES_MAX => return,
            None => {
                let metric = MetricName::new(&format!("{}.{}{unit}", self.prefix, plain(label)));
                let series = metric.ok().filter(|it| !board.has_series(&self.target, it));
                let series = series.map(|it| board.add_series(&self.target, it));
                self.known.push((label.to_owned(), series));
                series
            }
        };
        if let Some(series) = series {
            board.measure(series, value);
        }
    }
}

/// A label as a part of a metric's name: lower case, and `_` for all that no name may have.
pub(crate) fn plain(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    for c in label.chars().map(|it| it.to_ascii_lowercase()) {
        let fits = c.is_ascii_lowercase() || c.is_ascii_digit();
        match (fits, name.is_empty() || name.ends_with('_')) {
            (true, _) => name.push(c),
            (false, false) => name.push('_'),
            (false, true) => {}
        }
    }
    let name = name.trim_end_matches('_');
    // A path that is only a slash.
    if name.is_empty() { "root".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_parts_of_names() {
        for (label, name) in [
            ("/", "root"),
            ("/var/log", "var_log"),
            ("load1", "load1"),
            ("C:\\ used %", "c_used"),
            ("Größe", "gr_e"),
            ("a.b", "a_b"),
        ] {
            assert_eq!(plain(label), name);
            assert!(MetricName::new(&format!("x.{name}")).is_ok());
        }
    }
}
