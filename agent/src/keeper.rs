//! Everything on a host that judges and acts: trust, ward, ledger, steps, and the host's own brakes.
//!
//! The whole agent has one, or the helper when the two halves are processes of their own. What it is told comes from
//! the network's side and proves nothing: only signatures do.

use std::sync::Arc;

use prunella_model::command::{BootId, SignedCommand, TrustBundle};
use prunella_model::outcome::OutcomeReport;
use prunella_model::{CommandId, Generation, Timestamp};
use prunella_seal::Anchor;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::clock;
use crate::config::AgentConfig;
use crate::driver::causes;
use crate::execute::{Body, Executor, ExecutorParts, Oath, Receipt};
use crate::pause::PauseFiles;
use crate::senses::Senses;
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
}

impl Keeper {
    /// Opens the ledger and takes up what was left unfinished. Must be called in a `LocalSet`.
    pub(crate) fn open(parts: KeeperParts<'_>) -> Self {
        let KeeperParts { config, state, boot, oath, anchor, senses } = parts;
        let pause = PauseFiles::new(vec![config.limits.pause_file.clone(), state.path("pause")]);
        let authority = Authority::new(state.clone(), anchor);
        let (executor, ends) = Executor::open(ExecutorParts {
            config: Arc::clone(&config),
            state,
            boot,
            oath,
            body: Body::new(senses),
            pause: pause.clone(),
        });
        Self { config, authority, executor, ends, pause, clock: None, distrust: None, fresh: None }
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
        self.executor.close_stream();
    }

    /// Judges a command, and begins to carry it out if it is accepted.
    pub(crate) fn receive(&mut self, command: &SignedCommand) -> Receipt {
        let objection = self.observe_only();
        self.executor.receive(command, self.authority.trust(), objection)
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
