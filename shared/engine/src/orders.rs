//! What operators order for many targets at once: pauses, modes, maintenances.

use prunella_model::event::EventKind;
use prunella_model::incident::IncidentState;
use prunella_model::policy::{Mode, Scope};
use prunella_model::record::{Change, MaintenanceRecord, ModeRecord, PauseRecord};
use prunella_model::{IncidentId, MaintenanceName, OperatorName, TargetRef, Timestamp};

use crate::Engine;
use crate::event::Reply;
use crate::key::Key;
use crate::requests::refused;
use crate::timers::Timer;

/// What a reply adds when commands had to be stopped.
fn stopped_text(stopped: usize) -> String {
    match stopped {
        0 => String::new(),
        1 => "; 1 command under way is asked to stop before its next step".to_owned(),
        count => format!("; {count} commands under way are asked to stop before their next step"),
    }
}

impl Engine {
    pub(crate) fn pause(&mut self, by: &OperatorName, scope: Scope, why: String, until: Option<Timestamp>) -> Reply {
        if until.is_some_and(|until| until <= self.now) {
            return refused("UNTIL_IN_THE_PAST", "the pause would have ended already: give a later time, or none");
        }
        if let Some(missing) = self.missing(&scope) {
            return Reply::NotFound { what: missing };
        }
        let record = PauseRecord { scope: scope.clone(), by: by.clone(), why: why.clone(), since: self.now, until };
        self.pauses.insert(scope.clone(), record.clone());
        self.out.changes.push(Change::PutPause(record));
        match until {
            Some(until) => self.timers.set(Timer::Pause(scope.clone()), until, self.now),
            None => self.timers.clear(&Timer::Pause(scope.clone())),
        }
        let stopped = self.cancel_under_way(&scope);
        self.wake_scope(&scope);
        self.audit_as(format!("operator/{by}"), "paused", scope.to_string(), None, why.clone());
        let key = self.scope_key(&scope);
        self.announce(EventKind::Paused, key, None, format!("{scope} paused by {by}: {why}"));
        Reply::Done { incident: None, message: format!("{scope} is paused{}", stopped_text(stopped)) }
    }

    pub(crate) fn resume(&mut self, by: &OperatorName, scope: &Scope) -> Reply {
        if let Scope::Operator(operator) = scope
            && operator == by
        {
            return refused("NOT_YOURSELF", format!("somebody else must resume {scope}"));
        }
        if self.pauses.remove(scope).is_none() {
            return Reply::NotFound { what: format!("pause of {scope}") };
        }
        match scope {
            Scope::Operator(operator) => drop(self.overrides.remove(operator)),
            Scope::Fleet | Scope::Group(_) | Scope::Host(_) | Scope::Target(..) => self.note_override(by),
        }
        self.lift(scope, &format!("operator/{by}"), &format!("{scope} resumed by {by}"));
        Reply::Done { incident: None, message: format!("{scope} is resumed") }
    }

    /// A pause ends by itself.
    pub(crate) fn pause_ended(&mut self, scope: &Scope) {
        if self.pauses.remove(scope).is_some() {
            let line = format!("the pause of {scope} has ended");
            self.lift(scope, "engine", &line);
        }
    }

    fn lift(&mut self, scope: &Scope, actor: &str, line: &str) {
        self.timers.clear(&Timer::Pause(scope.clone()));
        self.out.changes.push(Change::DropPause(scope.clone()));
        self.wake_scope(scope);
        self.freed = true;
        self.audit_as(actor.to_owned(), "resumed", scope.to_string(), None, line.to_owned());
        let key = self.scope_key(scope);
        self.announce(EventKind::Resumed, key, None, line.to_owned());
    }

    pub(crate) fn set_mode(&mut self, by: &OperatorName, scope: Scope, mode: Option<Mode>, why: String) -> Reply {
        match &scope {
            Scope::Fleet | Scope::Group(_) => {}
            Scope::Host(_) | Scope::Target(..) | Scope::Operator(_) => {
                return refused("NO_MODE", format!("{scope} has no mode of its own: only the fleet and groups have"));
            }
        }
        if let Some(missing) = self.missing(&scope) {
            return Reply::NotFound { what: missing };
        }
        let message = match mode {
            Some(mode) => {
                let (by, since) = (by.clone(), self.now);
                let record = ModeRecord { scope: scope.clone(), mode, by, why: why.clone(), since };
                self.modes.insert(scope.clone(), record.clone());
                self.out.changes.push(Change::PutMode(record));
                format!("{scope} is in mode {}", mode.as_str())
            }
            None if self.modes.remove(&scope).is_some() => {
                self.out.changes.push(Change::DropMode(scope.clone()));
                format!("{scope} is in the policy's mode again")
            }
            None => return Reply::NotFound { what: format!("mode of {scope} beside the policy's") },
        };
        self.wake_scope(&scope);
        self.freed = true;
        self.audit_as(format!("operator/{by}"), "mode_set", scope.to_string(), None, format!("{message}: {why}"));
        self.announce(EventKind::ModeChanged, None, None, format!("{message}, by {by}: {why}"));
        Reply::Done { incident: None, message }
    }

