//! The ward's state, and the order of its checks.

use std::time::Duration;

use prunella_model::command::Challenge;
use prunella_model::outcome::Refusal;
use prunella_model::step::{Risk, TargetStep};
use prunella_model::{CommandId, FleetName, Generation, HostId};
use prunella_seal::{Delegation, Opened};

use crate::budget::Budget;
use crate::checks;
use crate::facts::{Facts, Moment};
use crate::policy::LocalPolicy;

/// Who this agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its fleet.
    pub fleet: FleetName,
    /// Its host.
    pub host: HostId,
    /// Its enrolment.
    pub enrolment: u64,
}

/// The stream that deliveries come by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) challenge: Challenge,
    /// When the challenge was made, by the boot clock.
    pub(crate) made: Duration,
    /// The last accepted delivery.
    pub(crate) sequence: u64,
}

/// A command that passed every check. It may act once its intent is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "write it to the ledger, then carry it out"]
pub struct Accepted {
    /// The command.
    pub command: CommandId,
    /// The generation that it was decided in: the host's mark is now at least this.
    pub generation: Generation,
    /// By how much the intent's own expiry has passed by this host's wall clock. It merely warns.
    pub lapsed: Option<Duration>,
}

/// Judges commands for one host.
#[derive(Debug, Clone)]
pub struct Ward {
    pub(crate) own: Own,
    pub(crate) policy: LocalPolicy,
    pub(crate) mark: Generation,
    pub(crate) stream: Option<Stream>,
    pub(crate) budget: Budget,
}

impl Ward {
    /// A ward that goes on from the highest generation that the ledger holds.
    #[must_use]
    pub fn new(own: Own, policy: LocalPolicy, mark: Generation) -> Self {
        Self { own, policy, mark, stream: None, budget: Budget::default() }
    }

    /// Counts a command of the last hour that the ledger remembers from before a restart of the agent. `at` is the
    /// boot clock's time of it.
    pub fn remember(&mut self, at: Duration, steps: &[TargetStep]) {
        self.budget.spend(at, steps);
    }

    /// A new stream with its own challenge, made at `now` by the boot clock. Deliveries of earlier ones are worthless
    /// from here on.
    pub fn open_stream(&mut self, challenge: Challenge, now: Duration) {
        self.stream = Some(Stream { challenge, made: now, sequence: 0 });
    }

    /// The stream ended: nothing is accepted before the next.
    pub fn close_stream(&mut self) {
        self.stream = None;
    }

    /// The administrator changed what is permitted.
    pub fn set_policy(&mut self, policy: LocalPolicy) {
        self.policy = policy;
    }

    /// What is permitted.
    #[must_use]
    pub fn policy(&self) -> &LocalPolicy {
        &self.policy
    }

    /// The highest generation that this host has accepted.
    #[must_use]
    pub fn mark(&self) -> Generation {
        self.mark
    }

    /// Judges an opened command: schema → fleet, host, enrolment → delegation → challenge and expiry → generation,
    /// sequence, known ids → approvals → dangerous classes → understatement → number of steps → local policy → pause
    /// and budgets → preconditions.
    ///
    /// After [`Refusal::AlreadyKnown`] the caller says again what the ledger holds of the command, and never a new
    /// outcome: it may have been carried out.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; nothing of the ward has then changed.
    pub fn judge(
        &mut self,
        opened: &Opened,
        delegation: &Delegation,
        now: Moment,
        facts: &impl Facts,
    ) -> Result<Accepted, Refusal> {
        let Opened { delivery, intent, approvals } = opened;
        checks::schema(delivery, intent)?;
        checks::addressee(&self.own, intent)?;
        checks::delegation_version(delivery, delegation)?;
        checks::scope(self, intent, delegation, now)?;
        checks::freshness(self, delivery, now)?;
        checks::order(self, delivery, intent, facts)?;
        checks::approvals(&self.policy, intent, *approvals)?;
        checks::danger(intent)?;
        checks::understatement(intent)?;
        checks::step_count(&intent.steps)?;
        checks::named(&self.policy, intent)?;
        checks::permitted(&self.policy, &intent.steps)?;
        checks::pause(&self.policy, facts)?;
        checks::budgets(self, intent, now)?;
        checks::preconditions(intent, facts)?;

        self.mark = self.mark.max(delivery.generation);
        if let Some(stream) = &mut self.stream {
            stream.sequence = delivery.sequence;
        }
        if !intent.dry_run {
            self.budget.spend(now.boot, &intent.steps);
        }
        let late = now.wall.since(intent.expires_at);
        let lapsed = (!late.is_zero()).then_some(late);
        Ok(Accepted { command: intent.id, generation: delivery.generation, lapsed })
    }

    /// Whether these steps would be carried out if a command with them were trusted: dangerous classes → number of
    /// steps → local policy → pause and budgets. Nothing changes by asking.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn would(&self, steps: &[TargetStep], now: Moment, facts: &impl Facts) -> Result<(), Refusal> {
        if steps.iter().any(|it| it.step.risk() == Risk::Dangerous) {
            return Err(Refusal::Dangerous);
        }
        checks::step_count(steps)?;
        checks::parts_named(&self.policy, steps)?;
        checks::permitted(&self.policy, steps)?;
        checks::pause(&self.policy, facts)?;
        checks::room(self, steps, now)
    }
}
