//! What people get wrong is answered with what is wrong, where, and what to do.

use std::path::Path;

use prunella_identity::{CaPin, JoinToken};
use prunella_model::{FleetName, HostId};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_server::fleet_dir::{FleetDir, Options};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{prunella, run, stderr, wait_blocking, with_lab};

fn agent_toml(dir: &Path, text: &str) -> String {
    let path = dir.join("agent.toml");
    std::fs::write(&path, format!("[agent]\nhost = \"lost\"\nstate_dir = \"state\"\n{text}")).unwrap();
    path.display().to_string()
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
    let dir = TempDir::new().unwrap();
    let config = agent_toml(dir.path(), "lables = {}\n");
    for args in [&["agent", "--config", &config][..], &["up", "--dir", "x", "--config", &config]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("agent.toml:4:1") && said.contains("labels"), "{said}");
    }
    assert!(!dir.path().join("x").exists(), "nothing is made before the file is known to be good");
    let fleet = dir.path().join("fleet");
    FleetDir::create(&fleet, &FleetName::new("f").unwrap(), &Options::default()).unwrap();
    let server = fleet.join("server.toml");
    let text = std::fs::read_to_string(&server).unwrap();
    std::fs::write(&server, format!("polisy = \"p\"\n{text}")).unwrap();
    let output = run(&["server", "--config", server.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("server.toml:1:1") && said.contains("policy"), "{said}");
}

#[test]
fn an_agent_without_a_token_says_how_to_get_one() {
    let dir = TempDir::new().unwrap();
    let config = agent_toml(dir.path(), "control = [\"127.0.0.1:1\"]\n");
    let output = run(&["agent", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("prunella token create"), "{}", stderr(&output));
}

#[test]
fn a_token_with_another_fleets_pin_is_refused_before_anything_is_said() {
    with_lab(async |lab, _| {
        let request = pb::CreateJoinTokenRequest { lifetime: None, host: "lost".to_owned() };
        let answer = AdminServiceClient::new(lab.fleet.control()).create_join_token(request).await.unwrap();
        let mut token: JoinToken = answer.into_inner().token.parse().unwrap();
        token.ca = CaPin([7; 32]);
        let dir = TempDir::new().unwrap();
        let config = agent_toml(dir.path(), "");
        let text = token.to_text().unwrap();
        let output = tokio::task::spawn_blocking(move || {
            prunella(&["agent", "--config", &config]).env("PRUNELLA_JOIN_TOKEN", text.as_str()).output().unwrap()
        });
        let output = output.await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("pin") || said.contains("authority"), "{said}");
        let host = HostId::new("lost").unwrap();
        let known = lab.records.targets().await.unwrap();
        assert!(known.iter().all(|it| !it.name.contains(host.as_str())), "the server never heard of it");
    });
}

#[test]
fn a_second_one_on_the_same_directory_leaves_the_first_alone() {
    with_lab(async |lab, _| {
        let dir = TempDir::new().unwrap();
        let config = agent_toml(dir.path(), "");
        let fleet = lab.fleet.dir().path().display().to_string();
        let again = tokio::task::spawn_blocking({
            let fleet = fleet.clone();
            move || run(&["up", "--dir", &fleet, "--config", &config])
        });
        let again = again.await.unwrap();
        assert_eq!(again.status.code(), Some(1));
        assert!(stderr(&again).contains("another process uses the store"), "{}", stderr(&again));
        let status = tokio::task::spawn_blocking(move || run(&["--dir", &fleet, "status"])).await.unwrap();
        assert_eq!(status.status.code(), Some(0), "the first one is still found: {}", stderr(&status));
    });
}

#[test]
fn a_state_that_was_removed_is_no_new_fleet() {
    let dir = TempDir::new().unwrap();
    let fleet = dir.path().join("fleet");
    FleetDir::create(&fleet, &FleetName::new("f").unwrap(), &Options::default()).unwrap();
    let config = fleet.join("server.toml").display().to_string();
    let serve = || {
        let mut child = prunella(&["server", "--config", &config]).spawn().unwrap();
        wait_blocking("the server listens", || fleet.join("addresses.json").exists());
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        child.wait().unwrap();
        std::fs::remove_file(fleet.join("addresses.json")).unwrap();
    };
    serve();
    serve();
    std::fs::rename(fleet.join("state"), fleet.join("elsewhere")).unwrap();
    let output = run(&["server", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("state of this fleet is gone") && said.contains("store import"), "{said}");
    std::fs::remove_dir_all(fleet.join("state")).ok();
    std::fs::rename(fleet.join("elsewhere"), fleet.join("state")).unwrap();
    serve();
}
