//! What these tests share: the program under test, a lab of real processes, and waiting with a deadline.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use prunella::lab::{Lab, Plan, Service};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::LocalSet;

/// How long anything may take. Generous: a debug build on a busy machine is slow, and what is late is still wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often something is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_prunella-under-test"))
}

/// A command of the program under test.
pub(crate) fn prunella(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_remove("PRUNELLA_DIR");
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    prunella(args).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a test with a lab of one service, and ends every process afterwards.
pub(crate) fn with_lab<F: AsyncFnOnce(&mut Lab, Service)>(test: F) {
    with_lab_of(Plan::new(program()), test);
}

/// The same with a lab as it is planned.
pub(crate) fn with_lab_of<F: AsyncFnOnce(&mut Lab, Service)>(plan: Plan, test: F) {
    let dir = TempDir::new().unwrap();
    let _logs = LogsOnPanic(dir.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut lab = Lab::start(dir.path(), plan).await.unwrap();
        lab.records.follow(|_| {}).await.unwrap();
        let service = lab.services[0].clone();
        test(&mut lab, service).await;
        lab.fleet.end();
    });
    assert_eq!(processes_of(dir.path()), Vec::<String>::new(), "processes were left behind");
}

/// Shows what the processes said when a test fails: their directory is gone afterwards.
struct LogsOnPanic(PathBuf);

impl Drop for LogsOnPanic {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|it| it == "log") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                eprintln!("=== {}\n{text}", entry.path().display());
            }
        }
    }
}

/// Waits until `look` says so; fails with `what` at the deadline.
pub(crate) async fn wait(what: &str, look: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The same without a runtime.
pub(crate) fn wait_blocking(what: &str, look: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Kills the service's latest run as a crash would.
pub(crate) fn kill(service: &Service, signal: Signal) {
    let run = service.run().expect("the service runs");
    kill_process(Pid::from_raw(run.pid).unwrap(), signal).unwrap();
}

/// The command lines of all processes that name `dir`: everything that a fleet in it has started.
pub(crate) fn processes_of(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|it| it.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|it| it.file_name().to_string_lossy() != own)
        .filter_map(|it| std::fs::read(it.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&dir))
        .collect()
}
