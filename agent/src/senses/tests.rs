//! Probes against real sockets and files of this host.

mod answers;
mod parts;
mod plugins;
mod real;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use prunella_model::PartName;
use prunella_model::observation::{Finding, Level, ProbeKind, Sha256};
use prunella_model::step::{Step, TargetStep};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::steps::Hands;

const SOON: Duration = Duration::from_secs(10);

struct Lab {
    target: TargetName,
    senses: Senses,
    seen: mpsc::Receiver<Sensed>,
}

impl Lab {
    async fn new(dir: &Path, keys: &str) -> Self {
        let text = format!("[[target]]\nname = \"it\"\n{keys}");
        let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir, "h1").unwrap());
        let (to, seen) = mpsc::channel(1000);
        Self { target: TargetName::new("it").unwrap(), senses: Senses::start(config, to).await.unwrap(), seen }
    }

    /// The next verdict of the probe `name`.
    async fn next(&mut self, name: &str) -> Observation {
        let next = async {
            loop {
                match self.seen.recv().await.unwrap() {
                    Sensed::Seen(it) if it.target == self.target && it.probe.as_str() == name => return it,
                    Sensed::Seen(_) | Sensed::Measured { .. } | Sensed::Waits(_) => {}
                }
            }
        };
        timeout(SOON, next).await.expect("nothing was seen")
    }
}

/// Answers every connection with `answer`, or not at all when that is empty.
async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 1024];
            let read = stream.read(&mut request).await.unwrap();
            if answer.is_empty() {
                silent.push(stream);
            } else if read > 0 {
                assert!(request.starts_with(b"GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    address
}

async fn http(answer: &'static str, more: &str) -> Observation {
    let address = server(answer).await;
    let dir = tempfile::tempdir().unwrap();
    let keys = format!(
        "[[target.probe]]\nkind = \"http\"\nurl = \"http://{address}/health?x=1\"\ntimeout = \"200ms\"\n{more}"
    );
    Lab::new(dir.path(), &keys).await.next("http").await
}

#[tokio::test]
async fn http_answers_are_told_apart() {
    let good = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(http(good, "").await.finding, Finding::Answered { .. }));
    let wrong = http("HTTP/1.1 503 Busy\r\n\r\n", "").await;
    assert_eq!(wrong.status, Status::Down);
    let expected = Finding::BadAnswer { code: Some(503), why: "status 503; expected 200 to 399".to_owned() };
    assert_eq!(wrong.finding, expected);
    assert_eq!(http("HTTP/1.1 503 Busy\r\n\r\n", "expect_status = [503]").await.status, Status::Up);
    assert_eq!(http(good, "expect_status = [200, 201]").await.status, Status::Down);
    assert!(matches!(http("SSH-2.0-x\r\n", "").await.finding, Finding::BadAnswer { code: None, .. }));
    assert!(matches!(http("", "").await.finding, Finding::NoAnswer { .. }));
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_down_and_a_name_that_is_none_is_unknown() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(
        dir.path(),
        &format!(
            "[[target.probe]]\nkind = \"tcp\"\naddress = \"{free}\"\ninterval = \"1d\"
             [[target.probe]]\nname = \"lost\"\nkind = \"tcp\"\naddress = \"no-such-name.invalid:1\"\ntimeout = \"20s\""
        ),
    )
    .await;
    assert!(matches!(lab.next("tcp").await.finding, Finding::Unreachable { .. }));
    let _now_open = TcpListener::bind(free).await.unwrap();
    // Its interval is a day: only being asked makes it look again.
    lab.senses.probe_now(Some(&lab.target));
    assert_eq!(lab.next("tcp").await.status, Status::Up);
    lab.senses.probe_now(None);
    assert_eq!(lab.next("tcp").await.status, Status::Up, "what was asked for is said although it is not new");
}

#[tokio::test]
async fn a_burst_ends_with_the_first_good_answer_or_at_its_deadline() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let keys = format!("[[target.probe]]\nkind = \"tcp\"\naddress = \"{free}\"\ninterval = \"1d\"");
    let mut lab = Lab::new(dir.path(), &keys).await;
    lab.next("tcp").await;
    let named = [(lab.target.clone(), ProbeName::new("tcp").unwrap())];
    assert_eq!(lab.senses.burst(&named, Duration::from_millis(50)).first_up().await, None);
    let burst = lab.senses.burst(&named, SOON);
    let _now_open = TcpListener::bind(free).await.unwrap();
    assert_eq!(timeout(SOON, burst.first_up()).await.unwrap(), Some(named[0].clone()));
    // A fault is said at each look; then come the good answers.
    while lab.next("tcp").await.status == Status::Down {}
    for _ in 0..2 {
        assert_eq!(lab.next("tcp").await.status, Status::Up, "each good answer counts for verification");
    }
    assert_eq!(lab.senses.burst(&[], SOON).first_up().await, None, "of nothing");
}

