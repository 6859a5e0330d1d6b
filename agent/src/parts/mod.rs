//! Declared parts: what is known of them, and what is done with them. One file for each family.
//!
//! Each act first finds out what it would do. With [`Mode::Rehearse`] it says so, and nothing is done; otherwise it does
//! just that. So a dry run tells the truth, and a repetition after a crash finds what is left to do.

mod backup;
mod balancer;
mod cache;
mod config_file;
mod instances;
mod machine;
mod memory;
mod process;
mod program;
mod redis;
mod releases;
mod setting;
mod standby;
mod stray;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::part::{Act, PartKind};
use prunella_model::{PartName, TargetName};

use crate::board::Board;
use crate::config::part::{PartConfig, What};
use crate::config::{AgentConfig, PartState};
use crate::services::Services;
use crate::snapshot::Snapshots;

pub(crate) use config_file::validate;

/// How often it is looked whether a part has changed: a release that somebody deploys must be known before it fails.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Parts whose look asks another program are looked at only every so many times.
const SELDOM: u32 = 12;

/// Whether something is done, or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is told what would be done, and nothing is.
    Rehearse,
    /// It is done.
    Act,
}

/// What is known of every part, and what they need in order to be acted on.
pub(crate) struct Parts {
    config: Arc<AgentConfig>,
    services: Arc<Services>,
    snapshots: Arc<Snapshots>,
    board: Arc<Board>,
    state_dir: PathBuf,
    states: Mutex<BTreeMap<(TargetName, PartKind, PartName), PartState>>,
    /// Rises with each change of what is known.
    version: AtomicU64,
}

/// One part and what belongs to it.
struct Context<'a> {
    target: &'a TargetName,
    part: &'a PartConfig,
    services: &'a Services,
    snapshots: &'a Arc<Snapshots>,
    config: &'a Arc<AgentConfig>,
    state_dir: &'a PathBuf,
    mode: Mode,
}

