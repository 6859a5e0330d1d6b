//! The list of repairs in `docs/repairs.md` is the table in the code, and each of the sixteen actions is a repair of it.
//!
//! `UPDATE_EXPECT=1 cargo test --workspace --test repairs_doc` writes the list anew.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prunella_engine::catalogue::repairs;

const BEGIN: &str = "<!-- repairs: written by a test -->\n";
const END: &str = "<!-- end of repairs -->\n";

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/repairs.md")
}

fn table() -> String {
    let mut text =
        "| repair | treats (chance) | what it does | verified by | undo |\n|---|---|---|---|---|\n".to_owned();
    for it in repairs() {
        let treats: Vec<String> = it.treats.iter().map(|(cause, chance)| format!("{cause} ({chance})")).collect();
        let treats =
            if treats.is_empty() { "only when asked for, or named by a rule".to_owned() } else { treats.join(", ") };
        let undo = if it.reversible { it.undo.to_owned() } else { format!("irreversible: {}", it.undo) };
        writeln!(text, "| `{}` | {treats} | {} | {} | {undo} |", it.name, it.about, it.verify)
            .expect("a string takes it");
    }
    text
}

#[test]
fn the_list_of_repairs_is_the_table_in_the_code() {
    let text = std::fs::read_to_string(guide()).expect("docs/repairs.md exists");
    let (before, rest) = text.split_once(BEGIN).expect("the list begins");
    let (listed, after) = rest.split_once(END).expect("the list ends");
    let wanted = table();
    if listed != wanted && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(guide(), format!("{before}{BEGIN}{wanted}{END}{after}")).expect("a writable text");
        return;
    }
    assert!(listed == wanted, "docs/repairs.md differs from the code; UPDATE_EXPECT=1 writes its list anew");
}

#[test]
fn each_of_the_sixteen_actions_is_a_repair() {
    let text = std::fs::read_to_string(guide()).expect("docs/repairs.md exists");
    let (_, rest) = text.split_once("| action | repair |\n|---|---|\n").expect("the table of actions");
    let named: Vec<&str> =
        rest.lines().take_while(|it| it.starts_with('|')).filter_map(|it| it.split('`').nth(1)).collect();
    assert_eq!(named.len(), 16);
    let known: Vec<&str> = repairs().iter().map(|it| it.name).collect();
    for name in named {
        assert!(known.contains(&name), "{name} is no repair");
    }
}
