//! Everything on a host that judges and acts: trust, ward, ledger, steps, and the host's own brakes.
//!
//! The whole agent has one, or the helper when the two halves are processes of their own. What it is told comes from
//! the network's side and proves nothing: only signatures do.

use std::sync::Arc;

use prunella_model::command::{BootId, Envelope, SignedCommand, TrustBundle};
use prunella_model::outcome::OutcomeReport;
use prunella_model::question::Answer;
use prunella_model::step::TargetStep;
use prunella_model::{CommandId, Generation, Timestamp};
use prunella_seal::Anchor;
use prunella_ward::Standing as StandingMachine;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::clock;
use crate::config::AgentConfig;
use crate::driver::causes;
use crate::execute::{Body, Executor, ExecutorParts, Oath, Receipt};
use crate::pause::PauseFiles;
use crate::senses::Senses;
use crate::standing::Kept;
use crate::state_dir::StateDir;
use crate::uplink::{Fresh, LinkError};

/// What a keeper says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Why the host is paused; none when it is not.
    pub(crate) paused: Option<String>,
    /// Why nothing may be done; none when it may.
    pub(crate) observe_only: Option<String>,
    /// The highest generation that this host has accepted.
    pub(crate) mark: Generation,
    /// Outcomes that no server has acknowledged.
    pub(crate) outcomes: Vec<OutcomeReport>,
}

/// What a [`Keeper`] is made of.
pub(crate) struct KeeperParts<'a> {
    pub(crate) config: Arc<AgentConfig>,
    /// Where ledger and trust are kept.
    pub(crate) state: StateDir,
    pub(crate) boot: BootId,
    /// Whose ledger it is.
    pub(crate) oath: &'a mut dyn Oath,
    /// What is pinned.
    pub(crate) anchor: Anchor,
    pub(crate) senses: Senses,
}

/// See the module.
pub(crate) struct Keeper {
    config: Arc<AgentConfig>,
    authority: Authority,
    executor: Executor,
    ends: mpsc::Receiver<OutcomeReport>,
    pause: PauseFiles,
    /// Why the clock permits nothing, and why the server's authority does not: they come and go independently.
    clock: Option<String>,
    distrust: Option<String>,
    /// The challenge of the stream that is being opened.
    fresh: Option<Fresh>,
    state: StateDir,
    boot: BootId,
    standing: StandingMachine,
}

impl Keeper {
    /// Opens the ledger and takes up what was left unfinished. Must be called in a `LocalSet`.
    pub(crate) fn open(parts: KeeperParts<'_>) -> Self {
        let KeeperParts { config, state, boot, oath, anchor, senses } = parts;
        let pause = PauseFiles::new(vec![config.limits.pause_file.clone(), state.path("pause")]);
        let authority = Authority::new(state.clone(), anchor);
        let (executor, ends) = Executor::open(ExecutorParts {
            config: Arc::clone(&config),
            state: state.clone(),
            boot: boot.clone(),
            oath,
            body: Body::new(senses),
            pause: pause.clone(),
        });
        let standing = StandingMachine::new(clock::boot_now());
        let (clock, distrust, fresh) = (None, None, None);
        let mut keeper =
            Self { config, authority, executor, ends, pause, clock, distrust, fresh, state, boot, standing };
        keeper.recall_orders();
        keeper
    }

    /// Takes up the orders of an earlier life of the agent in this boot.
    fn recall_orders(&mut self) {
        let Some(kept) = Kept::read(&self.state, &self.boot) else { return };
        // Not by `take_authority`: what is on the disk is no reason for an objection.
        if let Err(error) = self.authority.take(&kept.trust, clock::wall_now()) {
            tracing::warn!(target: "prunella::orders", error = %causes(&error), "standing orders are not followed any more");
            return;
        }
        match self.executor.recall_orders(&kept.orders, self.authority.trust()) {
            Ok(orders) => self.standing.take(orders, kept.at),
            Err(refusal) => {
                tracing::warn!(target: "prunella::orders", %refusal, "standing orders are not followed any more");
            }
        }
    }

    /// Takes standing orders that a server sent, if they hold.
    pub(crate) fn take_orders(&mut self, envelope: &Envelope) {
        let at = clock::boot_now();
        match self.executor.judge_orders(envelope, self.authority.trust()) {
            Ok(orders) => {
                tracing::info!(target: "prunella::orders", orders = orders.orders.len(), "took standing orders");
                self.standing.take(orders, at);
            }
            Err(refusal) => {
                let code = refusal.code();
                tracing::warn!(target: "prunella::orders", code, %refusal, "refused standing orders");
                return;
            }
        }
        let Some(trust) = self.authority.bundle().cloned() else { return };
        let kept = Kept { boot: self.boot.clone(), at, trust, orders: envelope.clone() };
        if let Err(error) = kept.write(&self.state) {
            tracing::warn!(target: "prunella::orders", error = %causes(&error), "standing orders are not kept over a restart");
        }
    }

