//! The page of `docs/probes.md` that lists every kind of probe, made from the table that the file is read by.

use std::fmt::Write as _;

use prunella_model::time::format_span;

use super::{COMMON, ROWS, Row, Stands};
use crate::config::keys::{Key, Otherwise};

/// Every kind of probe with its keys, defaults, series and an example, as Markdown.
#[must_use]
pub fn guide() -> String {
    let mut page = String::from("## Keys of every probe\n\n");
    table(&mut page, &COMMON);
    for row in ROWS {
        section(&mut page, row);
    }
    page
}

fn section(page: &mut String, row: &Row) {
    // Writing to a text cannot fail.
    let _ = write!(page, "\n## {}\n\n{}\n\n", row.kind.as_str(), wrapped(row.about));
    let stands = match row.stands {
        Stands::Target => "under a `[[target]]`",
        Stands::Host => "as a `[[host.probe]]`",
        Stands::Anywhere => "under a `[[target]]` or as a `[[host.probe]]`",
    };
    let (interval, timeout) = (format_span(row.interval), format_span(row.timeout));
    let _ = writeln!(page, "Stands {stands}. Looks every {interval}, for at most {timeout}.");
    if !row.keys.is_empty() {
        page.push('\n');
        table(page, row.keys);
    }
    if !row.series.is_empty() {
        page.push_str("\n| series | what it is |\n|---|---|\n");
        for (name, about) in row.series {
            let _ = writeln!(page, "| `{name}` | {about} |");
        }
    }
    let header = if row.stands == Stands::Host { "[[host.probe]]" } else { "[[target.probe]]" };
    let _ = write!(page, "\n```toml\n{header}\n{}\n```\n", row.example);
}

fn table(page: &mut String, keys: &[Key]) {
    page.push_str("| key | what it says | if left out |\n|---|---|---|\n");
    for key in keys {
        let otherwise = match key.otherwise {
            Otherwise::Needed(example) => format!("required; for example `{example}`"),
            Otherwise::Is(default) => format!("`{default}`"),
            Otherwise::Absent(meaning) => meaning.to_owned(),
        };
        let _ = writeln!(page, "| `{}` | {} | {otherwise} |", key.name, key.about);
    }
}

/// The same words in lines of readable length.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 120;
    let mut page = String::new();
    let mut line = 0;
    for word in text.split_whitespace() {
        if line > 0 && line + 1 + word.len() > WIDTH {
            page.push('\n');
            line = 0;
        } else if line > 0 {
            page.push(' ');
            line += 1;
        }
        page.push_str(word);
        line += word.len();
    }
    page
}
