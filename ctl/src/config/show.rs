//! What holds in the end, key by key, and where it comes from.

use std::path::Path;

use anyhow::Context as _;
use prunella_agent::config::AgentConfig;
use prunella_server::config::Config;
use prunella_server::policy;
use prunella_settings::environment::{Merged, merge};
use prunella_settings::reference::{Key, Otherwise};
use serde::Serialize;

use super::{FileKind, read};
use crate::output::{ABSENT, Paint, Rows, Tone};

/// What stands for a value that is nobody's business.
const HIDDEN: &str = "(not shown)";

/// Parts of keys whose values may be passwords, wherever they stand.
const SECRET_PARTS: &[&str] = &["env", "headers", "password", "token"];

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The file.
    File,
    /// A variable.
    Env,
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    file: String,
    kind: FileKind,
    keys: Vec<KeyView>,
}

#[derive(Debug, PartialEq, Serialize)]
struct KeyView {
    key: String,
    /// Null where nothing holds.
    value: Option<serde_json::Value>,
    origin: Origin,
    /// The variable, or what holds where there is no value.
    from: Option<String>,
}

/// What holds for the file at `path`, if it is right.
pub(super) fn file(path: &Path, kind: Option<FileKind>, variables: &[(String, String)]) -> anyhow::Result<View> {
    let (name, text, kind) = read(path, kind)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let given = || variables.iter().cloned();
    match kind {
        FileKind::Agent => drop(AgentConfig::read(&name, &text, dir, "this-host", given())?),
        FileKind::Server => drop(Config::read(&name, &text, given())?),
        FileKind::Policy => return Ok(View { keys: of_policy(&name, &text)?, file: name, kind }),
    }
    let (keys, prefix) = kind.keys().context("a policy has no variables")?;
    let merged = merge(&text, &keys, prefix, given())?;
    Ok(View { keys: of_settings(&keys, &merged)?, file: name, kind })
}

fn of_settings(keys: &[Key], merged: &Merged) -> anyhow::Result<Vec<KeyView>> {
    let table: toml::Table = merged.text.parse()?;
    let mut written = Vec::new();
    flatten(&mut Vec::new(), &toml::Value::Table(table), &mut written);
    let mut found: Vec<KeyView> = Vec::new();
    for (path, value) in &written {
        let dotted = path.join(".");
        let patch = merged.patches.iter().find(|it| it.path == dotted);
        let secret = keys.iter().any(|it| it.secret && it.matches(path));
        found.push(KeyView {
            value: Some(shown(path, secret, value)?),
            origin: if patch.is_some() { Origin::Env } else { Origin::File },
            from: patch.map(|it| it.variable.clone()),
            key: dotted,
        });
    }
    // What is in lists of tables and under names of one's own is there only when it is written.
    for key in keys.iter().filter(|it| !it.path.contains(['#', '*'])) {
        // A list is written with its elements below it.
        let below = format!("{}.", key.path);
        if found.iter().any(|it| it.key == key.path || it.key.starts_with(&below)) {
            continue;
        }
        let (value, from) = match key.otherwise {
            Otherwise::Needed => continue,
            Otherwise::Is(default) => (Some(literal(default)), None),
            Otherwise::Absent(meaning) => (None, Some(meaning.to_owned())),
        };
        found.push(KeyView { key: key.path.to_owned(), value, origin: Origin::Default, from });
    }
    let place = |it: &KeyView| {
        keys.iter().position(|key| key.matches(&it.key.split('.').map(str::to_owned).collect::<Vec<_>>()))
    };
    found.sort_by_cached_key(|it| (place(it).unwrap_or(usize::MAX), it.key.clone()));
    Ok(found)
}

/// A default as a value: lists and switches are what they are, everything else is a text.
fn literal(default: &str) -> serde_json::Value {
    serde_json::from_str(default).unwrap_or_else(|_| default.into())
}

