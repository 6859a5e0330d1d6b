//! The keys of a probe's table: which there are, what holds when one is left out, and how each is read.
//!
//! What is documented is what is read: defaults and examples are taken from the same table as the page that lists them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_model::time::{format_span, parse_span};
use prunella_settings::{Located, Spanned, Value, nearest};

use super::check::{Checked, Checker};
use super::probes::{COMMON, ROWS, Row};
use super::{HostPort, ManagerConfig};

/// One table as it is written: keys and values, each with its place.
pub(super) type Entries = BTreeMap<Spanned<String>, Spanned<Value>>;

/// One key of a probe's table.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it says, for a person.
    pub(crate) about: &'static str,
    pub(crate) otherwise: Otherwise,
}

/// What holds when a key is left out.
#[derive(Clone, Copy)]
pub(crate) enum Otherwise {
    /// It must be there; an example.
    Needed(&'static str),
    /// This value.
    Is(&'static str),
    /// Nothing; what that means, for a person.
    Absent(&'static str),
}

impl Key {
    pub(crate) const fn needed(name: &'static str, example: &'static str, about: &'static str) -> Self {
        Self { name, about, otherwise: Otherwise::Needed(example) }
    }

    pub(crate) const fn of(name: &'static str, default: &'static str, about: &'static str) -> Self {
        Self { name, about, otherwise: Otherwise::Is(default) }
    }

    pub(crate) const fn maybe(name: &'static str, without: &'static str, about: &'static str) -> Self {
        Self { name, about, otherwise: Otherwise::Absent(without) }
    }
}

/// The keys that were written for one probe.
pub(crate) struct Keys<'k> {
    pub(super) checker: &'k Checker<'k>,
    pub(super) row: &'static Row,
    /// Where the probe's kind is written.
    pub(super) kind_at: Range<usize>,
    pub(super) entries: &'k Entries,
    /// What starts and stops the target; none for the host's own probes.
    pub(super) manager: &'k ManagerConfig,
}

impl Keys<'_> {
    /// Whether every key is one of this kind of probe.
    pub(super) fn all_known(&self) -> Checked<()> {
        for (key, value) in self.entries {
            let name = key.get_ref().as_str();
            if COMMON.iter().chain(self.row.keys).any(|it| it.name == name) {
                continue;
            }
            if ROWS.iter().any(|row| row.keys.iter().any(|it| it.name == name)) {
                return Err(self.wrong(value.span(), format!("a {} probe has no {name}", self.kind())));
            }
            let known: Vec<&str> = COMMON.iter().chain(self.row.keys).map(|it| it.name).collect();
            let advice = match nearest(name, &known) {
                Some(key) => format!("did you mean {key:?}?"),
                None => format!("allowed here: {}", known.join(", ")),
            };
            return Err(self.wrong(key.span(), format!("unknown key {name:?} in [[target.probe]]; {advice}")));
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.row.kind.as_str()
    }

    /// An error at a place of the file.
    pub(crate) fn wrong(&self, at: Range<usize>, what: impl std::fmt::Display) -> Located {
        self.checker.source.at(at, what)
    }

    /// An error that no key is the place of.
    pub(crate) fn unfit(&self, what: impl std::fmt::Display) -> Located {
        self.wrong(self.kind_at.clone(), what)
    }

    /// An error at the value of a key.
    pub(crate) fn misfit(&self, name: &str, what: impl std::fmt::Display) -> Located {
        let at = self.entries.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.span());
        self.wrong(at.unwrap_or_else(|| self.kind_at.clone()), what)
    }

    /// Whether a key is written.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.get_ref() == name)
    }

    /// Where the probe's kind is written.
    pub(crate) fn kind_at(&self) -> Range<usize> {
        self.kind_at.clone()
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        let key = COMMON.iter().chain(self.row.keys).find(|it| it.name == name);
        debug_assert!(key.is_some(), "{name} is not in the table of {}", self.kind());
        key
    }

