//! An agent that hangs: the watchdog of its service manager is fed by the loop that does the work and by nothing else, and
//! the server sees the host fall silent and come back.

use std::path::Path;
use std::time::Duration;

use prunella::children::{Child, end_all};
use prunella::lab::Lab;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use rustix::process::Signal;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::support::{PATIENCE, kill, program, wait, with_lab};

/// Longer than the agent's loop takes to feed the watchdog several times.
const UNFED: Duration = Duration::from_secs(4);

/// What a service manager hears of a unit with `Type=notify` and `WatchdogSec=`.
struct Manager(UnixDatagram);

impl Manager {
    async fn hear(&self) -> String {
        let mut text = [0; 4096];
        let length = timeout(PATIENCE, self.0.recv(&mut text)).await.expect("the agent says nothing").unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    }

    /// Takes what was said before.
    fn forget(&self) {
        while self.0.try_recv(&mut [0; 4096]).is_ok() {}
    }
}

/// The agent; it ends in good order, also when the test fails, so that its service ends with it.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
        end_all(std::slice::from_mut(&mut self.0));
    }
}

/// Starts the lab's agent again as a service manager would.
fn start_notifying(lab: &mut Lab, socket: &Path) -> Agent {
    lab.fleet.take_agent().unwrap().kill().unwrap();
    let config = lab.fleet.dir().agent_dir(&lab.host).join("agent.toml");
    let args = ["agent".into(), "--config".into(), config.into_os_string()];
    let socket = socket.to_str().unwrap();
    let envs = [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "30000000")];
    Agent(Child::start(&program(), "the agent", &args, &envs, &lab.fleet.log("lab-1")).unwrap())
}

async fn state_of(lab: &Lab) -> pb::host::State {
    let request = pb::GetHostRequest { name: format!("hosts/{}", lab.host) };
    FleetServiceClient::new(lab.fleet.control()).get_host(request).await.unwrap().into_inner().state()
}

/// Whether a signal has stopped the process.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[test]
fn a_stalled_agent_does_not_feed_its_watchdog_and_is_silent_until_it_goes_on() {
    with_lab(async |lab, service| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = Manager(UnixDatagram::bind(&path).unwrap());
        let agent = start_notifying(lab, &path);
        assert_eq!(manager.hear().await, "READY=1");
        for _ in 0..2 {
            assert_eq!(manager.hear().await, "WATCHDOG=1");
        }
        wait("the host is online", async || state_of(lab).await == pb::host::State::Online).await;

        agent.0.signal(Signal::STOP);
        wait("the agent stands still", async || is_stopped(agent.0.pid())).await;
        manager.forget();
        wait("the host is silent", async || state_of(lab).await == pb::host::State::Silent).await;
        assert!(lab.records.first("repair_started").is_none(), "unreachable is not broken");
        let fed = timeout(UNFED, manager.0.recv(&mut [0; 64])).await;
        assert!(fed.is_err(), "something feeds the watchdog while the loop stands still");

        agent.0.signal(Signal::CONT);
        assert_eq!(manager.hear().await, "WATCHDOG=1");
        wait("the host is back", async || state_of(lab).await == pb::host::State::Online).await;
        kill(&service, Signal::KILL);
        wait("the service is healed", async || lab.records.first("repair_verified").is_some()).await;
        // A service must not be able to say that the agent is well.
        let run = service.run().expect("the service runs");
        let environment = std::fs::read(format!("/proc/{}/environ", run.pid)).unwrap();
        let names = String::from_utf8_lossy(&environment);
        assert!(!names.contains("NOTIFY_SOCKET") && !names.contains("WATCHDOG_USEC"), "{names:?}");
    });
}
