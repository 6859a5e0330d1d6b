//! Both halves with a real socket between them, and what somebody could do who sits on it.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::{BootId, Challenge, Delivery, Intent};
use prunella_model::host::HostReport;
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::step::{Effect, Risk, Signal, Step, TargetStep};
use prunella_model::{FleetName, Generation, HostId, Id, PartName, TargetName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, LocalSet};

use super::protocol::{ASK_MAX, Ask, TELL_MAX, Tell, read, write};
use super::*;
use crate::clock;
use crate::driver::{Driver, Parts};
use crate::execute::Receipt;
use crate::fixture::server::{MiniServer, Stream};
use crate::fixture::{Fleet, GENERATION, Host, delivery, id, intent, web};
use crate::keep::Keep;

const HEARTBEAT: Duration = Duration::from_millis(300);

/// What must stay as it is: it is named, and nothing of it is permitted.
const FORBIDDEN: &str = r#"
[[target]]
name = "db"
manager = "command"
start_with_agent = false
start = ["/bin/sh", "-c", "echo run >> db_starts; exec sleep 1000"]
permit = ["clean_directory"]
[[target.directory]]
name = "spool"
path = "spool"
quota = "1 KiB"
older_than = "0s"
match = ["*.tmp"]
[[target.file]]
name = "conf"
path = "db.conf"
"#;

struct Lab {
    fleet: Arc<Fleet>,
    server: MiniServer,
    host: Host,
    boot: BootId,
    helper: JoinHandle<()>,
}

impl Lab {
    async fn new() -> Self {
        let fleet = Arc::new(Fleet::new());
        let server = MiniServer::start(&fleet).await;
        let host = Host::with(&format!("agents = [\"{}\"]\nhelper = \"socket\"", server.agents), FORBIDDEN);
        std::fs::create_dir(host.dir.path().join("spool")).unwrap();
        std::fs::write(host.dir.path().join("spool/precious"), vec![b'x'; 4096]).unwrap();
        std::fs::write(host.dir.path().join("db.conf"), "good").unwrap();
        let boot = boot_id().unwrap();
        let helper = Self::helper(&fleet, &server, &host).await;
        Self { fleet, server, host, boot, helper }
    }

    async fn helper(fleet: &Fleet, server: &MiniServer, host: &Host) -> JoinHandle<()> {
        let mut config = AgentConfig::clone(&host.config);
        config.state_dir = host.dir.path().join("helper");
        let config = Arc::new(config);
        let state = StateDir::open(&config.state_dir).unwrap();
        let token = server.token(fleet).to_text().unwrap();
        let oath = HelperOath::open(&state, &config.host, Some(&token)).unwrap();
        let door = Door::open(config.helper.as_deref().unwrap(), rustix::process::geteuid().as_raw()).unwrap();
        let ((sensed, seen), (burst, bursts)) = (mpsc::channel(SENSED), mpsc::channel(BURSTS));
        let senses = Senses::start_part(Arc::clone(&config), sensed, Part::Helper(burst)).await.unwrap();
        let helper = Helper::new(HelperParts { config, state, boot: boot_id().unwrap(), senses, oath });
        tokio::task::spawn_local(helper.run(Stop::watch(None).unwrap(), door, seen, bursts))
    }

    /// The half with the network.
    async fn agent(&self) -> JoinHandle<()> {
        let membership = self.fleet.enrol(&self.host.state);
        let (to, seen) = mpsc::channel(SENSED);
        let senses = Senses::start_part(Arc::clone(&self.host.config), to, Part::Network).await.unwrap();
        let socket = self.host.config.helper.clone().unwrap();
        let series = senses.full().series.len();
        let keep = Keep::Helper(Box::new(HelperLink::new(&socket, membership.enrolment().enrolment, series)));
        let (config, boot) = (Arc::clone(&self.host.config), self.boot.clone());
        let driver = Driver::new(Parts { config, boot, membership, senses, keep, files: None });
        tokio::task::spawn_local(driver.run(Stop::watch(None).unwrap(), seen))
    }

