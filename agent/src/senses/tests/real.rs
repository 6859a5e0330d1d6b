//! Probes against the real programs, where they are installed: `redis-server`, `postgresql`, `dnsmasq`, `haproxy`.
//!
//! A test whose program is missing says so and proves nothing.

use std::net::TcpListener as StdListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let mut dirs = vec![PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")];
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    dirs.extend(versions.map(|it| it.path().join("bin")));
    let found = dirs.into_iter().map(|dir| dir.join(program)).find(|it| it.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Lab {
    /// The first verdict of the probe `name` that is as wanted; it looks again until then.
    async fn until(&mut self, name: &str, wanted: impl Fn(&Observation) -> bool) -> Observation {
        let look = async {
            loop {
                let seen = self.next(name).await;
                if wanted(&seen) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.senses.probe_now(None);
            }
        };
        timeout(Duration::from_secs(30), look).await.expect("it never was as wanted")
    }

    fn series_of(&self, metric: &str) -> u32 {
        self.senses.full().series.iter().find(|it| it.metric.as_str() == metric).expect("a series").number
    }
}

#[tokio::test]
async fn redis_is_asked_in_its_own_words() {
    let Some(program) = installed("redis-server") else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let secret = dir.path().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let probe = |more: &str| {
        format!(
            "[[target.probe]]\nkind = \"redis\"\naddress = \"127.0.0.1:{port}\"\ntimeout = \"2s\"\ninterval = \"1d\"\n{more}"
        )
    };
    let mut lab = Lab::new(dir.path(), &probe("password_file = \"secret\"")).await;
    assert!(matches!(lab.next("redis").await.finding, Finding::Unreachable { .. }));
    let running = Running::start(Command::new(program).current_dir(dir.path()).args([
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--requirepass",
        "hunter2",
        "--maxmemory",
        "100mb",
    ]));
    lab.senses.probe_now(None);
    let up = lab.until("redis", |it| it.status == Status::Up).await;
    assert!(matches!(up.finding, Finding::Answered { .. }), "{up:?}");
    let used = lab.series_of("redis.memory_used_percent");
    let value = timeout(SOON, async {
        loop {
            if let Sensed::Measured { samples, .. } = lab.seen.recv().await.unwrap()
                && let Some(sample) = samples.iter().find(|it| it.series == used)
            {
                return sample.value;
            }
        }
    });
    assert!((0.1..50.0).contains(&value.await.unwrap()));
    let full =
        Lab::new(dir.path(), &probe("password_file = \"secret\"\nwarn_memory_percent = 0")).await.next("redis").await;
    assert!(matches!(full.finding, Finding::Checked { level: Level::Warning, .. }) && full.status == Status::Up);
    let out = Lab::new(dir.path(), &probe("")).await.next("redis").await;
    assert!(matches!(&out.finding, Finding::ProbeBroken { why } if why.contains("NOAUTH")), "{out:?}");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = Lab::new(dir.path(), &probe("password_file = \"secret\"")).await.next("redis").await;
    assert!(matches!(&open.finding, Finding::ProbeBroken { why } if why.contains("others can read it")), "{open:?}");
    drop(running);
    lab.senses.probe_now(None);
    assert_eq!(lab.next("redis").await.status, Status::Down);
}

#[tokio::test]
async fn names_are_resolved_at_the_given_server() {
    let Some(program) = installed("dnsmasq") else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let _running = Running::start(Command::new(program).args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--listen-address=127.0.0.1",
        "--pid-file=",
        "--user=root",
        "--address=/shop.example/192.0.2.1",
        "--host-record=two.example,192.0.2.2",
        "--host-record=two.example,192.0.2.3",
        "--mx-host=shop.example,mail.shop.example,10",
        "--txt-record=t.example,hello",
        "--address=/none.example/",
        &format!("--port={port}"),
    ]));
    let probe = |keys: &str| {
        format!(
            "[[target.probe]]\nkind = \"dns\"\nserver = \"127.0.0.1:{port}\"\ninterval = \"1d\"\ntimeout = \"2s\"\n{keys}"
        )
    };
    let mut lab =
        Lab::new(dir.path(), &probe("query = \"shop.example\"\nexpect = [\"192.0.2.1\"]\nexact = true")).await;
    lab.until("dns", |it| matches!(it.finding, Finding::Answered { .. })).await;
    let look = async |keys: &str| Lab::new(dir.path(), &probe(keys)).await.next("dns").await;
    let text = |seen: &Observation| match &seen.finding {
        Finding::Checked { level: Level::Critical, text } if seen.status == Status::Down => text.clone(),
        other => panic!("{other:?}"),
    };
    let wrong = look("query = \"shop.example\"\nexpect = [\"192.0.2.9\"]").await;
    assert_eq!(text(&wrong), "shop.example is 192.0.2.1; expected 192.0.2.9");
    let more = look("query = \"two.example\"\nexpect = [\"192.0.2.2\"]\nexact = true").await;
    assert_eq!(text(&more), "two.example is 192.0.2.2, 192.0.2.3; expected 192.0.2.2");
    assert_eq!(look("query = \"two.example\"\nexpect = [\"192.0.2.2\"]").await.status, Status::Up);
    assert_eq!(
        look("query = \"shop.example\"\nrecord = \"mx\"\nexpect = [\"10 mail.shop.example\"]").await.status,
        Status::Up
    );
    assert_eq!(look("query = \"t.example\"\nrecord = \"txt\"\nexpect = [\"hello\"]").await.status, Status::Up);
    assert!(text(&look("query = \"none.example\"").await).contains("NXDOMAIN"));
    let mute = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let keys = format!(
        "[[target.probe]]\nkind = \"dns\"\nquery = \"a.example\"\ntimeout = \"300ms\"\nserver = \"{}\"",
        mute.local_addr().unwrap()
    );
    let seen = Lab::new(dir.path(), &keys).await.next("dns").await;
    assert!(matches!(seen.finding, Finding::NoAnswer { .. }) && seen.status == Status::Down, "{seen:?}");
}

