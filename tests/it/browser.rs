//! The dashboard in a real browser, on a fleet that lives: what a person clicks, types and sees.

mod driver;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use driver::Browser;
use prunella::lab::{Lab, Plan, Service};
use prunella_server::config::HttpListen;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{kill, program, run, stderr, with_lab_of};

const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// Every place of the dashboard.
const PLACES: [&str; 12] = [
    "/",
    "/ui/incidents",
    "/ui/hosts",
    "/ui/topology",
    "/ui/knowledge",
    "/ui/brakes",
    "/ui/policy",
    "/ui/events",
    "/ui/diagnostics",
    "/ui/snapshots",
    "/ui/snapshots?host=lab-1",
    "/ui/audit",
];

/// A window of a desk, and one of a phone.
const DESK: (u32, u32) = (1_100, 760);
const PHONE: (u32, u32) = (390, 844);

/// The largest picture that the repository keeps, in bytes.
const PICTURE_MAX: usize = 120_000;

/// One browser at a time: two drivers that look for a free port at the same moment may find the same.
static TURN: Mutex<()> = Mutex::new(());

/// A fleet with a dashboard, and a browser that has logged in by a link.
fn with_browser(test: impl FnOnce(&Lab, &Service, &Browser, &str)) {
    let Some(programs) = driver::installed() else {
        eprintln!("SKIPPED: the dashboard was not tried in a browser: chromium and chromedriver are not installed");
        return;
    };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let door = HttpListen::At(([127, 0, 0, 1], 0).into());
    with_lab_of(Plan { door, ..Plan::new(program()) }, async |lab, service| {
        let dir = lab.fleet.dir().path().to_owned();
        let browser = Browser::start(&programs, dir.parent().unwrap());
        browser.size(DESK.0, DESK.1, false);
        let link = json(&dir, &["dashboard", "-o", "json"]).await["url"].as_str().unwrap().to_owned();
        let home = link.split("/login").next().unwrap().to_owned();
        browser.open(&link);
        assert_eq!(browser.url(), format!("{home}/"));
        test(lab, &service, &browser, &home);
        assert_eq!(browser.errors(), Vec::<Value>::new(), "the console holds no error");
        browser.open(&link);
        browser.wait_for("This link was used already");
        drop(browser);
    });
}

