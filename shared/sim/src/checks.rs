//! What must never happen, judged from outside: by what is really the case, not by what the engine believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use prunella_model::command::Intent;
use prunella_model::{CommandId, Id, IncidentId, Timestamp};

/// How many violations are told in full; a broken engine must not fill the memory.
const TOLD: usize = 50;

/// What was broken, and how often.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) count: u64,
    pub(crate) told: Vec<String>,
    /// Everything that a command was ever decided to be.
    decided: BTreeMap<CommandId, Intent>,
    /// How often each command was carried out.
    executed: BTreeMap<CommandId, u32>,
    opened: BTreeMap<IncidentId, bool>,
    under_way: BTreeSet<CommandId>,
    highest_epoch: u64,
}

impl Checks {
    pub(crate) fn violated(&mut self, now: Timestamp, name: &str, what: impl fmt::Display) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("{now:?} {name}: {what}"));
        }
    }

    /// A decider begins.
    pub(crate) fn epoch(&mut self, now: Timestamp, epoch: u64) {
        if epoch <= self.highest_epoch {
            self.violated(now, "epochs_rise", format!("{epoch:x} after {:x}", self.highest_epoch));
        }
        self.highest_epoch = epoch;
    }

    /// A command is released to its agent.
    pub(crate) fn decided(&mut self, now: Timestamp, intent: &Intent) {
        match self.decided.get(&intent.id) {
            Some(known) if known != intent => {
                self.violated(now, "ids_never_repeat", format!("command {} means two things", intent.id));
            }
            Some(_) => {}
            None => drop(self.decided.insert(intent.id, intent.clone())),
        }
        if intent.id.0.epoch > self.highest_epoch {
            self.violated(now, "ids_in_epoch", format!("command {} is of an epoch to come", intent.id));
        }
    }

    /// An agent begins to carry a command out. `again` is allowed after a crash, for what can be repeated.
    pub(crate) fn executed(&mut self, now: Timestamp, command: CommandId, again: bool) {
        let times = self.executed.entry(command).or_insert(0);
        *times += 1;
        if *times > 1 && !again {
            self.violated(now, "at_most_once", format!("command {command} was carried out twice"));
        }
        if !self.decided.contains_key(&command) {
            self.violated(now, "persist_then_act", format!("command {command} was never released"));
        }
    }

    /// An incident was committed.
    pub(crate) fn opened(&mut self, now: Timestamp, id: IncidentId) {
        match self.opened.get(&id) {
            None => drop(self.opened.insert(id, true)),
            Some(true) => {}
            Some(false) => {
                self.violated(now, "ids_never_repeat", format!("incident {id} was closed and is open again"));
            }
        }
    }

    /// An incident was closed.
    pub(crate) fn closed(&mut self, id: IncidentId) {
        self.opened.insert(id, false);
    }

    /// A command was committed, with or without an outcome.
    pub(crate) fn under_way(&mut self, id: CommandId, open: bool) {
        if open {
            self.under_way.insert(id);
        } else {
            self.under_way.remove(&id);
        }
    }

    /// A decider begins, and knows of these.
    pub(crate) fn restarted(&mut self, now: Timestamp, open: &[IncidentId], under_way: &BTreeSet<CommandId>) {
        let committed: Vec<IncidentId> = self.opened.iter().filter(|(_, open)| **open).map(|(id, _)| *id).collect();
        if open != committed {
            let what = format!("{} incidents were committed, {} are open after a restart", committed.len(), open.len());
            self.violated(now, "no_incident_is_lost", what);
        }
        if *under_way != self.under_way {
            let (before, after) = (self.under_way.len(), under_way.len());
            self.violated(
                now,
                "no_command_is_lost",
                format!("{before} commands were under way, {after} are after a restart"),
            );
        }
    }

    /// How many commands were carried out.
    pub(crate) fn commands(&self) -> u64 {
        self.executed.len() as u64
    }
}

/// A running hash of everything that was decided: FNV-1a over its text.
#[derive(Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, what: &impl fmt::Debug) {
        // Writing into a number cannot fail.
        write!(self, "{what:?}").unwrap_or_default();
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }

    pub(crate) fn id(&mut self, id: Id) {
        self.add(&id);
    }
}

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