/// A server of one's own, run by `postgres` when the tests run as root, because it refuses to run as that.
struct Database {
    _running: Running,
    port: u16,
    dir: tempfile::TempDir,
}

impl Database {
    fn start() -> Option<Self> {
        let (initdb, postgres) = (installed("initdb")?, installed("postgres")?);
        let dir = tempfile::tempdir().unwrap();
        let owner = rustix::process::geteuid().is_root().then(|| {
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            let line = passwd.lines().find(|it| it.starts_with("postgres:")).map(str::to_owned);
            line.and_then(|line| {
                let mut ids = line.split(':').skip(2).map_while(|it| it.parse::<u32>().ok());
                Some((ids.next()?, ids.next()?))
            })
        });
        if owner == Some(None) {
            eprintln!("SKIPPED: there is no user postgres to run a server as");
            return None;
        }
        let run = |command: &mut Command| {
            if let Some((uid, gid)) = owner.flatten() {
                command.uid(uid).gid(gid);
            }
            command.current_dir(dir.path());
        };
        if let Some((uid, gid)) = owner.flatten() {
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let password = dir.path().join("password");
        fs::write(&password, "hunter2\n").unwrap();
        fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let mut command = Command::new(initdb);
        command.args([
            "-D",
            "data",
            "-U",
            "admin",
            "-A",
            "scram-sha-256",
            "--pwfile=password",
            "-E",
            "UTF8",
            "--no-sync",
        ]);
        run(&mut command);
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "initdb failed");
        let port = free_port();
        let socket = dir.path().display();
        let hba = "local all all trust\nhost all admin 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 md5\n";
        fs::write(dir.path().join("data/pg_hba.conf"), hba).unwrap();
        let mut command = Command::new(postgres);
        command.args(["-D", "data", "-k", &socket.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", "max_connections=4", "-c", "superuser_reserved_connections=0", "-p", &port.to_string()]);
        run(&mut command);
        let running = Running::start(&mut command);
        fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&password, Some(rustix::process::geteuid().as_raw()), None).unwrap();
        Some(Self { _running: running, port, dir })
    }

    fn probe(&self, keys: &str) -> String {
        let patience = if keys.contains("timeout") { "" } else { "timeout = \"5s\"\n" };
        format!(
            "[[target.probe]]\nkind = \"postgres\"\nuser = \"admin\"\ninterval = \"1d\"\n{patience}{}",
            keys.replace("PORT", &self.port.to_string()).replace("DIR", &self.dir.path().display().to_string())
        )
    }
}

#[tokio::test]
async fn postgres_is_asked_in_its_own_words() {
    let Some(database) = tokio::task::spawn_blocking(Database::start).await.unwrap() else { return };
    let dir = database.dir.path();
    let mut lab = Lab::new(dir, &database.probe("address = \"DIR:PORT\"")).await;
    lab.until("postgres", |it| matches!(it.finding, Finding::Answered { .. })).await;
    let look = async |keys: &str| Lab::new(dir, &database.probe(keys)).await.next("postgres").await;
    let scram = look("address = \"127.0.0.1:PORT\"\npassword_file = \"password\"").await;
    assert!(matches!(scram.finding, Finding::Answered { .. }), "{scram:?}");
    let broken = |seen: &Observation| match &seen.finding {
        Finding::ProbeBroken { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    let none = look("address = \"127.0.0.1:PORT\"").await;
    assert!(broken(&none).contains("password"), "{none:?}");
    fs::write(dir.join("wrong"), "no\n").unwrap();
    fs::set_permissions(dir.join("wrong"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = look("address = \"127.0.0.1:PORT\"\npassword_file = \"wrong\"").await;
    assert!(broken(&wrong).contains("refuses the probe"), "{wrong:?}");
    assert!(broken(&look("address = \"DIR:PORT\"\ndatabase = \"gone\"").await).contains("does not exist"));
    assert!(broken(&look("address = \"DIR:PORT\"\nquery = \"SELEKT 1\"").await).contains("syntax error"));
    let empty = look("address = \"DIR:PORT\"\nquery = \"SELECT 1 WHERE false\"").await;
    assert_eq!(empty.finding, Finding::BadAnswer { code: None, why: "the query gives no row".to_owned() });
    let late = look("address = \"DIR:PORT\"\nquery = \"SELECT pg_sleep(30)\"\ntimeout = \"300ms\"").await;
    assert!(matches!(late.finding, Finding::NoAnswer { .. }), "{late:?}");
    let slow = look("address = \"DIR:PORT\"\nslow = \"1ms\"\nquery = \"SELECT pg_sleep(0.01)\"").await;
    assert!(matches!(slow.finding, Finding::Checked { level: Level::Warning, .. }), "{slow:?}");
    // Every connection is taken: a user would be turned away, and so the server is down.
    let mut held = Vec::new();
    for _ in 0..4 {
        let config = format!("host={} port={} user=admin dbname=postgres", dir.display(), database.port);
        if let Ok((client, connection)) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            held.push(client);
        }
    }
    let crowded = look("address = \"DIR:PORT\"").await;
    assert!(matches!(crowded.finding, Finding::BadAnswer { .. }) && crowded.status == Status::Down, "{crowded:?}");
    let gone = look("address = \"127.0.0.1:1\"").await;
    assert!(matches!(gone.finding, Finding::Unreachable { .. }), "{gone:?}");
}

/// Answers on a Unix socket, however it is asked: with a text, or never.
fn answering(path: &Path, answer: Option<&'static [u8]>) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // What is not read before the end would be an error of the connection.
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => held.push(stream),
            }
        }
    });
}

