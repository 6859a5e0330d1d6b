//! Standing orders: which are taken, and when one of them is due. Pure; the agent runs it, and the simulator too.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::command::{BootId, Delivery, Intent};
use prunella_model::observation::Status;
use prunella_model::outcome::Refusal;
use prunella_model::standing::{ORDERS_LIFE_MAX, ORDERS_MAX, RUNS_MAX, StandingOrder, StandingOrders};
use prunella_model::{CommandId, ProbeName, TargetName};
use prunella_seal::Delegation;

use crate::checks;
use crate::facts::{Facts, Moment};
use crate::ward::Ward;

/// The longest time between two runs of an order, however many there were.
const APART_MAX: Duration = Duration::from_secs(3600);

/// What standing orders look at.
pub trait Watch {
    /// For how long a probe has said this at every look; none when it says something else, has not looked, or its
    /// target was stopped on purpose.
    fn held(&self, target: &TargetName, probe: &ProbeName, status: Status) -> Option<Duration>;
    /// Whether the ledger holds this command.
    fn knows(&self, command: CommandId) -> bool;
    /// The current boot.
    fn boot(&self) -> &BootId;
}

/// Standing orders that were taken.
#[derive(Debug, Clone)]
struct Taken {
    it: StandingOrders,
    /// Until when they are good, by the boot clock.
    until: Duration,
    /// Before when an order is not due again, by its index.
    again: BTreeMap<usize, Duration>,
}

/// A host's standing orders, and whether it is alone.
#[derive(Debug, Clone)]
pub struct Standing {
    taken: Option<Taken>,
    /// Since when no server is reached, by the boot clock; none while one is.
    alone: Option<Duration>,
}

impl Standing {
    /// No orders, and alone since `now`.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { taken: None, alone: Some(now) }
    }

    /// Takes orders that were accepted at `at` by the boot clock, in the place of all before.
    pub fn take(&mut self, orders: StandingOrders, at: Duration) {
        let until = at.saturating_add(orders.lifetime.min(ORDERS_LIFE_MAX));
        self.taken = (!orders.orders.is_empty()).then_some(Taken { it: orders, until, again: BTreeMap::new() });
    }

    /// A stream to a server is open.
    pub fn accompanied(&mut self) {
        self.alone = None;
    }

    /// No stream to a server is open.
    pub fn alone(&mut self, now: Duration) {
        self.alone.get_or_insert(now);
    }

    /// The next run that is due, as a command; the host must call [`Standing::began`] when it begins or is refused.
    #[must_use]
    pub fn due(&self, now: Duration, watch: &impl Watch) -> Option<(usize, Intent)> {
        let alone = now.saturating_sub(self.alone?);
        let taken = self.taken.as_ref().filter(|it| now < it.until)?;
        taken.it.orders.iter().enumerate().find_map(|(index, order)| {
            let waits = taken.again.get(&index).is_some_and(|again| now < *again);
            let held = watch.held(&order.target, &order.probe, order.status)?;
            if waits || alone < order.held || held < order.held {
                return None;
            }
            let run = order.runs.iter().take(RUNS_MAX).find(|run| !watch.knows(**run))?;
            Some((index, taken.it.intent(order, *run, watch.boot())))
        })
    }

    /// A run of an order began, or was refused: the next one waits, each twice as long as the one before.
    pub fn began(&mut self, index: usize, now: Duration, watch: &impl Watch) {
        let Some(taken) = &mut self.taken else { return };
        let Some(order) = taken.it.orders.get(index) else { return };
        let before = order.runs.iter().filter(|run| watch.knows(**run)).count();
        let factor = 1_u32.checked_shl(u32::try_from(before).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
        let apart = order.held.max(Duration::from_secs(1)).saturating_mul(factor).min(APART_MAX);
        taken.again.insert(index, now.saturating_add(apart));
    }
}

/// Standing orders whose signature holds, decoded from exactly the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedOrders {
    /// The delivery.
    pub delivery: Delivery,
    /// The orders that it carries.
    pub orders: StandingOrders,
}

impl Ward {
    /// Judges standing orders as they arrive, in the order of the checks on commands. What no command could do is in no
    /// order either.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; nothing of the ward has then changed.
    pub fn judge_orders(
        &mut self,
        opened: &OpenedOrders,
        delegation: &Delegation,
        now: Moment,
        facts: &impl Facts,
    ) -> Result<(), Refusal> {
        let OpenedOrders { delivery, orders } = opened;
        checks::schemas(delivery.schema, orders.schema)?;
        checks::addressed(&self.own, &orders.fleet, &orders.host, orders.enrolment)?;
        checks::delegation_version(delivery, delegation)?;
        checks::freshness(self, delivery, now)?;
        checks::in_order(self, delivery)?;
        if orders.lifetime > ORDERS_LIFE_MAX {
            let why = format!(
                "they want to live {} s; at most {} are allowed",
                orders.lifetime.as_secs(),
                ORDERS_LIFE_MAX.as_secs()
            );
            return Err(Refusal::Expired { why });
        }
        if orders.orders.len() > ORDERS_MAX {
            return Err(Refusal::StepCount { found: orders.orders.len() as u64, limit: ORDERS_MAX as u64 });
        }
        for order in &orders.orders {
            one_target(order)?;
            let mut intent = orders.intent(order, CommandId(delivery.generation.0), facts.boot());
            // What is used up now counts when it comes to a run.
            intent.dry_run = true;
            checks::scope(self, &intent, delegation, now)?;
            self.within_policy(&intent)?;
        }
        self.mark = self.mark.max(delivery.generation);
        if let Some(stream) = &mut self.stream {
            stream.sequence = delivery.sequence;
        }
        Ok(())
    }

