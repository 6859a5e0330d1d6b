//! Values from the environment over those of a file.
//!
//! They are written into the file's text before it is read, so that one strict reader judges both; whatever it finds wrong
//! in such a value names the variable, and every other place stays the one in the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::reference::{Key, Kind};
use crate::{Located, nearest};

/// One value from the environment, where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where it is in the merged text.
    pub(crate) here: Range<usize>,
    /// What it took the place of in the file's own text.
    pub(crate) there: Range<usize>,
    /// The variable.
    pub variable: String,
    /// The key, with positions and names, with dots.
    pub path: String,
}

/// A file's text with the values of the environment in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The text.
    pub text: String,
    /// What comes from the environment, in the order of its places.
    pub patches: Vec<Patch>,
}

/// A change of the file's own text.
struct Edit {
    at: Range<usize>,
    text: String,
    variable: String,
    path: String,
}

/// Puts the variables that begin with `prefix` over the text. All others are no matter of this file.
///
/// # Errors
/// [`Located`] with the variable as its file: when it names no key, or its value cannot be one.
pub fn merge(
    text: &str,
    keys: &[Key],
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Merged, Located> {
    let mut edits = Vec::new();
    // A text that cannot be read at all is the reader's to complain about.
    if let Ok(document) = DeTable::parse(text) {
        let document = Document { text, headers: headers(text, document.get_ref()), root: document.get_ref() };
        let mut wanted: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        wanted.sort();
        for (variable, value) in wanted {
            let (path, kind) = resolve(keys, prefix, &variable)?;
            let literal = literal(kind, &value).map_err(|what| wrong(&variable, what))?;
            let (at, text) = document.edit(&path, &literal).map_err(|what| wrong(&variable, what))?;
            edits.push(Edit { at, text, variable, path: path.join(".") });
        }
    }
    edits.sort_by_key(|it| it.at.start);
    Ok(apply(text, edits))
}

fn apply(text: &str, edits: Vec<Edit>) -> Merged {
    let (mut merged, mut patches, mut done) = (String::new(), Vec::new(), 0);
    for edit in edits {
        merged.push_str(text.get(done..edit.at.start).unwrap_or_default());
        let start = merged.len();
        merged.push_str(&edit.text);
        let here = start..merged.len();
        done = edit.at.end.max(done);
        patches.push(Patch { here, there: edit.at, variable: edit.variable, path: edit.path });
    }
    merged.push_str(text.get(done..).unwrap_or_default());
    Merged { text: merged, patches }
}

pub(crate) fn wrong(variable: &str, what: impl std::fmt::Display) -> Located {
    Located { file: variable.to_owned(), line: 0, column: 0, what: what.to_string() }
}

/// The place that a variable names, and what stands there.
fn resolve(keys: &[Key], prefix: &str, variable: &str) -> Result<(Vec<String>, Kind), Located> {
    let rest = variable.strip_prefix(prefix).unwrap_or_default();
    let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    if let Some(key) = keys.iter().find(|it| it.matches(&path)) {
        return Ok((path, key.kind));
    }
    let known: Vec<String> = keys.iter().map(|it| it.variable(prefix)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(wrong(
        variable,
        match nearest(variable, &known) {
            Some(near) => format!("there is no such key; did you mean {near}?"),
            None => "there is no such key".to_owned(),
        },
    ))
}

/// The value as TOML writes it.
fn literal(kind: Kind, value: &str) -> Result<String, String> {
    let text = |it: &str| toml::Value::String(it.to_owned()).to_string();
    let as_written = || DeValue::parse(value).is_ok().then(|| value.to_owned());
    let list = |each: &dyn Fn(&str) -> Result<String, String>| {
        let items = value.split(',').map(str::trim).filter(|it| !it.is_empty());
        Ok(format!("[{}]", items.map(each).collect::<Result<Vec<_>, String>>()?.join(", ")))
    };
    let number = |it: &str| match (it.parse::<i64>(), it.parse::<f64>()) {
        (Ok(whole), _) => Ok(whole.to_string()),
        (Err(_), Ok(real)) if real.is_finite() => Ok(format!("{real:?}")),
        _ => Err(format!("{it:?} is no number")),
    };
    match kind {
        Kind::Text | Kind::Span | Kind::Size => Ok(text(value)),
        Kind::Switch => match value {
            "true" | "false" => Ok(value.to_owned()),
            _ => Err(format!("{value:?} is neither true nor false")),
        },
        Kind::Number => number(value),
        Kind::Texts | Kind::Numbers if value.trim_start().starts_with('[') => {
            as_written().ok_or_else(|| format!("{value:?} is no list"))
        }
        Kind::Texts => list(&|it| Ok(text(it))),
        Kind::Numbers => list(&number),
        Kind::Any => Ok(as_written().unwrap_or_else(|| text(value))),
    }
}

/// A header line: the table that it begins, and where the line ends.
struct Header {
    path: Vec<String>,
    end: usize,
}

/// Each list of tables so far, with the position of its latest element.
type Lists = Vec<(Vec<String>, usize)>;

struct Document<'t> {
    text: &'t str,
    root: &'t DeTable<'t>,
    headers: Vec<Header>,
}

impl Document<'_> {
    /// How the text must change for the key to have that value.
    fn edit(&self, path: &[String], literal: &str) -> Result<(Range<usize>, String), String> {
        let Some((last, tables)) = path.split_last() else { return Err("it names no key".to_owned()) };
        let mut here: Step<'_> = Step::Table(self.root);
        for (depth, part) in tables.iter().enumerate() {
            let next = match here {
                Step::Table(table) => table.get(part.as_str()),
                Step::List(list) => match part.parse::<usize>().ok().and_then(|at| list.get(at)) {
                    Some(found) => Some(found),
                    None => {
                        return Err(format!(
                            "there is no {} {part}; the file has {}",
                            tables.get(..depth).unwrap_or_default().join("."),
                            list.len()
                        ));
                    }
                },
            };
            let Some(found) = next else {
                if tables.get(depth + 1).is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit())) {
                    return Err(format!("the file has no [[{}]]", tables.get(..=depth).unwrap_or_default().join(".")));
                }
                break;
            };
            match found.get_ref() {
                DeValue::Table(table) => {
                    if self.text.get(found.span()).is_some_and(|it| it.starts_with('{')) {
                        return Ok(self.inline(
                            table,
                            &found.span(),
                            path.get(depth + 1..).unwrap_or_default(),
                            literal,
                        ));
                    }
                    here = Step::Table(table);
                }
                DeValue::Array(list) => here = Step::List(list),
                _ => {
                    return Err(format!(
                        "{} is no table in the file",
                        tables.get(..=depth).unwrap_or_default().join(".")
                    ));
                }
            }
        }
        if let Some(value) = self.find(path) {
            return Ok((value.span(), literal.to_owned()));
        }
        let longest = self.headers.iter().filter(|it| tables.starts_with(&it.path)).max_by_key(|it| it.path.len());
        let (at, rest) = longest.map_or((0, 0), |it| (it.end, it.path.len()));
        let key = path.get(rest..).unwrap_or(std::slice::from_ref(last));
        let line = format!("{} = {literal}", dotted(key));
        Ok((at..at, if longest.is_some() { format!("\n{line}") } else { format!("{line}\n") }))
    }

    fn inline(
        &self,
        table: &DeTable<'_>,
        span: &Range<usize>,
        key: &[String],
        literal: &str,
    ) -> (Range<usize>, String) {
        if let Some(value) = lookup(table, key) {
            return (value.span(), literal.to_owned());
        }
        let at = span.start + 1;
        let comma = if table.is_empty() { " " } else { ", " };
        (at..at, format!(" {} = {literal}{comma}", dotted(key)))
    }

    fn find(&self, path: &[String]) -> Option<&Spanned<DeValue<'_>>> {
        lookup(self.root, path)
    }
}