    async fn stream(&mut self) -> (Stream, Challenge, HostReport) {
        let trust = Box::new(self.fleet.trust());
        let welcome = ServerMessage::Welcome { at: clock::wall_now(), heartbeat: HEARTBEAT, trust };
        match self.server.stream(&welcome).await {
            (stream, AgentMessage::Hello { challenge, report, .. }) => (stream, challenge, *report),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn command(&self, counter: u64, challenge: Challenge, sequence: u64) -> ServerMessage {
        let it = delivery(&intent(counter, &self.boot), challenge, sequence);
        ServerMessage::Command(Box::new(self.fleet.deliver(&it)))
    }

    /// Somebody who has taken the half with the network over, after its greeting.
    async fn intruder(&self) -> UnixStream {
        let mut it = UnixStream::connect(self.host.dir.path().join("socket")).await.unwrap();
        write(&mut it, &Ask::Hello { protocol: protocol::PROTOCOL, enrolment: 1 }).await.unwrap();
        it
    }

    fn untouched(&self) -> bool {
        let at = |name: &str| self.host.dir.path().join(name);
        !at("db_starts").exists()
            && std::fs::read(at("spool/precious")).is_ok_and(|it| it.len() == 4096)
            && std::fs::read_to_string(at("db.conf")).is_ok_and(|it| it == "good")
    }
}

async fn in_lab<F: AsyncFnOnce(&mut Lab)>(test: F) {
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut lab = Lab::new().await;
            test(&mut lab).await;
            lab.helper.abort();
        })
        .await;
    local.await;
}

fn outcome(message: AgentMessage) -> Option<OutcomeReport> {
    match message {
        AgentMessage::Outcome(report) => Some(report),
        _ => None,
    }
}

#[tokio::test]
async fn a_command_goes_through_both_halves_once_and_a_helper_that_is_away_is_said() {
    in_lab(async |lab| {
        let agent = lab.agent().await;
        let (mut stream, challenge, report) = lab.stream().await;
        assert_eq!(report.observe_only, None);
        let process = |it: &prunella_model::observation::Observation| it.probe.as_str() == "process";
        let host = |it: &prunella_model::observation::SeriesName| it.target == TargetName::host();
        assert!(report.targets.iter().any(|it| it.name == web()));
        assert!(
            report.series.iter().any(host) && report.series.iter().any(|it| it.target == web()),
            "{:?}",
            report.series
        );
        let numbers: std::collections::BTreeSet<u32> = report.series.iter().map(|it| it.number).collect();
        assert_eq!(numbers.len(), report.series.len(), "no two series have the same number");
        assert!(report.observations.iter().any(process));
        stream.say(&lab.command(1, challenge, 1)).await;
        stream.until(|it| matches!(it, AgentMessage::Accepted { command } if command == id(1)).then_some(())).await;
        let ended = stream.until(outcome).await;
        assert_eq!(ended.outcome, Outcome::Done, "{ended:?}");
        assert_eq!(lab.host.starts_after(1).await, 1);
        // The helper is restarted: what it did is known to the next, and this stream's challenge is not.
        lab.helper.abort();
        let _ = (&mut lab.helper).await;
        let away = |it| match it {
            AgentMessage::Report(it) => it.observe_only,
            _ => None,
        };
        let why = stream.until(away).await;
        assert!(why.contains("helper cannot be reached"), "{why}");
        lab.helper = Lab::helper(&lab.fleet, &lab.server, &lab.host).await;
        let (mut stream, fresh, report) = lab.stream().await;
        assert_ne!(fresh, challenge);
        assert_eq!(report.outcomes, [ended]);
        stream.say(&lab.command(1, fresh, 1)).await;
        stream.until(outcome).await;
        stream.say(&lab.command(2, challenge, 2)).await;
        let refused = stream.until(outcome).await;
        assert!(matches!(refused.outcome, Outcome::Refused(it) if it.code() == "WRONG_CHALLENGE"));
        assert_eq!(lab.host.starts(), 1);
        agent.abort();
    })
    .await;
}