/// One command to HAProxy, for which its socket is of level `admin`.
async fn command(socket: &Path, text: &str) {
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream.write_all(format!("{text}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.trim(), "", "{text}");
}

#[tokio::test]
async fn haproxy_tells_how_the_servers_of_a_backend_stand() {
    let Some(program) = installed("haproxy") else { return };
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let (first, second) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (one, two, front) = (first.local_addr().unwrap(), second.local_addr().unwrap(), free_port());
    let check = "check inter 50ms fall 1 rise 1";
    // A frontend with the same name is not taken for the backend.
    let text = format!(
        "global\n stats socket {} mode 600 level admin\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 5s\n \
         timeout server 5s\nfrontend app\n bind 127.0.0.1:{front}\n default_backend app\nbackend app\n \
         server one {one} {check}\n server two {two} {check}\nbackend spare\n server three {one}\n",
        socket.display()
    );
    fs::write(dir.path().join("haproxy.cfg"), text).unwrap();
    let probe = |socket: &str, more: &str| {
        format!(
            "[[target.probe]]\nkind = \"haproxy\"\nsocket = \"{socket}\"\ninterval = \"1d\"\ntimeout = \"2s\"\n{more}"
        )
    };
    let app = probe("admin.sock", "backend = \"app\"");
    let mut lab = Lab::new(dir.path(), &app).await;
    let absent = lab.next("haproxy").await;
    assert!(matches!(absent.finding, Finding::Unreachable { .. }), "{absent:?}");
    let running = Running::start(Command::new(program).arg("-db").arg("-f").arg(dir.path().join("haproxy.cfg")));
    let said = |level, text: &'static str| {
        move |it: &Observation| it.finding == Finding::Checked { level, text: text.to_owned() }
    };
    lab.senses.probe_now(None);
    lab.until("haproxy", said(Level::Good, "2 of 2 servers healthy")).await;
    command(&socket, "set server app/one state maint").await;
    lab.senses.probe_now(None);
    let away = "1 of 2 servers healthy; in maintenance or drained: one";
    lab.until("haproxy", said(Level::Good, away)).await;
    let strict = Lab::new(dir.path(), &format!("{app}\nmin_healthy = 2")).await.next("haproxy").await;
    assert!(said(Level::Critical, away)(&strict) && strict.status == Status::Down, "{strict:?}");
    command(&socket, "set server app/one state ready").await;
    lab.senses.probe_now(None);
    lab.until("haproxy", said(Level::Good, "2 of 2 servers healthy")).await;
    drop(first);
    lab.senses.probe_now(None);
    let down = lab.until("haproxy", said(Level::Warning, "1 of 2 servers healthy; down: one (L4CON)")).await;
    assert_eq!(down.status, Status::Up);
    drop(second);
    lab.senses.probe_now(None);
    let none = "0 of 2 servers healthy; down: one (L4CON), two (L4CON)";
    assert_eq!(lab.until("haproxy", said(Level::Critical, none)).await.status, Status::Down);
    let look = async |keys: &str| Lab::new(dir.path(), keys).await.next("haproxy").await;
    let unchecked = look(&probe("admin.sock", "backend = \"spare\"")).await;
    assert!(said(Level::Good, "1 of 1 servers healthy (1 of them without a check)")(&unchecked), "{unchecked:?}");
    let gone = look(&probe("admin.sock", "backend = \"gone\"")).await;
    assert!(matches!(&gone.finding, Finding::ProbeBroken { why } if why == "HAProxy has no backend gone"), "{gone:?}");
    drop(running);
    lab.senses.probe_now(None);
    lab.until("haproxy", |it| matches!(it.finding, Finding::Unreachable { .. })).await;
}

#[tokio::test]
async fn a_socket_that_is_not_haproxys_is_told_within_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let all: [(&str, Option<&[u8]>); 4] =
        [("mute", None), ("shut", Some(b"")), ("other", Some(b"+PONG\r\n")), ("bytes", Some(b"# pxname,\xff\n"))];
    for (name, answer) in all {
        answering(&dir.path().join(name), answer);
        let keys = format!(
            "[[target.probe]]\nkind = \"haproxy\"\nbackend = \"app\"\nsocket = \"{name}\"\ntimeout = \"200ms\""
        );
        let seen = Lab::new(dir.path(), &keys).await.next("haproxy").await;
        match name {
            "mute" => assert!(matches!(seen.finding, Finding::NoAnswer { .. }), "{seen:?}"),
            "other" => assert!(matches!(seen.finding, Finding::ProbeBroken { .. }), "{seen:?}"),
            _ => assert!(matches!(seen.finding, Finding::BadAnswer { .. }), "{seen:?}"),
        }
    }
}
