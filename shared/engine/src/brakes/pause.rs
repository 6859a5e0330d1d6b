//! A person stopped repairs: of the fleet, a group, a host or a target; or the host's administrator did.

use prunella_model::incident::Release;
use prunella_model::record::PauseRecord;

use super::{Ask, Brake, Class, Stop};
use crate::Engine;
use crate::key::{Key, at};

/// See the module.
pub(super) struct Pause;

/// The pause that covers a target, the widest first.
pub(crate) fn pause_of(engine: &Engine, key: Key) -> Option<&PauseRecord> {
    if engine.pauses.is_empty() {
        return None;
    }
    engine.pauses.values().find(|pause| engine.covers(&pause.scope, key))
}

impl Brake for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn about(&self) -> &'static str {
        "Pauses of the fleet, a group, the host or the target, and the host administrator's own. Releases when the pause is lifted \
         or ends."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        if let Some(pause) = pause_of(ask.engine, ask.key) {
            let why = format!("{} paused {}: {}", pause.by, pause.scope.spoken(), pause.why);
            let release = match pause.until {
                Some(until) => Release::At(until),
                None => Release::When("the pause is lifted".to_owned()),
            };
            return Some(Stop::Wait { why, release });
        }
        let host = &ask.engine.hosts[at(ask.key.host)];
        let own = host.report.as_ref().and_then(|report| report.paused.as_ref())?;
        Stop::when(
            "the administrator of the host lifts it",
            format!("{} is paused by its administrator: {own}", host.id),
        )
    }
}
