//! The table of events in `docs/events.md` is the enum in the code.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::path::Path;

use prunella_model::event::{EventGroup, EventKind, Presence};

/// A row of the table: kind, group, when, what it names.
fn rows() -> Vec<[String; 4]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let text = std::fs::read_to_string(path).expect("docs/events.md exists");
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect() };
    lines.map(|line| cells(line).try_into().expect("four columns")).collect()
}

fn names(kind: EventKind) -> String {
    let fields = kind.fields();
    let named = [("host", fields.host), ("target", fields.target), ("incident", fields.incident)];
    let named: Vec<String> = named
        .into_iter()
        .filter_map(|(name, presence)| match presence {
            Presence::Always => Some(name.to_owned()),
            Presence::Sometimes => Some(format!("({name})")),
            Presence::Never => None,
        })
        .collect();
    if named.is_empty() { "—".to_owned() } else { named.join(", ") }
}

#[test]
fn the_table_of_events_is_the_enum() {
    let mut kinds = EventKind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.group());
    let wanted: Vec<[String; 3]> = kinds
        .iter()
        .map(|kind| [format!("`{}`", kind.as_str()), kind.group().as_str().to_owned(), names(*kind)])
        .collect();
    let rows = rows();
    assert!(rows.iter().all(|[_, _, when, _]| when.len() > 10), "each row says when");
    let listed: Vec<[String; 3]> = rows.into_iter().map(|[kind, group, _, names]| [kind, group, names]).collect();
    assert_eq!(listed, wanted, "docs/events.md and the enum differ");
}

#[test]
fn every_group_has_as_many_kinds_as_promised_and_every_name_is_unique() {
    let promised = [4, 2, 4, 4, 4, 3, 6, 4];
    for (group, least) in EventGroup::ALL.into_iter().zip(promised) {
        let count = EventKind::ALL.iter().filter(|kind| kind.group() == group).count();
        assert!(count >= least, "{}: {count} kinds, at least {least} are promised", group.as_str());
    }
    let mut names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EventKind::ALL.len());
}
