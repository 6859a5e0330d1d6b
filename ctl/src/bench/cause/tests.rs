use std::io::Write as _;

use super::*;

const GRAPH: &str = ",front,back,db\nfront,0,1,0\nback,0,0,1\ndb,0,0,0\n";

/// A table in which each service has the latency that `latency(service, interval)` says, 100 requests an interval.
fn table(intervals: u32, latency: impl Fn(&str, u32) -> f64) -> String {
    let names = ["front", "back", "db"];
    let mut text = String::from("microservice,front,back,db,front,back,db\n");
    text.push_str("metric,latency,latency,latency,requests,requests,requests\n");
    text.push_str("statistic,Average,Average,Average,Sum,Sum,Sum\nunix_timestamp,,,,,,\n");
    for at in 0..intervals {
        let cells: Vec<String> = names.iter().map(|it| latency(it, at).to_string()).collect();
        text.push_str(&format!("{},{},100,100,100\n", 1000 + 300 * at, cells.join(",")));
    }
    text
}

fn usual(name: &str, at: u32) -> f64 {
    let steady = if name == "front" { 0.2 } else { 0.1 };
    steady + f64::from(at % 3) * 0.001
}

#[test]
fn the_true_cause_is_found_in_plain_and_in_gzipped_tables() {
    let dir = tempfile::tempdir().unwrap();
    let issue = dir.path().join("load").join("test").join("issue_0");
    std::fs::create_dir_all(&issue).unwrap();
    std::fs::create_dir_all(dir.path().join("load").join("noissue")).unwrap();
    std::fs::write(dir.path().join("load/graph.csv"), GRAPH).unwrap();
    let file = std::fs::File::create(dir.path().join("load/noissue/metrics.csv.gz")).unwrap();
    let mut zipped = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    zipped.write_all(table(30, usual).as_bytes()).unwrap();
    zipped.finish().unwrap();
    // From the second interval on `back` is slow, and `front` with it.
    let slow = |name: &str, at: u32| usual(name, at) + if at > 0 && name != "db" { 0.5 } else { 0.0 };
    std::fs::write(issue.join("metrics.csv"), table(4, slow)).unwrap();
    let label = r#"{"target": {"node": "front", "metric": "latency", "agg": "Average", "timestamp": 1300},
        "root_cause": {"node": "back", "metric": null}}"#;
    std::fs::write(issue.join("target.json"), label).unwrap();

    let issues = petshop::read(dir.path()).unwrap();
    let verdicts: Vec<Verdict> = issues.iter().map(judge).collect();
    let found: Vec<_> = verdicts.iter().map(|it| (it.scenario.as_str(), it.split.as_str(), it.rank)).collect();
    assert_eq!(found, [("load", "test", Some(1))]);
    let all = Tally::of(None, verdicts.iter()).unwrap();
    assert_eq!(all, Tally { of: None, issues: 1, top1: 1.0, top3: 1.0 });
    assert_eq!(issues[0].services[0].indicator.before.len(), 1, "one interval had ended when the alarm was raised");
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    assert!(petshop::read(dir.path()).unwrap().is_empty());
    assert_eq!(Tally::of(None, std::iter::empty()), None);
    std::fs::write(dir.path().join("graph.csv"), GRAPH).unwrap();
    let why = petshop::read(dir.path()).unwrap_err().to_string();
    assert!(why.contains("no metrics.csv"), "{why}");
}