fn of_policy(name: &str, text: &str) -> anyhow::Result<Vec<KeyView>> {
    let policy = policy::parse(name, text)?;
    let (mut all, mut written) = (Vec::new(), Vec::new());
    flatten(&mut Vec::new(), &toml::Value::try_from(&policy)?, &mut all);
    flatten(&mut Vec::new(), &toml::Value::Table(text.parse()?), &mut written);
    let view = |(path, value): &(Vec<String>, toml::Value)| {
        let in_file = written.iter().any(|(it, _)| it == path);
        Ok(KeyView {
            key: path.join("."),
            value: Some(shown(path, false, value)?),
            origin: if in_file { Origin::File } else { Origin::Default },
            from: None,
        })
    };
    all.iter().map(view).collect()
}

fn shown(path: &[String], secret: bool, value: &toml::Value) -> anyhow::Result<serde_json::Value> {
    if secret || path.iter().any(|it| SECRET_PARTS.contains(&it.as_str())) {
        return Ok(HIDDEN.into());
    }
    Ok(serde_json::to_value(value)?)
}

/// All values that are no tables, each with its path; elements of lists of tables by their positions.
fn flatten(path: &mut Vec<String>, value: &toml::Value, into: &mut Vec<(Vec<String>, toml::Value)>) {
    let mut below = |part: String, value: &toml::Value| {
        path.push(part);
        flatten(path, value, into);
        path.pop();
    };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| below(key.clone(), value)),
        toml::Value::Array(list) if !list.is_empty() && list.iter().all(toml::Value::is_table) => {
            list.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value));
        }
        toml::Value::Array(_)
        | toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => into.push((path.clone(), value.clone())),
    }
}

pub(super) fn table(view: &View, paint: Paint) -> String {
    let mut rows = Rows::new(&["KEY", "VALUE", "ORIGIN", "FROM"]);
    for it in &view.keys {
        let (tone, origin) = match it.origin {
            Origin::Default => (Tone::Faint, "default"),
            Origin::File => (Tone::Plain, "file"),
            Origin::Env => (Tone::Warning, "env"),
        };
        let value = match &it.value {
            None => ABSENT.to_owned(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        rows.push(tone, [it.key.clone(), value, origin.to_owned(), it.from.clone().unwrap_or_default()]);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, variables: &[(&str, &str)]) -> View {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.toml");
        std::fs::write(&path, text).unwrap();
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        file(&path, None, &variables).unwrap()
    }

    fn key<'v>(view: &'v View, key: &str) -> &'v KeyView {
        view.keys.iter().find(|it| it.key == key).unwrap_or_else(|| panic!("{key} in {:?}", view.keys))
    }

    const SERVER: &str = "fleet = \"f\"\n[listen]\ncontrol = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n\
        [[notify.receiver]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"https://hooks.example/SECRET\"\n";

    #[test]
    fn each_value_says_where_it_comes_from() {
        let view = show(SERVER, &[("PRUNELLA_SERVER__EXPORT__EVERY", "5m"), ("PRUNELLA_SERVER__FLEET", "g")]);
        assert_eq!(key(&view, "fleet").origin, Origin::Env);
        assert_eq!(key(&view, "listen.control").origin, Origin::File);
        assert_eq!(key(&view, "export.every").from.as_deref(), Some("PRUNELLA_SERVER__EXPORT__EVERY"));
        assert_eq!(key(&view, "state_dir").value, Some("state".into()));
        assert_eq!(key(&view, "public.agents").value, Some(serde_json::json!([])));
        assert_eq!(key(&view, "keys.signer").value, None);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let text = table(&show(SERVER, &[]), Paint(false));
        assert!(!text.contains("SECRET") && text.contains(HIDDEN), "{text}");
        let agent = "[[target]]\nname = \"a\"\nmanager = \"command\"\nstart = [\"x\"]\nenv = { PASSWORD = \"SECRET\" }\n\
            [[target.probe]]\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\nheaders = { authorization = \"SECRET\" }\n";
        let text = table(&show(agent, &[]), Paint(false));
        assert!(!text.contains("SECRET"), "{text}");
    }

    #[test]
    fn a_policy_is_shown_over_its_profile() {
        let view = show("profile = \"rapid\"\n[limits]\nrelapses = 7\n", &[]);
        assert_eq!(
            (key(&view, "limits.relapses").origin, key(&view, "heartbeat").origin),
            (Origin::File, Origin::Default)
        );
        assert_eq!(key(&view, "heartbeat").value, Some("1s".into()));
    }
}