    pub(crate) fn maintain(&mut self, mut record: MaintenanceRecord) -> Reply {
        record.from = record.from.max(self.now);
        if record.until.is_some_and(|until| until <= record.from) {
            return refused(
                "UNTIL_IN_THE_PAST",
                "the maintenance would end before it begins: give a later end, or none",
            );
        }
        if let Some(missing) = self.missing(&record.scope) {
            return Reply::NotFound { what: missing };
        }
        if let Some(other) = self.maintenances.get(&record.name) {
            let why = format!(
                "{} of {} by {} has that name: end it first, or take another",
                other.name, other.scope, other.by
            );
            return refused("NAME_TAKEN", why);
        }
        let (name, scope, by, why) = (record.name.clone(), record.scope.clone(), record.by.clone(), record.why.clone());
        self.out.changes.push(Change::PutMaintenance(record.clone()));
        self.audit_as(format!("operator/{by}"), "maintenance_made", scope.to_string(), None, format!("{name}: {why}"));
        let from = record.from;
        self.maintenances.insert(name.clone(), record);
        if from > self.now {
            self.timers.set(Timer::Maintenance(name.clone()), from, self.now);
            return Reply::Done { incident: None, message: format!("maintenance {name} of {scope} is planned") };
        }
        let stopped = self.maintenance_due(&name);
        Reply::Done {
            incident: None,
            message: format!("maintenance {name} of {scope} has begun{}", stopped_text(stopped)),
        }
    }

    /// A maintenance begins or ends. Returns how many commands were asked to stop.
    pub(crate) fn maintenance_due(&mut self, name: &MaintenanceName) -> usize {
        let Some(it) = self.maintenances.get(name).cloned() else { return 0 };
        if it.until.is_some_and(|until| until <= self.now) {
            self.over(&it, "engine", &format!("maintenance {name} of {} is over", it.scope));
            return 0;
        }
        if it.from > self.now {
            self.timers.set(Timer::Maintenance(name.clone()), it.from, self.now);
            return 0;
        }
        if let Some(until) = it.until {
            self.timers.set(Timer::Maintenance(name.clone()), until, self.now);
        }
        let stopped = self.cancel_under_way(&it.scope);
        self.wake_scope(&it.scope);
        let line = format!("maintenance {name} of {} by {}: {}", it.scope, it.by, it.why);
        self.announce(EventKind::Paused, self.scope_key(&it.scope), None, line);
        stopped
    }

    pub(crate) fn end_maintenance(&mut self, by: &OperatorName, name: &MaintenanceName) -> Reply {
        let Some(it) = self.maintenances.get(name).cloned() else {
            return Reply::NotFound { what: format!("maintenances/{name}") };
        };
        let line = format!("maintenance {name} of {} ended by {by}", it.scope);
        self.over(&it, &format!("operator/{by}"), &line);
        Reply::Done { incident: None, message: format!("maintenance {name} of {} is over", it.scope) }
    }

    fn over(&mut self, it: &MaintenanceRecord, actor: &str, line: &str) {
        self.maintenances.remove(&it.name);
        self.timers.clear(&Timer::Maintenance(it.name.clone()));
        self.out.changes.push(Change::DropMaintenance(it.name.clone()));
        self.wake_scope(&it.scope);
        self.freed = true;
        self.audit_as(actor.to_owned(), "maintenance_over", it.scope.to_string(), None, line.to_owned());
        self.announce(EventKind::Resumed, self.scope_key(&it.scope), None, line.to_owned());
    }

    fn scope_key(&self, scope: &Scope) -> Option<Key> {
        match scope {
            Scope::Fleet | Scope::Group(_) | Scope::Host(_) | Scope::Operator(_) => None,
            Scope::Target(host, target) => self.find(&TargetRef::new(host.clone(), target.clone())),
        }
    }

    /// The name of a scope that does not exist; null when it does.
    pub(crate) fn missing(&self, scope: &Scope) -> Option<String> {
        let found = match scope {
            Scope::Fleet => true,
            Scope::Group(group) => self.has_group(group),
            Scope::Host(host) => self.names.contains_key(host),
            Scope::Target(host, target) => self.find(&TargetRef::new(host.clone(), target.clone())).is_some(),
            // Nobody stops a person by name; the brake `override_abuse` does, by itself.
            Scope::Operator(_) => false,
        };
        (!found).then(|| scope.to_string())
    }

    /// The open incidents that a scope covers.
    fn covered(&self, scope: &Scope) -> Vec<IncidentId> {
        self.cases.iter().filter(|(_, case)| self.covers(scope, case.key)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn wake_scope(&mut self, scope: &Scope) {
        self.orders_change(scope);
        let covered = self.covered(scope);
        self.woken.extend(covered);
    }

    fn cancel_under_way(&mut self, scope: &Scope) -> usize {
        let mut stopped = 0;
        for id in self.covered(scope) {
            if let Some(IncidentState::Repairing { command }) = self.cases.get(&id).map(|case| case.it.state.clone()) {
                stopped += usize::from(self.cancel_command(command));
            }
        }
        stopped
    }
}
