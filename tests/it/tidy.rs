//! The source keeps its own rules: small files, short functions, one direction of dependencies, a pure engine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this is two rooms. Tests at the end of a file are not counted.
const LINES_MAX: usize = 600;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(root(), &mut files);
    assert!(files.len() > 50, "the walk found the sources");
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("UTF-8"))).collect()
}

#[test]
fn files_are_small() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !path.starts_with(root().join("tests")) && !path.ends_with("tests.rs"))
        .filter_map(|(path, text)| {
            let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "split these files into rooms:\n{}", long.join("\n"));
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    let allowed: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !path.ends_with("tidy.rs"))
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| {
                    line.trim_start().starts_with("#[allow(") || line.trim_start().starts_with("#![allow(")
                })
                .map(|(number, _)| format!("{}:{}", path.display(), number + 1))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(allowed.is_empty(), "use #[expect(lint, reason = \"…\")]:\n{}", allowed.join("\n"));
}

/// Names of all packages that `package` stands on, build and test dependencies left out.
fn stands_on(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
        ])
        .arg(package)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_engine_is_pure() {
    let tree = stands_on("prunella-engine");
    assert!(tree.iter().any(|name| name == "prunella-model"), "the tree was read: {tree:?}");
    for banned in
        ["tokio", "tonic", "prost", "sled", "rustls", "rand", "getrandom", "jiff", "chrono", "tracing", "rustix"]
    {
        assert!(!tree.iter().any(|name| name == banned), "the engine must not stand on {banned}");
    }
    let own: Vec<_> = tree.iter().filter(|name| name.starts_with("prunella")).collect();
    assert!(own.iter().all(|name| matches!(name.as_str(), "prunella-engine" | "prunella-model")), "{own:?}");
}

#[test]
fn server_and_agent_never_meet() {
    assert!(!stands_on("prunella-server").iter().any(|name| name == "prunella-agent"));
    let agent = stands_on("prunella-agent");
    for banned in ["prunella-server", "prunella-engine", "sled"] {
        assert!(!agent.iter().any(|name| name == banned), "the agent must not stand on {banned}");
    }
}