/// A generator with a fixed seed: the same programs at each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }

    fn step(&mut self) -> TargetStep {
        let target = TargetName::new(self.of(&["web", "db", "db", "ssh", "host"])).unwrap();
        let grace = Duration::from_secs(self.below(100));
        let part = PartName::new(self.of(&["spool", "conf", "etc", "web"])).unwrap();
        let step = match self.below(6) {
            0 => Step::StartService,
            1 => Step::StopService { grace },
            2 => Step::RestartService { grace: Duration::ZERO },
            3 => Step::SignalProcess { signal: Signal::User1 },
            4 => Step::CleanDirectory { directory: part, until_percent: u8::try_from(self.below(120)).unwrap() },
            _ => Step::RestoreFile { file: part, snapshot: prunella_model::observation::Sha256([7; 32]) },
        };
        TargetStep { target, step }
    }

    /// A program that a server could sign, most often well-formed.
    fn intent(&mut self, counter: u64, boot: &BootId) -> Intent {
        let count = if self.one_in(10) { self.below(40) } else { 1 + self.below(3) };
        let steps: Vec<TargetStep> = (0..count).map(|_| self.step()).collect();
        let risk = steps.iter().map(|it| it.step.risk()).max().unwrap_or(Risk::Low);
        let once = steps.iter().any(|it| it.step.effect() == Effect::AtMostOnce);
        let mut it = intent(counter, boot);
        it.effect = if once { Effect::AtMostOnce } else { Effect::Idempotent };
        (it.steps, it.risk) = (steps, risk);
        if self.one_in(10) {
            it.risk = self.of(&[Risk::Low, Risk::Medium, Risk::High, Risk::Dangerous]);
        }
        if self.one_in(20) {
            it.host = HostId::new("h2").unwrap();
        }
        if self.one_in(20) {
            it.fleet = FleetName::new("other").unwrap();
        }
        if self.one_in(20) {
            it.preconditions.clear();
        }
        it.enrolment = if self.one_in(20) { self.below(4) } else { 1 };
        it.dry_run = self.one_in(20);
        it
    }
}

#[tokio::test]
async fn ten_thousand_signed_programs_have_no_effect_outside_the_local_policy() {
    in_lab(async |lab| {
        let mut it = lab.intruder().await;
        let trust = Box::new(lab.fleet.trust());
        write(&mut it, &Ask::Challenge).await.unwrap();
        let challenge = loop {
            if let Tell::Challenge(it) = read::<Tell>(&mut it, TELL_MAX).await.unwrap().unwrap() {
                break it;
            }
        };
        write(&mut it, &Ask::Welcomed { at: clock::wall_now(), trust }).await.unwrap();
        let (mut draw, mut accepted) = (Draw(7), 0);
        for counter in 1..=10_000_u64 {
            let program = draw.intent(counter, &lab.boot);
            let challenge = if draw.one_in(30) { Challenge([1; 32]) } else { challenge };
            let generation = if draw.one_in(30) { Generation(Id { epoch: 6, counter }) } else { GENERATION };
            let signed = Delivery { generation, ..delivery(&program, challenge, counter) };
            write(&mut it, &Ask::Command(Box::new(lab.fleet.deliver(&signed)))).await.unwrap();
            let receipt = loop {
                if let Tell::Receipt(receipt) = read::<Tell>(&mut it, TELL_MAX).await.unwrap().unwrap() {
                    break *receipt;
                }
            };
            if let Receipt::Accepted(_) = receipt {
                let allowed = |it: &TargetStep| {
                    it.target == web() && matches!(it.step, Step::StartService | Step::RestartService { .. })
                };
                assert!(program.steps.iter().all(allowed) || clean(&program), "{program:?}");
                accepted += u32::from(!program.dry_run);
            }
            write(&mut it, &Ask::Acknowledged(vec![id(counter)])).await.unwrap();
        }
        // The host's own hourly budget, whatever was signed.
        assert!((1..=10).contains(&accepted), "{accepted}");
        assert!(lab.host.starts() <= 10);
        assert!(lab.untouched());
    })
    .await;
}

