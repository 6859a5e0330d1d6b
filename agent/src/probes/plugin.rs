//! A check program of any kind, by the Nagios plugin convention.
//!
//! <https://nagios-plugins.org/doc/guidelines.html>: exit 0 to 3, a line of text, and after a `|` performance data:
//! `'label'=value[UOM];[warn];[crit];[min];[max]`. Its thresholds are left to the plugin, which has judged already.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::{Finding, Level, Status};
use prunella_model::{ProbeName, TargetName};
use tokio::sync::Semaphore;

use super::kit::command::{self, Ended, OUTPUT_MAX, RunError, User};
use super::kit::measures::Measures;
use crate::board::{Board, Look};
use crate::config::{PluginSubject, Verdict};

/// How many plugins run at the same time on one host: more would be a load of their own.
pub(super) const AT_ONCE: usize = 8;
/// How much of its text is told.
const TOLD_MAX: usize = 200;

/// See the module.
pub(super) struct Plugin {
    subject: PluginSubject,
    timeout: Duration,
    turns: Arc<Semaphore>,
    measures: Measures,
}

impl Plugin {
    pub(super) fn new(
        subject: &PluginSubject,
        timeout: Duration,
        target: &TargetName,
        probe: &ProbeName,
        turns: &Arc<Semaphore>,
    ) -> Self {
        let measures = Measures::new(target, probe.as_str());
        Self { subject: subject.clone(), timeout, turns: Arc::clone(turns), measures }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let turns = Arc::clone(&self.turns);
        let Ok(_turn) = turns.acquire().await else { return Look::broken("the agent is ending") };
        match self.run().await {
            Ok(ended) => self.judge(&ended, board),
            Err(error) => Look::broken(crate::driver::causes(&error)),
        }
    }

    async fn run(&self) -> Result<Ended, RunError> {
        command::trusted(&self.subject.program)?;
        let user = self.subject.user.as_deref().map(User::named).transpose()?;
        command::run(&self.subject.program, &self.subject.args, user, self.timeout).await
    }

    fn judge(&mut self, ended: &Ended, board: &Board) -> Look {
        let program = self.subject.program.display();
        let output = String::from_utf8_lossy(&ended.output);
        let (text, perfdata) = split(&output);
        let verdict = match ended.status.code() {
            Some(0) => None,
            Some(1) => Some(self.subject.warning),
            Some(2) => Some(Verdict::Down),
            Some(3) => Some(self.subject.unknown),
            code => {
                let how = code.map_or_else(|| ended.status.to_string(), |it| format!("exit {it}"));
                return Look::broken(format!("{program} ended with {how}, which is no verdict{}", complaint(ended)));
            }
        };
        if ended.output.len() >= OUTPUT_MAX {
            return Look::broken(format!("{program} said more than {OUTPUT_MAX} bytes"));
        }
        // A script that breaks off half way also exits with 1 or 2, but says nothing.
        if text.is_empty() {
            return Look::broken(format!("{program} said nothing{}", complaint(ended)));
        }
        for it in perfdata.iter().flat_map(|it| Perfdata::all(it)) {
            self.measures.set(board, &it.label, it.unit, it.value);
        }
        let checked = |level| Finding::Checked { level, text: cut(&text).to_owned() };
        match verdict {
            None => Look::up(checked(Level::Good)),
            Some(Verdict::Degraded) => Look::up(checked(Level::Warning)),
            Some(Verdict::Down) => Look::down(checked(Level::Critical)),
            Some(Verdict::Unknown) => Look { status: Status::Unknown, finding: checked(Level::Warning) },
        }
    }
}

/// The first line of what a program complained, if it did.
fn complaint(ended: &Ended) -> String {
    let errors = String::from_utf8_lossy(&ended.errors);
    let line = errors.lines().rev().find(|it| !it.trim().is_empty());
    line.map(|it| format!(": {}", cut(it.trim()))).unwrap_or_default()
}

