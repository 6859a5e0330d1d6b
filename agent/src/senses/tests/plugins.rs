//! Check programs: scripts made here, and those of Debian's `monitoring-plugins-basic` where they are installed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

const PLUGINS: &str = "/usr/lib/nagios/plugins";

/// Runs a script once as a plugin.
async fn run(script: &str, more: &str) -> Observation {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), script);
    lab(dir.path(), &path, more).await.next("plugin").await
}

fn written(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("check");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn lab(dir: &Path, program: &Path, more: &str) -> Lab {
    let program = program.display();
    let keys = format!(
        "[[target.probe]]\nname = \"plugin\"\nkind = \"plugin\"\nprogram = \"{program}\"\ninterval = \"1d\"\n{more}"
    );
    Lab::new(dir, &keys).await
}

fn broken(seen: &Observation) -> &str {
    match &seen.finding {
        Finding::ProbeBroken { why } if seen.status == Status::Unknown => why,
        other => panic!("not a broken probe: {:?} {other:?}", seen.status),
    }
}

#[tokio::test]
async fn exit_codes_are_verdicts() {
    for (code, more, status, level) in [
        (0, "", Status::Up, Level::Good),
        (1, "", Status::Up, Level::Warning),
        (1, "warning = \"down\"", Status::Down, Level::Critical),
        (1, "warning = \"unknown\"", Status::Unknown, Level::Warning),
        (2, "", Status::Down, Level::Critical),
        (3, "", Status::Unknown, Level::Warning),
        (3, "unknown = \"down\"", Status::Down, Level::Critical),
    ] {
        let seen = run(&format!("echo 'STATE - text | a=1'; exit {code}"), more).await;
        let expected = Finding::Checked { level, text: "STATE - text".to_owned() };
        assert_eq!((seen.status, seen.finding), (status, expected), "exit {code} {more}");
        assert_eq!(seen.kind, ProbeKind::Plugin);
    }
}

#[tokio::test]
async fn bad_output_is_a_fault_of_the_probe() {
    let mute = run("echo 'syntax error' >&2; exit 2", "").await;
    assert!(broken(&mute).ends_with("said nothing: syntax error"), "{}", broken(&mute));
    let strange = run("echo fine; exit 7", "").await;
    assert!(broken(&strange).ends_with("ended with exit 7, which is no verdict"), "{}", broken(&strange));
    let killed = run("echo fine; kill -9 $$", "").await;
    assert!(broken(&killed).contains("signal: 9"), "{}", broken(&killed));
    let endless = run("while :; do echo 'much too much text to be a verdict of any kind at all'; done", "").await;
    assert!(
        broken(&endless).contains("signal: 13") || broken(&endless).contains("said more than"),
        "{}",
        broken(&endless)
    );
    let dir = tempfile::tempdir().unwrap();
    let gone = lab(dir.path(), &dir.path().join("gone"), "").await.next("plugin").await;
    assert!(broken(&gone).contains("cannot be run: No such file"), "{}", broken(&gone));
    let whose = run("echo fine", "user = \"no-such-user-here\"").await;
    assert!(broken(&whose).contains("is not known here"), "{}", broken(&whose));
}

#[tokio::test]
async fn a_program_that_others_can_change_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "echo fine");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let seen = lab(dir.path(), &path, "").await.next("plugin").await;
    assert!(broken(&seen).contains("can be changed by others"), "{}", broken(&seen));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let seen = lab(dir.path(), &path, "").await.next("plugin").await;
    assert!(broken(&seen).contains("which others can write"), "{}", broken(&seen));
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "sleep 1000 & echo $! > child; echo $$ > own; wait");
    let script =
        fs::read_to_string(&path).unwrap().replace("#!/bin/sh\n", &format!("#!/bin/sh\ncd {}\n", dir.path().display()));
    fs::write(&path, script).unwrap();
    let seen = lab(dir.path(), &path, "timeout = \"300ms\"").await.next("plugin").await;
    assert!(broken(&seen).ends_with("was killed: it took longer than 300ms"), "{}", broken(&seen));
    let left = |name: &str| {
        let pid = fs::read_to_string(dir.path().join(name)).unwrap();
        crate::probes::process::Stat::of(pid.trim().parse().unwrap()).is_some_and(|it| !it.ended)
    };
    let gone = async {
        // The kernel ends them soon after the signal, but not within the call that sends it.
        while left("child") || left("own") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, gone).await.expect("it left a process behind");
}

#[tokio::test]
async fn performance_data_becomes_series_that_are_named_when_they_are_first_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "echo \"OK | 'used space'=12MB;80;90 load=0.5\"");
    let mut lab = lab(dir.path(), &path, "").await;
    let named = async {
        loop {
            if let Sensed::Measured { series, samples, .. } = lab.seen.recv().await.unwrap()
                && let Some(used) = series.iter().find(|it| it.metric.as_str() == "plugin.used_space_bytes")
            {
                return samples.iter().find(|it| it.series == used.number).unwrap().value;
            }
        }
    };
    let value = timeout(SOON, named).await.unwrap();
    assert!((value - 12.0 * 1024.0 * 1024.0).abs() < 1.0);
    let names: Vec<_> = lab.senses.full().series.into_iter().map(|it| it.metric.to_string()).collect();
    assert!(names.contains(&"plugin.load".to_owned()), "{names:?}");
}

#[tokio::test]
async fn real_plugins_are_understood() {
    if !Path::new(PLUGINS).join("check_load").exists() {
        eprintln!("SKIPPED: {PLUGINS} has no plugins; install monitoring-plugins-basic");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    let user = if root { "user = \"nobody\"" } else { "" };
    let mut load = lab(
        dir.path(),
        &Path::new(PLUGINS).join("check_load"),
        &format!("args = [\"-w\", \"1e6,1e6,1e6\", \"-c\", \"2e6,2e6,2e6\"]\n{user}"),
    )
    .await;
    let seen = load.next("plugin").await;
    let Finding::Checked { level: Level::Good, text } = &seen.finding else { panic!("{seen:?}") };
    assert!(text.to_ascii_uppercase().contains("OK"), "{text}");
    load.senses.probe_now(None);
    load.next("plugin").await;
    let names: Vec<_> = load.senses.full().series.into_iter().map(|it| it.metric.to_string()).collect();
    assert!(names.contains(&"plugin.load1".to_owned()), "{names:?}");
    let full = lab(
        dir.path(),
        &Path::new(PLUGINS).join("check_disk"),
        "args = [\"-w\", \"100%\", \"-c\", \"100%\", \"-p\", \"/\"]",
    )
    .await
    .next("plugin")
    .await;
    assert_eq!(full.status, Status::Down, "{full:?}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = lab(
        dir.path(),
        &Path::new(PLUGINS).join("check_tcp"),
        &format!("args = [\"-H\", \"127.0.0.1\", \"-p\", \"{free}\"]"),
    )
    .await
    .next("plugin")
    .await;
    assert_eq!(refused.status, Status::Down, "{refused:?}");
    let usage = lab(dir.path(), &Path::new(PLUGINS).join("check_tcp"), "").await.next("plugin").await;
    assert_eq!(usage.status, Status::Unknown, "wrong arguments say nothing of the target: {usage:?}");
}
