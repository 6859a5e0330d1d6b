//! A server is backed up while it works, and another one goes on from that.

use prunella::fleet::Fleet;
use prunella_model::Id;
use prunella_server::config::HttpListen;
use prunella_server::fleet_dir::FleetDir;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{kill, program, run, stderr, wait, with_lab};

async fn prunella(args: Vec<String>) -> std::process::Output {
    tokio::task::spawn_blocking(move || run(&args.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

async fn json(dir: &str, args: &[&str]) -> Value {
    let args = ["--dir", dir].iter().chain(args).chain(&["-o", "json"]).map(|it| (*it).to_owned()).collect();
    let output = prunella(args).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn newest_event(events: &Value) -> Id {
    events["events"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_restored_server_knows_what_it_knew_and_repeats_no_id() {
    with_lab(async |lab, service| {
        kill(&service, Signal::KILL);
        wait("the service is healed", async || lab.records.first("incident_closed").is_some()).await;
        let old = lab.fleet.dir().path().display().to_string();
        let place = tempfile::tempdir().unwrap();
        let (file, new) = (place.path().join("f.backup").display().to_string(), place.path().join("new"));
        let made = json(&old, &["backup", &file, "--with-keys"]).await;
        assert!(made["files"].as_u64().unwrap() > 8, "{made}");
        let missing = made["missing"].to_string();
        assert!(missing.contains("root keys") && !missing.contains("--with-keys"), "{missing}");
        let again = prunella(["--dir", &old, "backup", &file].map(str::to_owned).into()).await;
        assert!(stderr(&again).contains("nothing is replaced"), "{}", stderr(&again));
        let intact = json(&old, &["restore", &file, "--verify"]).await;
        assert_eq!(intact["files"], made["files"]);
        let over = prunella(["--dir", &old, "restore", &file].map(str::to_owned).into()).await;
        assert_eq!(over.status.code(), Some(1));
        assert!(stderr(&over).contains("is there already"), "{}", stderr(&over));

        let before = json(&old, &["incidents", "--all"]).await;
        let (last, hosts) = (newest_event(&json(&old, &["events"]).await), json(&old, &["hosts"]).await);
        lab.fleet.end();
        json(&new.display().to_string(), &["restore", &file]).await;
        let dir = FleetDir::open(&new).unwrap();
        let mut restored = Fleet::start_with(dir, program(), HttpListen::Off).await.unwrap();
        let new = new.display().to_string();
        let after = json(&new, &["incidents", "--all"]).await;
        let ids = |it: &Value| -> Vec<Value> {
            it["incidents"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect()
        };
        assert_eq!(ids(&after), ids(&before));
        let name = |it: &Value| it["hosts"][0]["name"].clone();
        assert_eq!(name(&json(&new, &["hosts"]).await), name(&hosts));
        json(&new, &["pause", "--why", "a test"]).await;
        wait("the pause is told", async || newest_event(&json(&new, &["events"]).await) > last).await;
        let audit = json(&new, &["audit", "verify"]).await;
        assert_eq!(audit["intact"], true, "{audit}");
        restored.end();
    });
}
