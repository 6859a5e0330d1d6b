//! What steps would do if they were commanded now. Nothing is done, and nothing is written into the ledger.

use std::rc::Rc;
use std::time::Duration;

use prunella_model::outcome::Refusal;
use prunella_model::question::{Answer, Rehearsal, StepTold};
use prunella_model::step::TargetStep;
use prunella_ward::Moment;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::facts::HostFacts;
use super::{Body, Executor, free, objection_of};
use crate::clock;

/// How long looking may take; shorter than a server waits, so that it hears of it.
const WITHIN: Duration = Duration::from_secs(15);

impl Executor {
    /// Answers when it has looked, a few questions at a time: more are not answered, and whoever asks is told so by its
    /// own clock. Must be called in a `LocalSet`.
    pub fn rehearse(
        &self,
        number: u64,
        steps: Vec<TargetStep>,
        objection: Option<String>,
        to: &mpsc::Sender<(u64, Answer)>,
    ) {
        let Ok(permit) = to.clone().try_reserve_owned() else { return };
        let answer = move |rehearsal| (number, Answer::Rehearsed(rehearsal));
        if let Err(refusal) = self.would(&steps, objection) {
            permit.send(answer(Rehearsal::Refused { why: refusal.to_string() }));
            return;
        }
        let body = Rc::clone(&self.body);
        tokio::task::spawn_local(async move {
            permit.send(answer(Rehearsal::Told(told(&body, &steps).await)));
        });
    }

    fn would(&self, steps: &[TargetStep], objection: Option<String>) -> Result<(), Refusal> {
        free(&self.running, steps)?;
        let slot = self.ledger.borrow();
        let facts = HostFacts {
            boot: &self.boot,
            senses: self.body.facts(),
            ledger: slot.as_ref().ok(),
            paused: self.pause.reason(),
            observe_only: objection.or_else(|| objection_of(&slot)),
        };
        self.ward.would(steps, Moment { wall: clock::wall_now(), boot: clock::boot_now() }, &facts)
    }
}

/// What each step would do, up to the first that could not be done: what follows would not be reached.
async fn told(body: &Body, steps: &[TargetStep]) -> Vec<StepTold> {
    let deadline = Instant::now() + WITHIN;
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let (possible, text) = match timeout_at(deadline, body.rehearse(step)).await {
            Ok(Ok(text)) => (true, text),
            Ok(Err(why)) => (false, why),
            Err(_) => (false, format!("looking had not ended within {} s", WITHIN.as_secs())),
        };
        all.push(StepTold { possible, text });
        if !possible {
            break;
        }
    }
    all
}