fn cut(text: &str) -> &str {
    let end = (0..=TOLD_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The first line's text, and all performance data: after the first line's `|`, and after the first `|` of what follows.
fn split(output: &str) -> (String, Vec<&str>) {
    let (first, rest) = output.split_once('\n').unwrap_or((output, ""));
    let (text, data) = first.split_once('|').unwrap_or((first, ""));
    let more = rest.split_once('|').map_or("", |(_, more)| more);
    (text.trim().to_owned(), vec![data, more])
}

/// One measurement of a plugin.
#[derive(Debug, Clone, PartialEq)]
struct Perfdata {
    label: String,
    /// What the series' name ends with.
    unit: &'static str,
    /// In that unit.
    value: f64,
}

impl Perfdata {
    /// Reads performance data. What cannot be read is left out, the rest is not.
    fn all(text: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some((label, after)) = label(rest) else { break };
            let (datum, next) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            found.extend(Self::of(label, datum));
            rest = next.trim_start();
        }
        found
    }

    fn of(label: String, datum: &str) -> Option<Self> {
        // `U` says that the value could not be measured: it is absent, not zero.
        let value = datum.split(';').next()?;
        let digits =
            value.find(|it: char| !(it.is_ascii_digit() || matches!(it, '.' | '-' | '+' | ','))).unwrap_or(value.len());
        let (number, unit) = value.split_at_checked(digits)?;
        // A locale's decimal comma is a common flaw of plugins.
        let number: f64 = number.replace(',', ".").parse().ok()?;
        let (unit, factor) = match unit {
            "" => ("", 1.0),
            "s" => ("_seconds", 1.0),
            "ms" => ("_seconds", 1e-3),
            "us" => ("_seconds", 1e-6),
            "ns" => ("_seconds", 1e-9),
            "%" => ("_percent", 1.0),
            "B" => ("_bytes", 1.0),
            "KB" | "kB" | "KiB" => ("_bytes", 1024.0),
            "MB" | "MiB" => ("_bytes", 1024.0 * 1024.0),
            "GB" | "GiB" => ("_bytes", 1024.0 * 1024.0 * 1024.0),
            "TB" | "TiB" => ("_bytes", 1024.0 * 1024.0 * 1024.0 * 1024.0),
            "c" => ("_count", 1.0),
            _ => return None,
        };
        Some(Self { label, unit, value: number * factor }).filter(|it| it.value.is_finite())
    }
}

/// A label and what comes after its `=`. Quotes stand around a label with spaces; a quote inside is written twice.
fn label(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let (label, after) = text.split_once('=')?;
        return (!label.is_empty()).then(|| (label.trim().to_owned(), after));
    };
    let mut label = String::new();
    let mut rest = quoted;
    loop {
        let (head, tail) = rest.split_once('\'')?;
        label.push_str(head);
        match tail.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((label, tail.strip_prefix('=')?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, &'static str, f64)> {
        Perfdata::all(text).into_iter().map(|it| (it.label, it.unit, it.value)).collect()
    }

    #[test]
    fn performance_data_is_read_with_its_units_and_flaws() {
        let of = |label: &str, unit, value| (label.to_owned(), unit, value);
        assert_eq!(read("load1=0.480;5.000;10.000;0; load5=1"), [of("load1", "", 0.48), of("load5", "", 1.0)]);
        assert_eq!(
            read("time=12ms;;;0 '/var log'=3MB;;;; 'it''s'=7%"),
            [
                of("time", "_seconds", 0.012),
                of("/var log", "_bytes", 3.0 * 1024.0 * 1024.0),
                of("it's", "_percent", 7.0)
            ]
        );
        assert_eq!(
            read("a=U b=1,5s c=-2 d=10c"),
            [of("b", "_seconds", 1.5), of("c", "", -2.0), of("d", "_count", 10.0)]
        );
        assert_eq!(read("nonsense"), []);
        assert_eq!(read("x=1furlong y=1e400 z=2"), [of("z", "", 2.0)]);
        assert_eq!(read("'open=1 z=2"), []);
        assert_eq!(read("="), []);
    }

    #[test]
    fn text_and_performance_data_are_told_apart() {
        assert_eq!(
            split("OK - fine | a=1\nlong text\nmore | b=2\nc=3\n"),
            ("OK - fine".to_owned(), vec![" a=1", " b=2\nc=3\n"])
        );
        assert_eq!(split(""), (String::new(), vec!["", ""]));
        assert_eq!(cut(&"ä".repeat(300)).len(), 200);
    }

    proptest::proptest! {
        #[test]
        fn no_output_is_too_strange(text in "\\PC{0,80}") {
            let (_, data) = split(&text);
            data.iter().for_each(|it| { Perfdata::all(it); });
            Perfdata::all(&text);
        }
    }
}
