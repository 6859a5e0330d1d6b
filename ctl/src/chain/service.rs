//! What each service of the chain answers.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::LocalSet;

use super::http::{Answer, ask, query, read_path, reply};
use super::store::KeyValues;
use super::{RECOVERY_MARKER, Role, trouble};

/// How many clients may wait to be accepted.
const BACKLOG: u32 = 64;

/// How long a service waits for the one that it asks. Each waits longer than the one below it, so that the one next
/// to the trouble says so, and not the one farthest from it.
const fn patience(role: Role) -> Duration {
    match role {
        Role::Web => Duration::from_millis(450),
        Role::Api | Role::Db => Duration::from_millis(250),
    }
}

pub(super) struct Setup {
    pub(super) role: Role,
    pub(super) port: u16,
    pub(super) upstream: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) cache: Option<PathBuf>,
}

struct Service {
    setup: Setup,
    values: RefCell<KeyValues>,
    leaked: Rc<RefCell<Vec<Vec<u8>>>>,
}

/// Listens and answers, for ever.
pub(super) async fn serve(setup: Setup) -> anyhow::Result<()> {
    if let Some(data) = &setup.data {
        recover(data).await;
    }
    let values = RefCell::new(KeyValues::open(setup.data.as_deref()).context("opening the data directory")?);
    let listener = listen(setup.port).with_context(|| format!("listening on 127.0.0.1:{}", setup.port))?;
    let service = Rc::new(Service { setup, values, leaked: Rc::default() });
    LocalSet::new()
        .run_until(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    // Out of file descriptors: let clients that are being served end first.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let service = Rc::clone(&service);
                tokio::task::spawn_local(async move {
                    if let Some(path) = read_path(&mut stream).await {
                        let answer = service.answer(&path).await;
                        reply(stream, &answer).await;
                    }
                });
            }
        })
        .await
}

/// Waits as long as the marker in the data directory says, once: a database that replays its log after a crash.
async fn recover(data: &std::path::Path) {
    let marker = data.join(RECOVERY_MARKER);
    let Ok(text) = std::fs::read_to_string(&marker) else { return };
    let _ = std::fs::remove_file(&marker);
    if let Ok(ms) = text.trim().parse() {
        println!("db recovering for {ms} ms");
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the run before may linger; they must not keep this one from starting.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

impl Service {
    async fn answer(&self, path: &str) -> Answer {
        match path.split_once('?').map_or(path, |(route, _)| route) {
            "/healthz" => self.health().await,
            "/" => self.page().await,
            "/get" => self.get(path),
            "/put" => self.put(path),
            "/leak" => self.leak(path),
            "/fill" => self.fill(path),
            _ => Answer::new(404, "no such page\n"),
        }
    }

    async fn health(&self) -> Answer {
        let Some(upstream) = self.setup.upstream else { return Answer::new(200, "ok\n") };
        match ask(upstream, "/healthz", patience(self.setup.role)).await {
            Ok(answer) if answer.is_ok() => Answer::new(200, "ok\n"),
            Ok(answer) => Answer::new(503, format!("upstream {upstream} answers {}\n", answer.status)),
            Err(error) => Answer::new(503, format!("upstream {upstream}: {error}\n")),
        }
    }

    async fn page(&self) -> Answer {
        let (role, path) = match self.setup.role {
            Role::Web => ("web", "/"),
            Role::Api => ("api", "/get?key=greeting"),
            Role::Db => return Answer::new(200, "db\n"),
        };
        let Some(upstream) = self.setup.upstream else { return Answer::new(200, format!("{role}\n")) };
        match ask(upstream, path, patience(self.setup.role)).await {
            Ok(answer) if answer.is_ok() => Answer::new(200, format!("{role} < {}", answer.body)),
            Ok(answer) => Answer::new(502, format!("{role}: upstream answers {}\n", answer.status)),
            Err(error) => Answer::new(502, format!("{role}: upstream: {error}\n")),
        }
    }

    fn get(&self, path: &str) -> Answer {
        let values = self.values.borrow();
        match query(path, "key").map(|key| values.get(key)) {
            Some(value) => Answer::new(200, format!("{}\n", value.unwrap_or("nothing yet"))),
            None => Answer::new(400, "say which: /get?key=K\n"),
        }
    }

    fn put(&self, path: &str) -> Answer {
        let (Some(key), Some(value)) = (query(path, "key"), query(path, "value")) else {
            return Answer::new(400, "say what: /put?key=K&value=V\n");
        };
        match self.values.borrow_mut().put(key, value) {
            Ok(()) => Answer::new(200, "stored\n"),
            Err(error) => Answer::new(500, format!("{error}\n")),
        }
    }

    fn leak(&self, path: &str) -> Answer {
        let Some(mib) = mib(path) else { return Answer::new(400, "say how much a second: /leak?mib=N\n") };
        tokio::task::spawn_local(trouble::leak(Rc::clone(&self.leaked), mib));
        Answer::new(200, format!("leaking {mib} MiB a second\n"))
    }

    fn fill(&self, path: &str) -> Answer {
        let (Some(mib), Some(cache)) = (mib(path), &self.setup.cache) else {
            return Answer::new(400, "say how much: /fill?mib=N, and start with --cache DIR\n");
        };
        match trouble::fill(cache, mib) {
            Ok(written) => Answer::new(200, format!("wrote {written} MiB\n")),
            Err(error) => Answer::new(500, format!("{error}\n")),
        }
    }
}

fn mib(path: &str) -> Option<usize> {
    query(path, "mib")?.parse().ok()
}