/// The one permitted step on `db`, whose rule covers no file.
fn clean(program: &Intent) -> bool {
    program.steps.iter().all(|it| {
        let web = it.target == web() && matches!(it.step, Step::StartService | Step::RestartService { .. });
        web || matches!(&it.step, Step::CleanDirectory { directory, .. } if it.target.as_str() == "db" && directory.as_str() == "spool")
    })
}

#[tokio::test]
async fn noise_on_the_socket_ends_that_connection_and_nothing_else() {
    in_lab(async |lab| {
        let path = lab.host.dir.path().join("socket");
        let mut draw = Draw(11);
        for round in 0..300_u64 {
            let mut it = if round % 2 == 0 { UnixStream::connect(&path).await.unwrap() } else { lab.intruder().await };
            let mut noise: Vec<u8> = (0..1 + draw.below(200)).map(|_| u8::try_from(draw.below(256)).unwrap()).collect();
            if round % 3 == 0 {
                // A length that fits, so that the body is decoded.
                let length = u32::try_from(noise.len().saturating_sub(4)).unwrap().to_be_bytes();
                noise.splice(..noise.len().min(4), length);
            }
            // It may be hung up on before everything is said.
            let _ = it.write_all(&noise).await;
            let _ = it.shutdown().await;
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(Duration::from_millis(2), it.read_to_end(&mut rest)).await;
        }
        // A claim of more than may be said is refused before memory is taken for it.
        let mut it = lab.intruder().await;
        it.write_all(&u32::try_from(ASK_MAX + 1).unwrap().to_be_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), it.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection ends");
        assert!(lab.untouched() && lab.host.starts() == 0);
        // And the real one is served as before.
        let agent = lab.agent().await;
        let (mut stream, challenge, report) = lab.stream().await;
        assert_eq!(report.observe_only, None);
        stream.say(&lab.command(1, challenge, 1)).await;
        assert_eq!(stream.until(outcome).await.outcome, Outcome::Done);
        agent.abort();
    })
    .await;
}

#[tokio::test]
async fn a_half_that_has_been_taken_over_cannot_swear_the_helper_to_another_enrolment() {
    in_lab(async |lab| {
        // The first to come is the one that has the enrolment; whoever comes later cannot change it.
        let mut first = lab.intruder().await;
        read::<Tell>(&mut first, TELL_MAX).await.unwrap().unwrap();
        let mut it = UnixStream::connect(lab.host.dir.path().join("socket")).await.unwrap();
        write(&mut it, &Ask::Hello { protocol: protocol::PROTOCOL, enrolment: 9 }).await.unwrap();
        let said = loop {
            if let Tell::Everything(it) = read::<Tell>(&mut it, TELL_MAX).await.unwrap().unwrap() {
                break it.standing;
            }
        };
        assert!(said.observe_only.is_some_and(|why| why.contains("obeys enrolment 1")));
    })
    .await;
}

#[tokio::test]
async fn every_attempt_to_open_a_stream_gets_a_challenge_of_its_own() {
    in_lab(async |lab| {
        let mut link = HelperLink::new(&lab.host.dir.path().join("socket"), 1, 0);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            // An attempt that failed has used its challenge up.
            match link.fresh().unwrap() {
                Some(fresh) => seen.push(fresh.challenge.0),
                None => drop(tokio::time::timeout(Duration::from_millis(20), link.next()).await),
            }
        }
        seen.dedup();
        assert_eq!(seen.len(), 3);
    })
    .await;
}
