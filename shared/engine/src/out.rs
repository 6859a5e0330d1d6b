//! Collects what one step decides and puts it in the order in which it shall take effect.

use std::collections::BTreeSet;

use prunella_model::event::FleetEvent;
use prunella_model::incident::Incident;
use prunella_model::record::{AuditEntry, Change};
use prunella_model::{CommandId, IncidentId};

use crate::event::Decision;

/// The decisions of one step. Records that change several times in a step are stored once, as they are at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Out {
    /// Open incidents to store.
    pub(crate) incidents: BTreeSet<IncidentId>,
    /// Commands to store.
    pub(crate) commands: BTreeSet<CommandId>,
    /// Hosts to store, by index.
    pub(crate) hosts: BTreeSet<u32>,
    /// Incidents that were closed.
    pub(crate) closed: Vec<Incident>,
    /// Other changes.
    pub(crate) changes: Vec<Change>,
    /// What the audit log gets.
    pub(crate) audits: Vec<AuditEntry>,
    /// Commands to send and to cancel.
    pub(crate) acts: Vec<Decision>,
    /// Outcomes to acknowledge.
    pub(crate) acknowledgements: Vec<Decision>,
    /// Targets to probe, by index; null means all of a host.
    pub(crate) probes: BTreeSet<(u32, Option<u32>)>,
    /// What is announced.
    pub(crate) announcements: Vec<FleetEvent>,
    /// Replies.
    pub(crate) replies: Vec<Decision>,
}

impl Out {
    /// Whether anything is stored, said or sent.
    pub(crate) fn decides(&self) -> bool {
        let stored = !(self.incidents.is_empty() && self.commands.is_empty() && self.hosts.is_empty());
        stored || !(self.changes.is_empty() && self.announcements.is_empty() && self.acts.is_empty())
    }
}
