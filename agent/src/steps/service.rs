//! Starting, stopping, restarting and signalling a service.

use std::time::Duration;

use prunella_model::TargetName;
use prunella_model::step::Signal;

use super::StepError;
use crate::services::Services;

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
