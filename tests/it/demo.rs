//! The demonstration from a user's end: every fault ends as it should, and nothing is left behind.

use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{processes_of, prunella, run, stderr, wait_blocking};

#[test]
fn every_fault_is_healed_and_only_the_broken_one_is_touched() {
    let dir = TempDir::new().unwrap();
    let output = run(&["demo", "--once", "--json", "--dir", dir.path().to_str().unwrap()]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "exactly one document on stdout: {text}");
    let found: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{}", stderr(&output)));
    assert_eq!(found["ok"], true, "{found}\n{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    let faults = found["faults"].as_array().unwrap();
    let names: Vec<&str> = faults.iter().map(|it| it["scenario"].as_str().unwrap()).collect();
    assert_eq!(names, ["killed", "hung", "config", "directory", "leak", "upstream"]);
    for fault in faults {
        assert_eq!(fault["collateral_repairs"], 0, "{fault}");
        assert!(fault["detected_ms"].as_f64().unwrap() <= fault["repaired_ms"].as_f64().unwrap(), "{fault}");
    }
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
}

/// Starts a demonstration without faults and waits until its services run.
fn started(dir: &Path) -> Child {
    let mut command = prunella(&["demo", "--no-faults", "--dir", dir.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Itself, the server, three agents, three services.
    wait_blocking("the fleet of the demonstration", || processes_of(dir).len() == 8);
    child
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn ctrl_c_leaves_no_process_behind() {
    let dir = TempDir::new().unwrap();
    let mut child = started(dir.path());
    send(&child, Signal::INT);
    assert!(child.wait().unwrap().success());
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
}

#[test]
fn a_killed_demonstration_leaves_no_process_behind() {
    let dir = TempDir::new().unwrap();
    let mut child = started(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_blocking("everything ends after its parent was killed", || processes_of(dir.path()).is_empty());
}
