//! What operators do with a fleet that lives, by the very commands.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use prunella::lab::{Lab, Plan};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{kill, program, prunella, run, stderr, wait, with_lab, with_lab_of};

/// Runs a command on the lab's fleet, away from the runtime's only thread.
pub(crate) async fn fleet(lab: &Lab, args: &[&str]) -> Output {
    let dir = lab.fleet.dir().path().display().to_string();
    let args: Vec<String> = ["--dir", &dir].into_iter().chain(args.iter().copied()).map(str::to_owned).collect();
    let ran = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(ran).await.unwrap()
}

async fn json(lab: &Lab, args: &[&str]) -> Value {
    let output = fleet(lab, args).await;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn policy_file(lab: &Lab) -> std::path::PathBuf {
    lab.fleet.dir().config().policy.clone()
}

/// A rule that speaks while the service's process does not run.
const RULE: &str = "\n[[rule]]\nname = \"not_there\"\nwhen = \"probes['process'].status == 'down'\"\nshadow = true\n";

fn add(file: &Path, text: &str) {
    let before = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, before + text).unwrap();
}

#[test]
fn a_policy_file_is_read_again_on_sighup_unless_it_is_wrong() {
    with_lab(async |lab, _| {
        let file = policy_file(lab);
        let version = json(lab, &["status", "-o", "json"]).await["policy_version"].as_u64().unwrap();
        add(&file, "\n[limits]\nfleet_concurrent = 0\n");
        lab.fleet.server().signal(Signal::HUP);
        let log = lab.fleet.log("server");
        let said = async |what: &str| std::fs::read_to_string(&log).is_ok_and(|text| text.contains(what));
        wait("the wrong file is refused", async || said("fleet_concurrent = 0 is out of range").await).await;
        assert!(said("the policy in force is kept").await);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("fleet_concurrent = 0", "fleet_concurrent = 4")).unwrap();
        lab.fleet.server().signal(Signal::HUP);
        wait("the right file is in force", async || {
            json(lab, &["status", "-o", "json"]).await["policy_version"].as_u64().unwrap() > version
        })
        .await;
        lab.fleet.must_run().unwrap();
    });
}

#[test]
fn a_rule_is_tried_on_the_journal_of_a_fleet_that_lives() {
    with_lab(async |lab, service| {
        kill(&service, Signal::KILL);
        wait("the service is healed", async || lab.records.first("incident_closed").is_some()).await;
        let wanted = lab.fleet.dir().path().join("wanted.toml");
        std::fs::write(&wanted, format!("profile = \"rapid\"\n{RULE}")).unwrap();
        let journal = lab.fleet.dir().path().join("state/journal").display().to_string();
        let wanted = wanted.display().to_string();
        wait("the journal holds what happened", async || {
            let tried = json(lab, &["rules", "test", &wanted, "--journal", &journal, "-o", "json"]).await;
            let spoken = tried["spoken"].as_array().cloned().unwrap_or_default();
            spoken.iter().any(|it| it["rule"] == "not_there" && it["target"] == service.target.to_string())
        })
        .await;
    });
}

#[test]
fn a_fault_that_no_rule_sees_is_reported_and_explained() {
    with_lab(async |lab, service| {
        let target = service.target.to_string();
        let reported = json(lab, &["incidents", "report", &target, "users see old prices", "-o", "json"]).await;
        let incident = reported["incident"].as_str().unwrap().to_owned();
        let told = json(lab, &["explain", &incident, "-o", "json"]).await;
        assert_eq!(told["fault"]["summary"], "users see old prices", "{told}");
        assert_eq!(told["attempts"].as_array().map(Vec::len), Some(0), "its probes are well");
        assert!(told["advice"]["text"].is_string(), "{told}");
        assert_eq!(fleet(lab, &["repair", "cancel", &incident, "--why", "a test"]).await.status.code(), Some(0));
    });
}