#[tokio::test]
async fn a_file_becomes_known_good_by_being_well_and_can_then_be_put_back() {
    let address = server("HTTP/1.1 200 OK\r\n\r\n").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.conf");
    fs::write(&path, "good").unwrap();
    let mut lab = Lab::new(
        dir.path(),
        &format!(
            "[[target.probe]]\nkind = \"http\"\nurl = \"http://{address}/health?x=1\"\ninterval = \"50ms\"
             [[target.file]]\nname = \"config\"\npath = \"it.conf\"\nknown_good_after = \"150ms\"\ninterval = \"1d\""
        ),
    )
    .await;
    let first = lab.next("config").await;
    assert_eq!(first.status, Status::Unknown, "nothing to compare with yet");
    let Finding::FileAsKnown { sha256: good } = lab.next("config").await.finding else { panic!("not kept") };
    // Replaced by rename, as editors do; inotify tells, because the interval is a day.
    fs::write(dir.path().join("new"), "bad").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    let Finding::FileChanged { sha256: Some(bad), known_good: Some(known) } = lab.next("config").await.finding else {
        panic!("not noticed")
    };
    assert_eq!(known, good);
    let file = PartName::new("config").unwrap();
    assert_eq!(lab.senses.full().targets[1].files[0].known_good, Some(good));
    let hands = Hands::new(&lab.senses);
    let restore = |file: PartName, snapshot: Sha256| TargetStep {
        target: lab.target.clone(),
        step: Step::RestoreFile { file, snapshot },
    };
    hands.carry_out(&restore(file.clone(), good)).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "good");
    let undo = restore(file, bad);
    let strange = restore(PartName::new("passwords").unwrap(), good);
    assert_eq!(lab.next("config").await.finding, Finding::FileAsKnown { sha256: good });
    hands.carry_out(&undo).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "bad");
    assert!(hands.carry_out(&strange).await.unwrap_err().to_string().starts_with("agent.toml names no file passwords"));
}

#[tokio::test]
async fn a_directory_is_measured_against_its_quota() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("cache")).unwrap();
    fs::write(dir.path().join("cache/a.tmp"), "x".repeat(900)).unwrap();
    let keys = "[[target.directory]]\nname = \"cache\"\npath = \"cache\"\nquota = \"1000B\"\nmatch = [\"*.tmp\"]\ninterval = \"50ms\"";
    let mut lab = Lab::new(dir.path(), keys).await;
    let seen = lab.next("cache").await;
    assert_eq!((seen.status, seen.finding), (Status::Up, Finding::DirectoryUse { used_bytes: 900, quota_bytes: 1000 }));
    fs::write(dir.path().join("cache/b.tmp"), "x".repeat(200)).unwrap();
    let seen = lab.next("cache").await;
    assert_eq!(
        (seen.status, seen.finding),
        (Status::Down, Finding::DirectoryUse { used_bytes: 1100, quota_bytes: 1000 })
    );
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    let seen = lab.next("cache").await;
    assert!(seen.status == Status::Unknown && matches!(seen.finding, Finding::ProbeBroken { .. }), "gone is not down");
}

