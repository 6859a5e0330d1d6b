//! A host out of reach is not a broken host: nothing is done to it, and nothing is queued for it.

use super::{Ask, Brake, Class, Stop};
use crate::key::at;

/// Holds repairs of hosts whose agent does not talk to the server.
pub(super) struct Offline;

impl Brake for Offline {
    fn name(&self) -> &'static str {
        "offline"
    }

    fn about(&self) -> &'static str {
        "Hosts whose agent is not connected. Releases when it is back; everything is then judged afresh."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let host = &ask.engine.hosts[at(ask.key.host)];
        if host.online() && host.reported {
            return None;
        }
        Stop::when("its agent is back", format!("{} is out of reach, which does not mean that it is broken", host.id))
    }
}

/// Holds repairs of hosts whose agent said that it will only observe.
pub(super) struct ObserveOnly;

impl Brake for ObserveOnly {
    fn name(&self) -> &'static str {
        "observe_only"
    }

    fn about(&self) -> &'static str {
        "Agents that only observe, for example because of a wrong clock. Releases when the agent may act again."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let host = &ask.engine.hosts[at(ask.key.host)];
        let why = host.report.as_ref().and_then(|report| report.observe_only.as_ref())?;
        Stop::when("the agent may act again", format!("the agent of {} only observes: {why}", host.id))
    }
}
