//! Probes of what a target uses: file systems, baselines, containers, queues, exposed measurements, clocks, locks.

use tokio::net::{UdpSocket, UnixListener};

use super::*;

fn checked(seen: &Observation) -> (Level, &str) {
    match &seen.finding {
        Finding::Checked { level, text } => (*level, text),
        other => panic!("{other:?}"),
    }
}

fn broken(seen: &Observation) -> &str {
    match &seen.finding {
        Finding::ProbeBroken { why } => why,
        other => panic!("{other:?}"),
    }
}

async fn look(dir: &Path, kind: &str, keys: &str) -> Observation {
    let keys = format!("[[target.probe]]\nkind = \"{kind}\"\ninterval = \"1d\"\n{keys}");
    Lab::new(dir, &keys).await.next(kind).await
}

impl Lab {
    /// The next value of a series.
    async fn value(&mut self, metric: &str) -> f64 {
        let number = self.senses.full().series.iter().find(|it| it.metric.as_str() == metric).expect("a series").number;
        let next = async {
            loop {
                if let Sensed::Measured { samples, .. } = self.seen.recv().await.unwrap()
                    && let Some(sample) = samples.iter().find(|it| it.series == number)
                {
                    return sample.value;
                }
            }
        };
        timeout(SOON, next).await.expect("nothing was measured")
    }
}

#[tokio::test]
async fn file_systems_are_judged_by_space_inodes_and_mount() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    let seen =
        look(dir.path(), "mount", &format!("path = \"{here}\"\nwarn_percent = 100\ncritical_percent = 100")).await;
    assert!(checked(&seen).1.contains("% of the space"), "{seen:?}");
    let full = look(dir.path(), "mount", "path = \"/\"\nwarn_percent = 0\ncritical_percent = 0").await;
    assert_eq!((full.status, checked(&full).0), (Status::Down, Level::Critical));
    let warned = look(dir.path(), "mount", "path = \"/\"\nwarn_percent = 0\ncritical_percent = 100").await;
    assert_eq!((warned.status, checked(&warned).0), (Status::Up, Level::Warning));
    let not = look(dir.path(), "mount", &format!("path = \"{here}\"\nmounted = true")).await;
    assert_eq!(checked(&not).1, format!("nothing is mounted at {here}"));
    let gone = look(dir.path(), "mount", "path = \"/no/such/path\"").await;
    assert!(broken(&gone).contains("cannot be looked at"), "{gone:?}");
    let keys = "[[target.probe]]\nkind = \"mount\"\npath = \"/\"\nmounted = true";
    let mut lab = Lab::new(dir.path(), keys).await;
    assert!((0.0..=100.0).contains(&lab.value("disk.root.used_percent").await));
}

#[tokio::test]
async fn drift_is_told_against_the_baseline_of_the_first_look() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(dir.path().join("etc/a.conf"), "a").unwrap();
    let keys = "[[target.probe]]\nkind = \"drift\"\npaths = [\"etc\"]\ninterval = \"1d\"";
    let mut lab = Lab::new(dir.path(), keys).await;
    assert_eq!(checked(&lab.next("drift").await).0, Level::Good);
    fs::write(dir.path().join("etc/a.conf"), "b").unwrap();
    lab.senses.probe_now(None);
    let seen = lab.next("drift").await;
    let expected = format!("changed {}", dir.path().join("etc/a.conf").display());
    assert_eq!((seen.status, checked(&seen)), (Status::Down, (Level::Critical, expected.as_str())));
    drop(lab);
    // Another agent on the same state still knows the baseline.
    let mut lab = Lab::new(dir.path(), keys).await;
    assert_eq!(lab.next("drift").await.status, Status::Down);
    fs::write(dir.path().join("sums"), "no sums\n").unwrap();
    let strange = look(dir.path(), "drift", "paths = [\"etc\"]\nbaseline = \"sums\"").await;
    assert!(broken(&strange).contains("line 1"), "{strange:?}");
}

/// An engine that answers every question on a Unix socket alike.
async fn engine(path: &Path, status: &'static str, body: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /containers/web/json HTTP/1.1\r\n"));
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
}