#[tokio::test]
async fn measurements_are_named_once_and_say_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "manager = \"command\"\nstart = [\"/bin/sleep\", \"1000\"]\nstop_with_agent = true
        [[target.probe]]\nkind = \"process\"\ninterval = \"20ms\"";
    let mut lab = Lab::new(dir.path(), keys).await;
    let full = lab.senses.full();
    let numbers: Vec<_> = full.series.iter().map(|it| it.number).collect();
    assert_eq!(numbers, (0..u32::try_from(full.series.len()).unwrap()).collect::<Vec<_>>());
    let rss = full.series.iter().find(|it| it.metric.as_str() == "process.rss_bytes").unwrap().number;
    let threads = full.series.iter().find(|it| it.metric.as_str() == "process.threads").unwrap().number;
    let mut gather = async || loop {
        if let Sensed::Measured { samples, .. } = lab.seen.recv().await.unwrap() {
            let of_it: Vec<_> = samples.iter().filter(|it| [rss, threads].contains(&it.series)).copied().collect();
            if !of_it.is_empty() {
                return of_it;
            }
        }
    };
    // A process that is only just being born has no memory of its own yet, so its first figure may be zero.
    let (mut grown, mut single) = (false, false);
    timeout(SOON, async {
        while !(grown && single) {
            let said = gather().await;
            grown |= said.iter().any(|it| it.series == rss && it.value >= 4096.0);
            single |= said.iter().any(|it| it.series == threads && (it.value - 1.0).abs() < f64::EPSILON);
        }
    })
    .await
    .unwrap();
    // The number of threads never changes, so only a full report brings it again.
    let again = timeout(Duration::from_millis(200), async {
        loop {
            if gather().await.iter().any(|it| it.series == threads) {
                return;
            }
        }
    });
    assert!(again.await.is_err(), "said again without a change");
    let _ = lab.senses.full();
    assert!(timeout(SOON, gather()).await.unwrap().iter().any(|it| it.series == threads));
    lab.senses.close().await;
}

/// Waits until somebody has connected `times` times.
async fn connections(listener: &TcpListener, times: u32) {
    let come = async {
        for _ in 0..times {
            drop(listener.accept().await.unwrap());
        }
    };
    timeout(SOON, come).await.expect("nobody looks");
}

#[tokio::test]
async fn the_fleet_says_how_often_probes_look_within_the_bounds_of_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = format!(
        "[[target.probe]]\nkind = \"tcp\"\naddress = \"{}\"\ninterval = \"1d\"",
        listener.local_addr().unwrap()
    );
    let interval = |senses: &Senses| senses.full().targets[1].probes[0].interval;
    let day = Duration::from_secs(86_400);
    let wish = [(ProbeKind::Tcp, Duration::from_millis(10)), (ProbeKind::Http, day)];

    let dir = tempfile::tempdir().unwrap();
    let closed = Lab::new(dir.path(), &probe).await;
    assert!(!closed.senses.set_intervals(&wish), "a host that sets no bounds goes its own way");
    assert_eq!(interval(&closed.senses), day);
    connections(&listener, 1).await;
    closed.senses.close().await;

    let dir = tempfile::tempdir().unwrap();
    let bounds = "[limits]\nintervals = { least = \"50ms\", most = \"1h\" }\n";
    let open = Lab::new(dir.path(), &format!("{probe}\n{bounds}")).await;
    connections(&listener, 1).await;
    assert!(open.senses.set_intervals(&wish) && !open.senses.set_intervals(&wish), "the second time is nothing new");
    assert_eq!(interval(&open.senses), Duration::from_millis(50), "no more often than the host lets it");
    connections(&listener, 3).await;
    assert!(open.senses.set_intervals(&[]));
    assert_eq!(interval(&open.senses), day, "what the fleet does not speak of is as agent.toml says");
    open.senses.close().await;
}
