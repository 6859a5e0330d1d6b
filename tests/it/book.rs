//! The documents say what is so: every command in them can be given, every link leads somewhere, and the first steps work.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::operators::fleet;
use crate::support::{kill, run, stderr, wait, with_lab};
use crate::tidy::{root, sources};

/// The documents for people: the first page and the book.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs")).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "md"));
    files.extend(["README.md", "ARCHITECTURE.md"].map(|it| root().join(it)));
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The lines of a page's shell blocks, and those that are set off by four spaces, with the number of each.
pub(crate) fn shell(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut inside = false;
    let mut begun: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside || line.starts_with("    prunella ") {
            let (number, before) = begun.take().unwrap_or((index + 1, String::new()));
            match line.strip_suffix('\\') {
                Some(part) => begun = Some((number, before + part)),
                None => lines.push((number, before + line)),
            }
        }
    }
    lines
}

/// The words of a command as a shell would divide them, up to a pipe, a redirection or a remark.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(mark), it) if it == mark => quote = None,
            (Some(_), it) => word.get_or_insert_default().push(it),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | ';' | ')' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, it) => word.get_or_insert_default().push(it),
        }
    }
    words.extend(word);
    words
}

/// The command of ours in a line, if it has one.
fn ours(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start().trim_start_matches("$ ").trim_start_matches("sudo ");
    let line = line.split_once("=$(").map_or(line, |(_, command)| command);
    let line = line.strip_prefix("cargo run --release -- ").map_or(line.to_owned(), |rest| format!("prunella {rest}"));
    let line = line.trim_start_matches("target/release/");
    line.starts_with("prunella ").then(|| words(line))
}

#[test]
fn every_command_in_the_book_is_one() {
    let mut flaws = Vec::new();
    let mut found = 0;
    for (path, text) in pages() {
        for (number, line) in shell(&text) {
            let Some(command) = ours(&line) else { continue };
            found += 1;
            let parsed = prunella::command().try_get_matches_from(&command);
            let wrong = parsed.err().filter(clap::Error::use_stderr);
            flaws.extend(wrong.map(|error| format!("{}:{number}: {line}\n{error}", path.display())));
        }
    }
    assert!(found > 50, "only {found} commands were found");
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// Where a link leads on this disk, if it is one that stays in the project.
fn inside(page: &Path, link: &str) -> Option<PathBuf> {
    let file = link.split('#').next().unwrap_or_default();
    let outside = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
    (!outside).then(|| page.parent().unwrap().join(file))
}

#[test]
fn every_link_in_the_book_leads_somewhere() {
    let mut dead = Vec::new();
    for (path, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if inside(&path, link).is_some_and(|it| !it.exists()) {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_list_of_pages() {
    let list = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    let missing: Vec<String> = pages()
        .into_iter()
        .filter(|(path, _)| path.parent().unwrap().ends_with("docs"))
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README.md" && !list.contains(&format!("]({name})")))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not list {missing:?}");
}

/// The page of first steps: whatever asks the fleet there is asked of a fleet that lives.
#[test]
fn the_first_steps_work_as_written() {
    let page = std::fs::read_to_string(root().join("docs/start.md")).unwrap();
    let asked: Vec<Vec<String>> = shell(&page)
        .into_iter()
        .filter_map(|(_, line)| ours(&line))
        .filter_map(|words| Some(words.strip_prefix(&["prunella".into(), "--dir".into(), "./fleet".into()])?.to_vec()))
        .filter(|words| !words.iter().any(|it| it == "--follow"))
        // The lab's server has no door for browsers, and nobody sits before it.
        .filter(|words| !["dashboard", "top"].contains(&words[0].as_str()))
        .collect();
    assert!(asked.len() >= 8, "{asked:?}");
    with_lab(async |lab, service| {
        kill(&service, Signal::KILL);
        wait("it is healed", async || {
            String::from_utf8(fleet(lab, &["incidents"]).await.stdout).unwrap().contains("recovered")
        })
        .await;
        for words in asked {
            let output = fleet(lab, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        }
    });
}

/// Each policy that the page of tuning shows is read by the real reader.
#[test]
fn the_tuned_policies_are_valid() {
    let page = std::fs::read_to_string(root().join("docs/tuning.md")).unwrap();
    let policies: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(policy, _)| policy).collect();
    assert!(policies.len() >= 3);
    let dir = tempfile::TempDir::new().unwrap();
    for policy in policies {
        let file = dir.path().join("policy.toml");
        std::fs::write(&file, policy).unwrap();
        let output = run(&["rules", "check", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{policy}\n{}", stderr(&output));
    }
}

/// What the page of troubles quotes is what the programs say, word by word: a person at night searches for it.
#[test]
fn what_the_page_of_troubles_quotes_is_what_is_said() {
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let said: String =
        sources().into_iter().filter(|(path, _)| !path.ends_with("book.rs")).map(|(_, text)| text).collect();
    // A text may be broken over lines of the source.
    let said = said.split("\\\n").map(str::trim_start).collect::<String>();
    let rows = page.lines().filter_map(|it| it.strip_prefix("| ")?.split(" | ").next());
    let quoted: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(quoted.len() >= 15, "{quoted:?}");
    let parts = quoted.iter().flat_map(|it| it.split('…').map(|it| it.trim().trim_end_matches(':')));
    let unsaid: Vec<&str> = parts.filter(|it| it.len() > 3 && !said.contains(it)).collect();
    assert!(unsaid.is_empty(), "nothing says {unsaid:?}");
}
