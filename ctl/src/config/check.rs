//! Everything that is wrong with one file.

use std::ops::Range;
use std::path::Path;

use prunella_agent::config::AgentConfig;
use prunella_model::host::Dependency;
use prunella_server::config::Config;
use prunella_server::policy;
use prunella_settings::Located;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{FileKind, read};
use crate::output::{Paint, Tone, clean, count};

/// More than this many faults in one file are of no more help.
const ERRORS_MAX: usize = 50;

#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) files: Vec<FileView>,
}

#[derive(Debug, Serialize)]
pub(super) struct FileView {
    file: String,
    kind: FileKind,
    pub(super) errors: Vec<ErrorView>,
    warnings: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ErrorView {
    /// The file, or the variable that is wrong.
    place: String,
    /// Null when it is a variable.
    line: Option<usize>,
    column: Option<usize>,
    what: String,
    /// The line as it is written; null when it is a variable.
    text: Option<String>,
}

/// Checks the file at `path`.
pub(super) fn file(path: &Path, kind: Option<FileKind>, variables: &[(String, String)]) -> anyhow::Result<FileView> {
    let (name, text, kind) = read(path, kind)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let check = |text: &str| wrong(kind, &name, text, dir, variables);
    let errors = all(&text, &check);
    let warnings = if errors.is_empty() { warnings(kind, &name, &text, dir, variables) } else { Vec::new() };
    Ok(FileView { file: name, kind, errors, warnings })
}

/// The first thing that is wrong, if anything is.
fn wrong(kind: FileKind, name: &str, text: &str, dir: &Path, variables: &[(String, String)]) -> Option<Located> {
    match kind {
        FileKind::Agent => AgentConfig::read(name, text, dir, "this-host", variables.iter().cloned()).err(),
        FileKind::Server => Config::read(name, text, variables.iter().cloned()).err(),
        FileKind::Policy => policy::parse(name, text).err(),
    }
}

/// Everything that is wrong: readers stop at the first fault, so what is faulty is blanked, and the rest is read again.
fn all(text: &str, check: &dyn Fn(&str) -> Option<Located>) -> Vec<ErrorView> {
    let (mut rest, mut found): (String, Vec<ErrorView>) = (text.to_owned(), Vec::new());
    let mut blanked: Vec<String> = Vec::new();
    while found.len() < ERRORS_MAX {
        let Some(located) = check(&rest) else { break };
        // That what was blanked is missing now is no fault of the file.
        let follows = blanked.iter().any(|key| located.what.contains(&format!("missing field `{key}`")));
        let view = ErrorView::of(&located, text);
        if follows || found.contains(&view) {
            break;
        }
        found.push(view);
        let Some((key, span)) = entry_at(&rest, offset(&rest, &located)) else { break };
        rest = blank(&rest, span);
        blanked.push(key);
    }
    found
}

impl ErrorView {
    fn of(it: &Located, text: &str) -> Self {
        let in_file = it.line > 0;
        let line = it.line.checked_sub(1).and_then(|line| text.lines().nth(line));
        Self {
            place: it.file.clone(),
            line: in_file.then_some(it.line),
            column: in_file.then_some(it.column),
            what: it.what.clone(),
            text: line.map(str::to_owned),
        }
    }
}

/// The byte that a place names.
fn offset(text: &str, it: &Located) -> Option<usize> {
    let line = it.line.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let within: usize = text.get(start..)?.chars().take(it.column.checked_sub(1)?).map(char::len_utf8).sum();
    Some(start + within)
}

/// The innermost key whose entry holds that byte, and the entry's span.
fn entry_at(text: &str, at: Option<usize>) -> Option<(String, Range<usize>)> {
    let at = at?;
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    search(document.get_ref(), text, at, &mut found);
    found
}

fn search(table: &DeTable<'_>, text: &str, at: usize, found: &mut Option<(String, Range<usize>)>) {
    for (key, value) in table {
        let entry = key.span().start..value.span().end;
        // A table under a header of its own is no entry that could be taken out.
        let headed = matches!(value.get_ref(), DeValue::Table(_))
            && !text.get(value.span()).is_some_and(|it| it.starts_with('{'));
        let list = matches!(value.get_ref(), DeValue::Array(list) if list.iter().any(|it| matches!(it.get_ref(), DeValue::Table(_))));
        if entry.contains(&at) && !headed && !list {
            *found = Some((key.get_ref().to_string(), entry));
        }
        inner(value, text, at, found);
    }
}

fn inner(value: &Spanned<DeValue<'_>>, text: &str, at: usize, found: &mut Option<(String, Range<usize>)>) {
    match value.get_ref() {
        DeValue::Table(table) => search(table, text, at, found),
        DeValue::Array(list) => list.iter().for_each(|it| inner(it, text, at, found)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

/// The text with spaces in place of a part of it, so that all other places stay.
fn blank(text: &str, span: Range<usize>) -> String {
    let spaces = |it: &str| it.chars().map(|it| if it == '\n' { '\n' } else { ' ' }).collect::<String>();
    let (before, after) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    format!("{before}{}{after}", spaces(text.get(span).unwrap_or_default()))
}

/// What is not wrong, and may not be meant.
fn warnings(kind: FileKind, name: &str, text: &str, dir: &Path, variables: &[(String, String)]) -> Vec<String> {
    match kind {
        FileKind::Policy => {
            policy::parse(name, text).map(|it| prunella_engine::governance::warnings(&it)).unwrap_or_default()
        }
        FileKind::Server => {
            Config::read(name, text, variables.iter().cloned()).map(|it| of_server(&it)).unwrap_or_default()
        }
        FileKind::Agent => AgentConfig::read(name, text, dir, "this-host", variables.iter().cloned())
            .map(|it| of_agent(&it))
            .unwrap_or_default(),
    }
}

fn of_server(it: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if it.keys.signer.is_some() {
        found.push("keys.signer is on this machine: whoever takes it over can sign delegations".to_owned());
    }
    if it.notify.receiver.is_empty() {
        found.push("nobody is told of incidents: there is no [[notify.receiver]]".to_owned());
    }
    let open = |it: &std::net::SocketAddr| it.ip().is_unspecified();
    if open(&it.listen.control) && it.public.control.is_none() {
        found.push(
            "listen.control is every address of this machine, and public.control does not say which one others use"
                .to_owned(),
        );
    }
    if open(&it.listen.agents) && it.public.agents.is_empty() {
        found.push(
            "listen.agents is every address of this machine, and public.agents does not say which one agents use"
                .to_owned(),
        );
    }
    found
}

fn of_agent(it: &AgentConfig) -> Vec<String> {
    let mut found = Vec::new();
    for target in &it.targets {
        let here = |need: &&Dependency| match need {
            Dependency::Target(of) => of.host == it.host && !of.target.is_host() && it.target(&of.target).is_none(),
            Dependency::Local(_) | Dependency::Service(_) => false,
        };
        for need in target.depends_on.iter().filter(here) {
            found.push(format!(
                "target {}: depends_on {need} names a target of this host that is not in this file",
                target.name
            ));
        }
        let itself = |need: &Dependency| matches!(need, Dependency::Local(name) if *name == target.name);
        if target.depends_on.iter().any(itself) {
            found.push(format!("target {} depends on itself", target.name));
        }
        if target.permits.is_empty() {
            found.push(format!("target {}: nothing may be done to it; it is only watched", target.name));
        }
    }
    if it.targets.is_empty() {
        found.push("there is no [[target]]: only the host itself is watched".to_owned());
    }
    if it.limits.observe_only {
        found.push("limits.observe_only: this agent refuses every repair".to_owned());
    }
    found
}

/// What was found, for a person: each line with a mark under its place.
pub(super) fn table(view: &View, paint: Paint) -> String {
    let mut text = String::new();
    for file in &view.files {
        let verdict = match (file.errors.len() as u64, file.warnings.len() as u64) {
            (0, 0) => paint.tone(Tone::Good, "right"),
            (0, warnings) => paint.tone(Tone::Warning, &format!("right, {}", count(warnings, "warning", "warnings"))),
            (errors, _) => paint.tone(Tone::Bad, &count(errors, "error", "errors")),
        };
        text += &format!("{} ({}): {verdict}\n", clean(&file.file), file.kind.as_str());
        for it in &file.errors {
            text += &error(it, paint);
        }
        for it in &file.warnings {
            text += &format!("  {}\n", paint.tone(Tone::Warning, &clean(&format!("warning: {it}"))));
        }
    }
    text
}

fn error(it: &ErrorView, paint: Paint) -> String {
    let place = match (it.line, it.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", it.place),
        _ => it.place.clone(),
    };
    let mut text = format!("  {}\n", paint.tone(Tone::Bad, &clean(&format!("{place}: {}", it.what))));
    if let (Some(line), Some(column), Some(written)) = (it.line, it.column, &it.text) {
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        text += &format!("    {number} | {}\n", clean(&written.replace('\t', " ")));
        text += &format!("    {gutter} | {}^\n", " ".repeat(column.saturating_sub(1)));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn found(text: &str, kind: FileKind, variables: &[(&str, &str)]) -> FileView {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.toml");
        std::fs::write(&path, text).unwrap();
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(FileKind::of(text), kind);
        let mut view = file(&path, None, &variables).unwrap();
        view.file = "file.toml".to_owned();
        for it in view.errors.iter_mut().filter(|it| it.line.is_some()) {
            it.place = "file.toml".to_owned();
        }
        view
    }

    #[test]
    fn every_error_is_said_with_its_place() {
        let text = "fleet = \"F\"\n[listen]\ncontrol = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\nhtpp = \"off\"\n[export]\nevery = \"0s\"\n";
        let view = View { files: vec![found(text, FileKind::Server, &[("PRUNELLA_SERVER__TLS__KEY", "k")])] };
        expect![[r#"
            file.toml (server.toml): 2 errors
              file.toml:1:9: fleet name "F" has 'F'; use a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit
                1 | fleet = "F"
                  |         ^
              file.toml:5:1: unknown key "htpp" in [listen]; did you mean "http"?
                5 | htpp = "off"
                  | ^
        "#]]
        .assert_eq(&table(&view, Paint(false)));
    }

    #[test]
    fn what_may_not_be_meant_is_a_warning() {
        let text = "[agent]\nhost = \"h1\"\n[[target]]\nname = \"web\"\ndepends_on = [\"hosts/h1/targets/bd\", \"web\"]\n\
            [[target.probe]]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
        let view = View { files: vec![found(text, FileKind::Agent, &[])] };
        expect![[r#"
            file.toml (agent.toml): right, 3 warnings
              warning: target web: depends_on hosts/h1/targets/bd names a target of this host that is not in this file
              warning: target web depends on itself
              warning: target web: nothing may be done to it; it is only watched
        "#]]
        .assert_eq(&table(&view, Paint(false)));
        let policy = found("[limits]\nattempts_per_incident = 99\n", FileKind::Policy, &[]);
        assert!(policy.errors.is_empty() && policy.warnings.len() == 1, "{policy:?}");
    }

    #[test]
    fn a_wrong_variable_is_an_error_without_a_place_in_the_file() {
        let view = found("[agent]\n", FileKind::Agent, &[("PRUNELLA_AGENT__AGENT__HOSTT", "h1")]);
        assert_eq!(view.errors[0].place, "PRUNELLA_AGENT__AGENT__HOSTT");
        assert_eq!(view.errors[0].line, None);
    }

    #[test]
    fn every_file_in_deploy_is_right() {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let mut seen = 0;
        for dir in std::iter::once(deploy.join("examples")).chain(
            std::fs::read_dir(deploy.join("profiles")).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir()),
        ) {
            for path in std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()) {
                if path.extension().is_some_and(|it| it == "toml") {
                    let view = file(&path, None, &[]).unwrap();
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    assert!(
                        view.kind.as_str().contains(&name),
                        "{} is taken for {}",
                        path.display(),
                        view.kind.as_str()
                    );
                    assert_eq!(view.errors, [], "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen >= 11, "{seen} files");
    }
}