#[test]
fn events_go_on_after_the_last_one_that_was_seen_although_the_server_was_killed() {
    with_lab(async |lab, service| {
        kill(&service, Signal::KILL);
        wait("the service is healed", async || lab.records.first("incident_closed").is_some()).await;
        let listed = json(lab, &["events", "--group", "healing", "-o", "json"]).await;
        let events = listed["events"].as_array().unwrap();
        assert!(!events.is_empty() && events.iter().all(|it| it["group"] == "healing"), "{listed}");
        let token = listed["resume"].as_str().unwrap().to_owned();
        lab.fleet.crash_server().await.unwrap();
        let dir = lab.fleet.dir().path().display().to_string();
        let args = ["--dir", &dir, "events", "--follow", "--resume", &token, "--kind", "server_started", "-o", "json"];
        let mut child = prunella(&args).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let first = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(out).lines();
            let documents =
                std::iter::from_fn(|| lines.next()?.ok()).map(|it| serde_json::from_str::<Value>(&it).unwrap());
            // That the killed server may have had more to say is told as well, before or with what follows.
            documents
                .inspect(|it| assert!(it["gap"].is_boolean() || it["kind"].is_string()))
                .find(|it| it["kind"].is_string())
        });
        let first = first.await.unwrap().unwrap();
        assert_eq!(first["kind"], "server_started");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn a_sweep_sees_every_probe_and_the_control_plane_itself() {
    with_lab(async |lab, service| {
        let found = json(lab, &["diagnostics", "run", "-o", "json"]).await;
        assert_eq!(
            (&found["broken"], &found["unknown"], &found["unreachable"]),
            (&0.into(), &0.into(), &0.into()),
            "{found}"
        );
        let own = |layer: &str| {
            found["layers"].as_array().unwrap().iter().any(|it| it["layer"] == layer && it["found"] == "ok")
        };
        assert!(own("signing") && own("policy") && own("inventory"), "{found}");
        let targets = found["targets"].as_array().unwrap();
        let target = targets.iter().find(|it| it["target"] == service.target.to_string()).unwrap();
        assert!(target["probes"].as_array().unwrap().iter().all(|it| it["age_seconds"].is_number()), "{target}");
        // An agent that does not answer, which is no proof that its services are broken.
        lab.fleet.agents()[0].signal(Signal::STOP);
        let output = fleet(lab, &["diagnostics", "run", "hosts/lab-1", "-o", "json"]).await;
        lab.fleet.agents()[0].signal(Signal::CONT);
        assert_eq!(output.status.code(), Some(1));
        let dark: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&dark["ok"], &dark["broken"]), (&0.into(), &0.into()), "{dark}");
        let listed = json(lab, &["diagnostics", "list", "-o", "json"]).await;
        assert_eq!(listed["diagnostics"][0]["id"], dark["id"], "newest first: {listed}");
    });
}

#[test]
fn a_chain_repairs_what_a_service_needs_before_itself() {
    let plan = Plan { services: 2, in_line: true, ..Plan::new(program()) };
    with_lab_of(plan, async |lab, needed| {
        let named = lab.services[1].clone();
        assert_eq!(fleet(lab, &["mode", "fleet", "disabled", "--why", "a test"]).await.status.code(), Some(0));
        kill(&named, Signal::KILL);
        kill(&needed, Signal::KILL);
        wait("both are known to be broken, and left to a person", async || {
            let open = json(lab, &["incidents", "-o", "json"]).await;
            open["incidents"].as_array().is_some_and(|all| all.iter().filter(|it| it["state"] == "held").count() == 2)
        })
        .await;
        let (before, target) = (needed.runs().len(), named.target.to_string());
        let asked = json(lab, &["repair", "run", &target, "--chain", "--why", "both are down", "-o", "json"]).await;
        let incident = asked["incident"].as_str().unwrap().to_owned();
        wait("the chain has ended", async || {
            let told = json(lab, &["explain", &incident, "-o", "json"]).await;
            told["chain"]["end"].is_string()
        })
        .await;
        let told = json(lab, &["explain", &incident, "-o", "json"]).await;
        let links = told["chain"]["links"].as_array().unwrap();
        let each: Vec<_> =
            links.iter().map(|it| (it["target"].as_str().unwrap(), it["state"].as_str().unwrap())).collect();
        let first = needed.target.to_string();
        assert_eq!(each, [(first.as_str(), "healed"), (target.as_str(), "healed")], "{told}");
        assert_eq!((&told["chain"]["end"], needed.runs().len()), (&"done".into(), before + 1));
        let verified = |it: &Value, at: &str| it["attempts"][0][at].as_str().unwrap().to_owned();
        let of_first = json(lab, &["explain", links[0]["incident"].as_str().unwrap(), "-o", "json"]).await;
        assert!(
            verified(&of_first, "verdict_time") <= verified(&told, "decided"),
            "one after the other: {of_first} {told}"
        );
    });
}

