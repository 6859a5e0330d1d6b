//! What the ward is told of the host.

use std::time::Duration;

use prunella_model::command::BootId;
use prunella_model::observation::{Instance, Status};
use prunella_model::{CommandId, ProbeName, TargetName, Timestamp};

/// The present, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock. Anybody who can set it is not trusted with more than the validity of a delegation.
    pub wall: Timestamp,
    /// The time since boot, suspensions included. Lives and budgets are measured by it.
    pub boot: Duration,
}

/// What the host knows at the moment of judging. Cheap to ask: each question may come several times.
pub trait Facts {
    /// The current boot.
    fn boot(&self) -> &BootId;
    /// The target's latest run, alive or ended; none when no run of it was ever seen.
    fn instance(&self, target: &TargetName) -> Option<Instance>;
    /// The latest verdict of a probe; none before the first.
    fn observed(&self, target: &TargetName, probe: &ProbeName) -> Option<Status>;
    /// Whether the ledger holds this command.
    fn knows(&self, command: CommandId) -> bool;
    /// Why the host is paused by its administrator; none when it is not.
    fn paused(&self) -> Option<String>;
    /// Why the agent only observes (clock, ledger); none when it may act. `agent.toml`'s own switch is in the policy.
    fn observe_only(&self) -> Option<String>;
}