    /// Carries out what is ordered for when no server is reached, if it is due. To be called about once a second.
    pub(crate) fn act_alone(&mut self) {
        let (now, watch) = (clock::boot_now(), self.executor.order_watch());
        let Some((index, intent)) = self.standing.due(now, &watch) else { return };
        let (command, repair) = (intent.id, intent.repair.clone());
        let objection = self.observe_only();
        match self.executor.run_order(intent, self.authority.trust(), objection) {
            Ok(()) => {
                tracing::warn!(target: "prunella::orders", %command, %repair, "no server is reached: acting by a standing order");
            }
            Err(refusal) => {
                tracing::warn!(target: "prunella::orders", %command, %repair, code = refusal.code(), %refusal, "a standing order is not carried out");
            }
        }
        self.standing.began(index, now, &watch);
    }

    /// Makes the challenge of the next stream.
    ///
    /// # Errors
    /// [`LinkError::NoRandom`].
    pub(crate) fn fresh(&mut self) -> Result<Fresh, LinkError> {
        let fresh = Fresh::make()?;
        self.fresh = Some(fresh);
        Ok(fresh)
    }

    /// A stream is open that carries the latest challenge; the server's clock said `at`.
    pub(crate) fn welcomed(&mut self, at: Timestamp, trust: &TrustBundle) {
        self.standing.accompanied();
        if let Some(fresh) = self.fresh {
            self.executor.open_stream(fresh);
        }
        self.clock = clock::skew_objection(clock::wall_now(), at);
        if let Some(why) = &self.clock {
            tracing::error!(target: "prunella::clock", %why, "only observing");
        }
        self.take_authority(trust);
    }

    /// New documents of authority.
    pub(crate) fn take_authority(&mut self, bundle: &TrustBundle) {
        self.distrust = match self.authority.take(bundle, clock::wall_now()) {
            Ok(()) => None,
            Err(error) => {
                let why = causes(&error);
                tracing::error!(target: "prunella::authority", %why, "only observing");
                Some(why)
            }
        };
    }

    /// The stream ended: deliveries of it are worthless.
    pub(crate) fn stream_ended(&mut self) {
        self.standing.alone(clock::boot_now());
        self.executor.close_stream();
    }

    /// Judges a command, and begins to carry it out if it is accepted.
    pub(crate) fn receive(&mut self, command: &SignedCommand) -> Receipt {
        let objection = self.observe_only();
        self.executor.receive(command, self.authority.trust(), objection)
    }

    /// Says what steps would do if they were commanded now. Nothing is done, and nothing is written down.
    pub(crate) fn rehearse(&self, number: u64, steps: Vec<TargetStep>, to: &mpsc::Sender<(u64, Answer)>) {
        self.executor.rehearse(number, steps, self.observe_only(), to);
    }

    /// Makes a command end before its next step.
    pub(crate) fn cancel(&mut self, command: CommandId) {
        self.executor.cancel(command);
    }

    /// Makes all commands end before their next step.
    pub(crate) fn cancel_all(&mut self) {
        self.executor.cancel_all();
    }

    /// Takes note that a server has these outcomes.
    pub(crate) fn acknowledged(&mut self, outcomes: &[CommandId]) {
        self.executor.acknowledged(outcomes);
    }

    /// The next command to end. Dropping the future loses nothing.
    pub(crate) async fn next_end(&mut self) -> OutcomeReport {
        match self.ends.recv().await {
            Some(report) => {
                self.executor.ended(&report);
                report
            }
            // The executor holds a sender for as long as it lives.
            None => std::future::pending().await,
        }
    }

    /// Whether a command is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.executor.is_busy()
    }

    /// Why this host is paused, and why it only observes, now.
    pub(crate) fn brakes(&self) -> (Option<String>, Option<String>) {
        (self.pause.reason(), self.observe_only())
    }

    /// Everything that it says of itself.
    pub(crate) fn standing(&self) -> Standing {
        let (paused, observe_only) = self.brakes();
        Standing { paused, observe_only, mark: self.executor.mark(), outcomes: self.executor.unacknowledged() }
    }

    fn observe_only(&self) -> Option<String> {
        if self.config.limits.observe_only {
            return Some(prunella_model::host::BY_CHOICE.to_owned());
        }
        [self.executor.objection(), self.clock.clone(), self.distrust.clone()].into_iter().flatten().next()
    }
}
