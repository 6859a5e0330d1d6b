//! The keys of a settings file, as a table: for its reference, for what the environment may override, and for `config show`.

use std::fmt::Write as _;

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A number.
    Number,
    /// A span of time, such as `5m`.
    Span,
    /// A size, such as `2GiB`.
    Size,
    /// A list of texts; in the environment separated by commas, or as in TOML.
    Texts,
    /// A list of numbers, likewise.
    Numbers,
    /// Whatever stands at that place; in the environment as in TOML, or a text.
    Any,
}

impl Kind {
    /// The kind, for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Switch => "true or false",
            Self::Number => "number",
            Self::Span => "span",
            Self::Size => "size",
            Self::Texts => "texts",
            Self::Numbers => "numbers",
            Self::Any => "any",
        }
    }
}

/// What holds when a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It must be there.
    Needed,
    /// This value, as it would be written.
    Is(&'static str),
    /// Nothing; what that means, for a person.
    Absent(&'static str),
}

/// One key of a file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Where it is, with dots: `#` stands for the position in a list of tables, `*` for a name of one's own.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds without it.
    pub otherwise: Otherwise,
    /// What it says, for a person.
    pub about: &'static str,
    /// Whether its value is nobody's business.
    pub secret: bool,
}

impl Key {
    /// A key that must be there.
    #[must_use]
    pub const fn needed(path: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { path, kind, otherwise: Otherwise::Needed, about, secret: false }
    }

    /// A key with a default.
    #[must_use]
    pub const fn of(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Self {
        Self { path, kind, otherwise: Otherwise::Is(default), about, secret: false }
    }

    /// A key without which something is not there.
    #[must_use]
    pub const fn maybe(path: &'static str, kind: Kind, without: &'static str, about: &'static str) -> Self {
        Self { path, kind, otherwise: Otherwise::Absent(without), about, secret: false }
    }

    /// The same with a value that is never shown.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The parts of its path.
    pub fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('.')
    }

    /// Whether `path` is one of the places that this key stands for.
    #[must_use]
    pub fn matches(&self, path: &[String]) -> bool {
        let parts: Vec<&str> = self.parts().collect();
        parts.len() == path.len()
            && parts.iter().zip(path).all(|(part, it)| match *part {
                "#" => it.bytes().all(|byte| byte.is_ascii_digit()) && !it.is_empty(),
                "*" => !it.is_empty(),
                literal => literal == it,
            })
    }

    /// The variable that overrides it, with the prefix of its file: `N` and `NAME` stand for positions and names.
    #[must_use]
    pub fn variable(&self, prefix: &str) -> String {
        let parts: Vec<String> = self
            .parts()
            .map(|part| match part {
                "#" => "N".to_owned(),
                "*" => "NAME".to_owned(),
                literal => literal.to_ascii_uppercase(),
            })
            .collect();
        format!("{prefix}{}", parts.join("__"))
    }
}

/// The reference of a file as a Markdown table.
#[must_use]
pub fn table(keys: &[Key], prefix: &str) -> String {
    let mut page = String::from("| key | value | if left out | what it says | variable |\n|---|---|---|---|---|\n");
    for key in keys {
        let otherwise = match key.otherwise {
            Otherwise::Needed => "required".to_owned(),
            Otherwise::Is(default) => format!("`{default}`"),
            Otherwise::Absent(meaning) => meaning.to_owned(),
        };
        let (path, kind, variable) = (key.path, key.kind.as_str(), key.variable(prefix));
        // Writing to a text cannot fail.
        let _ = writeln!(page, "| `{path}` | {kind} | {otherwise} | {} | `{variable}` |", key.about);
    }
    page
}