#[tokio::test]
async fn containers_are_judged_by_their_state_and_their_own_health_check() {
    let on = async |status: &'static str, body: &'static str| {
        let dir = tempfile::tempdir().unwrap();
        engine(&dir.path().join("sock"), status, body).await;
        look(dir.path(), "container", "container = \"web\"\nsocket = \"sock\"").await
    };
    let up = on("200 OK", "{\"State\":{\"Status\":\"running\",\"ExitCode\":0},\"RestartCount\":2}").await;
    assert_eq!((up.status, checked(&up)), (Status::Up, (Level::Good, "it runs")));
    let ill = on(
        "200 OK",
        "{\"State\":{\"Status\":\"running\",\"Health\":{\"Status\":\"unhealthy\",\"Log\":[{\"Output\":\"old\"},{\"Output\":\"no route\\n\"}]}}}",
    )
    .await;
    assert_eq!((ill.status, checked(&ill).1), (Status::Down, "its own health check fails: no route"));
    let starting = on("200 OK", "{\"State\":{\"Status\":\"running\",\"Health\":{\"Status\":\"starting\"}}}").await;
    assert_eq!(starting.status, Status::Unknown);
    let ended = on("200 OK", "{\"State\":{\"Status\":\"exited\",\"ExitCode\":137,\"OOMKilled\":true}}").await;
    assert_eq!((ended.status, checked(&ended).1), (Status::Down, "it is exited (killed for want of memory)"));
    let gone = on("404 Not Found", "{}").await;
    assert!(gone.status == Status::Down && matches!(gone.finding, Finding::BadAnswer { code: Some(404), .. }));
    assert!(broken(&on("500 Oops", "{}").await).contains("status 500"));
    assert!(broken(&on("200 OK", "[1").await).contains("cannot be read"));
    let dir = tempfile::tempdir().unwrap();
    let none = look(dir.path(), "container", "container = \"web\"\nsocket = \"none\"").await;
    assert!(broken(&none).contains("cannot be asked"), "{none:?}");
}

#[tokio::test]
async fn a_spool_directory_is_a_queue() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("spool")).unwrap();
    for name in ["1", "2", "3", ".hidden"] {
        fs::write(dir.path().join("spool").join(name), "").unwrap();
    }
    let keys = "source = \"directory\"\npath = \"spool\"\nlimit = 6\nwarn = 3\ncritical = 5";
    let seen = look(dir.path(), "queue", keys).await;
    assert_eq!((seen.status, checked(&seen)), (Status::Up, (Level::Warning, "3 jobs wait")));
    let mut lab = Lab::new(dir.path(), &format!("[[target.probe]]\nname = \"mail\"\nkind = \"queue\"\n{keys}")).await;
    assert!((lab.value("queue.mail.used_percent").await - 50.0).abs() < f64::EPSILON);
    let gone = look(dir.path(), "queue", "source = \"directory\"\npath = \"none\"").await;
    assert!(broken(&gone).contains("cannot be read"), "{gone:?}");
}

#[tokio::test]
async fn exposed_measurements_become_series() {
    const PAGE: &str =
        "HTTP/1.1 200 OK\r\n\r\n# TYPE busy gauge\nbusy{pool=\"a\"} 2\nbusy{pool=\"b\"} 3\nrequests_total 1e3\n";
    let address = pages(PAGE).await;
    let dir = tempfile::tempdir().unwrap();
    let keys = |select: &str| format!("url = \"http://{address}/metrics\"\nselect = {select}");
    let missing = look(dir.path(), "metrics", &keys("{ busy = \"busy\", lost = \"lost\" }")).await;
    assert_eq!((missing.status, checked(&missing)), (Status::Up, (Level::Warning, "it exposes nothing for lost")));
    let keys = format!(
        "[[target.probe]]\nname = \"app\"\nkind = \"metrics\"\ninterval = \"20ms\"\n{}\nrates = [\"requests\"]",
        keys("{ busy = 'busy{pool=\"b\"}', requests = \"requests_total\" }")
    );
    let mut lab = Lab::new(dir.path(), &keys).await;
    assert!((lab.value("app.busy").await - 3.0).abs() < f64::EPSILON);
    assert!(lab.value("app.requests_per_second").await.abs() < f64::EPSILON, "a counter that stands still");
    lab.senses.probe_now(None);
    assert_eq!(checked(&lab.next("app").await).1, "2 series");
}