enum Step<'t> {
    Table(&'t DeTable<'t>),
    List(&'t [Spanned<DeValue<'t>>]),
}

/// The value at a path, positions of lists included.
pub fn lookup<'t>(table: &'t DeTable<'t>, path: &[String]) -> Option<&'t Spanned<DeValue<'t>>> {
    let (first, rest) = path.split_first()?;
    let mut found = table.get(first.as_str())?;
    for part in rest {
        found = match found.get_ref() {
            DeValue::Table(table) => table.get(part.as_str())?,
            DeValue::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(found)
}

fn dotted(path: &[String]) -> String {
    let bare = |it: &String| it.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let quoted = |it: &String| if bare(it) { it.clone() } else { toml::Value::String(it.clone()).to_string() };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}

/// `text` with the key `key` (and the value 1) in the table at `path`, in which `#` stands for a first element and `*` for some
/// name: for tests that ask a reader which keys it knows.
#[must_use]
pub fn graft(text: &str, path: &[String], key: &str) -> String {
    // From the inside out, all inline: nothing above needs to be there.
    let mut value = format!("{{ {key} = 1 }}");
    let Some((first, rest)) = path.split_first() else { return format!("{key} = 1\n{text}") };
    for part in rest.iter().rev() {
        value = match part.as_str() {
            "#" => format!("[{value}]"),
            "*" => format!("{{ x = {value} }}"),
            name => format!("{{ {name} = {value} }}"),
        };
    }
    format!("{first} = {value}\n{text}")
}

/// Every header of the text, in its order.
fn headers(text: &str, root: &DeTable<'_>) -> Vec<Header> {
    let mut leaves = Vec::new();
    table_leaves(root, text, &mut leaves);
    let (mut found, mut lists, mut start) = (Vec::new(), Lists::new(), 0);
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        let header = line.trim();
        // A line of a longer text may look like a header.
        if header.starts_with('[') && !leaves.iter().any(|leaf| leaf.contains(&start)) {
            let list = header.starts_with("[[");
            if let Some(mut path) = header_path(header) {
                place(&mut path, &mut lists, list);
                found.push(Header { path, end });
            }
        }
        start += line.len();
    }
    found
}

