//! The servers of a backend of HAProxy, asked over its runtime socket (the management guide's section 9.3, `show stat`).

use std::io;
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::tcp::not_connected;
use crate::board::{Board, Look, Series};
use crate::config::HaproxySubject;

/// The longest answer: some 500 bytes for each server.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
/// How many servers a verdict names.
const NAMED: usize = 5;
/// How much is told of an answer that is none.
const TOLD_MAX: usize = 160;
/// What stands in the place of a server's name in the backend's own row.
const WHOLE: &str = "BACKEND";

/// See the module.
pub(super) struct Haproxy {
    subject: HaproxySubject,
    timeout: Duration,
    series: AllSeries,
}

/// The series of one probe of a backend.
pub(super) struct AllSeries {
    pub(super) healthy: Option<Series>,
    pub(super) down: Option<Series>,
    pub(super) away: Option<Series>,
    pub(super) queue: Option<Series>,
    pub(super) sessions: Option<Series>,
}

/// What of a row matters. HAProxy's versions differ in the others, and their order is the header's.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "# pxname")]
    proxy: String,
    #[serde(rename = "svname")]
    server: String,
    #[serde(rename = "qcur")]
    queue: Option<u32>,
    #[serde(rename = "scur")]
    sessions: Option<u32>,
    status: String,
    check_status: Option<String>,
}

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It gets new requests, and its check is good.
    Healthy,
    /// It gets new requests, and nobody checks whether it answers them.
    Unchecked,
    Down,
    /// Somebody wants it to get no new requests.
    Away,
}

/// A backend and its servers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Backend {
    healthy: u32,
    unchecked: u32,
    down: Vec<String>,
    away: Vec<String>,
    queue: Option<u32>,
    sessions: Option<u32>,
}

impl Haproxy {
    pub(super) fn new(subject: &HaproxySubject, timeout: Duration, series: AllSeries) -> Self {
        Self { subject: subject.clone(), timeout, series }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let backend = match timeout(self.timeout, self.ask()).await {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(look)) => return look,
            Ok(Ok(backend)) => backend,
        };
        let set = |series: Option<Series>, value: Option<u32>| {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, f64::from(value));
            }
        };
        set(self.series.healthy, Some(backend.healthy));
        set(self.series.down, u32::try_from(backend.down.len()).ok());
        set(self.series.away, u32::try_from(backend.away.len()).ok());
        set(self.series.queue, backend.queue);
        set(self.series.sessions, backend.sessions);
        judge(&backend, &self.subject)
    }

    async fn ask(&self) -> Result<Backend, Look> {
        let name = &self.subject.backend;
        // A frontend may have the same name and be found in its stead; only then everything is asked for.
        for whom in [name.as_str(), "-1"] {
            let answer = self.exchange(&format!("show stat {whom} 6 -1\n")).await?;
            if let Some(backend) = read(&answer, name)? {
                return Ok(backend);
            }
        }
        Err(Look::broken(format!("HAProxy has no backend {name}")))
    }

    /// One question and its answer; HAProxy ends the connection after it.
    async fn exchange(&self, question: &str) -> Result<String, Look> {
        let bad = |why: String| Look::down(Finding::BadAnswer { code: None, why });
        let failed = |error: io::Error| bad(error.to_string());
        let mut stream = UnixStream::connect(&self.subject.socket).await.map_err(|error| not_connected(&error))?;
        stream.write_all(question.as_bytes()).await.map_err(failed)?;
        let mut answer = Vec::new();
        let length = stream.take(ANSWER_MAX).read_to_end(&mut answer).await.map_err(failed)?;
        if u64::try_from(length).is_ok_and(|it| it >= ANSWER_MAX) {
            return Err(Look::broken(format!("the answer is longer than {ANSWER_MAX} bytes")));
        }
        if answer.is_empty() {
            return Err(bad("it closed the connection without an answer".to_owned()));
        }
        String::from_utf8(answer).map_err(|_| bad("the answer is not text".to_owned()))
    }
}

