//! Standing orders: what an agent may do by itself while no server can be reached.
//!
//! A server signs them in advance, for one host and for a time. Each says what must be seen for how long, what is then
//! to be done, and how often. An agent carries them out under the same local policy, budgets and ledger as commands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{BootId, Intent, Precondition, SCHEMA};
use crate::observation::{Sha256, Status};
use crate::step::{Effect, Risk, TargetStep};
use crate::{CommandId, FleetName, HostId, IncidentId, ProbeName, RepairName, TargetName, Timestamp};

/// The most orders for one host: more targets than any host repairs at once.
pub const ORDERS_MAX: usize = 512;

/// The most runs of one order: what has not helped so often will not.
pub const RUNS_MAX: usize = 8;

/// The longest life of orders. A delegation lives no longer, and what a server has forgotten must not be done.
pub const ORDERS_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Everything that one host may do by itself. It takes the place of what the host was told before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingOrders {
    /// The schema it is written in; see [`SCHEMA`].
    pub schema: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// The one host.
    pub host: HostId,
    /// The enrolment of that host which they are meant for.
    pub enrolment: u64,
    /// How long they are good, counted on the host's boot clock from when it took them; at most [`ORDERS_LIFE_MAX`].
    pub lifetime: Duration,
    /// The version of the fleet policy that led to them.
    pub policy_version: u64,
    /// The digest of that policy.
    pub policy_hash: Sha256,
    /// The orders; none revokes what was ordered before. At most [`ORDERS_MAX`].
    pub orders: Vec<StandingOrder>,
}

/// One standing order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingOrder {
    /// The target that it is about; every step is on it.
    pub target: TargetName,
    /// The probe that must have said [`StandingOrder::status`] …
    pub probe: ProbeName,
    /// … this …
    pub status: Status,
    /// … at every look for so long, while no server was reached for just as long.
    pub held: Duration,
    /// The repair that the steps make up.
    pub repair: RepairName,
    /// The steps, in order.
    pub steps: Vec<TargetStep>,
    /// The probes that are run again and again after the last step, until the first good answer.
    pub verify: Vec<(TargetName, ProbeName)>,
    /// The id of each run, in order: how many there are is the budget. At most [`RUNS_MAX`].
    pub runs: Vec<CommandId>,
    /// Kept free for what is treated; no incident of this id need exist.
    pub incident: IncidentId,
    /// The longest time that the steps may take together.
    pub max_run: Duration,
}

impl StandingOrders {
    /// The command that one run of an order is, on a host that is up since `boot`. Its attempt is 0, which no command
    /// of a server has.
    #[must_use]
    pub fn intent(&self, order: &StandingOrder, run: CommandId, boot: &BootId) -> Intent {
        let once = order.steps.iter().any(|it| it.step.effect() == Effect::AtMostOnce);
        Intent {
            schema: SCHEMA,
            fleet: self.fleet.clone(),
            host: self.host.clone(),
            enrolment: self.enrolment,
            id: run,
            incident: order.incident,
            attempt: 0,
            repair: order.repair.clone(),
            risk: order.steps.iter().map(|it| it.step.risk()).max().unwrap_or(Risk::Low),
            effect: if once { Effect::AtMostOnce } else { Effect::Idempotent },
            steps: order.steps.clone(),
            preconditions: vec![
                Precondition::Boot(boot.clone()),
                Precondition::Observed {
                    target: order.target.clone(),
                    probe: order.probe.clone(),
                    status: order.status,
                },
            ],
            verify: order.verify.clone(),
            policy_version: self.policy_version,
            policy_hash: self.policy_hash,
            approvals_required: 0,
            dry_run: false,
            max_run: order.max_run,
            // The life of the orders counts, on a clock that nobody can set.
            expires_at: Timestamp::from_micros(u64::MAX),
        }
    }
}

/// What a run of a standing order was, in its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRun {
    /// The target.
    pub target: TargetName,
    /// The repair.
    pub repair: RepairName,
}

impl OrderRun {
    /// What an intent was a run of; none when a server commanded it.
    #[must_use]
    pub fn of(intent: &Intent) -> Option<Self> {
        let target = intent.steps.first().filter(|_| intent.attempt == 0)?.target.clone();
        Some(Self { target, repair: intent.repair.clone() })
    }
}
