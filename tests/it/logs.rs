//! The log as a program reads it: one incident is found in every part of the server's log and in the agent's.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{prunella, stderr};

fn lines(of: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(of).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|error| panic!("{error}: {it}"))).collect()
}

#[test]
fn one_incident_links_the_lines_of_server_and_agent() {
    let dir = TempDir::new().unwrap();
    let mut command = prunella(&[
        "demo",
        "--once",
        "--json",
        "--scenario",
        "killed",
        "--http",
        "off",
        "--dir",
        dir.path().to_str().unwrap(),
    ]);
    let output = command.env("PRUNELLA_LOG_FORMAT", "json").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let server = lines(&dir.path().join("server.log"));
    let begun = server.iter().find(|it| it["fields"]["kind"] == "repair_started").expect("a repair was started");
    let incident = &begun["fields"]["incident"];
    assert!(incident.is_string(), "{begun}");
    let spoke: BTreeSet<&str> = server
        .iter()
        .filter(|it| it["fields"]["incident"] == *incident)
        .filter_map(|it| it["target"].as_str())
        .collect();
    let parts = ["prunella::diagnosis", "prunella::engine", "prunella::learning", "prunella::repair"];
    assert_eq!(spoke, BTreeSet::from(parts), "each part of the mind says what it did about {incident}");
    let agents = std::fs::read_dir(dir.path()).unwrap().flatten().map(|it| it.path());
    let agents = agents.filter(|it| it.extension().is_some_and(|it| it == "log") && !it.ends_with("server.log"));
    let said: Vec<Value> = agents.flat_map(|it| lines(&it)).filter(|it| it["span"]["incident"] == *incident).collect();
    let ended = said.iter().filter(|it| it["fields"]["message"] == "a command has ended");
    assert_eq!(ended.count(), 1, "the agent says so under the same incident: {said:?}");
    assert!(said.iter().all(|it| it["target"] == "prunella::repair" && it["span"]["command"].is_string()), "{said:?}");
}