/// Reads an answer; none when the backend is not in it.
fn read(answer: &str, name: &str) -> Result<Option<Backend>, Look> {
    if answer.trim() == "No such proxy." {
        return Ok(None);
    }
    if !answer.starts_with("# pxname,") {
        let first: String = answer.trim().lines().next().unwrap_or_default().chars().take(TOLD_MAX).collect();
        return Err(Look::broken(format!("HAProxy does not tell: {}", plain(&first))));
    }
    let mut found = None;
    let mut backend = Backend::default();
    for row in csv::ReaderBuilder::new().flexible(true).from_reader(answer.trim_end().as_bytes()).deserialize() {
        let row: Row = row.map_err(|error| Look::broken(format!("HAProxy's answer cannot be read: {error}")))?;
        if row.proxy != name {
            continue;
        }
        backend.queue = sum(backend.queue, row.queue);
        if row.server == WHOLE {
            backend.sessions = row.sessions;
            found = Some(());
            continue;
        }
        let called = plain(&row.server);
        match standing(&row.status) {
            Some(Standing::Healthy) => backend.healthy += 1,
            Some(Standing::Unchecked) => {
                backend.healthy += 1;
                backend.unchecked += 1;
            }
            Some(Standing::Down) => backend.down.push(match row.check_status.as_deref().map(str::trim) {
                None | Some("") => called,
                Some(why) => format!("{called} ({})", plain(why)),
            }),
            Some(Standing::Away) => backend.away.push(called),
            None => {
                let status = plain(&row.status);
                return Err(Look::broken(format!("HAProxy says of server {called} what is not known: {status:?}")));
            }
        }
    }
    Ok(found.map(|()| backend))
}

/// Numbers that are there, added up.
fn sum(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// How a server stands by its status; none for a word that HAProxy's guide does not have.
fn standing(status: &str) -> Option<Standing> {
    // Somebody's wish, but for a name that does not resolve.
    if status.starts_with("MAINT (resolution)") {
        return Some(Standing::Down);
    }
    match status.split(' ').next()? {
        // "UP 1/3" has failed a check, and still gets requests until it has failed three.
        "UP" => Some(Standing::Healthy),
        "no" => (status == "no check").then_some(Standing::Unchecked),
        "DOWN" => Some(Standing::Down),
        "MAINT" | "DRAIN" | "NOLB" => Some(Standing::Away),
        _ => None,
    }
}

fn judge(it: &Backend, subject: &HaproxySubject) -> Look {
    let count = |names: &[String]| u32::try_from(names.len()).unwrap_or(u32::MAX);
    let all = it.healthy.saturating_add(count(&it.down)).saturating_add(count(&it.away));
    let mut text = format!("{} of {all} servers healthy", it.healthy);
    if it.unchecked > 0 {
        text.push_str(&format!(" ({} of them without a check)", it.unchecked));
    }
    for (names, what) in [(&it.down, "down"), (&it.away, "in maintenance or drained")] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", listed(names)));
        }
    }
    let few = match subject.warn_healthy {
        Some(least) => it.healthy < least,
        None => !it.down.is_empty(),
    };
    let long = it.queue.zip(subject.warn_queue).filter(|(queue, most)| queue >= most);
    if let Some((queue, _)) = long {
        text.push_str(&format!("; {queue} requests wait"));
    }
    let level = match (it.healthy < subject.min_healthy, few || long.is_some()) {
        (true, _) => Level::Critical,
        (false, true) => Level::Warning,
        (false, false) => Level::Good,
    };
    Look::checked(level, text)
}

/// The first names, and how many there are besides.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

