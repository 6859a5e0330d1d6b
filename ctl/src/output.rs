//! How results look: tables for people, one JSON document for programs.
//!
//! Everything here is pure. Text that comes from a host may hold anything, terminal commands included, so whatever is
//! printed for a person goes through [`clean`] first.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Serialize, Serializer};

/// What stands for a value that does not exist.
pub const ABSENT: &str = "—";

/// A point in time of the server's clock: RFC 3339 in JSON, null when unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Option<jiff::Timestamp>);

impl From<Option<prost_types::Timestamp>> for Time {
    fn from(at: Option<prost_types::Timestamp>) -> Self {
        // What lies outside jiff's years is no time that anybody can read.
        Self(at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(at) => to.collect_str(&at),
            None => to.serialize_none(),
        }
    }
}

impl Time {
    /// The time of so many microseconds after the Unix epoch.
    #[must_use]
    pub fn of_micros(micros: u64) -> Self {
        Self(i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()))
    }

    /// The time of day with milliseconds, UTC; with the date when it is not that of `now`.
    #[must_use]
    pub fn clock(self, now: Self) -> String {
        let Some(at) = self.0 else { return ABSENT.to_owned() };
        let date = at.strftime("%Y-%m-%d").to_string();
        let time = at.strftime("%H:%M:%S%.3f").to_string();
        match now.0 {
            Some(now) if now.strftime("%Y-%m-%d").to_string() == date => time,
            Some(_) | None => format!("{date} {time}"),
        }
    }

    /// How long ago it was at `now`, or in how long it will be.
    #[must_use]
    pub fn relative(self, now: Self) -> String {
        let (Some(at), Some(now)) = (self.0, now.0) else { return ABSENT.to_owned() };
        let (micros, ahead) = (at.as_microsecond() - now.as_microsecond(), at > now);
        let seconds = (micros.unsigned_abs() + 500_000) / 1_000_000;
        if seconds == 0 {
            return "now".to_owned();
        }
        let text = if seconds < 10 { format!("{seconds} s") } else { span(Duration::from_secs(seconds)) };
        if ahead { format!("in {text}") } else { format!("{text} ago") }
    }

    /// How long after `earlier` it is; null when either is unset or it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let micros = self.0?.as_microsecond() - earlier.0?.as_microsecond();
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}

/// A span for a person: two figures that matter, not more.
#[must_use]
pub fn span(it: Duration) -> String {
    let seconds = it.as_secs();
    match seconds {
        0 if it.is_zero() => "0 ms".to_owned(),
        0 if it.as_millis() < 10 => format!("{:.1} ms", it.as_secs_f64() * 1e3),
        0 => format!("{} ms", it.as_millis()),
        1..=9 => format!("{:.1} s", it.as_secs_f64()),
        10..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A span that may be absent.
#[must_use]
pub fn optional_span(it: Option<Duration>) -> String {
    it.map_or_else(|| ABSENT.to_owned(), span)
}

/// A health of 0 to 100; absent without fresh evidence.
#[must_use]
pub fn health(it: Option<f64>) -> String {
    it.map_or_else(|| ABSENT.to_owned(), |it| format!("{it:.0}"))
}

/// A text that may be absent.
#[must_use]
pub fn optional(it: Option<&str>) -> String {
    it.filter(|it| !it.is_empty()).map_or_else(|| ABSENT.to_owned(), clean)
}

/// A text without control characters: it cannot move the cursor, ring, end its line, or show its letters in another order
/// than they are in.
#[must_use]
pub fn clean(text: &str) -> String {
    let plain = |c: char| if c == '\n' || c == '\t' { ' ' } else { '\u{fffd}' };
    text.chars().map(|c| if c.is_control() || reorders(c) { plain(c) } else { c }).collect()
}

/// Whether a character changes the direction of what follows, ends a line, or cannot be seen.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
}

/// The noun with its number: `1 host`, `3 hosts`.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// What a line tells at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Of little interest.
    Faint,
    /// A heading.
    Heading,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[must_use]
    pub fn for_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        Self(io::stdout().is_terminal() && !set("NO_COLOR") && !dumb)
    }

    /// The text in the colour of its tone.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Heading => Style::new().bold(),
        };
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Rows under a heading, as wide as they need to be: never cut or wrapped to what a terminal happens to be.
#[derive(Debug, Default)]
pub struct Rows {
    heading: Vec<&'static str>,
    rows: Vec<(Tone, Vec<String>)>,
    indent: usize,
    wide: bool,
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), ..Self::default() }
    }

    /// Puts `spaces` before every line.
    #[must_use]
    pub const fn indented(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Adds columns at the right when `wide`; without it they and their cells are left out.
    #[must_use]
    pub fn wide(mut self, wide: bool, heading: &[&'static str]) -> Self {
        self.wide = wide;
        if wide {
            self.heading.extend(heading);
        }
        self
    }

    /// Adds a row with the cells of the additional columns.
    pub fn push_wide<const N: usize, const M: usize>(&mut self, tone: Tone, row: [String; N], more: [String; M]) {
        let more = more.iter().filter(|_| self.wide);
        self.rows.push((tone, row.iter().chain(more).map(|cell| clean(cell)).collect()));
    }

    /// Adds a row.
    pub fn push<const N: usize>(&mut self, tone: Tone, row: [String; N]) {
        self.rows.push((tone, row.iter().map(|cell| clean(cell)).collect()));
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each with its newline.
    #[must_use]
    pub fn print(&self, paint: Paint) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let tones: Vec<Tone> = if self.heading.is_empty() {
            self.rows.iter().map(|(tone, _)| *tone).collect()
        } else {
            table.set_header(&self.heading);
            std::iter::once(Tone::Heading).chain(self.rows.iter().map(|(tone, _)| *tone)).collect()
        };
        for (_, row) in &self.rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let indent = " ".repeat(self.indent);
        // Cells hold no newline, so lines and rows are the same.
        table
            .lines()
            .zip(tones)
            .map(|(line, tone)| format!("{indent}{}\n", paint.tone(tone, line.trim_end())))
            .collect()
    }
}

/// How a program reads a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML, made from the same JSON, so that both say the same.
    Yaml,
}

