//! What a pipeline and an administrator ask of a fleet that lives, by the very commands.

use prunella::lab::Lab;
use rustix::process::Signal;
use serde_json::Value;

use crate::operators::fleet;
use crate::support::{kill, run, stderr, wait, with_lab};

/// The exit code and the JSON of a command.
async fn asked(lab: &Lab, args: &[&str]) -> (Option<i32>, Value) {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    let output = fleet(lab, &args).await;
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|_| Value::String(stderr(&output))))
}

fn kinds(view: &Value) -> Vec<&str> {
    view["reasons"].as_array().into_iter().flatten().filter_map(|it| it["kind"].as_str()).collect()
}

#[test]
fn a_deploy_is_let_through_held_up_and_blamed() {
    with_lab(async |lab, service| {
        // The machine that tests run on may itself be overloaded; that is not what is tried here.
        let lenient = ["--min-health", "0", "--severity", "high"];
        let gate = async |args: &[&str]| {
            let args: Vec<&str> = ["gate"].into_iter().chain(args.iter().copied()).chain(lenient).collect();
            asked(lab, &args).await
        };
        wait("the fleet is fit", async || gate(&["check"]).await.0 == Some(0)).await;
        let host = service.target.host.to_string();
        assert_eq!(gate(&["check", "--host", &host]).await.0, Some(0));
        let (code, said) = gate(&["check", "--host", "nowhere"]).await;
        assert!(code == Some(5) && said.to_string().contains(&host), "{code:?} {said}");

        let quiet = gate(&["watch", "--host", &host, "--for", "1s"]).await;
        assert_eq!((quiet.0, quiet.1["verdict"].as_str()), (Some(0), Some("quiet")), "{}", quiet.1);

        assert_eq!(fleet(lab, &["pause", &host, "--why", "a test"]).await.status.code(), Some(0));
        let held = gate(&["check"]).await;
        assert_eq!((held.0, kinds(&held.1)), (Some(6), vec!["pause"]), "{}", held.1);
        assert_eq!(gate(&["check", "--allow", "pause"]).await.0, Some(0));
        assert_eq!(fleet(lab, &["resume", &host]).await.status.code(), Some(0));

        // The lab declares no releases: the rollback is asked for, and the answer says that it cannot be.
        let args = ["watch", "--host", &host, "--for", "60s", "--roll-back", "--roll-back-within", "5s"];
        let watch = gate(&args);
        let harm = async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            kill(&service, Signal::KILL);
        };
        let ((code, view), ()) = tokio::join!(watch, harm);
        assert_eq!((code, view["verdict"].as_str()), (Some(8), Some("blamed")), "{view}");
        assert_eq!(view["faults"][0]["target"], service.target.to_string(), "{view}");
        assert!(view["roll_backs"][0]["verdict"].is_null(), "{view}");
    });
}

#[test]
fn the_log_tells_more_for_a_while_and_the_audit_log_who_wanted_it() {
    with_lab(async |lab, _| {
        let log = lab.fleet.log("server");
        let speaks = || std::fs::read_to_string(&log).unwrap().contains("DEBUG");
        assert!(!speaks());
        let (code, view) = asked(lab, &["log-level", "debug", "--for", "5m"]).await;
        assert_eq!((code, view["filter"].as_str()), (Some(0), Some("debug")), "{view}");
        assert!(view["until"].is_string(), "{view}");
        wait("the log tells more", async || speaks()).await;
        let (code, view) = asked(lab, &["log-level", "usual"]).await;
        assert_eq!((code, view["until"].is_null()), (Some(0), true), "{view}");
        let (code, said) = asked(lab, &["log-level", "loud"]).await;
        assert!(code == Some(1) && said.to_string().contains("debug or trace"), "{said}");
        wait("the audit log has it", async || {
            let (_, audit) = asked(lab, &["audit", "list"]).await;
            audit.to_string().contains("debug for 300 s")
        })
        .await;
    });
}

#[test]
fn files_are_checked_by_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.toml");
    std::fs::write(&file, "fleet = \"f\"\n[listen]\ncontrl = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n").unwrap();
    let name = file.display().to_string();
    let output = run(&["config", "check", &name]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{name}:3:1: unknown key \"contrl\"")) && said.contains("    3 | contrl"), "{said}");
    let mut shown = crate::support::prunella(&["config", "show", &name]);
    let fixed = std::fs::read_to_string(&file).unwrap().replace("contrl", "control");
    std::fs::write(&file, fixed).unwrap();
    let output = shown.env("PRUNELLA_SERVER__EXPORT__EVERY", "5m").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("PRUNELLA_SERVER__EXPORT__EVERY"), "{said}{}", stderr(&output));
}
