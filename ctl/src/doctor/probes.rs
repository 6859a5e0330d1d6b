//! Every probe of an `agent.toml`, each once, without an agent and without touching what it supervises.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prunella_agent::config::{AgentConfig, ManagerConfig, Subject};
use prunella_agent::senses::Senses;
use prunella_model::observation::{Finding, Observation, Status};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::{Check, Grade, host};

/// How long a probe may take beyond its own time to answer: names are looked up, directories are walked.
const SLACK: Duration = Duration::from_secs(2);

/// How often it is looked whether all have an answer.
const LOOK: Duration = Duration::from_millis(20);

/// What is seen is read from the board; the channel only must not fill up.
const SENSED: usize = 1_024;

/// Checks the file and runs its probes.
pub(super) fn checks(path: &Path) -> anyhow::Result<Vec<Check>> {
    let mut config = match AgentConfig::load(path) {
        Ok(config) => config,
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::new(error));
            return Ok(vec![Check::new(Grade::Unfit, "agent.toml", why)]);
        }
    };
    let mut checks =
        vec![Check::new(Grade::Good, "agent.toml", format!("host {}, {} targets", config.host, config.targets.len()))];
    let near = config.state_dir.ancestors().find(|it| it.is_dir());
    checks.push(host::disk_of(near.unwrap_or(Path::new("/"))));
    checks.extend(leave_to_the_agent(&mut config));
    let probes = || config.host_probes.iter().chain(config.targets.iter().flat_map(|it| &it.probes));
    let (wanted, patience) = (probes().count(), probes().map(|it| it.timeout).max().unwrap_or_default());
    let scratch = Scratch::new()?;
    config.state_dir = scratch.0.clone();
    let seen =
        crate::block_on(LocalSet::new().run_until(look_once(Arc::new(config.clone()), wanted, patience + SLACK)))?;
    let host = prunella_model::TargetName::host();
    let of_host = config.host_probes.iter().skip(1).map(|probe| (&host, probe));
    let of_targets = config.targets.iter().flat_map(|target| target.probes.iter().map(move |it| (&target.name, it)));
    for (target, probe) in of_host.chain(of_targets) {
        let what = format!("{target}: {}", probe.name);
        let found = seen.iter().find(|it| it.target == *target && it.probe == probe.name);
        checks.push(match found {
            Some(found) => graded(&what, found),
            None => Check::new(Grade::Limited, &what, "no verdict in time"),
        });
    }
    Ok(checks)
}

/// Processes that only their agent, as their parent, can see are left out, and nothing is started.
fn leave_to_the_agent(config: &mut AgentConfig) -> Vec<Check> {
    let mut left = Vec::new();
    for target in &mut config.targets {
        if let ManagerConfig::Command(command) = &target.manager {
            let program = command.start.first().cloned().unwrap_or_default();
            left.push(program_check(&format!("{}: start", target.name), &program));
            target.manager = ManagerConfig::None;
            target.probes.retain(|it| !matches!(it.subject, Subject::Process));
        }
    }
    left
}

fn program_check(what: &str, program: &str) -> Check {
    let found = if program.contains('/') {
        Path::new(program).is_file()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    };
    if found {
        Check::new(Grade::Good, what, program)
    } else {
        Check::new(Grade::Unfit, what, format!("{program} does not exist"))
    }
}

async fn look_once(config: Arc<AgentConfig>, wanted: usize, patience: Duration) -> anyhow::Result<Vec<Observation>> {
    let (sensed, mut seen) = mpsc::channel(SENSED);
    let senses = Senses::start(config, sensed).await?;
    let deadline = Instant::now() + patience;
    let mut observations = Vec::new();
    while Instant::now() < deadline {
        while seen.try_recv().is_ok() {}
        observations = senses.full().observations;
        if observations.len() >= wanted {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    senses.close().await;
    Ok(observations)
}

fn graded(what: &str, seen: &Observation) -> Check {
    let found = match &seen.finding {
        // Only an agent keeps known-good content; here the file can at least be read.
        Finding::FileChanged { sha256: Some(sha256), known_good: None } => {
            return Check::new(Grade::Good, what, format!("readable, sha256 {sha256}"));
        }
        Finding::FileChanged { sha256: None, .. } => "the file is missing".to_owned(),
        Finding::Answered { latency } => format!("answered in {:.1} ms", latency.as_secs_f64() * 1e3),
        Finding::BadAnswer { code: Some(code), why } => format!("answered {code}: {why}"),
        Finding::BadAnswer { code: None, why } => format!("bad answer: {why}"),
        Finding::NoAnswer { waited } => format!("no answer within {} ms", waited.as_millis()),
        Finding::Unreachable { why } => format!("cannot be reached: {why}"),
        Finding::DirectoryUse { used_bytes, quota_bytes } => format!("{used_bytes} of {quota_bytes} bytes"),
        Finding::ProbeBroken { why } => format!("the probe cannot look: {why}"),
        Finding::Running { pid, .. } => format!("runs as process {pid}"),
        Finding::NotRunning => "not running".to_owned(),
        Finding::StoppedOnPurpose => "stopped on purpose".to_owned(),
        Finding::Exited { code, signal, .. } => format!("ended: code {code:?}, signal {signal:?}"),
        Finding::LinesMatched { count, .. } => format!("{count} lines"),
        Finding::FileAsKnown { .. } => "as known".to_owned(),
        Finding::FileChanged { .. } => "differs from its known-good content".to_owned(),
        Finding::HostRead => "read".to_owned(),
        Finding::Checked { text, .. } => text.clone(),
    };
    let grade = match seen.status {
        Status::Up => Grade::Good,
        Status::Down | Status::Unknown => Grade::Limited,
    };
    Check::new(grade, what, found)
}

/// A state directory for one look, removed afterwards.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        crate::demo::fresh_directory("prunella-doctor").map(Self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