    /// Judges one run of an order that was taken before: everything that does not concern a stream.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; nothing of the ward has then changed.
    pub fn judge_run(
        &mut self,
        intent: &Intent,
        delegation: &Delegation,
        now: Moment,
        facts: &impl Facts,
    ) -> Result<(), Refusal> {
        checks::addressee(&self.own, intent)?;
        checks::scope(self, intent, delegation, now)?;
        if facts.knows(intent.id) {
            return Err(Refusal::AlreadyKnown);
        }
        self.within_policy(intent)?;
        checks::pause(&self.policy, facts)?;
        checks::budgets(self, intent, now)?;
        checks::preconditions(intent, facts)?;
        self.budget.spend(now.boot, &intent.steps);
        Ok(())
    }

    /// The checks that depend on the program and the local policy alone.
    fn within_policy(&self, intent: &Intent) -> Result<(), Refusal> {
        checks::approvals(&self.policy, intent, 0)?;
        checks::danger(intent)?;
        checks::understatement(intent)?;
        checks::step_count(&intent.steps)?;
        checks::named(&self.policy, intent)?;
        checks::permitted(&self.policy, &intent.steps)
    }
}

fn one_target(order: &StandingOrder) -> Result<(), Refusal> {
    match order.steps.iter().find(|it| it.target != order.target) {
        Some(other) => {
            Err(Refusal::Understated { why: format!("an order about {} has a step on {}", order.target, other.target) })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::observation::Sha256;
    use prunella_model::step::{Step, TargetStep};
    use prunella_model::{FleetName, HostId, Id, IncidentId, RepairName};

    use super::*;

    const HELD: Duration = Duration::from_secs(30);

    struct Seen {
        held: Option<Duration>,
        known: Vec<CommandId>,
        boot: BootId,
    }

    impl Watch for Seen {
        fn held(&self, _: &TargetName, _: &ProbeName, status: Status) -> Option<Duration> {
            self.held.filter(|_| status == Status::Down)
        }
        fn knows(&self, command: CommandId) -> bool {
            self.known.contains(&command)
        }
        fn boot(&self) -> &BootId {
            &self.boot
        }
    }

    fn run(counter: u64) -> CommandId {
        CommandId(Id { epoch: 7, counter })
    }

    fn orders() -> StandingOrders {
        let web = TargetName::new("web").unwrap();
        StandingOrders {
            schema: 1,
            fleet: FleetName::new("lab").unwrap(),
            host: HostId::new("h1").unwrap(),
            enrolment: 1,
            lifetime: Duration::from_secs(600),
            policy_version: 1,
            policy_hash: Sha256([0; 32]),
            orders: vec![StandingOrder {
                target: web.clone(),
                probe: ProbeName::new("process").unwrap(),
                status: Status::Down,
                held: HELD,
                repair: RepairName::new("restart_service").unwrap(),
                steps: vec![TargetStep { target: web, step: Step::StartService }],
                verify: Vec::new(),
                runs: vec![run(1), run(2)],
                incident: IncidentId(Id { epoch: 7, counter: 1 }),
                max_run: Duration::from_secs(30),
            }],
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_order_is_due_only_alone_only_after_its_time_and_only_within_its_life_and_budget() {
        let mut standing = Standing::new(at(0));
        let mut seen = Seen { held: Some(at(1000)), known: Vec::new(), boot: BootId("b".into()) };
        assert_eq!(standing.due(at(100), &seen), None, "without orders nothing is due");
        standing.take(orders(), at(100));
        standing.accompanied();
        assert_eq!(standing.due(at(200), &seen), None, "the server is there");
        standing.alone(at(200));
        assert_eq!(standing.due(at(229), &seen), None, "not alone for long enough");
        seen.held = Some(at(29));
        assert_eq!(standing.due(at(230), &seen), None, "not down for long enough");
        seen.held = Some(HELD);
        let (index, intent) = standing.due(at(230), &seen).unwrap();
        assert_eq!((intent.id, intent.attempt), (run(1), 0));
        seen.known.push(run(1));
        standing.began(index, at(230), &seen);
        assert_eq!(standing.due(at(289), &seen), None, "the second run waits twice as long");
        let (index, intent) = standing.due(at(290), &seen).unwrap();
        assert_eq!(intent.id, run(2));
        seen.known.push(run(2));
        standing.began(index, at(290), &seen);
        assert_eq!(standing.due(at(690), &seen), None, "its budget is used up");
        seen.known.clear();
        assert!(standing.due(at(699), &seen).is_some());
        assert_eq!(standing.due(at(700), &seen), None, "its life is over");
    }

    #[test]
    fn an_empty_set_revokes() {
        let mut standing = Standing::new(at(0));
        standing.take(orders(), at(0));
        let seen = Seen { held: Some(HELD), known: Vec::new(), boot: BootId("b".into()) };
        assert!(standing.due(at(40), &seen).is_some());
        standing.take(StandingOrders { orders: Vec::new(), ..orders() }, at(40));
        assert_eq!(standing.due(at(50), &seen), None);
    }
}
