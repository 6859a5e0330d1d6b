//! The whole agent on one thread, against the smallest server that it can talk to.

use prunella_model::command::Challenge;
use prunella_model::observation::Finding;
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::fixture::server::{MiniServer, Stream};
use crate::fixture::{Fleet, Host, delivery, id, intent, web};
use crate::keeper::{Keeper, KeeperParts};

const HEARTBEAT: Duration = Duration::from_millis(300);

struct Lab {
    fleet: Arc<Fleet>,
    server: MiniServer,
    host: Host,
    boot: BootId,
    driver: JoinHandle<()>,
}

impl Lab {
    async fn new() -> Self {
        let fleet = Arc::new(Fleet::new());
        let server = MiniServer::start(&fleet).await;
        let host = Host::new(&format!("agents = [\"{}\"]", server.agents));
        let boot = BootId("this-boot".into());
        let mut membership = fleet.enrol(&host.state);
        let (to, seen) = mpsc::channel(100);
        let senses = Senses::start(Arc::clone(&host.config), to).await.unwrap();
        let keep = Keep::Own(Box::new(Keeper::open(KeeperParts {
            config: Arc::clone(&host.config),
            state: host.state.clone(),
            boot: boot.clone(),
            anchor: membership.anchor().clone(),
            oath: &mut membership,
            senses: senses.clone(),
        })));
        let (config, own_boot) = (Arc::clone(&host.config), boot.clone());
        let driver = Driver::new(Parts { config, boot: own_boot, membership, senses, keep, files: None });
        let driver = tokio::task::spawn_local(driver.run(Stop::watch(None).unwrap(), seen));
        Self { fleet, server, host, boot, driver }
    }

    fn welcome(&self, at: Timestamp) -> ServerMessage {
        ServerMessage::Welcome { at, heartbeat: HEARTBEAT, trust: Box::new(self.fleet.trust()) }
    }

    /// The next stream: its challenge and its first report.
    async fn stream(&mut self) -> (Stream, Challenge, HostReport) {
        let welcome = self.welcome(clock::wall_now());
        let (stream, hello) = self.server.stream(&welcome).await;
        match hello {
            AgentMessage::Hello { challenge, report, .. } => (stream, challenge, *report),
            other => panic!("{other:?}"),
        }
    }

    fn command(&self, counter: u64, challenge: Challenge, sequence: u64) -> ServerMessage {
        let it = delivery(&intent(counter, &self.boot), challenge, sequence);
        ServerMessage::Command(Box::new(self.fleet.deliver(&it)))
    }
}

async fn in_lab<F: AsyncFnOnce(&mut Lab)>(test: F) {
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut lab = Lab::new().await;
            test(&mut lab).await;
            lab.driver.abort();
        })
        .await;
}

fn outcome(message: AgentMessage) -> Option<OutcomeReport> {
    match message {
        AgentMessage::Outcome(report) => Some(report),
        _ => None,
    }
}

#[tokio::test]
async fn a_command_is_accepted_carried_out_and_reported_until_it_is_acknowledged() {
    in_lab(async |lab| {
        let (mut stream, challenge, report) = lab.stream().await;
        assert_eq!((report.paused, report.observe_only), (None, None));
        assert!(report.targets.iter().any(|it| it.name == web()));
        stream.say(&lab.command(1, challenge, 1)).await;
        stream.until(|it| matches!(it, AgentMessage::Accepted { command } if command == id(1)).then_some(())).await;
        let ended = stream.until(outcome).await;
        assert_eq!(ended.outcome, Outcome::Done);
        // Nobody acknowledged it, so the next stream begins with it, and carries another challenge.
        drop(stream);
        let (mut stream, fresh, report) = lab.stream().await;
        assert_ne!(fresh, challenge);
        assert_eq!(report.outcomes, [ended]);
        stream.say(&ServerMessage::Acknowledge { sequence: 1, outcomes: vec![id(1)] }).await;
        stream.say(&ServerMessage::ReportFully).await;
        let full = |it| match it {
            AgentMessage::Report(report) if report.outcomes.is_empty() => Some(()),
            _ => None,
        };
        stream.until(full).await;
        // The old stream's command is worthless in this one.
        stream.say(&lab.command(2, challenge, 2)).await;
        assert_eq!(stream.until(outcome).await.outcome, Outcome::Refused(Refusal::WrongChallenge));
    })
    .await;
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    in_lab(async |lab| {
        let (mut stream, ..) = lab.stream().await;
        for _ in 0..3 {
            stream.until(|it| matches!(it, AgentMessage::Heartbeat { .. }).then_some(())).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_gap_in_the_servers_numbers_ends_the_stream_and_the_next_one_reports_everything() {
    in_lab(async |lab| {
        let (mut stream, ..) = lab.stream().await;
        stream.said += 1;
        stream.say(&ServerMessage::ReportFully).await;
        while stream.next().await.is_some() {}
        let (_stream, _, report) = lab.stream().await;
        assert!(!report.targets.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_pause_file_is_reported_and_a_skewed_clock_makes_the_agent_observe_only() {
    in_lab(async |lab| {
        let skewed = lab.welcome(clock::wall_now().after(Duration::from_secs(3600)));
        let (mut stream, _) = lab.server.stream(&skewed).await;
        let observing = |it| match it {
            AgentMessage::Report(report) => report.observe_only,
            _ => None,
        };
        assert!(stream.until(observing).await.contains("clock"));
        std::fs::write(lab.host.state.path("pause"), "moving racks").unwrap();
        let paused = |it| match it {
            AgentMessage::Report(report) => report.paused,
            _ => None,
        };
        assert!(stream.until(paused).await.contains("moving racks"));
    })
    .await;
}

#[tokio::test]
async fn what_is_seen_without_a_server_comes_late_and_is_marked_so() {
    in_lab(async |lab| {
        let (mut stream, challenge, _) = lab.stream().await;
        stream.say(&lab.command(1, challenge, 1)).await;
        let running = |it| match it {
            AgentMessage::Frame(frame) => frame.observations.into_iter().find_map(|it| match it.finding {
                Finding::Running { pid, .. } => Some(pid),
                _ => None,
            }),
            _ => None,
        };
        let pid = stream.until(running).await;
        stream.say(&ServerMessage::Reconnect { after: Duration::from_millis(300), reason: "restart".to_owned() }).await;
        while stream.next().await.is_some() {}
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let (mut stream, _, report) = lab.stream().await;
        let exited = |finding: &Finding| matches!(finding, Finding::Exited { signal: Some(9), .. });
        assert!(report.observations.iter().any(|it| exited(&it.finding)), "{:?}", report.observations);
        let late = |it| match it {
            AgentMessage::Frame(frame) => {
                (frame.late && frame.observations.iter().any(|it| exited(&it.finding))).then_some(())
            }
            _ => None,
        };
        stream.until(late).await;
    })
    .await;
}
