//! A real browser without a window, driven by the W3C's WebDriver protocol: JSON over plain HTTP to `chromedriver`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// How long anything may take in a browser on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key under which the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How often the page is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Where the programs are, unless the environment says so.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/snap/bin"];

/// A session of a browser. Dropping it ends the browser and its driver.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let all = names.iter().flat_map(|name| PLACES.iter().map(move |place| Path::new(place).join(name)));
    all.into_iter().find(|it| it.is_file())
}

/// The browser and its driver, if both are installed.
pub(crate) fn installed() -> Option<(PathBuf, PathBuf)> {
    Some((program(&["chromium", "chromium-browser", "google-chrome"])?, program(&["chromedriver"])?))
}

/// The body of an answer. The driver keeps its connections open, whatever it is asked.
fn read(mut from: BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// A driver that listens, what else it says, and on which port; none when it ended without.
fn listening(driver: &Path, home: &Path) -> Option<(Child, impl Iterator<Item = String> + use<>, u16)> {
    let mut driver = Command::new(driver)
        .arg("--port=0")
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|it| {
        it.rsplit_once("successfully on port ").and_then(|(_, port)| port.trim_end_matches('.').parse().ok())
    });
    match port {
        Some(port) => Some((driver, lines, port)),
        None => {
            driver.wait().unwrap();
            None
        }
    }
}

impl Browser {
    /// Starts one that keeps what it keeps below `home`, and reaches nothing but this machine.
    pub(crate) fn start((browser, driver): &(PathBuf, PathBuf), home: &Path) -> Self {
        let profile = home.join("browser");
        std::fs::create_dir_all(&profile).unwrap();
        // It takes one port of both families, and ends when somebody has one of them: then another one will do.
        let started = (0..5).find_map(|_| listening(driver, home));
        let (driver, mut lines, port) = started.expect("the driver says where it listens");
        // It must not be stopped by a full pipe.
        std::thread::spawn(move || lines.by_ref().for_each(drop));
        let mut it = Self { driver, port, session: String::new() };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--force-color-profile=srgb",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": browser, "args": args },
        } } });
        let answer = it.say("POST", "/session", &wanted).unwrap();
        it.session = answer["sessionId"].as_str().unwrap().to_owned();
        it
    }

    /// One command of the protocol.
    fn say(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).map_err(|it| it.to_string())?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        socket.write_all(head.as_bytes()).map_err(|it| it.to_string())?;
        let answer = read(BufReader::new(socket)).map_err(|it| format!("{method} {path}: {it}"))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|it| format!("{method} {path}: {it}"))?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"].as_str().unwrap_or_default())),
            None => Ok(answer["value"].clone()),
        }
    }

    fn ask(&self, method: &str, what: &str, body: &Value) -> Result<Value, String> {
        self.say(method, &format!("/session/{}/{what}", self.session), body)
    }

    /// Opens a page.
    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "url", &json!({ "url": url })).unwrap();
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.ask("GET", "url", &Value::Null).unwrap().as_str().unwrap().to_owned()
    }

    /// What a script returns.
    pub(crate) fn script(&self, text: &str) -> Value {
        self.ask("POST", "execute/sync", &json!({ "script": text, "args": [] })).unwrap()
    }

    /// The text of the page as a person sees it.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Does something with an element. The page may be exchanged under our hands; then the new one is taken.
    fn with(&self, css: &str, what: impl Fn(&str) -> Result<Value, String>) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.ask("POST", "element", &json!({ "using": "css selector", "value": css }));
            let done = found.and_then(|it| what(it[ELEMENT].as_str().unwrap_or_default()));
            match done {
                Ok(value) => return value,
                Err(why) if Instant::now() > deadline => panic!("{css} on {}: {why}\n{}", self.url(), self.text()),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Clicks on the first element that a selector of CSS names, as a person does: it must be in sight and not covered.
    pub(crate) fn click(&self, css: &str) {
        self.with(css, |id| self.ask("POST", &format!("element/{id}/click"), &json!({})));
    }

    /// Types into a field.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        self.with(css, |id| self.ask("POST", &format!("element/{id}/value"), &json!({ "text": text })));
    }

    /// Presses a key wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let keys = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.ask("POST", "actions", &keys).unwrap();
    }

    /// Waits until the page says something.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(&format!("the page says {text:?}"), || self.text().contains(text));
    }

    /// Waits until something holds.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}; {} says\n{}", self.url(), self.text());
            std::thread::sleep(LOOK);
        }
    }

    /// Makes the window as large as that, in CSS pixels.
    pub(crate) fn size(&self, width: u32, height: u32, phone: bool) {
        let wanted = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": wanted });
        self.ask("POST", "goog/cdp/execute", &command).unwrap();
    }

    /// What the console holds of errors since it was last asked.
    pub(crate) fn errors(&self) -> Vec<Value> {
        let said = self.ask("POST", "se/log", &json!({ "type": "browser" })).unwrap();
        said.as_array().into_iter().flatten().filter(|it| it["level"] == "SEVERE").cloned().collect()
    }

    /// A picture of what is in sight, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let text = self.ask("GET", "screenshot", &Value::Null).unwrap();
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.say("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}