/// Answers every connection with a page, whatever is asked.
async fn pages(page: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(page.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn the_end_of_a_registration_is_read_across_a_redirection() {
    const RECORD: &str =
        "HTTP/1.1 200 OK\r\n\r\n{\"events\":[{\"eventAction\":\"expiration\",\"eventDate\":\"2001-09-09T01:46:40Z\"}]}";
    let record = pages(RECORD).await;
    let redirect: &'static str =
        Box::leak(format!("HTTP/1.1 302 Found\r\nLocation: http://{record}/domain/x\r\n\r\n").into_boxed_str());
    let dir = tempfile::tempdir().unwrap();
    let seen = look(dir.path(), "domain", &format!("url = \"http://{}/\"", pages(redirect).await)).await;
    assert!(seen.status == Status::Down && checked(&seen).1.starts_with("its registration ended "), "{seen:?}");
    let gone =
        look(dir.path(), "domain", &format!("url = \"http://{}/\"", pages("HTTP/1.1 404 No\r\n\r\n").await)).await;
    assert!(broken(&gone).contains("knows no such domain"), "{gone:?}");
}

/// A time server whose clock differs from this host's by so many seconds.
async fn time_server(ahead: i64, stratum: u8) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0u8; 64];
        loop {
            let (read, from) = socket.recv_from(&mut question).await.unwrap();
            assert_eq!((read, question[0]), (48, 0b00_100_011));
            let mut answer = [0u8; 48];
            (answer[0], answer[1]) = (0b00_100_100, stratum);
            answer[24..32].copy_from_slice(&question[40..48]);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let seconds = u32::try_from(i64::try_from(now.as_secs()).unwrap() + 2_208_988_800 + ahead).unwrap();
            let fraction = u32::try_from((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000).unwrap();
            for at in [32, 40] {
                answer[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
                answer[at + 4..at + 8].copy_from_slice(&fraction.to_be_bytes());
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn the_clock_is_held_against_a_time_server() {
    let dir = tempfile::tempdir().unwrap();
    let clock = async |server: SocketAddr| {
        let text =
            format!("[[host.probe]]\nkind = \"clock\"\nserver = \"{server}\"\ntimeout = \"500ms\"\ninterval = \"1d\"");
        let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir.path(), "h1").unwrap());
        let (to, seen) = mpsc::channel(1000);
        let senses = Senses::start(config, to).await.unwrap();
        let mut lab = Lab { target: TargetName::host(), senses, seen };
        lab.next("clock").await
    };
    assert_eq!(checked(&clock(time_server(0, 2).await).await).0, Level::Good);
    let behind = clock(time_server(7, 2).await).await;
    assert!(behind.status == Status::Down && checked(&behind).1.ends_with("behind the time server"), "{behind:?}");
    assert!(checked(&clock(time_server(-7, 2).await).await).1.contains("ahead of"));
    assert!(broken(&clock(time_server(0, 0).await).await).contains("not synchronised"));
    let mute = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert!(broken(&clock(mute.local_addr().unwrap()).await).contains("does not answer"));
}

#[tokio::test]
async fn targets_that_wait_for_each_others_file_locks_are_told() {
    let Some(flock) = ["/usr/bin/flock", "/bin/flock"].into_iter().find(|it| Path::new(it).exists()) else {
        eprintln!("SKIPPED: flock is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), "").unwrap();
    let target = |name: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nmanager = \"command\"\nstart = [\"{flock}\", \"{}\", \"sleep\", \"1000\"]\nstop_with_agent = true\n",
            dir.path().join("lock").display()
        )
    };
    let text = format!("[[host.probe]]\nkind = \"locks\"\ninterval = \"50ms\"\n{}{}", target("a"), target("b"));
    let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir.path(), "h1").unwrap());
    let (to, mut seen) = mpsc::channel(1000);
    let senses = Senses::start(config, to).await.unwrap();
    let told = async {
        loop {
            if let Sensed::Waits(waits) = seen.recv().await.unwrap()
                && let Some(wait) = waits.first()
            {
                return wait.clone();
            }
        }
    };
    let wait = timeout(SOON, told).await;
    senses.close().await;
    let wait = wait.expect("no wait was told");
    let pair = [wait.waiter.as_str(), wait.on.target.as_str()];
    assert!(pair == ["a", "b"] || pair == ["b", "a"], "{wait:?}");
    assert!(wait.on.host.as_str() == "h1" && wait.what.starts_with("flock lock on file "), "{wait:?}");
}