/// A text without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use prunella_model::observation::Status;

    use super::*;

    const HEAD: &str = "# pxname,svname,qcur,scur,status,check_status,last_chk,\n";

    fn backend(rows: &str) -> Result<Option<Backend>, Look> {
        read(&format!("{HEAD}{rows}\n"), "app")
    }

    fn subject() -> HaproxySubject {
        let (socket, backend) = ("/s".into(), "app".to_owned());
        HaproxySubject { socket, backend, min_healthy: 2, warn_healthy: None, warn_queue: None }
    }

    #[test]
    fn servers_stand_as_haproxys_words_say() {
        for (status, expected) in [
            ("UP", Some(Standing::Healthy)),
            ("UP 1/3", Some(Standing::Healthy)),
            ("no check", Some(Standing::Unchecked)),
            ("DOWN", Some(Standing::Down)),
            ("DOWN 1/2", Some(Standing::Down)),
            ("DOWN (agent)", Some(Standing::Down)),
            ("MAINT", Some(Standing::Away)),
            ("MAINT (via app/a)", Some(Standing::Away)),
            ("MAINT (resolution)", Some(Standing::Down)),
            ("DRAIN", Some(Standing::Away)),
            ("NOLB 1/2", Some(Standing::Away)),
            ("", None),
            ("no", None),
            ("UPSIDE", None),
        ] {
            assert_eq!(standing(status), expected, "{status:?}");
        }
    }

    #[test]
    fn an_answer_is_read_by_its_header_and_nothing_is_made_up() {
        let rows = "app,a,1,4,UP,L4OK,,\napp,b,2,0,DOWN,L7STS,\"says \"\"no\"\",\nand more\",\napp,c,,,MAINT,,,\n\
                    app,d,0,0,no check,,,\nother,a,9,9,DOWN,,,\napp,BACKEND,5,6,UP,,,";
        let (down, away) = (vec!["b (L7STS)".to_owned()], vec!["c".to_owned()]);
        let expected = Backend { healthy: 2, unchecked: 1, down, away, queue: Some(8), sessions: Some(6) };
        assert_eq!(backend(rows), Ok(Some(expected)));
        let none = backend("app,BACKEND,,,UP,,,").unwrap().unwrap();
        assert_eq!((none.queue, none.sessions), (None, None));
        assert_eq!(backend("other,BACKEND,0,0,UP,,,"), Ok(None));
        assert_eq!(read("No such proxy.\n\n", "app"), Ok(None));
    }

    #[test]
    fn what_is_no_answer_says_nothing_of_the_servers() {
        let odd = ["app,a,x,0,UP,,,", "app,a,-1,0,UP,,,", "app,a", "app,a,0,0,\u{1b}[31m,,,"];
        for rows in odd {
            assert_eq!(backend(rows).unwrap_err().status, Status::Unknown, "{rows:?}");
        }
        for answer in ["Unknown command: 'show'\n", "\n", "# pxname,svname\napp,BACKEND\n", "HTTP/1.1 400 Bad\r\n"] {
            assert_eq!(read(answer, "app").unwrap_err().status, Status::Unknown, "{answer:?}");
        }
    }

    #[test]
    fn few_healthy_servers_are_critical_and_one_that_is_down_a_warning() {
        let level =
            |rows: &str, subject: &HaproxySubject| match judge(&backend(rows).unwrap().unwrap(), subject).finding {
                Finding::Checked { level, text } => (level, text),
                other => panic!("{other:?}"),
            };
        let (two, one) = ("app,a,0,0,UP,,,\napp,b,0,0,UP,,,\n", "app,a,0,0,UP,,,\n");
        let end = "app,BACKEND,7,0,UP,,,";
        let good = |rows: &str| level(&format!("{rows}{end}"), &subject());
        assert_eq!(good(two), (Level::Good, "2 of 2 servers healthy".to_owned()));
        assert_eq!(good(one), (Level::Critical, "1 of 1 servers healthy".to_owned()));
        assert_eq!(good(""), (Level::Critical, "0 of 0 servers healthy".to_owned()));
        let warned = good(&format!("{two}app,c,0,0,DOWN,L4CON,,\n"));
        assert_eq!(warned, (Level::Warning, "2 of 3 servers healthy; down: c (L4CON)".to_owned()));
        assert_eq!(good(&format!("{two}app,c,0,0,MAINT,,,\n")).0, Level::Good);
        let rows = format!("{two}app,c,0,0,DOWN,,,\n{end}");
        assert_eq!(level(&rows, &HaproxySubject { warn_healthy: Some(2), ..subject() }).0, Level::Good);
        assert_eq!(level(&rows, &HaproxySubject { warn_healthy: Some(3), ..subject() }).0, Level::Warning);
        let queue = |most| level(&format!("{two}{end}"), &HaproxySubject { warn_queue: Some(most), ..subject() });
        assert_eq!(queue(7), (Level::Warning, "2 of 2 servers healthy; 7 requests wait".to_owned()));
        assert_eq!(queue(8).0, Level::Good);
    }
}