/// Puts positions into the path of a header: those of the latest element of each list on the way.
fn place(path: &mut Vec<String>, lists: &mut Lists, list: bool) {
    let names = std::mem::take(path);
    let count = names.len();
    for (depth, name) in names.into_iter().enumerate() {
        path.push(name);
        let known = lists.iter_mut().find(|(it, _)| it == path);
        let begins = list && depth + 1 == count;
        let at = match (known, begins) {
            (Some((_, at)), true) => {
                *at += 1;
                *at
            }
            (Some((_, at)), false) => *at,
            (None, true) => {
                lists.push((path.clone(), 0));
                0
            }
            (None, false) => continue,
        };
        path.push(at.to_string());
    }
}

/// The names in a header line.
fn header_path(line: &str) -> Option<Vec<String>> {
    let inner = line.trim_start_matches('[');
    let inner = inner.split_once(']').map_or(inner, |(inner, _)| inner);
    let text = format!("{inner} = 0");
    let table: toml::Table = text.parse().ok()?;
    let mut path = Vec::new();
    let mut here = &table;
    loop {
        let (name, value) = here.iter().next()?;
        path.push(name.clone());
        match value {
            toml::Value::Table(table) => here = table,
            _ => return Some(path),
        }
    }
}

/// The places of all values that are neither tables under headers nor lists of them.
fn table_leaves(table: &DeTable<'_>, text: &str, leaves: &mut Vec<Range<usize>>) {
    for value in table.values() {
        leaf(value, text, leaves);
    }
}

