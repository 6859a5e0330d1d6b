//! A host's standing orders on its disk: as they were signed, with the documents that they stand on.
//!
//! They outlive the agent, not the boot: their life is counted on a clock that begins anew with each.

use std::time::Duration;

use prunella_model::command::{BootId, Envelope, TrustBundle};
use serde::{Deserialize, Serialize};

use crate::state_dir::{StateDir, StateError};

const FILE: &str = "orders.json";

/// Orders that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The boot that they were taken in.
    pub(crate) boot: BootId,
    /// When, by the boot clock.
    pub(crate) at: Duration,
    /// The documents of authority then.
    pub(crate) trust: TrustBundle,
    /// The orders.
    pub(crate) orders: Envelope,
}

impl Kept {
    /// Writes them down in the place of those before.
    ///
    /// # Errors
    /// [`StateError`]; they are then good only for as long as the agent runs.
    pub(crate) fn write(&self, state: &StateDir) -> Result<(), StateError> {
        state.write_json(FILE, self)
    }

    /// Those of this boot; none when there are none, or they cannot be read: a new stream brings new ones.
    pub(crate) fn read(state: &StateDir, boot: &BootId) -> Option<Self> {
        match state.read_json::<Self>(FILE) {
            Ok(kept) => kept.filter(|it| it.boot == *boot),
            Err(error) => {
                tracing::warn!(target: "prunella::orders", %error, "standing orders cannot be read, and are not followed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use prunella_model::observation::{Sha256, Status};
    use prunella_model::outcome::{Outcome, OutcomeReport};
    use prunella_model::standing::{OrderRun, RUNS_MAX, StandingOrder, StandingOrders};
    use prunella_model::step::{Step, TargetStep};
    use prunella_model::{CommandId, FleetName, HostId, Id, IncidentId, ProbeName, RepairName, TargetName, Timestamp};
    use prunella_ward::{Standing, Watch};

    use super::*;
    use crate::ledger::{CAPACITY, Ledger};

    const ORDERS: u64 = 40;
    const DAY: u64 = 24 * 3600;

    struct Host<'l> {
        ledger: &'l RefCell<Ledger>,
        boot: BootId,
    }

    impl Watch for Host<'_> {
        fn held(&self, _: &TargetName, _: &ProbeName, _: Status) -> Option<Duration> {
            // Whatever is done, it dies again.
            Some(Duration::from_secs(60))
        }
        fn knows(&self, command: CommandId) -> bool {
            self.ledger.borrow().knows(command).is_some()
        }
        fn boot(&self) -> &BootId {
            &self.boot
        }
    }

    fn orders() -> StandingOrders {
        let order = |number: u64| {
            let target = TargetName::new(&format!("t{number}")).unwrap();
            let run = |run: usize| CommandId(Id { epoch: 7, counter: number * 100 + run as u64 });
            StandingOrder {
                probe: ProbeName::new("process").unwrap(),
                status: Status::Down,
                held: Duration::from_secs(30),
                repair: RepairName::new("restart_service").unwrap(),
                steps: vec![TargetStep { target: target.clone(), step: Step::StartService }],
                target,
                verify: Vec::new(),
                runs: (1..=RUNS_MAX).map(run).collect(),
                incident: IncidentId(Id { epoch: 7, counter: number }),
                max_run: Duration::from_secs(30),
            }
        };
        StandingOrders {
            schema: 1,
            fleet: FleetName::new("lab").unwrap(),
            host: HostId::new("h1").unwrap(),
            enrolment: 1,
            lifetime: Duration::from_secs(DAY),
            policy_version: 1,
            policy_hash: Sha256([0; 32]),
            orders: (1..=ORDERS).map(order).collect(),
        }
    }

    #[test]
    fn seventy_two_hours_alone_fill_no_disk_repeat_nothing_and_are_told_at_the_end() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = dir.path().join("ledger");
        let ledger = RefCell::new(Ledger::open(&path, "lab/h1/1", false).unwrap());
        let mut standing = Standing::new(Duration::ZERO);
        standing.take(orders(), Duration::ZERO);
        let host = Host { ledger: &ledger, boot: BootId("b".into()) };
        let (mut done, mut last) = (BTreeSet::new(), 0);
        for second in (0..3 * DAY).step_by(10) {
            let now = Duration::from_secs(second);
            while let Some((index, intent)) = standing.due(now, &host) {
                assert!(done.insert(intent.id), "{} was done twice", intent.id);
                last = second;
                let mut ledger = ledger.borrow_mut();
                ledger.intend_run(&intent, Timestamp::from_secs(second)).unwrap();
                ledger.executing(intent.id, 0).unwrap();
                let report = OutcomeReport {
                    command: intent.id,
                    outcome: Outcome::Done,
                    started_at: None,
                    ended_at: Timestamp::from_secs(second),
                    notes: vec!["started".to_owned()],
                    confirmed_by: None,
                    by_order: OrderRun::of(&intent),
                };
                ledger.finished(&report).unwrap();
                drop(ledger);
                standing.began(index, now, &host);
            }
            assert_eq!(std::fs::metadata(&path).unwrap().len(), CAPACITY as u64);
        }
        assert_eq!(done.len(), 40 * RUNS_MAX, "the whole budget, and no more");
        assert!(last < DAY, "nothing after its life");
        // The agent was restarted meanwhile; then the server is back.
        drop(host);
        drop(ledger);
        let mut ledger = Ledger::open(&path, "lab/h1/1", true).unwrap();
        let told = ledger.unacknowledged();
        assert_eq!(told.len(), done.len());
        assert!(told.iter().all(|it| it.by_order.is_some()));
        told.iter().for_each(|it| ledger.acknowledged(it.command).unwrap());
        assert_eq!(ledger.unacknowledged(), []);
        assert!(done.iter().all(|id| ledger.knows(*id).is_some()), "and it stays known that they were done");
    }
}
