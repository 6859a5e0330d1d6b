//! The table of features (docs/features.md) names only what exists: every RPC, command, path, page and test.

use std::collections::BTreeSet;
use std::path::Path;

use prunella_server::rpc::gate;

use crate::tidy::{root, sources};

/// One row, cell by cell.
struct Row {
    name: String,
    cells: Vec<String>,
}

/// How many rows each letter has.
const LETTERS: [(&str, usize); 6] = [("C", 13), ("K", 6), ("F", 15), ("L", 8), ("U", 15), ("P", 14)];

/// The columns after the row's name and what it promises.
const COLUMNS: [&str; 5] = ["RPCs", "commands", "paths", "pages", "tests"];

fn rows(page: &str) -> Vec<Row> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cells| cells[0].len() >= 2 && cells[0][1..].bytes().all(|it| it.is_ascii_digit()))
        .map(|mut cells| Row { name: cells.remove(0), cells })
        .collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn is_rpc(name: &str) -> bool {
    gate::TABLE.iter().any(|(path, _)| path.trim_start_matches('/').trim_start_matches("prunella.control.v1.") == name)
}

fn is_command(line: &str) -> bool {
    let mut at = prunella::command();
    line.split(' ').all(|word| match at.find_subcommand(word) {
        Some(next) => {
            at = next.clone();
            true
        }
        None => word.starts_with("--") && at.get_arguments().any(|it| it.get_long() == Some(&word[2..])),
    })
}

/// Whether the guide to the API has this path; another test holds that guide against the router.
fn is_path(path: &str) -> bool {
    let guide = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    guide.contains(&format!("`{path}`"))
}

fn is_page(path: &str) -> bool {
    let router = std::fs::read_to_string(root().join("server/src/http/pages/mod.rs")).unwrap();
    router.contains(&format!(".route(\"{path}\"")) || router.contains(&format!("(\"{path}\","))
}

fn is_test(name: &str) -> bool {
    let Some((file, function)) = name.split_once("::") else {
        return Path::new(name).extension().is_some_and(|it| it == "txt")
            && root().join("tests/scenarios").join(name).is_file();
    };
    std::fs::read_to_string(root().join(file)).is_ok_and(|text| text.contains(&format!("fn {function}(")))
}

/// What is wrong with one row.
fn flaws(row: &Row) -> Vec<String> {
    let Row { name, cells } = row;
    if cells.len() != COLUMNS.len() + 1 {
        return vec![format!("{name}: {} cells", cells.len() + 1)];
    }
    let mut flaws = Vec::new();
    let checks: [fn(&str) -> bool; 5] = [is_rpc, is_command, is_path, is_page, is_test];
    for ((cell, column), exists) in cells[1..].iter().zip(COLUMNS).zip(checks) {
        for it in quoted(cell).into_iter().filter(|it| !exists(it)) {
            flaws.push(format!("{name}: {column}: there is no {it}"));
        }
        if quoted(cell).is_empty() && cell != "–" {
            flaws.push(format!("{name}: {column}: neither a name nor –"));
        }
    }
    for (column, cell) in [("RPCs", &cells[1]), ("commands", &cells[2]), ("tests", &cells[5])] {
        if quoted(cell).is_empty() {
            flaws.push(format!("{name}: no {column}"));
        }
    }
    flaws
}

#[test]
fn every_row_names_only_what_exists() {
    let page = std::fs::read_to_string(root().join("docs/features.md")).unwrap();
    let rows = rows(&page);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "a row occurs twice");
    let missing: Vec<String> = LETTERS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")))
        .filter(|name| !names.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let flaws: Vec<String> = rows.iter().flat_map(flaws).collect();
    assert!(flaws.is_empty(), "docs/features.md:\n{}", flaws.join("\n"));
}

#[test]
fn every_rpc_of_operators_belongs_to_a_row_or_is_a_part_of_one() {
    let page = std::fs::read_to_string(root().join("docs/features.md")).unwrap();
    let services: BTreeSet<&str> = gate::TABLE
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("/prunella.control.v1.")?.split_once('/'))
        .map(|(service, _)| service)
        .collect();
    let unnamed: Vec<&&str> = services.iter().filter(|it| !page.contains(&format!("`{it}/"))).collect();
    assert!(unnamed.is_empty(), "no row names {unnamed:?}");
}

/// The name of a method in Rust.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn every_rpc_of_operators_is_asked_by_a_command() {
    let commands: String = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with(root().join("ctl/src")))
        .map(|(_, text)| text)
        .collect();
    let unasked: Vec<&str> = gate::TABLE
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("/prunella.control.v1.")?.split_once('/'))
        .map(|(_, method)| method)
        .filter(|method| !commands.contains(&format!(".{}(", snake(method))))
        .collect();
    assert!(unasked.is_empty(), "no command asks {unasked:?}");
}

#[test]
fn what_does_not_exist_is_found() {
    let row = |cells: [&str; 6]| Row { name: "C1".to_owned(), cells: cells.map(str::to_owned).to_vec() };
    let good = row(["it", "`FleetService/GetFleet`", "`status`", "`GET /status`", "`/ui/hosts`", "`killed.txt`"]);
    assert_eq!(flaws(&good), Vec::<String>::new());
    let bad = row(["it", "`FleetService/GetFleets`", "`statuses`", "`GET /statuses`", "`/ui/host`", "`kill.txt`"]);
    assert_eq!(flaws(&bad).len(), 5, "{:?}", flaws(&bad));
    let empty = row(["it", "–", "–", "–", "–", "–"]);
    assert_eq!(flaws(&empty).len(), 3, "{:?}", flaws(&empty));
}