#[test]
fn another_policy_is_tried_on_what_happened_and_changes_nothing() {
    with_lab(async |lab, service| {
        kill(&service, Signal::KILL);
        wait("it is healed", async || {
            json(lab, &["incidents", "--all", "-o", "json"]).await["incidents"].to_string().contains("recovered")
        })
        .await;
        let own = policy_file(lab);
        let preview = async |file: &Path| json(lab, &["policy", "preview", file.to_str().unwrap(), "-o", "json"]).await;
        let same = preview(&own).await;
        assert_eq!((&same["different"], &same["commands"]), (&0.into(), &same["other_commands"]), "{same}");
        let careful = own.with_file_name("careful.toml");
        let text = std::fs::read_to_string(&own).unwrap();
        let text: String = text.lines().filter(|it| !it.starts_with("mode")).map(|it| format!("{it}\n")).collect();
        std::fs::write(&careful, "mode = \"disabled\"\n".to_owned() + &text).unwrap();
        wait("the journal holds what happened", async || preview(&careful).await["different"] == 1).await;
        let other = preview(&careful).await;
        assert_eq!((&other["different"], &other["other_commands"]), (&1.into(), &0.into()), "{other}");
        let first = &other["differences"][0];
        assert!(first["recorded"].to_string().contains("repair_started"), "{first}");
        assert!(!first["other"].to_string().contains("repair_started"), "{first}");
        assert_eq!(json(lab, &["policy", "show", "-o", "json"]).await["version"], 1, "nothing was changed");
    });
}

/// Asks what a restart would do, by the command; only what the agent says.
async fn rehearsed(lab: &Lab) -> Value {
    let target = "lab-1/service-1";
    json(lab, &["-o", "json", "repair", "run", target, "restart_service", "--dry-run"]).await["rehearsal"].take()
}

/// The agent's ledger, byte for byte.
fn ledger(lab: &Lab) -> Vec<u8> {
    let state = lab.fleet.dir().agent_dir(&lab.host).join("state");
    let mut all = std::fs::read_dir(state).unwrap().map(|it| it.unwrap().path());
    let its = |it: &std::path::PathBuf| {
        it.file_name().unwrap().to_str().unwrap().strip_prefix("ledger-").is_some_and(|it| it.parse::<u64>().is_ok())
    };
    std::fs::read(all.find(its).expect("there is a ledger")).unwrap()
}

#[test]
fn a_dry_run_asks_the_agent_which_does_nothing_and_writes_nothing_down() {
    with_lab(async |lab, service| {
        let run = service.run().unwrap();
        // Otherwise the service would be restarted for the report.
        for command in [&["pause", "--why", "a rehearsal"][..], &["incidents", "report", "lab-1/service-1", "slow"]] {
            let done = fleet(lab, command).await;
            assert!(done.status.success(), "{command:?}: {}", stderr(&done));
        }
        let before = ledger(lab);
        let said = rehearsed(lab).await;
        assert_eq!(
            (&said["host"], &said["refused"], &said["unanswered"]),
            (&"lab-1".into(), &Value::Null, &Value::Null),
            "{said}"
        );
        let step = &said["steps"][0];
        assert_eq!((&step["step"], &step["possible"]), (&"restart_service".into(), &true.into()), "{said}");
        assert!(step["text"].as_str().unwrap().contains(&run.pid.to_string()), "{said}");

        let state = lab.fleet.dir().agent_dir(&lab.host).join("state");
        std::fs::write(state.join("pause"), "the kernel is being upgraded\n").unwrap();
        let said = rehearsed(lab).await;
        assert!(said["refused"].as_str().is_some_and(|it| it.contains("the kernel is being upgraded")), "{said}");
        assert_eq!(said["steps"], Value::Array(Vec::new()), "{said}");
        std::fs::remove_file(state.join("pause")).unwrap();

        assert_eq!(service.run(), Some(run), "nothing was restarted");
        assert_eq!(ledger(lab), before, "nothing was written down");

        lab.fleet.agents()[0].kill().unwrap();
        wait("the server knows that the agent is away", async || {
            rehearsed(lab).await["unanswered"].as_str().is_some_and(|it| it.contains("not connected"))
        })
        .await;
        // Whoever kills an agent leaves what it watches running.
        kill(&service, Signal::KILL);
        wait("the service has ended", async || service.run().is_none()).await;
    });
}
