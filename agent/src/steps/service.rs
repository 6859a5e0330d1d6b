//! Starting, stopping, restarting and signalling a service.

use std::time::Duration;

use prunella_model::TargetName;
use prunella_model::step::{Signal, Step};

use super::StepError;
use crate::config::{ManagerConfig, TargetConfig};
use crate::services::{ServiceError, Services};

pub(super) async fn start(services: &Services, target: &TargetName) -> Result<String, StepError> {
    let before = services.pid(target);
    let instance = services.start(target).await?;
    Ok(match before {
        Some(_) => format!("{target} runs already as {instance}"),
        None => format!("{target} started as {instance}"),
    })
}

pub(super) async fn stop(services: &Services, target: &TargetName, grace: Duration) -> Result<String, StepError> {
    let before = services.pid(target);
    services.stop(target, grace).await?;
    Ok(match before {
        Some(pid) => format!("{target} stopped; it was process {pid}"),
        None => format!("{target} did not run"),
    })
}

pub(super) async fn restart(services: &Services, target: &TargetName, grace: Duration) -> Result<String, StepError> {
    let before = services.instance(target);
    let after = services.restart(target, grace).await?;
    Ok(match before {
        Some(before) => format!("{target} restarted: {before} before, {after} now"),
        None => format!("{target} started as {after}"),
    })
}

pub(super) async fn signal(services: &Services, target: &TargetName, signal: Signal) -> Result<String, StepError> {
    services.signal(target, signal).await?;
    Ok(format!("{target} was sent {signal:?}"))
}

/// What one of the steps above would do now.
pub(super) fn rehearse(services: &Services, target: &TargetConfig, step: &Step) -> Result<String, StepError> {
    let name = &target.name;
    let how = match &target.manager {
        ManagerConfig::None => return Err(ServiceError::Unmanaged { target: name.clone() }.into()),
        ManagerConfig::Command(command) => command.start.join(" "),
        ManagerConfig::Systemd { unit } => format!("unit {unit}"),
    };
    let pid = services.pid(name);
    Ok(match (step, pid) {
        (Step::StartService, Some(pid)) => format!("would do nothing: {name} runs already as process {pid}"),
        (Step::StopService { .. }, None) => format!("would do nothing: {name} does not run"),
        (Step::SignalProcess { .. }, None) => return Err(ServiceError::NotRunning { target: name.clone() }.into()),
        (Step::StopService { grace }, Some(pid)) => {
            format!("would end process {pid} of {name}, and kill it after {} s", grace.as_secs_f64())
        }
        (Step::SignalProcess { signal }, Some(pid)) => format!("would send {signal:?} to process {pid} of {name}"),
        (Step::RestartService { grace }, Some(pid)) => {
            format!("would end process {pid} of {name}, kill it after {} s, and start {how}", grace.as_secs_f64())
        }
        (_, _) => format!("would start {name}: {how}"),
    })
}
