//! With real processes, on a runtime of one thread as in the agent.

use std::path::Path;
use std::process::{Command, Stdio};

use prunella_model::observation::{Observation, Status};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::senses::{Sensed, Senses};

const SOON: Duration = Duration::from_secs(10);

/// One agent's senses over one target `it`.
struct Lab {
    dir: tempfile::TempDir,
    target: TargetName,
    senses: Senses,
    seen: mpsc::Receiver<Sensed>,
}

fn config(dir: &Path, keys: &str) -> Arc<AgentConfig> {
    let text = format!("[[target]]\nname = \"it\"\nmanager = \"command\"\nstop_with_agent = true\n{keys}");
    Arc::new(AgentConfig::parse("agent.toml", &text, dir, "h1").unwrap())
}

async fn senses(dir: &Path, keys: &str) -> (Senses, mpsc::Receiver<Sensed>) {
    let (to, seen) = mpsc::channel(100);
    (Senses::start(config(dir, keys), to).await.unwrap(), seen)
}

impl Lab {
    async fn new(keys: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (senses, seen) = senses(dir.path(), keys).await;
        Self { dir, target: TargetName::new("it").unwrap(), senses, seen }
    }

    /// The next verdict of the process probe.
    async fn next(&mut self) -> Observation {
        let next = async {
            loop {
                match self.seen.recv().await.unwrap() {
                    Sensed::Seen(it) if it.target == self.target => return it,
                    Sensed::Seen(_) | Sensed::Measured { .. } | Sensed::Waits(_) => {}
                }
            }
        };
        timeout(SOON, next).await.expect("nothing was seen")
    }

    async fn running(&mut self) -> (Instance, u32) {
        match self.next().await.finding {
            Finding::Running { instance, pid } => (instance, pid),
            other => panic!("{other:?}"),
        }
    }