    fn entry(&self, name: &str) -> Checked<Option<&Spanned<Value>>> {
        let entry = self.entries.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        if let (None, Some(Key { otherwise: Otherwise::Needed(example), .. })) = (entry, self.key(name)) {
            let what = format!("a {} probe needs {name}, for example {example:?}", self.kind());
            return Err(self.unfit(what));
        }
        Ok(entry)
    }

    fn default(&self, name: &str) -> &'static str {
        match self.key(name).map(|it| it.otherwise) {
            Some(Otherwise::Is(text)) => text,
            Some(Otherwise::Needed(_) | Otherwise::Absent(_)) | None => "",
        }
    }

    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Checked<Option<Spanned<T>>> {
        let Some(entry) = self.entry(name)? else { return Ok(None) };
        match read(entry.get_ref()) {
            Some(value) => Ok(Some(Spanned::new(entry.span(), value))),
            None => Err(self.wrong(entry.span(), format!("{name} must be {what}"))),
        }
    }

    /// A text that may be left out.
    pub(crate) fn text(&self, name: &str) -> Checked<Option<Spanned<String>>> {
        self.read(name, "a text", |it| it.as_str().map(str::to_owned))
    }

    /// A text that must be there or has a default; never empty.
    pub(crate) fn word(&self, name: &str) -> Checked<Spanned<String>> {
        let given = self.text(name)?;
        if let Some(it) = given.as_ref().filter(|it| it.get_ref().is_empty()) {
            return Err(self.wrong(it.span(), format!("{name} must not be empty")));
        }
        Ok(given.unwrap_or_else(|| Spanned::new(self.kind_at.clone(), self.default(name).to_owned())))
    }

    /// A list of texts.
    pub(crate) fn words(&self, name: &str) -> Checked<Option<Spanned<Vec<String>>>> {
        let list = |it: &Value| it.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect();
        self.read(name, "a list of texts", list)
    }

    /// Statuses of HTTP answers.
    pub(crate) fn codes(&self, name: &str) -> Checked<Option<Spanned<Vec<u16>>>> {
        let list = |it: &Value| it.as_array()?.iter().map(|it| u16::try_from(it.as_integer()?).ok()).collect();
        self.read(name, "a list of numbers, for example [200, 204]", list)
    }

    /// Texts by name.
    pub(crate) fn pairs(&self, name: &str) -> Checked<BTreeMap<String, String>> {
        let table = |it: &Value| {
            let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            it.as_table()?.iter().map(pair).collect()
        };
        Ok(self.read(name, "a table of texts", table)?.map(Spanned::into_inner).unwrap_or_default())
    }

    /// A span of time with a default.
    pub(crate) fn span(&self, name: &str) -> Checked<Duration> {
        let Some(text) = self.text(name)? else {
            return Ok(parse_span(self.default(name)).unwrap_or_default());
        };
        parse_span(text.get_ref()).map_err(|bad| self.wrong(text.span(), bad))
    }

    /// A span of time; none when it is left out.
    pub(crate) fn maybe_span(&self, name: &str) -> Checked<Option<Duration>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse_span(text.get_ref()).map(Some).map_err(|bad| self.wrong(text.span(), bad))
    }

    /// A span of time within bounds; none when it is left out.
    pub(crate) fn span_within(&self, name: &str, least: Duration, most: Duration) -> Checked<Option<Duration>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let span = parse_span(text.get_ref()).map_err(|bad| self.wrong(text.span(), bad))?;
        if (least..=most).contains(&span) {
            return Ok(Some(span));
        }
        let (low, high) = (format_span(least), format_span(most));
        Err(self.wrong(text.span(), format!("{} is out of range; use {low} to {high}", format_span(span))))
    }

    /// A number; none when it is left out and has no default.
    pub(crate) fn number(&self, name: &str) -> Checked<Option<f64>> {
        let given = self.read(name, "a number that is not negative", |it| number(it).filter(|it| *it >= 0.0))?;
        Ok(given.map(Spanned::into_inner).or_else(|| self.default(name).parse().ok()))
    }

    /// A whole number of things, at least one; none when it is left out and has no default.
    pub(crate) fn count(&self, name: &str) -> Checked<Option<u32>> {
        let fits = |it: &Value| u32::try_from(it.as_integer()?).ok().filter(|it| *it > 0);
        let given = self.read(name, "a whole number, at least 1", fits)?;
        Ok(given.map(Spanned::into_inner).or_else(|| self.default(name).parse().ok()))
    }

    /// A share in percent, with a default.
    pub(crate) fn percent(&self, name: &str) -> Checked<f64> {
        let fits = |it: &Value| number(it).filter(|it| (0.0..=100.0).contains(it));
        let given = self.read(name, "a number from 0 to 100", fits)?;
        Ok(given.map(Spanned::into_inner).or_else(|| self.default(name).parse().ok()).unwrap_or(100.0))
    }

    /// Yes or no, with a default.
    pub(crate) fn switch(&self, name: &str) -> Checked<bool> {
        let given = self.read(name, "true or false", Value::as_bool)?;
        Ok(given.map_or_else(|| self.default(name) == "true", Spanned::into_inner))
    }

    /// One word of a closed set, with a default that is one of them.
    pub(crate) fn choice<T: Copy>(&self, name: &str, set: &[(&str, T)]) -> Checked<T> {
        let word = self.word(name)?;
        let known: Vec<&str> = set.iter().map(|(word, _)| *word).collect();
        match set.iter().find(|(it, _)| it == word.get_ref()) {
            Some((_, value)) => Ok(*value),
            None => {
                let what = format!("{name} {:?} is not known; use {}", word.get_ref(), known.join(", "));
                Err(self.wrong(word.span(), what))
            }
        }
    }

    /// A path, from the directory of the file on.
    pub(crate) fn path(&self, name: &str) -> Checked<PathBuf> {
        self.word(name).map(|it| self.checker.path(it.get_ref()))
    }

    /// A path that may be left out.
    pub(crate) fn maybe_path(&self, name: &str) -> Checked<Option<PathBuf>> {
        Ok(self.text(name)?.map(|it| self.checker.path(it.get_ref())))
    }

    /// A host and a port that may be left out.
    pub(crate) fn maybe_address(&self, name: &str) -> Checked<Option<HostPort>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        self.checker.host_port(text.get_ref(), text.span()).map(Some)
    }

    /// A host and a port.
    pub(crate) fn address(&self, name: &str) -> Checked<HostPort> {
        let word = self.word(name)?;
        self.checker.host_port(word.get_ref(), word.span())
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of a configuration are far smaller than 2^53")]
fn number(it: &Value) -> Option<f64> {
    it.as_float().or_else(|| it.as_integer().map(|it| it as f64)).filter(|it| it.is_finite())
}

/// The kind of probe that a table names, and where.
pub(super) fn kind_of(checker: &Checker<'_>, table: &Spanned<Entries>) -> Checked<(ProbeKind, Range<usize>)> {
    let kind = table.get_ref().iter().find(|(key, _)| key.get_ref() == "kind").map(|(_, value)| value);
    let all = || ROWS.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>();
    let Some(kind) = kind else {
        return Err(checker.source.at(table.span(), format!("a probe needs kind: one of {}", all().join(", "))));
    };
    let word = kind.get_ref().as_str().unwrap_or_default();
    match ProbeKind::ALL.into_iter().find(|it| it.as_str() == word) {
        Some(found) => Ok((found, kind.span())),
        None => {
            let advice = match nearest(word, &all()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("there are: {}", all().join(", ")),
            };
            Err(checker.source.at(kind.span(), format!("unknown kind of probe {word:?}; {advice}")))
        }
    }
}
