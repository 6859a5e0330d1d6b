//! Settings from text: typed, strict, and with errors that point at the place.
//!
//! Pure: text goes in, a value or a [`Located`] error comes out. Reading the file is the caller's.

pub mod audit;
pub mod environment;
pub mod reference;

use std::fmt::{self, Display};
use std::ops::Range;

use environment::{Merged, Patch};

use serde::de::DeserializeOwned;

pub use toml::{Spanned, Value};

/// How alike two keys must be for one to be offered in place of the other; below it the offer would confuse.
const LIKENESS_MIN: f64 = 0.7;

/// From how many letters on a word counts as the beginning of another.
const BEGUN_MIN: usize = 3;

/// What is wrong with a settings file, and where: `file:line:column: what`; or `VARIABLE: what`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Located {
    /// The file, as the caller named it, or the variable that is wrong.
    pub file: String,
    /// The line, from 1; 0 when a variable is wrong.
    pub line: usize,
    /// The column in characters, from 1; 0 when a variable is wrong.
    pub column: usize,
    /// What is wrong there and, where it is known, what to write instead.
    pub what: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.what),
        }
    }
}

/// The text of one settings file, with the name that errors give it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'t> {
    file: &'t str,
    /// What is read.
    text: &'t str,
    /// The file's own text, in which places are.
    own: &'t str,
    patches: &'t [Patch],
}

impl<'t> Source<'t> {
    /// The text `text` of the file that errors shall call `file`.
    #[must_use]
    pub const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, own: text, patches: &[] }
    }

    /// The same with the values of the environment: `own` is the file's text, of which `merged` was made.
    #[must_use]
    pub fn merged(file: &'t str, own: &'t str, merged: &'t Merged) -> Self {
        Self { file, text: &merged.text, own, patches: &merged.patches }
    }

    /// Reads the whole text as a `T`. Unknown keys are errors where `T` says `deny_unknown_fields`.
    ///
    /// # Errors
    /// [`Located`] at the first place that is not valid TOML or does not fit `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Located> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let what = self
                .unknown_key(error.message(), &span)
                .or_else(|| unknown_value(error.message()))
                .unwrap_or_else(|| error.message().to_owned());
            self.at(span, what)
        })
    }

    /// An error of the caller's own at a place that a [`Spanned`] value names.
    #[must_use]
    pub fn at(&self, span: Range<usize>, what: impl Display) -> Located {
        // An insertion is followed by what it pushed aside, so its end is not part of it.
        if let Some(patch) = self.patches.iter().find(|it| it.here.contains(&span.start)) {
            return environment::wrong(&patch.variable, what);
        }
        let before = self.patches.iter().take_while(|it| it.here.end <= span.start);
        let shift = before.fold(0_isize, |sum, it| sum + signed(it.there.len()) - signed(it.here.len()));
        let start = span.start.saturating_add_signed(shift);
        let before = self.own.get(..start).unwrap_or(self.own);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Located {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what: what.to_string(),
        }
    }

    /// Says it better, when `message` is serde's complaint about a key that it does not know.
    fn unknown_key(&self, message: &str, span: &Range<usize>) -> Option<String> {
        let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
        let found = quoted.next()?;
        let known: Vec<&str> = quoted.collect();
        let place =
            self.table_of(span.start).map_or_else(|| "at the top of the file".to_owned(), |it| format!("in {it}"));
        let advice = match nearest(found, &known) {
            Some(key) => format!("did you mean {key:?}?"),
            None if known.is_empty() => "no key is allowed here".to_owned(),
            None => format!("allowed here: {}", known.join(", ")),
        };
        Some(format!("unknown key {found:?} {place}; {advice}"))
    }

    /// The table that the byte `at` lies in, as its header says it; none at the top of the file.
    fn table_of(&self, at: usize) -> Option<String> {
        let header = |line: &'t str| line.split('#').next().map(str::trim).filter(|it| it.starts_with('['));
        let line_start = self.text.get(..at)?.rfind('\n').map_or(0, |it| it + 1);
        let (above, below) = self.text.split_at_checked(line_start)?;
        match below.lines().next().and_then(header) {
            // The key is part of a header itself, so its table is the one that the header lies in.
            Some(own) => {
                own.trim_matches(['[', ']']).rsplit_once('.').map(|(parent, _)| format!("[{}]", parent.trim()))
            }
            None => above.lines().rev().find_map(header).map(str::to_owned),
        }
    }
}

/// A length of a text, which always fits.
fn signed(length: usize) -> isize {
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// Says it better, when `message` is serde's complaint about a word that is none of those it knows.
fn unknown_value(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown variant ")?.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    let advice = match nearest(found, &known) {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("allowed here: {}", known.join(", ")),
    };
    Some(format!("unknown value {found:?}; {advice}"))
}

/// The one of `known` that is most like `found`, when it is alike enough to be meant.
#[must_use]
pub fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    // What was only begun is meant before what merely looks alike.
    if found.len() >= BEGUN_MIN
        && let Some(whole) = known.iter().find(|it| it.starts_with(found))
    {
        return Some(whole);
    }
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(found, key), *key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn what_was_begun_is_meant_before_what_looks_alike() {
        assert_eq!(nearest("restart", &["stop", "restart_service", "restart_host"]), Some("restart_service"));
        assert_eq!(nearest("restart_hots", &["restart_service", "restart_host"]), Some("restart_host"));
        assert_eq!(nearest("xyz", &["restart_service"]), None);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from text")]
    struct File {
        #[serde(default)]
        target: Vec<Target>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from text")]
    struct Target {
        name: String,
        interval: Option<u32>,
    }

    fn error(text: &str) -> String {
        Source::new("agent.toml", text).read::<File>().unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_located_and_the_nearest_valid_one_is_offered() {
        assert_eq!(
            error("# ü\n[[target]]\nname = \"a\"\n  intervall = 3\n"),
            "agent.toml:4:3: unknown key \"intervall\" in [[target]]; did you mean \"interval\"?"
        );
        assert_eq!(
            error("[[target]]\nname = \"a\"\nzzz = 3\n"),
            "agent.toml:3:1: unknown key \"zzz\" in [[target]]; allowed here: name, interval"
        );
        assert_eq!(
            error("targets = 1"),
            "agent.toml:1:1: unknown key \"targets\" at the top of the file; did you mean \"target\"?"
        );
        assert_eq!(
            error("[targets]\n"),
            "agent.toml:1:2: unknown key \"targets\" at the top of the file; did you mean \"target\"?"
        );
    }

    #[test]
    fn other_faults_are_located_too() {
        assert!(error("[[target]]\nname = 5").starts_with("agent.toml:2:8: invalid type"));
        assert!(error("[[target]]\ninterval = 5").starts_with("agent.toml:1:1: missing field `name`"));
        assert!(error("[[target]]\nname = \"a").starts_with("agent.toml:2:"));
        assert!(error("name = \u{0}").starts_with("agent.toml:1:"));
    }
}
