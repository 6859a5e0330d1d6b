//! The door for browsers and programs that speak JSON, over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use prunella_identity::Role;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fixture::Fleet;

const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// It is a problem of this status, and says so as RFC 9457 wants it.
    pub(crate) fn problem(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status, self.headers["content-type"].as_str()),
            (status, "application/problem+json"),
            "{}",
            self.body
        );
        let it = self.json();
        assert_eq!((it["status"].as_u64(), it["reason"].as_str()), (Some(u64::from(status)), Some(reason)), "{it}");
        assert!(
            it["detail"].as_str().is_some_and(|it| !it.is_empty()) && it["title"].is_string() && it["type"].is_string()
        );
    }
}

/// One request on a connection of its own.
pub(crate) struct Call<'a> {
    at: SocketAddr,
    headers: Vec<(&'a str, String)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self { at, headers: vec![("host", at.to_string())] }
    }

    pub(crate) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.retain(|(it, _)| *it != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    async fn open(&self, method: &str, path: &str, body: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(self.at).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        // A server that has answered already may have closed its side.
        let _ = socket.write_all(body).await;
        socket
    }

    async fn send(self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut socket = self.open(method, path, body).await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(SOON, socket.read_to_end(&mut bytes)).await.expect("it never hangs");
        assert!(read.is_ok() || !bytes.is_empty(), "no answer to {method} {path}");
        parse(&String::from_utf8_lossy(&bytes))
    }

    pub(crate) async fn get(self, path: &str) -> Answer {
        self.send("GET", path, b"").await
    }

    pub(crate) async fn post(self, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send("POST", path, body.to_string().as_bytes()).await
    }

    async fn form(self, path: &str, body: &str) -> Answer {
        self.with("content-type", "application/x-www-form-urlencoded").send("POST", path, body.as_bytes()).await
    }
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|it| it.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

pub(crate) fn door(fleet: &Fleet) -> SocketAddr {
    fleet.at.http.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_says_what_grpc_says() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Viewer).await);
    let by_grpc = FleetServiceClient::new(fleet.admin().await).get_fleet(pb::GetFleetRequest {}).await.unwrap();
    for answer in [
        Call::new(at).token(&token).get("/status").await,
        Call::new(at).token(&token).get("/v1/FleetService/GetFleet").await,
        Call::new(at).token(&token).post("/v1/FleetService/GetFleet", &json!({})).await,
    ] {
        assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
        assert_eq!(answer.json()["name"], by_grpc.get_ref().name);
        // 64-bit numbers are texts in canonical JSON, and what has no value is not there.
        assert_eq!(answer.json()["policyVersion"], by_grpc.get_ref().policy_version.to_string());
        assert_eq!(answer.json().get("meanTimeToRepair"), None);
    }
    assert_eq!(Call::new(at).get("/healthz").await.json(), json!({ "status": "serving" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_hold_at_this_door_too() {
    let fleet = Fleet::start().await;
    let (at, viewer) = (door(&fleet), fleet.operator_token(Role::Viewer).await);
    let pause = json!({ "name": "fleet", "why": "test" });
    Call::new(at).get("/status").await.problem(401, "NO_CREDENTIALS");
    Call::new(at).token("nonsense").get("/status").await.problem(401, "TOKEN_REFUSED");
    Call::new(at).token(&viewer).post("/v1/FleetService/Pause", &pause).await.problem(403, "ROLE_TOO_LOW");
    // Fields in which proxies say who somebody is count for nothing.
    Call::new(at).with("x-role", "admin").with("x-user", "root").get("/status").await.problem(401, "NO_CREDENTIALS");
    let operator = fleet.operator_token(Role::Operator).await;
    assert_eq!(Call::new(at).token(&operator).post("/v1/FleetService/Pause", &pause).await.status, 200);
    let state = Call::new(at).token(&viewer).get("/status").await.json();
    assert_eq!((&state["pauses"][0]["by"], &state["pauses"][0]["why"]), (&json!("op"), &json!("test")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_the_document_answers_and_none_breaks() {
    let fleet = Fleet::start().await;
    let (at, admin) = (door(&fleet), fleet.operator_token(Role::Admin).await);
    let document = Call::new(at).get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 40, "{} paths", paths.len());
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: [&[u8]; 8] = [
        b"{",
        b"[]",
        b"null",
        b"{\"name\": 7}",
        b"{\"nonsense\": 1}",
        b"\xff\xfe",
        deep.as_bytes(),
        b"{\"nothing\":\"\\u0000\"}",
    ];
    for (path, operations) in paths {
        let path = path.replace("{id}", "1-1");
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let streams = path.ends_with("WatchEvents");
            if method != "POST" {
                Call::new(at).send(&method, &format!("{path}?nonsense=1"), b"").await.problem(400, "INVALID_ARGUMENT");
                if !streams {
                    let answer = Call::new(at).send(&method, &path, b"").await;
                    assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
                }
                continue;
            }
            for body in bodies {
                let call = Call::new(at).token(&admin).with("content-type", "application/json");
                if streams && body == b"{\"nothing\":\"\\u0000\"}" {
                    continue;
                }
                let answer = call.send(&method, &path, body).await;
                assert!(
                    (400..500).contains(&answer.status),
                    "{method} {path} {body:?}: {} {}",
                    answer.status,
                    answer.body
                );
                assert_eq!(answer.headers["content-type"], "application/problem+json");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_said_clearly() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Viewer).await);
    let call = || Call::new(at).token(&token);
    call().get("/nowhere").await.problem(404, "UNKNOWN_PATH");
    call().get("/v1/FleetService/Nothing").await.problem(404, "UNKNOWN_METHOD");
    call().get("/v1/AgentService/Stream").await.problem(404, "UNKNOWN_METHOD");
    call().send("DELETE", "/status", b"").await.problem(405, "METHOD_NOT_ALLOWED");
    call().get("/v1/FleetService/Pause?name=fleet").await.problem(405, "METHOD_NOT_ALLOWED");
    call().form("/v1/FleetService/Pause", "name=fleet").await.problem(415, "NOT_JSON");
    call().get("/repairs/status/9-9").await.problem(404, "NOT_FOUND");
    call().get("/issues/active?pageSize=x").await.problem(400, "INVALID_ARGUMENT");
    let big = json!({ "name": "x".repeat(3 * 1024 * 1024) });
    call().post("/v1/FleetService/GetHost", &big).await.problem(413, "BODY_TOO_LARGE");
    // What a fleet has learned may be long: it is read, and refused for what it says.
    let token = fleet.operator_token(Role::Admin).await;
    let long = json!({ "json": "x".repeat(3 * 1024 * 1024) });
    Call::new(at).token(&token).post("/learning/import", &long).await.problem(400, "INVALID_ARGUMENT");
    call().with("host", "evil.example").get("/status").await.problem(421, "UNKNOWN_HOST");
    let wrong = call().get("/issues/active?openonly=1").await;
    assert!(wrong.json()["detail"].as_str().unwrap().contains("openOnly"), "{}", wrong.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_with_ids_from_which_to_resume() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Operator).await);
    let mut stream = Call::new(at).token(&token).open("GET", "/v1/EventService/WatchEvents", b"").await;
    let pause = json!({ "name": "fleet", "why": "to be seen" });
    let mut text = String::new();
    let mut paused = false;
    let seen = async {
        while !text.contains("to be seen") {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            assert_ne!(length, 0, "the stream ended: {text}");
            text += &String::from_utf8_lossy(&bytes[..length]);
            if !std::mem::replace(&mut paused, true) {
                assert_eq!(Call::new(at).token(&token).post("/v1/FleetService/Pause", &pause).await.status, 200);
            }
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap();
    assert!(
        text.contains("content-type: text/event-stream") && text.contains("\nid: ") && text.contains("data: {"),
        "{text}"
    );
}

/// A session of the dashboard: its cookie, and the token of its forms.
async fn log_in(fleet: &Fleet, role: &str) -> (String, String) {
    let mut admin = AdminServiceClient::new(fleet.admin().await);
    let link = admin.create_login_link(pb::CreateLoginLinkRequest { role: role.into() }).await.unwrap().into_inner();
    let path = link.url.strip_prefix(&format!("http://{}", door(fleet))).unwrap().to_owned();
    let opened = Call::new(door(fleet)).get(&path).await;
    assert_eq!((opened.status, opened.headers["location"].as_str()), (303, "/"));
    let cookie = opened.headers["set-cookie"].clone();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    assert_eq!(Call::new(door(fleet)).get(&path).await.status, 403, "a link opens once");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = Call::new(door(fleet)).with("cookie", &cookie).get("/").await.body;
    let token = page.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cookie, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_is_for_those_who_have_logged_in() {
    let fleet = Fleet::start().await;
    let at = door(&fleet);
    let stranger = Call::new(at).get("/ui/hosts").await;
    assert_eq!((stranger.status, stranger.headers["location"].as_str()), (303, "/login"));
    assert!(Call::new(at).get("/login").await.body.contains("prunella --dir ./fleet dashboard"));
    assert_eq!(Call::new(at).get("/login?code=00").await.status, 403);
    let (cookie, token) = log_in(&fleet, "viewer").await;
    for path in [
        "/",
        "/ui/incidents?all=1",
        "/ui/hosts",
        "/ui/topology",
        "/ui/knowledge",
        "/ui/diagnostics",
        "/ui/snapshots",
        "/ui/brakes",
        "/ui/policy",
        "/ui/events",
        "/ui/audit?verify=1",
    ] {
        let page = Call::new(at).with("cookie", &cookie).get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
        assert!(
            !page.body.contains("<script>") && !page.body.contains(" style="),
            "{path} has what its policy forbids"
        );
        assert!(page.body.len() < 60_000, "{path} has {} bytes", page.body.len());
    }
    assert_eq!(Call::new(at).with("cookie", &cookie).get("/ui/hosts/nobody").await.status, 404);
    // A cookie opens pages, not the paths of programs: another site could make a browser send it.
    Call::new(at).with("cookie", &cookie).get("/status").await.problem(401, "NO_CREDENTIALS");
    let body = format!("form_token={token}&name=fleet&why=x");
    assert_eq!(Call::new(at).with("cookie", &cookie).form("/ui/act/pause", &body).await.status, 403, "a viewer");
    let left = Call::new(at).with("cookie", &cookie).form("/ui/logout", &format!("form_token={token}")).await;
    assert_eq!(left.status, 303);
    assert_eq!(Call::new(at).with("cookie", &cookie).get("/").await.status, 303, "the session is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buttons_act_as_whoever_presses_them_and_for_nobody_else() {
    let fleet = Fleet::start().await;
    let at = door(&fleet);
    let (cookie, token) = log_in(&fleet, "").await;
    let press = |path: &'static str, body: String| {
        Call::new(at).with("cookie", &cookie).form(path, Box::leak(body.into_boxed_str()))
    };
    let forged = press("/ui/act/pause", "name=fleet&why=x&form_token=00".into()).await;
    assert_eq!(forged.status, 403);
    let body = format!("form_token={token}&name=fleet&why=x");
    let foreign =
        Call::new(at).with("cookie", &cookie).with("sec-fetch-site", "cross-site").form("/ui/act/pause", &body).await;
    assert_eq!(foreign.status, 403);
    let body = format!("form_token={token}&name=fleet&why=storm+%3Cb%3E&minutes=15");
    assert_eq!(press("/ui/act/pause", body).await.status, 303);
    let page = Call::new(at).with("cookie", &cookie).get("/").await.body;
    assert!(page.contains("storm &lt;b&gt;") && page.contains("Resume"), "{page}");
    let state =
        FleetServiceClient::new(fleet.admin().await).get_fleet(pb::GetFleetRequest {}).await.unwrap().into_inner();
    assert_eq!((state.pauses[0].by.as_str(), state.pauses[0].expire_time.is_some()), ("admin", true));
    assert_eq!(press("/ui/act/resume", format!("form_token={token}&name=fleet")).await.status, 303);
    assert_eq!(press("/ui/act/mode", format!("form_token={token}&mode=conservative&why=night")).await.status, 303);
    let state =
        FleetServiceClient::new(fleet.admin().await).get_fleet(pb::GetFleetRequest {}).await.unwrap().into_inner();
    assert_eq!((state.pauses.len(), state.mode()), (0, pb::Mode::Conservative));
    for (path, body) in [
        ("/ui/act/mode", "mode=frantic&why=x"),
        ("/ui/act/pause", "name=fleet&why=x&minutes=0"),
        ("/ui/act/nothing", ""),
    ] {
        let status = press(path, format!("form_token={token}&{body}")).await.status;
        assert!((400..500).contains(&status), "{path} {body}: {status}");
    }
    // A policy is longer than what an address may have.
    let long = format!("form_token={token}&do=check&toml=%5Bnonsense%5D%23{}", "x".repeat(100_000));
    assert!(press("/ui/policy", long).await.body.contains("nonsense"));
    // Checked first, and put on its way only by the other button.
    let policy = format!("form_token={token}&do=check&toml=%5Bnonsense%5D");
    assert!(press("/ui/policy", policy).await.body.contains("nonsense"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_viewers_and_well_formed() {
    let fleet = Fleet::start().await;
    let (at, token) = (door(&fleet), fleet.operator_token(Role::Viewer).await);
    Call::new(at).get("/metrics").await.problem(401, "NO_CREDENTIALS");
    let page = Call::new(at).token(&token).get("/metrics").await;
    assert!(page.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let mut families = std::collections::BTreeSet::new();
    for line in page.body.lines().filter(|it| it.starts_with("# TYPE ")) {
        assert!(families.insert(line.split(' ').nth(2).unwrap()), "{line} stands twice");
    }
    for line in page.body.lines().filter(|it| !it.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(families.contains(name.split('{').next().unwrap()), "{line} has no type");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(page.body.contains("\nprunella_hosts{state=\"online\"} 0\n") && page.body.contains("process_open_fds"));
}
