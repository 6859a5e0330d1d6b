//! The services of this host: what starts and stops them, and which run of each is the latest.

mod command;
mod pid_file;
mod record;
mod run;
mod systemd;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::TargetName;
use prunella_model::observation::{Finding, Instance};
use prunella_model::step::Signal;

use crate::board::{Board, Look, Slot};
use crate::config::{AgentConfig, ManagerConfig};

use command::CommandService;
use systemd::SystemdService;

/// Why a service could not be started, stopped or signalled.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The target has no manager.
    #[error("{target} has no manager in agent.toml, so nothing can start or stop it")]
    Unmanaged {
        /// The target.
        target: TargetName,
    },
    /// The program cannot be run.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The process ran, but could not be taken hold of.
    #[error("process {pid} cannot be watched: {source}")]
    Watch {
        /// Its id.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// A service that detaches did not say where it is.
    #[error("{program} left no living process in {pid_file} within {} s", within.as_secs())]
    NoPidFile {
        /// The program.
        program: String,
        /// The file.
        pid_file: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// A service that detaches named a process that is not surely its own.
    #[error("{program} was started, but {why}")]
    ForeignPid {
        /// The program.
        program: String,
        /// What speaks against the process.
        why: String,
    },
    /// A process that does not even end when killed: it waits in the kernel.
    #[error("process {pid} did not end {} s after SIGKILL: it waits in the kernel, often for a disk", within.as_secs())]
    Unkillable {
        /// Its id.
        pid: u32,
        /// How long it was waited for.
        within: Duration,
    },
    /// There is no process to signal.
    #[error("{target} has no running process")]
    NotRunning {
        /// The target.
        target: TargetName,
    },
    /// The signal could not be sent.
    #[error("process {pid} cannot be signalled: {source}")]
    Signal {
        /// Its id.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// systemd could not be reached.
    #[error("systemd cannot be reached on the system bus: {why}")]
    Bus {
        /// What the bus said.
        why: String,
    },
    /// systemd did not do it.
    #[error("systemd did not {verb} {unit}: {why}")]
    Unit {
        /// What it was asked for.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// What it said.
        why: String,
    },
}

/// The latest that is known of a target's run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    /// No run of it is known.
    NeverSeen,
    /// It runs.
    Running { instance: Instance, pid: u32 },
    /// It ended, and nobody asked it to.
    Ended { instance: Instance, code: Option<i32>, signal: Option<i32>, ran: Option<Duration> },
    /// It was stopped on purpose.
    Stopped { instance: Option<Instance> },
    /// It cannot be told.
    Unclear { why: String },
}

impl Life {
    fn instance(&self) -> Option<&Instance> {
        match self {
            Self::NeverSeen | Self::Unclear { .. } => None,
            Self::Running { instance, .. } | Self::Ended { instance, .. } => Some(instance),
            Self::Stopped { instance } => instance.as_ref(),
        }
    }

    fn look(&self) -> Look {
        match self {
            Self::NeverSeen => Look::down(Finding::NotRunning),
            Self::Running { instance, pid } => Look::up(Finding::Running { instance: instance.clone(), pid: *pid }),
            Self::Ended { instance, code, signal, ran } => {
                let instance = instance.clone();
                Look::down(Finding::Exited { instance, code: *code, signal: *signal, ran: *ran })
            }
            Self::Stopped { .. } => Look::down(Finding::StoppedOnPurpose),
            Self::Unclear { why } => Look::broken(why.clone()),
        }
    }
}

enum Service {
    Command(Arc<CommandService>),
    Systemd(Arc<SystemdService>),
}

/// The files that services of this host write their output to.
pub(crate) fn outputs(config: &AgentConfig) -> Vec<std::path::PathBuf> {
    let output = |target: &crate::config::TargetConfig| match &target.manager {
        ManagerConfig::Command(command) => command.output.clone(),
        ManagerConfig::None | ManagerConfig::Systemd { .. } => None,
    };
    config.targets.iter().filter_map(output).collect()
}

/// All services of this host.
pub(crate) struct Services {
    services: BTreeMap<TargetName, Service>,
}

impl Services {
    pub(crate) fn new(config: &AgentConfig, board: &Arc<Board>, slots: &BTreeMap<TargetName, Slot>) -> Self {
        let mut services = BTreeMap::new();
        for target in &config.targets {
            let Some(slot) = slots.get(&target.name) else { continue };
            let board = Arc::clone(board);
            let service = match &target.manager {
                ManagerConfig::None => continue,
                ManagerConfig::Command(command) => {
                    Service::Command(CommandService::new(&target.name, command, &config.state_dir, board, *slot))
                }
                ManagerConfig::Systemd { unit } => Service::Systemd(SystemdService::new(unit, board, *slot)),
            };
            services.insert(target.name.clone(), service);
        }
        Self { services }
    }

    /// No services: the other half of the agent has them.
    pub(crate) fn none() -> Self {
        Self { services: BTreeMap::new() }
    }

    /// Takes hold of services that run already, and starts those that shall start with the agent.
    pub(crate) async fn begin(&self) {
        for service in self.services.values() {
            match service {
                Service::Command(it) => it.begin().await,
                Service::Systemd(it) => it.begin(),
            }
        }
    }

    /// Stops the services that shall stop with the agent, all at the same time.
    pub(crate) async fn end(&self) {
        let mut stops = tokio::task::JoinSet::new();
        for service in self.services.values() {
            match service {
                Service::Command(it) => {
                    let it = Arc::clone(it);
                    stops.spawn(async move { it.end().await });
                }
                // systemd keeps its own.
                Service::Systemd(_) => {}
            }
        }
        while stops.join_next().await.is_some() {}
    }

    fn service(&self, target: &TargetName) -> Result<&Service, ServiceError> {
        self.services.get(target).ok_or_else(|| ServiceError::Unmanaged { target: target.clone() })
    }

    fn life(&self, target: &TargetName) -> Option<Life> {
        Some(match self.services.get(target)? {
            Service::Command(it) => it.life(),
            Service::Systemd(it) => it.life(),
        })
    }

    /// The latest run, alive or ended.
    pub(crate) fn instance(&self, target: &TargetName) -> Option<Instance> {
        self.life(target).and_then(|it| it.instance().cloned())
    }

    /// The main process, if it runs.
    pub(crate) fn pid(&self, target: &TargetName) -> Option<u32> {
        match self.life(target)? {
            Life::Running { pid, .. } => Some(pid),
            Life::NeverSeen | Life::Ended { .. } | Life::Stopped { .. } | Life::Unclear { .. } => None,
        }
    }

    /// What is known now; none before anything is.
    pub(crate) fn seen(&self, target: &TargetName) -> Option<Look> {
        match self.services.get(target)? {
            Service::Command(it) => Some(it.look()),
            Service::Systemd(it) => it.look(),
        }
    }

    /// Starts the target; nothing happens when it runs.
    pub(crate) async fn start(&self, target: &TargetName) -> Result<Instance, ServiceError> {
        match self.service(target)? {
            Service::Command(it) => it.start().await,
            Service::Systemd(it) => it.start().await,
        }
    }

    /// Stops the target; nothing happens when it does not run.
    pub(crate) async fn stop(&self, target: &TargetName, grace: Duration) -> Result<(), ServiceError> {
        match self.service(target)? {
            Service::Command(it) => it.stop(grace).await,
            Service::Systemd(it) => it.stop().await,
        }
    }

    /// Ends the latest run, if it lives, and starts a new one.
    pub(crate) async fn restart(&self, target: &TargetName, grace: Duration) -> Result<Instance, ServiceError> {
        match self.service(target)? {
            Service::Command(it) => it.restart(grace).await,
            Service::Systemd(it) => it.restart().await,
        }
    }

    /// Sends a signal to the main process.
    pub(crate) async fn signal(&self, target: &TargetName, signal: Signal) -> Result<(), ServiceError> {
        match self.service(target)? {
            Service::Command(it) => it.signal(signal),
            Service::Systemd(it) => it.signal(signal).await,
        }
    }
}

#[cfg(test)]
mod tests;
