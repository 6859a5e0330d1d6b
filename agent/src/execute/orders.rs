//! Standing orders: taken from a server, kept for when there is none, and run through the same ward and ledger.

use std::time::Duration;

use prunella_model::CommandId;
use prunella_model::command::{BootId, Envelope, Intent};
use prunella_model::observation::Status;
use prunella_model::outcome::Refusal;
use prunella_model::standing::StandingOrders;
use prunella_model::{ProbeName, TargetName};
use prunella_proto::wire;
use prunella_seal::Trust;
use prunella_ward::{Moment, OpenedOrders, Watch};

use super::course::Course;
use super::facts::HostFacts;
use super::{Executor, SharedLedger, busy, objection_of};
use crate::clock;
use crate::driver::causes;
use crate::senses;

/// What standing orders look at.
pub(crate) struct OrderWatch {
    senses: senses::Facts,
    ledger: SharedLedger,
    boot: BootId,
}

impl Watch for OrderWatch {
    fn held(&self, target: &TargetName, probe: &ProbeName, status: Status) -> Option<Duration> {
        self.senses.held(target, probe, status)
    }

    fn knows(&self, command: CommandId) -> bool {
        // Without a ledger it is not known what was done, so everything may have been.
        self.ledger.borrow().as_ref().map_or(true, |ledger| ledger.knows(command).is_some())
    }

    fn boot(&self) -> &BootId {
        &self.boot
    }
}

/// Standing orders as they were signed, signature and all.
fn open(envelope: &Envelope, trust: &Trust) -> Result<OpenedOrders, Refusal> {
    let delivery = trust.open_standing(envelope, wire::decode_delivery)?;
    let orders =
        wire::decode_standing(&delivery.intent).map_err(|why| Refusal::Undecodable { why: why.to_string() })?;
    Ok(OpenedOrders { delivery, orders })
}

fn no_authority() -> Refusal {
    Refusal::NoDelegation { why: "the server has not shown where its authority comes from".to_owned() }
}

impl Executor {
    /// What standing orders look at.
    pub(crate) fn order_watch(&self) -> OrderWatch {
        OrderWatch { senses: self.body.facts(), ledger: std::rc::Rc::clone(&self.ledger), boot: self.boot.clone() }
    }

    /// Judges standing orders that a server sent.
    pub(crate) fn judge_orders(
        &mut self,
        envelope: &Envelope,
        trust: Option<&Trust>,
    ) -> Result<StandingOrders, Refusal> {
        let trust = trust.ok_or_else(no_authority)?;
        let opened = open(envelope, trust)?;
        let slot = self.ledger.borrow();
        let facts = HostFacts {
            boot: &self.boot,
            senses: self.body.facts(),
            ledger: slot.as_ref().ok(),
            paused: None,
            observe_only: None,
        };
        let now = Moment { wall: clock::wall_now(), boot: clock::boot_now() };
        self.ward.judge_orders(&opened, trust.delegation(), now, &facts)?;
        Ok(opened.orders)
    }

    /// Standing orders that were judged in an earlier life of the agent in the same boot. Each run is judged anew.
    pub(crate) fn recall_orders(&self, envelope: &Envelope, trust: Option<&Trust>) -> Result<StandingOrders, Refusal> {
        Ok(open(envelope, trust.ok_or_else(no_authority)?)?.orders)
    }

    /// Judges one run of a standing order and, when it is accepted, begins it.
    pub(crate) fn run_order(
        &mut self,
        intent: Intent,
        trust: Option<&Trust>,
        objection: Option<String>,
    ) -> Result<(), Refusal> {
        let trust = trust.ok_or_else(no_authority)?;
        let now = Moment { wall: clock::wall_now(), boot: clock::boot_now() };
        {
            let mut slot = self.ledger.borrow_mut();
            let facts = HostFacts {
                boot: &self.boot,
                senses: self.body.facts(),
                ledger: slot.as_ref().ok(),
                paused: self.pause.reason(),
                observe_only: objection.or_else(|| objection_of(&slot)),
            };
            busy(&self.running, &intent)?;
            self.ward.judge_run(&intent, trust.delegation(), now, &facts)?;
            let written = match slot.as_mut() {
                Ok(ledger) => ledger.intend_run(&intent, now.wall).map_err(|error| causes(&error)),
                Err(why) => Err(why.clone()),
            };
            // What is not surely on the disk is not done.
            written.map_err(|why| Refusal::ObserveOnly { why })?;
        }
        self.begin(Course::new(intent));
        Ok(())
    }
}
