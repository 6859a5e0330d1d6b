//! With whom those that share something are compared.

use prunella_model::change::Changed;
use prunella_model::incident::{SharedAttribute, SharedKind};
use prunella_model::{TargetName, Timestamp};

use super::attribute::AGENT;
use crate::Engine;
use crate::cause::Cause;
use crate::key::{Key, next};

/// Hosts that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    /// All of them.
    pub(super) known: u32,
    /// Those with the same fault.
    pub(super) alike: u32,
}

impl Engine {
    /// The hosts among which an attribute of a fault may stand out: those that could have it.
    ///
    /// A version is compared with the other versions of the same thing: hosts without that thing cannot fail in it, so they
    /// say nothing about the version. Where all have the same, it tells nothing apart, unless it is new: then the fleet is
    /// what it is compared with. Null when there is nothing to compare with.
    pub(super) fn compared(
        &self,
        key: Key,
        (cause, opened): (Cause, Timestamp),
        attribute: &SharedAttribute,
        all: Compared,
    ) -> Option<Compared> {
        let of_a_thing = attribute.kind == SharedKind::Version
            && attribute.name != AGENT
            && attribute.name != TargetName::host().as_str();
        if !of_a_thing {
            return Some(all);
        }
        let first = SharedAttribute { value: String::new(), ..attribute.clone() };
        let versions = self
            .topology
            .sharing
            .range(first..)
            .take_while(|(it, _)| it.kind == attribute.kind && it.name == attribute.name);
        let others: Vec<&SharedAttribute> = versions.map(|(it, _)| it).filter(|it| *it != attribute).collect();
        if others.is_empty() {
            let new = self.changes_before(key, opened).any(|it| matches!(it.what, Changed::Version { .. }));
            return new.then_some(all);
        }
        let sharing = |it: &SharedAttribute| self.topology.sharing.get(it).map_or(0, super::census::Sharers::hosts);
        let known: u32 = others.iter().map(|it| sharing(it)).sum::<u32>() + sharing(attribute);
        let failing = |it: &SharedAttribute| self.faults.recent.failing(cause, it);
        let alike: u32 = others.iter().map(|it| failing(it)).sum::<u32>() + failing(attribute);
        // A host that runs two versions of it counts once in the whole.
        Some(Compared { known: known.min(next(self.names.len())), alike: alike.min(all.alike) })
    }
}
