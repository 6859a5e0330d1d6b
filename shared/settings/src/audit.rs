//! Compares a table of keys with what a reader reads, by asking the reader: for the tests of those who keep a table.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference::Key;

/// What is in the table and not read, or read and not in the table. `try_key` reads a file that has a key which nobody knows in
/// the table at a path (positions are 0, names `x`), and gives the message when that fails: serde lists what it expected.
pub fn compare(keys: &[Key], try_key: impl Fn(&[String], &str) -> Option<String>) -> Vec<String> {
    let mut children: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for key in keys {
        let parts: Vec<String> = key.parts().map(str::to_owned).collect();
        for (depth, part) in parts.iter().enumerate() {
            children.entry(parts.get(..depth).unwrap_or_default().to_vec()).or_default().insert(part.clone());
        }
    }
    let mut wrong = Vec::new();
    for (path, known) in &children {
        // Positions and names have no list of their own.
        if known.contains("#") || known.contains("*") {
            continue;
        }
        let Some(message) = try_key(path, UNKNOWN) else {
            wrong.push(format!("{}: takes any key", path.join(".")));
            continue;
        };
        let read: BTreeSet<String> = expected(&message);
        if read.is_empty() {
            wrong.push(format!("{}: {message}", path.join(".")));
        }
        wrong.extend(read.difference(known).map(|it| format!("{}: {it} is not in the table", path.join("."))));
        wrong.extend(known.difference(&read).map(|it| format!("{}: {it} is not read", path.join("."))));
    }
    wrong
}

/// A key that no table has.
const UNKNOWN: &str = "zzzz";

/// The names in serde's complaint about an unknown key.
fn expected(message: &str) -> BTreeSet<String> {
    let Some(rest) = message.strip_prefix("unknown field ") else { return BTreeSet::new() };
    rest.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}