    fn services(&self) -> &Services {
        self.senses.services()
    }
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn alive(pid: u32) -> bool {
    crate::probes::process::Stat::of(pid).is_some_and(|it| !it.ended)
}

#[tokio::test]
async fn a_killed_service_is_seen_at_once_and_starts_anew() {
    let mut lab = Lab::new("start = [\"/bin/sleep\", \"1000\"]").await;
    let (instance, pid) = lab.running().await;
    kill("-KILL", pid);
    let seen = lab.next().await;
    assert_eq!(seen.status, Status::Down);
    let Finding::Exited { instance: ended, code, signal, ran } = seen.finding else { panic!("{seen:?}") };
    assert_eq!((&ended, code, signal, ran.is_some()), (&instance, None, Some(9), true));
    assert_eq!(lab.senses.facts().instance(&lab.target), Some(instance.clone()), "the latest run, though it has ended");
    let again = lab.services().restart(&lab.target, SOON).await.unwrap();
    assert_ne!(again, instance);
    assert_eq!(lab.running().await.0, again);
    assert_eq!(lab.services().start(&lab.target).await.unwrap(), again, "it runs already");
    lab.senses.close().await;
}

#[tokio::test]
async fn an_exit_code_is_told() {
    let mut lab = Lab::new("start = [\"/bin/sh\", \"-c\", \"exit 7\"]").await;
    lab.running().await;
    assert!(matches!(lab.next().await.finding, Finding::Exited { code: Some(7), signal: None, .. }));
}

#[tokio::test]
async fn a_restart_ends_a_hung_service_with_all_that_belongs_to_it() {
    let mut lab = Lab::new("start = [\"/bin/sh\", \"-c\", \"trap '' TERM; sleep 1000 & echo $! > child; wait\"]").await;
    let (_, pid) = lab.running().await;
    let noted = lab.dir.path().join("child");
    while !std::fs::read_to_string(&noted).is_ok_and(|it| it.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    let child: u32 = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
    kill("-STOP", pid);
    lab.services().restart(&lab.target, Duration::from_millis(50)).await.unwrap();
    assert!(!alive(pid) && !alive(child), "the child that would hold the port is gone as well");
    assert_eq!(lab.next().await.finding, Finding::StoppedOnPurpose, "an end that was asked for is no fault");
    lab.running().await;
    lab.senses.close().await;
}

#[tokio::test]
async fn a_stopped_service_ends_by_itself_when_it_can() {
    let mut lab = Lab::new("start = [\"/bin/sleep\", \"1000\"]").await;
    let (_, pid) = lab.running().await;
    kill("-STOP", pid);
    let begun = std::time::Instant::now();
    lab.services().stop(&lab.target, SOON).await.unwrap();
    assert!(begun.elapsed() < SOON / 2, "SIGCONT let it take the SIGTERM");
    assert_eq!(lab.next().await.finding, Finding::StoppedOnPurpose);
    lab.services().stop(&lab.target, SOON).await.unwrap();
}

#[tokio::test]
async fn the_next_agent_finds_the_run_of_the_one_before() {
    let keys = "start = [\"/bin/sleep\", \"1000\"]";
    let mut lab = Lab::new(keys).await;
    let (instance, pid) = lab.running().await;
    // A second one over the same state, as after a crash: the first is forgotten with its record only.
    let (second, _seen) = senses(lab.dir.path(), keys).await;
    assert_eq!(second.facts().instance(&lab.target), Some(instance.clone()));
    // And one that crashed before it noted the run.
    std::fs::remove_file(lab.dir.path().join("state/services/it.json")).unwrap();
    let (third, mut seen) = senses(lab.dir.path(), keys).await;
    assert_eq!(third.facts().instance(&lab.target), Some(instance.clone()));
    kill("-KILL", pid);
    let exited = async {
        loop {
            if let Sensed::Seen(Observation { finding: Finding::Exited { instance, signal, .. }, .. }) =
                seen.recv().await.unwrap()
            {
                return (instance, signal);
            }
        }
    };
    let (ended, signal) = timeout(SOON, exited).await.unwrap();
    assert_eq!((ended, signal), (instance.clone(), None), "how it ended only its parent learns");
    lab.next().await;
    // The run is known and dead: the server decides what happens, not the agent.
    let (fourth, _seen) = senses(lab.dir.path(), keys).await;
    assert_eq!((fourth.facts().instance(&lab.target), fourth.services().pid(&lab.target)), (Some(instance), None));
    for it in [second, third, fourth] {
        it.close().await;
    }
}

#[tokio::test]
async fn a_service_that_detaches_is_found_by_its_pid_file() {
    let mut lab =
        Lab::new("pid_file = \"it.pid\"\nstart = [\"/bin/sh\", \"-c\", \"setsid sleep 1000 & echo $! > it.pid\"]")
            .await;
    let (_, pid) = lab.running().await;
    assert!(alive(pid));
    kill("-KILL", pid);
    assert!(matches!(lab.next().await.finding, Finding::Exited { code: None, signal: None, .. }));
    lab.services().start(&lab.target).await.unwrap();
    let (_, again) = lab.running().await;
    assert_ne!(pid, again);
    lab.senses.close().await;
    assert!(!alive(again));
}

#[tokio::test]
async fn what_a_service_has_left_behind_is_not_taken_for_it() {
    let keys = "start = [\"/bin/sh\", \"-c\", \"setsid sleep 1000 & echo $! > helper; exec sleep 1000\"]";
    let mut lab = Lab::new(keys).await;
    let (instance, pid) = lab.running().await;
    let noted = lab.dir.path().join("helper");
    while !std::fs::read_to_string(&noted).is_ok_and(|it| it.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    let helper: u32 = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
    // So that the helper has begun later than the service by the kernel's clock, and leads its group.
    while crate::probes::process::Stat::of(helper).unwrap().group != helper {
        tokio::task::yield_now().await;
    }
    kill("-KILL", pid);
    assert!(matches!(lab.next().await.finding, Finding::Exited { .. }));
    let (next, _seen) = senses(lab.dir.path(), keys).await;
    assert_eq!((next.facts().instance(&lab.target), next.services().pid(&lab.target)), (Some(instance), None));
    kill("-KILL", helper);
    next.close().await;
}

#[tokio::test]
async fn a_pid_file_that_outlived_its_service_leads_to_nobody_elses_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = Command::new("/bin/sleep").arg("2000").stdout(Stdio::null()).spawn().unwrap();
    let path = dir.path().join("it.pid");
    std::fs::write(&path, other.id().to_string()).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    let keys =
        "pid_file = \"it.pid\"\nstart = [\"/bin/sh\", \"-c\", \"sleep 1; setsid sleep 1000 & echo $! > it.pid\"]";
    let (senses, seen) = senses(dir.path(), keys).await;
    let mut lab = Lab { dir, target: TargetName::new("it").unwrap(), senses, seen };
    let (_, pid) = lab.running().await;
    assert_ne!(pid, other.id(), "neither at the start, nor while the new file is waited for");
    lab.services().restart(&lab.target, Duration::from_millis(50)).await.unwrap();
    assert!(!alive(pid) && alive(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
    lab.senses.close().await;
}

#[tokio::test]
async fn how_an_agent_stands_to_a_process_is_not_more_after_its_restart() {
    let keys = "pid_file = \"it.pid\"\nstart_with_agent = false\nstart = [\"/bin/true\"]";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it.pid");
    // Somebody's own job: the service leads a group that holds more than the service.
    let script = format!("sleep 1000 & echo $! > sibling; echo $$ > {}; exec sleep 1000", file.display());
    let job = Command::new("setsid").args(["sh", "-c", &script]).current_dir(dir.path()).spawn();
    let mut job = job.unwrap();
    while !std::fs::read_to_string(&file).is_ok_and(|it| it.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    let sibling: u32 = std::fs::read_to_string(dir.path().join("sibling")).unwrap().trim().parse().unwrap();
    let (first, _seen) = senses(dir.path(), keys).await;
    let target = TargetName::new("it").unwrap();
    assert!(first.services().pid(&target).is_some());
    let (second, _seen) = senses(dir.path(), keys).await;
    assert!(second.services().pid(&target).is_some());
    let stop = second.services().stop(&target, Duration::from_millis(50));
    let (stopped, _) = tokio::join!(stop, tokio::task::spawn_blocking(move || job.wait()));
    stopped.unwrap();
    assert!(alive(sibling), "a stranger's group is left alone by the next agent too");
    kill("-KILL", sibling);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_and_not_a_stop_on_purpose() {
    let mut lab = Lab::new("start = [\"/nowhere/at/all\"]").await;
    assert_eq!(lab.next().await.finding, Finding::NotRunning);
    let error = lab.services().restart(&lab.target, SOON).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot run /nowhere/at/all"), "{error}");
    assert_eq!(
        lab.senses.facts().status(&lab.target, &prunella_model::ProbeName::new("process").unwrap()),
        Some(Status::Down)
    );
}

#[tokio::test]
async fn without_a_system_bus_a_unit_is_unclear_and_not_down() {
    if Path::new("/run/dbus/system_bus_socket").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = "[[target]]\nname = \"it\"\nmanager = \"systemd\"\nunit = \"it.service\"";
    let config = Arc::new(AgentConfig::parse("agent.toml", text, dir.path(), "h1").unwrap());
    let (to, seen) = mpsc::channel(100);
    let senses = Senses::start(config, to).await.unwrap();
    let mut lab = Lab { dir, target: TargetName::new("it").unwrap(), senses, seen };
    let seen = lab.next().await;
    let Finding::ProbeBroken { why } = seen.finding else { panic!("{seen:?}") };
    assert!(
        seen.status == Status::Unknown && why.starts_with("systemd cannot be reached on the system bus: "),
        "{why}"
    );
    assert!(matches!(lab.services().restart(&lab.target, SOON).await, Err(ServiceError::Bus { .. })));
}
