//! Runs the scenario texts of `tests/scenarios` and compares what the engine decides with what they expect.
//!
//! `UPDATE_EXPECT=1 cargo test -p prunella-engine --test scenarios` writes the texts anew; read the difference before
//! you keep it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod agent;
mod lang;
mod play;
mod rhythm;
mod show;

use std::fs;
use std::path::PathBuf;

/// The most restarts that one text is played with.
const CUTS: usize = 8;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios")
}

fn texts() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = fs::read_dir(directory())
        .expect("tests/scenarios exists")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a readable text"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn scenarios_end_as_written() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for (name, text) in texts() {
        let played = play::play(&name, &text);
        if played == text {
            continue;
        }
        if update {
            fs::write(directory().join(format!("{name}.txt")), played).expect("a writable text");
            continue;
        }
        let at = text.lines().zip(played.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
        wrong.push(format!("{name}.txt line {}:\n  expected {}\n  got      {}", at + 1, line(&text), line(&played)));
    }
    assert!(wrong.is_empty(), "{}\n(UPDATE_EXPECT=1 writes them anew)", wrong.join("\n"));
}

/// Every scenario played twice gives the same text, and stopping and restarting the decider before any line breaks no
/// invariant.
#[test]
fn scenarios_survive_a_restart_before_any_line() {
    for (name, text) in texts() {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(play::OUTPUT)).collect();
        // Long texts are mostly samples, one like the other.
        for cut in (0..lines.len()).step_by(lines.len().div_ceil(CUTS)) {
            let mut with = lines.clone();
            with.insert(cut, "restart");
            play::play_loosely(&format!("{name} restarted before line {}", cut + 1), &with.join("\n"));
        }
    }
}

#[test]
fn the_tables_are_sound() {
    use prunella_engine::catalogue;
    let rules = catalogue::rules(&prunella_model::policy::FleetPolicy::default());
    let repairs = catalogue::repairs();
    let brakes = catalogue::brakes(&prunella_model::policy::FleetPolicy::default());
    let told: String = texts().into_iter().map(|(_, text)| text).collect();
    let decided: String = told.lines().filter(|line| line.starts_with(play::OUTPUT)).collect();
    let mut names: Vec<&str> = rules.iter().map(|it| it.name).collect();
    names.extend(repairs.iter().map(|it| it.name));
    names.extend(brakes.iter().map(|it| it.name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "each name is used once");
    for rule in &rules {
        assert!(rule.about.len() > 40, "{} is documented", rule.name);
        assert!(decided.contains(rule.name), "no scenario exercises the rule {}", rule.name);
    }
    for kind in catalogue::opportunities() {
        assert!(kind.about.len() > 40, "{} is documented", kind.name);
        assert!(decided.contains(kind.name), "no scenario exercises the opportunity {}", kind.name);
    }
    for repair in &repairs {
        assert!(repair.about.len() > 40 && repair.undo.len() > 20 && repair.verify.len() > 20, "{}", repair.name);
        let asked = told.contains(&format!(" {}\n", repair.name));
        assert!(!repair.treats.is_empty() || asked, "{} treats something, or a person can ask for it", repair.name);
        assert!(told.contains(&format!("send {}", repair.name)), "no scenario exercises the repair {}", repair.name);
    }
    for brake in &brakes {
        assert!(brake.about.len() > 40, "{} is documented", brake.name);
        if brake.class == catalogue::Class::DoNoHarm {
            let tests = include_str!("../../src/harmless/tests.rs");
            assert!(tests.contains(&format!("fn {}()", brake.name)), "no test of {} alone", brake.name);
            continue;
        }
        let (held, person) = (format!("held back by {}", brake.name), format!("# brake {}", brake.name));
        assert!(told.contains(&held) || told.contains(&person), "no scenario exercises the brake {}", brake.name);
    }
}
