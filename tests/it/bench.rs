//! Benchmarks beside other programs: who is not there is named, and nobody is left behind.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{processes_of, prunella, stderr};

/// Nothing is found, so all that is measured is this program, and everybody else says what to install.
#[test]
fn peers_that_are_not_installed_are_named_with_their_package() {
    let dir = TempDir::new().unwrap();
    let mut bench = prunella(&["bench", "mttr", "--peers", "--runs", "1", "--again", "1", "--json"]);
    let output = bench.env("PATH", dir.path()).env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["p50_ms"].as_f64().unwrap() > 0.0, "{said}");
    let rows = said["peers"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|it| it["name"] == name).unwrap();
    let own = row("prunella");
    assert_eq!((own["times_ours"].as_f64(), own["missing"].is_null()), (Some(1.0), true), "{own}");
    assert!(own["again"]["p50_ms"].as_f64().unwrap() > 0.0, "{own}");
    assert!(row("a thread that waits for it")["first_line"]["runs"] == 1, "{said}");
    for (name, package) in [
        ("monit, 1 s cycle", "monit"),
        ("supervisord", "supervisor"),
        ("s6-supervise", "s6"),
        ("s6-supervise, readiness", "s6"),
        ("runit", "runit"),
    ] {
        let row = row(name);
        assert_eq!(row["missing"], format!("not installed: apt-get install {package}"), "{row}");
        assert!(row["first_line"].is_null() && row["times_ours"].is_null() && row["again"].is_null(), "{row}");
    }
    for name in ["prunella, systemd unit", "systemd, default", "systemd, RestartSec=0"] {
        assert!(row(name)["missing"].is_string(), "{}", row(name));
    }
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
}

/// Whichever supervisors are installed here, each starts its service again, and ends with the benchmark.
#[test]
fn installed_peers_are_killed_in_turn_and_end_with_it() {
    let dir = TempDir::new().unwrap();
    let mut bench = prunella(&["bench", "mttr", "--peers", "--runs", "1", "--again", "0", "--json"]);
    let output = bench.env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    for row in said["peers"].as_array().unwrap() {
        match row["missing"].as_str() {
            None => assert_eq!(row["first_line"]["runs"], 1, "{row}"),
            Some(why) => assert!(why.starts_with("not installed:") || why.starts_with("needs "), "{row}"),
        }
    }
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(left.is_empty(), "files were left behind: {left:?}");
}

#[test]
fn what_an_agent_costs_is_measured_beside_whoever_is_installed() {
    let dir = TempDir::new().unwrap();
    let mut bench = prunella(&["bench", "agent", "--peers", "--targets", "3", "--probes", "process", "--json"]);
    // Longer than a heartbeat, which is all that an agent at rest has to say.
    let bench = bench.args(["--seconds", "12"]).env("PATH", dir.path()).env("TMPDIR", dir.path());
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["rss_mib", "anonymous_mib", "pss_mib", "cpu_percent", "wakeups_per_second", "sent_bytes_per_second"] {
        assert!(said[key].as_f64().unwrap() > 0.0, "{key}: {said}");
    }
    // Without its services, which are its children.
    assert_eq!((&said["processes"], &said["targets"]), (&1.into(), &3.into()), "{said}");
    let rows = said["peers"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{said}");
    for row in rows {
        // What lies in /sbin is found without PATH.
        assert_eq!(row["cost"].is_null(), row["missing"].is_string(), "{row}");
    }
    assert!(rows.iter().any(|it| it["missing"] == "not installed: apt-get install monit"), "{said}");
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
}