fn leaf(value: &Spanned<DeValue<'_>>, text: &str, leaves: &mut Vec<Range<usize>>) {
    let written = text.get(value.span()).unwrap_or_default();
    match value.get_ref() {
        DeValue::Table(table) if !written.starts_with('{') => table_leaves(table, text, leaves),
        DeValue::Array(list)
            if list.iter().all(|it| matches!(it.get_ref(), DeValue::Table(_)))
                && !written.trim_start_matches('[').trim_start().starts_with('{') =>
        {
            for it in list {
                leaf(it, text, leaves);
            }
        }
        _ => leaves.push(value.span()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Source;

    const KEYS: &[Key] = &[
        Key::needed("name", Kind::Text, ""),
        Key::needed("listen.control", Kind::Text, ""),
        Key::needed("listen.ports", Kind::Numbers, ""),
        Key::needed("listen.deep.on", Kind::Switch, ""),
        Key::needed("target.#.name", Kind::Text, ""),
        Key::needed("target.#.limit.most", Kind::Number, ""),
        Key::needed("labels.*", Kind::Text, ""),
    ];

    fn merged(text: &str, variables: &[(&str, &str)]) -> Result<Merged, Located> {
        let variables = variables.iter().map(|(name, value)| (format!("P__{name}"), (*value).to_owned()));
        merge(text, KEYS, "P__", variables)
    }

    fn table(text: &str, variables: &[(&str, &str)]) -> toml::Table {
        let merged = merged(text, variables).unwrap();
        merged.text.parse().unwrap_or_else(|error| panic!("{error}\n{}", merged.text))
    }

    fn same(text: &str, variables: &[(&str, &str)], wanted: &str) {
        assert_eq!(table(text, variables), wanted.parse::<toml::Table>().unwrap(), "{text}");
    }

    #[test]
    fn values_are_replaced_and_added_wherever_their_table_is_written() {
        same("name = \"a\" # c\n", &[("NAME", "b")], "name = \"b\"");
        same("", &[("NAME", "b"), ("LISTEN__CONTROL", "x")], "name = \"b\"\nlisten.control = \"x\"");
        same("[listen]\n[other]\n", &[("LISTEN__CONTROL", "x")], "[listen]\ncontrol = \"x\"\n[other]");
        same(
            "listen = { control = \"y\" }",
            &[("LISTEN__PORTS", "1, 2")],
            "listen = { control = \"y\", ports = [1, 2] }",
        );
        same("listen = {}", &[("LISTEN__PORTS", "[1]")], "listen = { ports = [1] }");
        same(
            "listen.control = \"y\"",
            &[("LISTEN__CONTROL", "x"), ("LISTEN__PORTS", "1")],
            "listen = { control = \"x\", ports = [1] }",
        );
        same(
            "[listen.deep]\non = false\n",
            &[("LISTEN__DEEP__ON", "true"), ("LISTEN__CONTROL", "x")],
            "[listen]\ncontrol = \"x\"\ndeep.on = true",
        );
        same("[labels]", &[("LABELS__RACK", "4")], "labels.rack = \"4\"");
    }

    #[test]
    fn lists_of_tables_are_counted_from_zero() {
        let text = "[[target]]\nname = \"a\"\n[target.limit]\nmost = 1\n[[target]]\nname = \"b\"\n";
        same(
            text,
            &[("TARGET__0__LIMIT__MOST", "2"), ("TARGET__1__NAME", "c"), ("TARGET__1__LIMIT__MOST", "2.5")],
            "target = [{ name = \"a\", limit.most = 2 }, { name = \"c\", limit.most = 2.5 }]",
        );
        let error = merged(text, &[("TARGET__2__NAME", "c")]).unwrap_err().to_string();
        assert_eq!(error, "P__TARGET__2__NAME: there is no target 2; the file has 2");
        let error = merged("", &[("TARGET__0__NAME", "c")]).unwrap_err().to_string();
        assert_eq!(error, "P__TARGET__0__NAME: the file has no [[target]]");
    }

    #[test]
    fn a_text_that_looks_like_a_header_is_none() {
        let text = "name = \"\"\"\n[listen]\n\"\"\"\n[listen]\n";
        same(text, &[("LISTEN__CONTROL", "x")], "name = \"[listen]\\n\"\nlisten.control = \"x\"");
    }

    #[test]
    fn what_is_wrong_names_the_variable_and_other_places_stay_those_of_the_file() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read from text")]
        struct File {
            name: String,
            listen: Listen,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read from text")]
        struct Listen {
            control: std::net::SocketAddr,
        }
        let read = |text: &str, variables: &[(&str, &str)]| {
            let merged = merged(text, variables)?;
            Source::merged("f.toml", text, &merged).read::<File>().map(|_| ())
        };
        let said = |text: &str, variables: &[(&str, &str)]| read(text, variables).unwrap_err().to_string();
        assert!(read("[listen]\n", &[("NAME", "a"), ("LISTEN__CONTROL", "127.0.0.1:1")]).is_ok());
        let error = said("name = \"a\"\n[listen]\n", &[("LISTEN__CONTROL", "nowhere")]);
        assert!(error.starts_with("P__LISTEN__CONTROL: ") && error.contains("address"), "{error}");
        let error = said("[listen]\ncontrl = 1\n", &[("NAME", "a")]);
        assert!(error.starts_with("f.toml:2:1: unknown key \"contrl\" in [listen]"), "{error}");
        assert_eq!(said("", &[("LISTEN__DEEP__ON", "yes")]), "P__LISTEN__DEEP__ON: \"yes\" is neither true nor false");
        assert_eq!(
            said("", &[("LISTEN__CONTRL", "x")]),
            "P__LISTEN__CONTRL: there is no such key; did you mean P__LISTEN__CONTROL?"
        );
    }
}