impl Format {
    /// A whole document with a newline at its end.
    ///
    /// # Errors
    /// When a value cannot be JSON, which no type here allows.
    pub fn document<T: Serialize>(self, it: &T) -> anyhow::Result<String> {
        match self {
            Self::Json => json(it),
            // By way of JSON: YAML has tags and more kinds of numbers, which nobody asked for.
            Self::Yaml => Ok(serde_norway::to_string(&serde_json::to_value(it)?)?),
        }
    }

    /// One of several documents: a line of JSON, or a YAML document of a stream.
    ///
    /// # Errors
    /// Those of [`Format::document`].
    pub fn line<T: Serialize>(self, it: &T) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(serde_json::to_string(it)? + "\n"),
            Self::Yaml => Ok(format!("---\n{}", self.document(it)?)),
        }
    }

    /// Prints the only result of a command, JSON in one line.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print<T: Serialize>(self, it: &T) -> anyhow::Result<Flow> {
        let text = match self {
            Self::Json => self.line(it)?,
            Self::Yaml => self.document(it)?,
        };
        Ok(print(&text)?)
    }
}

/// One JSON document with a newline at its end.
///
/// # Errors
/// When a value cannot be JSON, which no type here allows.
pub fn json<T: Serialize>(it: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(it)? + "\n")
}

/// Writes to stdout. A reader that has gone away (`prunella events | head`) is no failure.
///
/// # Errors
/// When stdout cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<Flow> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Flow::On),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::Stop),
        Err(error) => Err(error),
    }
}

/// Whether anybody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    On,
    /// Nobody reads any more.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time(Some(text.parse().unwrap()))
    }

    #[test]
    fn times_read_well() {
        let now = at("2026-03-01T12:00:00Z");
        assert_eq!(at("2026-03-01T11:59:47.1234Z").clock(now), "11:59:47.123");
        assert_eq!(at("2026-02-28T23:00:00Z").clock(now), "2026-02-28 23:00:00.000");
        assert_eq!(at("2026-03-01T11:59:48Z").relative(now), "12 s ago");
        assert_eq!(at("2026-03-01T14:30:00Z").relative(now), "in 2 h");
        assert_eq!(at("2026-03-01T11:59:58.7Z").relative(now), "1 s ago");
        assert_eq!(at("2026-03-01T12:04:59.9Z").relative(now), "in 5 min");
        assert_eq!(Time(None).relative(now), ABSENT);
        assert_eq!(serde_json::to_string(&Time(None)).unwrap(), "null");
        assert_eq!(serde_json::to_string(&now).unwrap(), "\"2026-03-01T12:00:00Z\"");
        for (millis, text) in
            [(2, "2.0 ms"), (250, "250 ms"), (1_500, "1.5 s"), (90_000, "90 s"), (7_100_000, "118 min")]
        {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn yaml_says_what_json_says() {
        let view = serde_json::json!({"name": "1", "at": at("2026-03-01T12:00:00Z"), "health": null, "share": 0.5, "list": [1, "1"]});
        let text = Format::Yaml.document(&view).unwrap();
        assert_eq!(serde_norway::from_str::<serde_json::Value>(&text).unwrap(), view, "{text}");
        assert!(Format::Yaml.line(&view).unwrap().starts_with("---\n"));
        assert_eq!(Format::Json.line(&view).unwrap().lines().count(), 1);
    }

    #[test]
    fn wide_tables_have_more_columns() {
        let table = |wide| {
            let mut rows = Rows::new(&["A"]).wide(wide, &["B"]);
            rows.push_wide(Tone::Plain, ["1".to_owned()], ["2".to_owned()]);
            rows.print(Paint(false))
        };
        assert_eq!((table(false).as_str(), table(true).as_str()), ("A\n1\n", "A  B\n1  2\n"));
    }

    #[test]
    fn what_a_host_says_cannot_command_the_terminal() {
        let mut rows = Rows::new(&["A", "LONG HEADING"]);
        rows.push(Tone::Bad, ["a\u{1b}[2Jb\nc".to_owned(), "x".repeat(200)]);
        rows.push(Tone::Plain, ["d".to_owned(), "e".to_owned()]);
        let text = rows.print(Paint(false));
        assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text}");
        assert!(text.contains(&"x".repeat(200)), "nothing is cut");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
        assert!(rows.print(Paint(true)).contains("\u{1b}[0m"));
        assert_eq!(clean("db\u{202e}bew\u{200b}\u{9b}1m"), "db\u{fffd}bew\u{fffd}\u{fffd}1m");
    }
}
