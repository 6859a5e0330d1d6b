//! What the ward is told of this host.

use prunella_model::command::BootId;
use prunella_model::observation::{Instance, Status};
use prunella_model::{CommandId, ProbeName, TargetName};
use prunella_ward::Facts;

use crate::ledger::Ledger;
use crate::senses;

/// The host at the moment of judging.
pub(super) struct HostFacts<'a> {
    pub(super) boot: &'a BootId,
    pub(super) senses: senses::Facts,
    pub(super) ledger: Option<&'a Ledger>,
    pub(super) paused: Option<String>,
    pub(super) observe_only: Option<String>,
}

impl Facts for HostFacts<'_> {
    fn boot(&self) -> &BootId {
        self.boot
    }
    fn instance(&self, target: &TargetName) -> Option<Instance> {
        self.senses.instance(target)
    }
    fn observed(&self, target: &TargetName, probe: &ProbeName) -> Option<Status> {
        self.senses.status(target, probe)
    }
    fn knows(&self, command: CommandId) -> bool {
        self.ledger.is_some_and(|ledger| ledger.knows(command).is_some())
    }
    fn paused(&self) -> Option<String> {
        self.paused.clone()
    }
    fn observe_only(&self) -> Option<String> {
        self.observe_only.clone()
    }
}