impl Parts {
    pub(crate) fn new(
        config: &Arc<AgentConfig>,
        services: &Arc<Services>,
        snapshots: &Arc<Snapshots>,
        board: &Arc<Board>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config: Arc::clone(config),
            services: Arc::clone(services),
            snapshots: Arc::clone(snapshots),
            board: Arc::clone(board),
            state_dir: config.state_dir.join("parts"),
            states: Mutex::default(),
            version: AtomicU64::new(0),
        })
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<(TargetName, PartKind, PartName), PartState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a part.
    pub(crate) fn state(&self, target: &TargetName, kind: PartKind, name: &PartName) -> PartState {
        self.states().get(&(target.clone(), kind, name.clone())).cloned().unwrap_or_default()
    }

    /// Rises whenever something else is known than before.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Looks at all parts for as long as the agent runs.
    pub(crate) async fn watch(self: Arc<Self>) {
        let names: Vec<TargetName> = std::iter::once(TargetName::host())
            .chain(self.config.targets.iter().map(|it| it.name.clone()))
            .filter(|it| !self.config.parts(it).is_empty())
            .collect();
        if names.is_empty() {
            return;
        }
        for round in 0u32.. {
            tokio::time::sleep(LOOK_EVERY).await;
            for target in &names {
                self.look(target, round.is_multiple_of(SELDOM)).await;
            }
        }
    }

    /// Looks at the parts of all targets once.
    pub(crate) async fn look_at_all(&self) {
        self.look(&TargetName::host(), true).await;
        for target in &self.config.targets {
            self.look(&target.name, true).await;
        }
    }

    /// Looks at the parts of one target; at those that are costly to look at only when `all` says so.
    pub(crate) async fn look(&self, target: &TargetName, all: bool) {
        for part in self.config.parts(target) {
            let seen = match &part.what {
                What::Releases(it) => {
                    let well = self.board.well_since(target).map(|since| since.elapsed());
                    releases::look(it, &self.state_dir, target, &part.name, well)
                }
                What::Weight { knob, .. } => {
                    PartState { now: setting::weight(knob, self.services.pid(target)), ..PartState::default() }
                }
                What::Sysctl { path, .. } => PartState { now: setting::number(path), ..PartState::default() },
                What::Balancer { socket, server, .. } if all => {
                    PartState { now: balancer::weight(socket, server).await, ..PartState::default() }
                }
                What::Instances { template, systemctl, .. } if all => {
                    PartState { now: instances::count(template, systemctl).await, ..PartState::default() }
                }
                What::Stray(rule) => {
                    let pid = self.services.pid(target);
                    PartState { spare: stray::count(rule, pid).await, ..PartState::default() }
                }
                What::Cache(cache) if all => PartState { now: cache::used(cache).await, ..PartState::default() },
                What::Balancer { .. }
                | What::Instances { .. }
                | What::Reload(_)
                | What::Connections(_)
                | What::Program { .. }
                | What::Cache(_)
                | What::Config(_)
                | What::Memory(_)
                | What::Store { .. }
                | What::Certificate { .. }
                | What::Standby { .. }
                | What::Backup(_)
                | What::Machine(_) => continue,
            };
            let key = (target.clone(), part.what.kind(), part.name.clone());
            if self.states().insert(key, seen.clone()).as_ref() != Some(&seen) {
                self.version.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Does with a part what its kind can do, or tells what would be done; says in a line what it was.
    ///
    /// # Errors
    /// Why it was not done, or not to its end.
    pub(crate) async fn carry_out(
        &self,
        target: &TargetName,
        name: &PartName,
        act: &Act,
        mode: Mode,
    ) -> Result<String, String> {
        let kind = act.kind().spec().part.ok_or("this kind of step acts on no declared part")?;
        let part = self.config.part(target, kind, name);
        let part = part.ok_or_else(|| format!("agent.toml names no {} {name} of target {target}", kind.as_str()))?;
        let context = Context {
            target,
            part,
            services: &self.services,
            snapshots: &self.snapshots,
            config: &self.config,
            state_dir: &self.state_dir,
            mode,
        };
        let done = carry_out(&context, act).await;
        if mode == Mode::Act {
            self.look(target, true).await;
        }
        done
    }
}

async fn carry_out(it: &Context<'_>, act: &Act) -> Result<String, String> {
    let limit = it.part.limit;
    match &it.part.what {
        What::Reload(way) | What::Connections(way) => program::way(it, way, limit).await,
        What::Program { run, .. } => program::declared(run, limit, it.mode).await,
        What::Cache(cache) => cache::act(cache, act, limit, it.mode).await,
        What::Config(file) => config_file::act(it, file, act).await,
        What::Stray(rule) => stray::end(it, rule).await,
        What::Memory(memory) => memory::free(memory, it.mode).await,
        What::Store { collect, optimize } => {
            let program = if *act == Act::CollectGarbage { collect } else { optimize };
            let program = program.as_ref().ok_or("it has no program for that")?;
            program::declared(program, limit, it.mode).await
        }
        What::Releases(releases) => releases::act(it, releases, act).await,
        What::Weight { knob, bounds } => setting::turn(knob, *bounds, it.services.pid(it.target), act, it.mode).await,
        What::Sysctl { path, bounds } => setting::write(path, *bounds, act, it.mode),
        What::Balancer { socket, server, bounds } => balancer::act(socket, server, *bounds, act, it.mode).await,
        What::Instances { template, systemctl, bounds } => {
            instances::scale(template, systemctl, *bounds, act, limit, it.mode).await
        }
        What::Certificate { path, renew } => program::renew(it, path, renew, limit).await,
        What::Standby { data_dir, promote } => standby::promote(data_dir, promote, limit, it.mode).await,
        What::Backup(backup) => backup::make(backup, it.mode).await,
        What::Machine(machine) => {
            if it.mode == Mode::Act {
                emergency(it).await;
            }
            machine::act(machine, act, it.state_dir, limit, it.mode).await
        }
    }
}

/// Keeps every declared file before the host is taken away. That nothing could be kept is no reason to leave it up.
async fn emergency(it: &Context<'_>) {
    let (snapshots, config) = (Arc::clone(it.snapshots), Arc::clone(it.config));
    let taking = move || snapshots.take(&config, None, prunella_model::snapshot::SnapshotKind::Emergency).map(drop);
    if let Err(why) = blocking(taking).await {
        tracing::warn!(target: "prunella::snapshot", %why, "no emergency snapshot");
    }
}

/// What an act says: what would be done, or what was.
fn told(mode: Mode, would: impl FnOnce() -> String) -> Option<String> {
    (mode == Mode::Rehearse).then(|| format!("would {}", would()))
}

/// Does something that waits for the disk, without keeping the agent from everything else.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "the work was broken off: the agent is stopping".to_owned())?
}

/// A value within its bounds. The ward has compared them already; a value that reaches a host is compared where it counts.
fn bounded(act: &Act, bounds: crate::config::part::Bounds) -> Result<i64, String> {
    let value = act.value().ok_or("no value was given")?;
    if (bounds.least..=bounds.most).contains(&value) {
        return Ok(value);
    }
    Err(format!("{value} is outside {} to {}, which agent.toml permits", bounds.least, bounds.most))
}

#[cfg(test)]
mod tests;
