//! What an agent does by standing orders while its server is gone, with real processes.

use std::time::Duration;

use prunella::demo::records::Records;
use rustix::process::Signal;

use crate::support::{kill, run, stderr, wait, with_lab};

#[test]
fn a_service_is_healed_while_the_server_is_dead_and_the_server_is_told_once() {
    with_lab(async |lab, service| {
        let dir = lab.fleet.dir().path().to_owned();
        let place = dir.display().to_string();
        let policy = dir.join("orders.toml");
        std::fs::write(&policy, "profile = \"rapid\"\n[standing_orders]\nheld = \"1s\"\n[canary]\nenabled = false\n")
            .unwrap();
        let set = run(&["--dir", &place, "policy", "set", &policy.display().to_string(), "--now"]);
        assert!(set.status.success(), "{}", stderr(&set));
        let orders = || -> serde_json::Value {
            let said = run(&["--dir", &place, "-o", "json", "orders"]);
            serde_json::from_slice(&said.stdout).unwrap_or_default()
        };
        wait("the order is issued", async || orders()["hosts"][0]["orders"][0]["held_ms"] == 1000).await;
        // The agent has taken it when it says something after it.
        tokio::time::sleep(Duration::from_millis(500)).await;

        lab.fleet.server().kill().unwrap();
        let before = service.runs().len();
        kill(&service, Signal::KILL);
        wait("the agent heals it alone", async || service.run().is_some() && service.runs().len() == before + 1).await;

        lab.fleet.crash_server().await.unwrap();
        lab.records = Records::new(lab.fleet.control());
        wait("the server is told", async || orders()["hosts"][0]["runs"].as_array().is_some_and(|it| !it.is_empty()))
            .await;
        // A second start of the server, and a second stream, tell nothing new.
        lab.fleet.crash_server().await.unwrap();
        lab.records = Records::new(lab.fleet.control());
        wait("the host is back", async || !orders()["hosts"][0]["issued"].is_null()).await;
        let told = orders();
        assert_eq!(told["hosts"][0]["runs"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(told["hosts"][0]["runs"][0]["outcome"], "done", "{told}");
        assert_eq!(service.runs().len(), before + 1, "it was started once");
        assert!(lab.records.incidents().await.unwrap().iter().all(|it| it.attempts.is_empty()), "no command was sent");
    });
}
