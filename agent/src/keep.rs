//! Where a host's keeper is: in this process, or in a helper with the privilege that this one lacks.

use prunella_model::command::{Envelope, SignedCommand, TrustBundle};
use prunella_model::observation::{Observation, ProbeKind};
use prunella_model::outcome::OutcomeReport;
use prunella_model::question::{Answer, Question};
use prunella_model::{CommandId, ProbeName, TargetName, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout_at};

use crate::execute::Receipt;
use crate::helper::{Ask, HelperLink};
use crate::keeper::{Keeper, Standing};
use crate::senses::{Full, Sensed};
use crate::uplink::{Fresh, LinkError};

/// What happened where the keeper is.
pub(crate) enum KeepNews {
    /// A command has ended.
    Ended(OutcomeReport),
    /// What a command came to.
    Receipt(Receipt),
    /// Its probes saw something.
    Sensed(Sensed),
    /// So much has changed that everything must be said again.
    Changed,
    /// It is back: a new stream must be begun, with a challenge of its own making.
    Returned,
    /// It wants to know what probes of this half see, as soon as they do.
    Burst {
        /// Which probes.
        named: Vec<(TargetName, ProbeName)>,
        /// For how long.
        lasting: Duration,
    },
    /// It has answered a question.
    Answer {
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: Answer,
    },
    /// Nothing that matters here.
    Nothing,
}

/// See the module.
pub(crate) enum Keep {
    /// One process is the whole agent.
    Own(Box<Keeper>),
    /// The helper has it.
    Helper(Box<HelperLink>),
}

impl Keep {
    /// The challenge of the next stream; none when it is too early for one.
    pub(crate) fn fresh(&mut self) -> Result<Option<Fresh>, LinkError> {
        match self {
            Self::Own(it) => it.fresh().map(Some),
            Self::Helper(it) => it.fresh(),
        }
    }

    pub(crate) fn welcomed(&mut self, at: Timestamp, trust: &TrustBundle) {
        match self {
            Self::Own(it) => it.welcomed(at, trust),
            Self::Helper(it) => {
                it.ask(Ask::Welcomed { at, trust: Box::new(trust.clone()) });
            }
        }
    }

    pub(crate) fn take_authority(&mut self, trust: &TrustBundle) {
        match self {
            Self::Own(it) => it.take_authority(trust),
            Self::Helper(it) => it.ask(Ask::Trust(Box::new(trust.clone()))),
        }
    }

    pub(crate) fn take_orders(&mut self, orders: &Envelope) {
        match self {
            Self::Own(it) => it.take_orders(orders),
            Self::Helper(it) => it.ask(Ask::Orders(Box::new(orders.clone()))),
        }
    }

    /// Lets standing orders be carried out. A helper does so by itself.
    pub(crate) fn act_alone(&mut self) {
        match self {
            Self::Own(it) => it.act_alone(),
            Self::Helper(_) => {}
        }
    }

    pub(crate) fn stream_ended(&mut self) {
        match self {
            Self::Own(it) => it.stream_ended(),
            Self::Helper(it) => it.ask(Ask::StreamEnded),
        }
    }

    /// Judges a command; none when the receipt comes later.
    pub(crate) fn receive(&mut self, command: &SignedCommand) -> Option<Receipt> {
        match self {
            Self::Own(it) => Some(it.receive(command)),
            Self::Helper(it) => it.receive(command),
        }
    }

    pub(crate) fn cancel(&mut self, command: CommandId) {
        match self {
            Self::Own(it) => it.cancel(command),
            Self::Helper(it) => it.ask(Ask::Cancel(command)),
        }
    }

    pub(crate) fn acknowledged(&mut self, outcomes: &[CommandId]) {
        match self {
            Self::Own(it) => it.acknowledged(outcomes),
            Self::Helper(it) => it.acknowledged(outcomes),
        }
    }

    /// Has the other half's probes look as often as the fleet wants.
    pub(crate) fn intervals(&mut self, wanted: &[(ProbeKind, Duration)]) {
        match self {
            Self::Own(_) => {}
            Self::Helper(it) => it.ask(Ask::Intervals(wanted.to_vec())),
        }
    }

    pub(crate) fn probe_now(&mut self, target: Option<&TargetName>) {
        match self {
            Self::Own(_) => {}
            Self::Helper(it) => it.ask(Ask::ProbeNow(target.cloned())),
        }
    }

    /// Has a question answered; gives it back when this half itself has what is asked for.
    pub(crate) fn asked(
        &mut self,
        number: u64,
        question: Question,
        to: &mpsc::Sender<(u64, Answer)>,
    ) -> Option<Question> {
        match (self, question) {
            (Self::Own(_), question @ Question::Snapshots(_)) => Some(question),
            (Self::Own(it), Question::Rehearse(steps)) => {
                it.rehearse(number, steps, to);
                None
            }
            (Self::Helper(it), question) => {
                it.ask(Ask::Question { number, question });
                None
            }
        }
    }

    /// A probe of this half saw something: the keeper's preconditions may ask for it.
    pub(crate) fn saw(&mut self, seen: &Observation) {
        match self {
            Self::Own(_) => {}
            Self::Helper(it) => it.ask(Ask::Seen(seen.clone())),
        }
    }

    /// Why the host is paused, and why it only observes.
    pub(crate) fn brakes(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Own(it) => it.brakes(),
            Self::Helper(it) => it.brakes(),
        }
    }

    /// Everything that is known here and there.
    pub(crate) fn complete(&self, full: Full) -> (Full, Standing) {
        match self {
            Self::Own(it) => (full, it.standing()),
            Self::Helper(it) => (it.complete(full), it.standing()),
        }
    }

    /// What happens next. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> KeepNews {
        match self {
            Self::Own(it) => KeepNews::Ended(it.next_end().await),
            Self::Helper(it) => it.next().await,
        }
    }

    /// Ends commands between two steps, and returns what ended until `patience`. A helper goes on without this half.
    pub(crate) async fn wind_down(&mut self, patience: Instant) -> Vec<OutcomeReport> {
        let mut ended = Vec::new();
        match self {
            Self::Own(it) => {
                it.cancel_all();
                while it.is_busy() {
                    let Ok(report) = timeout_at(patience, it.next_end()).await else { break };
                    ended.push(report);
                }
            }
            Self::Helper(_) => {}
        }
        ended
    }
}