/// What a command of the program prints as JSON.
async fn json(dir: &Path, args: &[&str]) -> Value {
    let dir = dir.display().to_string();
    let args: Vec<String> = ["--dir", &dir].into_iter().chain(args.iter().copied()).map(str::to_owned).collect();
    let ran = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(ran).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What somebody else asks of the fleet meanwhile.
fn elsewhere(lab: &Lab, args: &[&str]) {
    let dir = lab.fleet.dir().path().display().to_string();
    let output = run(&[&["--dir", &dir], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
}

/// From now on it is seen whether the page was loaded again.
fn mark(browser: &Browser) {
    browser.script("window.sameLoad = true");
}

fn same_load(browser: &Browser) -> bool {
    browser.script("return window.sameLoad === true") == Value::Bool(true)
}

fn pause(browser: &Browser, why: &str) {
    browser.fill("form[action='/ui/act/pause'] input[name=why]", why);
    browser.click("form[action='/ui/act/pause'] button");
    browser.wait_for("by admin, ");
    browser.wait_for(why);
}

fn resume(browser: &Browser) {
    browser.click("form[action='/ui/act/resume'] button");
    browser.wait("the pause is over", || !browser.text().contains("Paused:"));
}

/// Writes a picture for the documents, where that is asked for.
fn picture(browser: &Browser, name: &str) {
    let png = browser.picture();
    assert!(png.starts_with(b"\x89PNG"), "{name} is a picture");
    if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
        assert!(png.len() <= PICTURE_MAX, "{name} has {} bytes", png.len());
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img");
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join(name), png).unwrap();
    }
}

#[test]
fn an_incident_is_followed_live_through_a_pause_and_cancelled() {
    with_browser(|lab, service, browser, home| {
        // Under a pause, a fault is seen and nothing is done about it.
        pause(browser, "moving racks");
        mark(browser);
        kill(service, Signal::KILL);
        browser.wait_for("held back by pause");
        picture(browser, "overview.png");
        browser.click("a[href^='/ui/incidents/']");
        browser.wait_for("What was done");
        assert!(!same_load(browser), "that is another page");
        mark(browser);
        browser.wait_for("admin paused the fleet: moving racks");
        // Somebody resumes elsewhere: this page tells the rest of the story by itself.
        elsewhere(lab, &["resume"]);
        browser.wait_for("start_service");
        browser.wait_for("recovered");
        browser.wait("it is verified", || browser.text().contains("VERIFY"));
        assert!(same_load(browser), "nobody loaded the page again");
        picture(browser, "incident.png");
        // The next one is cancelled before anything is done.
        browser.open(&format!("{home}/"));
        pause(browser, "a second look");
        let before = service.runs().len();
        kill(service, Signal::KILL);
        browser.wait_for("held back by pause: admin paused the fleet: a second look");
        browser.click("a[href^='/ui/incidents/']");
        browser.fill("form[action='/ui/act/cancel'] input[name=why]", "I do it myself");
        browser.click("form[action='/ui/act/cancel'] button");
        browser.wait_for("It is over: cancelled");
        browser.open(&format!("{home}/"));
        resume(browser);
        assert_eq!(service.runs().len(), before, "nothing was started after the cancelling");
    });
}

#[test]
fn the_mode_is_changed_and_every_place_reads_on_a_phone() {
    with_browser(|_, _, browser, home| {
        browser.click("form[action='/ui/act/mode'] option[value=conservative]");
        browser.fill("form[action='/ui/act/mode'] input[name=why]", "the audit is today");
        browser.click("form[action='/ui/act/mode'] button");
        browser.wait_for("Mode conservative");
        pause(browser, "one");
        resume(browser);
        for phone in [false, true] {
            let (width, height) = if phone { PHONE } else { DESK };
            browser.size(width, height, phone);
            for place in PLACES {
                browser.open(&format!("{home}{place}"));
                let wide = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
                assert!(wide.as_i64().unwrap() <= 0, "{place} is {wide} pixels too wide for {width}");
                let named = browser.script("return document.querySelectorAll('h1').length");
                assert_eq!(named, 1, "{place} has one heading");
                let bare = "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]\
                     .filter((it) => !it.labels.length && !it.ariaLabel).map((it) => it.name)";
                assert_eq!(browser.script(bare), Value::Array(Vec::new()), "{place}: every field has a label");
                assert_eq!(browser.errors(), Vec::<Value>::new(), "{place}");
            }
        }
        browser.open(&format!("{home}/"));
        picture(browser, "phone.png");
    });
}

#[test]
fn the_keyboard_reaches_everything_in_the_order_of_the_page() {
    with_browser(|_, _, browser, home| {
        browser.open(&format!("{home}/"));
        let all = "return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')]\
             .filter((it) => it.checkVisibility() || it.matches('.skip')).map((it) => it.outerHTML)";
        let expected = browser.script(all);
        let expected = expected.as_array().unwrap();
        assert!(expected.len() > 15, "{expected:?}");
        let focus = "const it = document.activeElement; \
             return [it.outerHTML, getComputedStyle(it).outlineStyle, it.getBoundingClientRect().width]";
        for (place, wanted) in expected.iter().enumerate() {
            browser.press(TAB);
            let found = browser.script(focus);
            assert_eq!(&found[0], wanted, "the stop {place}");
            assert_ne!(found[1], "none", "where the focus is can be seen: {wanted}");
            assert!(found[2].as_f64().unwrap() > 0.0, "what has the focus is in sight: {wanted}");
        }
        // The first stop leads past the navigation.
        browser.open(&format!("{home}/"));
        browser.press(TAB);
        browser.press(ENTER);
        assert_eq!(browser.script("return document.activeElement.id"), "main");
    });
}
