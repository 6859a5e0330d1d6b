//! Opening, joining, escalating and closing incidents.

use std::cmp::Reverse;

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Fault, Gain, Hold, Incident, IncidentState, Optimisation, Severity, Stage};
use prunella_model::record::Change;
use prunella_model::{IncidentId, RuleName, Timestamp};

use super::Case;
use crate::Engine;
use crate::key::{Key, at};
use crate::knowledge::fingerprint;
use crate::rules::{self, Judgement, Symptom};
use crate::target::Life;
use crate::timers::Timer;

/// The most faults that one incident names beside its first.
const ALSO_MAX: usize = 8;

impl Engine {
    /// Judges a target by every rule, opens or joins an incident, and wakes what waits for the target.
    pub(crate) fn review(&mut self, key: Key) {
        if self.target_at(key).gone && !self.target_at(key).report.name.is_host() {
            return;
        }
        let mut present: Vec<(usize, Symptom)> = Vec::new();
        let custom = self.target_at(key).custom.keys().map(|rule| rules::RULES.len() + at(*rule));
        let in_force: Vec<usize> = (0..rules::RULES.len()).chain(custom.filter(|rule| self.speaks(*rule))).collect();
        for rule in in_force {
            match self.judge(rule, key, Timestamp::ZERO) {
                Judgement::Present(symptom) if !self.speaks(rule) => self.would_open(key, rule, &symptom),
                Judgement::Present(symptom) => present.push((rule, symptom)),
                Judgement::Absent(_) => {
                    self.still(key, rule);
                    if !self.target_at(key).muted.is_empty() {
                        let name = self.rule_name(rule).to_owned();
                        self.target_mut(key).muted.retain(|it| it.as_str() != name);
                    }
                }
                Judgement::Unknown => {}
            }
        }
        self.wake_watchers(key);
        if let Some(id) = self.target_at(key).incident
            && !present.first().is_some_and(|(_, symptom)| self.give_way(id, symptom))
        {
            self.join(id, present);
            self.woken.insert(id);
            return;
        }
        if present.is_empty() {
            // A bad answer that is not confirmed yet is part of the fault, not of the time before it.
            if !self.confirm_later(key) {
                let health = self.health(key);
                let target = self.target_mut(key);
                target.baseline = health.or(target.baseline);
            }
            return;
        }
        let muted = &self.target_at(key).muted;
        let mut faults = Vec::new();
        for (rule, symptom) in present {
            if !muted.iter().any(|it| it.as_str() == self.rule_name(rule)) {
                faults.push(self.fault(key, rule, symptom));
            }
        }
        let mut faults = faults.into_iter();
        if let Some(first) = faults.next() {
            self.open(key, first, faults.collect());
        }
    }

    /// A shipped rule speaks in shadow: that is said once, and nothing follows from it.
    fn would_open(&mut self, key: Key, rule: usize, symptom: &Symptom) {
        let Some(name) = rules::RULES.get(rule).map(|it| it.name()) else { return };
        if self.target_mut(key).shadowed.insert(RuleName::of(name)) {
            let line = format!("in shadow, {name}: {}", symptom.summary);
            self.audit("shadow_fault", key, None, line.clone());
            self.announce(EventKind::ShadowFault, Some(key), None, line);
        }
    }

    /// A rule is silent, in shadow or not: what it says next is news.
    fn still(&mut self, key: Key, rule: usize) {
        if !self.target_at(key).shadowed.is_empty() {
            let name = self.rule_name(rule).to_owned();
            self.target_mut(key).shadowed.retain(|it| it.as_str() != name);
        }
    }

    /// A first bad answer is looked at again soon, in case its agent does not say it again by itself; and what the target
    /// needs is looked at meanwhile, so that its proof is older than the next bad answer. True when there is one.
    pub(crate) fn confirm_later(&mut self, key: Key) -> bool {
        let listens = rules::index_of(rules::UNRESPONSIVE).is_some_and(|rule| self.tuning[rule].enabled);
        let target = self.target_at(key);
        let shaky = target.probes.iter().find(|probe| {
            let down = probe.last().is_some_and(|seen| seen.status == prunella_model::observation::Status::Down);
            down && probe.report.kind.sees_through()
        });
        let Some(probe) = shaky.filter(|_| listens && target.process.life != Life::Stopped) else { return false };
        let due = self.now.after(probe.beat());
        self.timers.ensure(Timer::Confirm(key), due, self.now);
        for other in self.upstream_watches(key) {
            self.probe(other);
        }
        true
    }

    /// Wakes the incidents that stand on this target, when it changed or when they wait for its evidence.
    pub(crate) fn wake_watchers(&mut self, key: Key) {
        let ailing = self.ailing(key);
        let changed = self.target_at(key).ailing != ailing;
        if changed {
            let now = self.now;
            let target = self.target_mut(key);
            target.ailing = ailing;
            target.well_since = (!ailing).then_some(now);
            self.wake_service(key);
            for group in self.target_at(key).groups.clone() {
                self.wake_group(&group);
            }
        }
        let watchers = self.target_at(key).watchers.iter();
        let due: Vec<IncidentId> = watchers
            .filter(|id| changed || self.cases.get(id).is_some_and(|case| case.waiting.is_some()))
            .copied()
            .collect();
        self.woken.extend(due);
    }

    /// Another member's health may release what `last_member` holds.
    fn wake_service(&mut self, key: Key) {
        let Some(service) = &self.target_at(key).report.service else { return };
        let Some(members) = self.topology.services.get(service) else { return };
        let held = members.iter().filter_map(|member| self.target_at(*member).incident);
        let held: Vec<IncidentId> = held
            .filter(|id| {
                self.cases.get(id).is_some_and(|case| case.it.holds.iter().any(|it| it.brake.as_str() == "last_member"))
            })
            .collect();
        self.woken.extend(held);
    }

    pub(crate) fn fault(&self, key: Key, rule: usize, symptom: Symptom) -> Fault {
        let target = self.target_at(key);
        let shipped = self.tuning[rule].severity;
        // What is critical by declaration is so when it does not do its service; a trend is not that urgent.
        let urgent = target.report.critical && rule < rules::ABOUT_SERVICE;
        let severity = if urgent { Severity::Critical } else { shipped };
        let name = self.rule_name(rule);
        let kind = target.report.service.as_ref().map_or(target.report.name.as_str(), |service| service.as_str());
        Fault {
            rule: RuleName::new(name).unwrap_or_else(|_| RuleName::of(super::REPORTED)),
            target: self.reference(key),
            fingerprint: fingerprint(name, kind, symptom.probe.as_ref().map(|probe| probe.as_str())),
            symptom: symptom.probe,
            severity,
            since: symptom.since,
            summary: symptom.summary,
        }
    }

    /// Opens an incident of a fault.
    pub(crate) fn open(&mut self, key: Key, fault: Fault, also: Vec<Fault>) -> IncidentId {
        self.open_as(key, fault, also, None)
    }

    /// Opens an incident: of a fault, or of an opportunity.
    pub(crate) fn open_as(
        &mut self,
        key: Key,
        fault: Fault,
        also: Vec<Fault>,
        optimisation: Option<Optimisation>,
    ) -> IncidentId {
        let announced = match optimisation {
            None => EventKind::FaultDetected,
            Some(_) => EventKind::OpportunityTaken,
        };
        let id = self.next_incident();
        let health = self.health(key);
        let incident = Incident {
            id,
            opened_at: self.now,
            state: IncidentState::Diagnosing,
            diagnosis: None,
            shared: None,
            stages: Vec::new(),
            attempts: Vec::new(),
            holds: Vec::new(),
            released: Vec::new(),
            recovered_at: None,
            closed_at: None,
            fault,
            also,
            optimisation,
        };
        let mut case = Case::new(incident, key);
        let summary = case.it.fault.summary.clone();
        case.pass(Stage::Detect, self.now, health, &summary);
        case.enter(Stage::Classify, self.now, health, "");
        self.target_mut(key).incident = Some(id);
        self.hosts[at(key.host)].incidents.insert(id);
        self.cases.insert(id, case);
        self.timers.clear(&Timer::Confirm(key));
        self.enter_state(id, IncidentState::Diagnosing);
        self.tally(key.host, |it| it.opened += 1);
        self.audit("incident_opened", key, Some(id), summary.clone());
        self.announce(announced, Some(key), Some(id), summary);
        self.touched(id);
        self.woken.insert(id);
        id
    }

    /// Adds faults to an incident that is open already, where they bear on it.
    fn join(&mut self, id: IncidentId, present: Vec<(usize, Symptom)>) {
        let Some(case) = self.cases.get(&id) else { return };
        let listens = match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Probation { .. } => case.it.optimisation.is_none(),
            // What a repair in progress stirs up is judged by verification.
            IncidentState::Repairing { .. } | IncidentState::Verifying { .. } | IncidentState::Closed(_) => false,
        };
        if !listens {
            return;
        }
        let key = case.key;
        for (rule, symptom) in present {
            let name = self.rule_name(rule);
            let Some(case) = self.cases.get(&id) else { return };
            let known = std::iter::once(&case.it.fault).chain(&case.it.also).any(|it| it.rule.as_str() == name);
            if known || case.it.also.len() >= ALSO_MAX {
                continue;
            }
            let fault = self.fault(key, rule, symptom);
            let summary = fault.summary.clone();
            let first = self.cases.get(&id).is_some_and(Case::only_agent)
                && !rules::RULES.get(rule).is_some_and(|rule| rule.about_agent());
            if let Some(case) = self.cases.get_mut(&id) {
                // What the agent watches matters more than how well it does so, whichever was found first.
                let other = if first { std::mem::replace(&mut case.it.fault, fault) } else { fault };
                case.it.also.push(other);
            }
            if first {
                self.enter_state(id, IncidentState::Diagnosing);
            }
            self.audit("fault_joined", key, Some(id), summary.clone());
            self.announce(EventKind::FaultDetected, Some(key), Some(id), format!("also: {summary}"));
            self.touched(id);
        }
    }

    /// Moves an incident to another state and keeps the counters that follow from it.
    pub(crate) fn enter_state(&mut self, id: IncidentId, state: IncidentState) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let changed = case.it.state != state;
        let before = case.under_repair();
        case.it.state = state;
        let troubles = match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. }
            | IncidentState::NeedsHuman { .. } => {
                // What stands for several hosts is on none of them.
                case.severity() >= Severity::High && !self.faults.is_fleet(key.host)
            }
            IncidentState::Upstream { .. } | IncidentState::Probation { .. } | IncidentState::Closed(_) => false,
        };
        let counted = std::mem::replace(&mut case.troubles, troubles);
        let after = case.under_repair();
        match (counted, troubles) {
            (false, true) => {
                let host = &mut self.hosts[at(key.host)];
                host.troubles += 1;
                self.troubled += u32::from(host.troubles == 1);
            }
            (true, false) => {
                let host = &mut self.hosts[at(key.host)];
                host.troubles = host.troubles.saturating_sub(1);
                self.troubled = self.troubled.saturating_sub(u32::from(host.troubles == 0));
                self.freed = true;
            }
            (true, true) | (false, false) => {}
        }
        if changed {
            self.touched(id);
        }
        if before != after {
            self.group_work(key, after);
            self.wake_watchers(key);
        }
    }

    /// Replaces what holds an incident back. What is over is kept as released.
    pub(crate) fn hold(&mut self, id: IncidentId, holds: Vec<Hold>) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let same = case.it.holds.len() == holds.len()
            && case.it.holds.iter().zip(&holds).all(|(old, new)| old.brake == new.brake && old.release == new.release);
        if same {
            return;
        }
        let over: Vec<Hold> =
            case.it.holds.iter().filter(|old| holds.iter().all(|new| new.brake != old.brake)).cloned().collect();
        let fresh: Vec<Hold> =
            holds.iter().filter(|new| case.it.holds.iter().all(|old| old.brake != new.brake)).cloned().collect();
        // Only the latest release of each brake is kept, or a long queue would fill the record.
        case.it.released.retain(|(old, _)| over.iter().all(|new| new.brake != old.brake));
        case.it.released.extend(over.iter().cloned().map(|hold| (hold, now)));
        case.it.holds = holds;
        self.touched(id);
        for hold in over {
            self.audit("released", key, Some(id), format!("{} holds no longer", hold.brake));
        }
        for hold in fresh {
            self.count_hold(hold.brake.as_str());
            let line = format!("held back by {}: {}", hold.brake, hold.why);
            self.audit("held", key, Some(id), line.clone());
            self.announce(EventKind::RepairHeld, Some(key), Some(id), line);
        }
    }

    /// Hands an incident to a person.
    pub(crate) fn escalate(&mut self, id: IncidentId, why: String) {
        if self.withdraw_optimisation(id, &why) {
            return;
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        if matches!(&case.it.state, IncidentState::NeedsHuman { why: known } if *known == why) {
            return;
        }
        let key = case.key;
        case.forced = None;
        case.person.get_or_insert(self.now);
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.leave(self.now, health, &why);
        }
        self.hold(id, Vec::new());
        self.unqueue(id);
        self.enter_state(id, IncidentState::NeedsHuman { why: why.clone() });
        self.tally(key.host, |it| it.bad += 1);
        self.audit("escalated", key, Some(id), why.clone());
        self.announce(EventKind::Escalated, Some(key), Some(id), format!("needs a person: {why}"));
    }

    /// Takes an incident out of the fleet's queue.
    pub(crate) fn unqueue(&mut self, id: IncidentId) {
        if let Some(case) = self.cases.get_mut(&id)
            && std::mem::take(&mut case.queued)
        {
            let place = (Reverse(case.severity()), id);
            if !self.queue.remove(&place) {
                // A fault that joined may have changed the severity meanwhile.
                self.queue.retain(|(_, queued)| *queued != id);
            }
        }
    }

    /// Replaces what an incident watches.
    pub(crate) fn watch(&mut self, id: IncidentId, keys: Vec<Key>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let old = std::mem::replace(&mut case.watches, keys.clone());
        for key in old.iter().filter(|key| !keys.contains(key)) {
            self.target_mut(*key).watchers.remove(&id);
        }
        for key in keys {
            self.target_mut(key).watchers.insert(id);
        }
    }

    /// Closes an incident.
    pub(crate) fn close(&mut self, id: IncidentId, closing: Closing) {
        if let Some(IncidentState::Repairing { command }) = self.cases.get(&id).map(|case| &case.it.state) {
            self.cancel_command(*command);
        }
        self.watch(id, Vec::new());
        self.unqueue(id);
        self.hold(id, Vec::new());
        self.enter_state(id, IncidentState::Closed(closing.clone()));
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let (health, text) = (self.health(key), closing_text(&closing));
        let shared_closing = closing.clone();
        let Some(mut case) = self.cases.remove(&id) else { return };
        case.leave(self.now, health, "");
        case.pass(Stage::Report, self.now, health, &text);
        case.it.closed_at = Some(self.now);
        self.timers.clear(&Timer::Incident(id));
        self.out.incidents.remove(&id);
        self.hosts[at(key.host)].incidents.remove(&id);
        let target = self.target_mut(key);
        if target.incident == Some(id) {
            target.incident = None;
        }
        self.learn_pattern(&case, &closing);
        for attempt in &case.it.attempts {
            self.drop_command(attempt.command);
        }
        if matches!(closing, Closing::Repaired { .. }) {
            self.repaired += 1;
            let recovered = case.it.recovered_at.unwrap_or(self.now);
            self.repair_time += recovered.since(case.it.opened_at);
        }
        self.audit("incident_closed", key, Some(id), text.clone());
        match closing {
            Closing::SelfRecovered | Closing::UpstreamRecovered { .. } => {
                self.announce(EventKind::FaultCleared, Some(key), Some(id), text.clone());
            }
            Closing::Repaired { .. }
            | Closing::Cancelled { .. }
            | Closing::TargetGone
            | Closing::Disproved { .. }
            | Closing::Optimised { .. } => {}
        }
        self.announce(EventKind::IncidentClosed, Some(key), Some(id), text);
        self.shared_after(&case, &shared_closing);
        self.out.closed.push(case.it);
        self.wake_watchers(key);
        self.tell_dependents(key);
        self.freed = true;
    }

    /// Drops a command that is over and belongs to a closed incident.
    fn drop_command(&mut self, command: prunella_model::CommandId) {
        let over = self.commands.get(&command).is_some_and(|record| record.report.is_some());
        if over {
            self.commands.remove(&command);
            self.out.commands.remove(&command);
            self.timers.clear(&Timer::Command(command));
            self.out.changes.push(Change::DropCommand(command));
        }
    }

    /// Victims of a target look again when its incident is over.
    fn tell_dependents(&mut self, key: Key) {
        let victims: Vec<IncidentId> = self.victims(key).into_iter().map(|(id, _)| id).collect();
        self.woken.extend(victims);
    }
}

fn closing_text(closing: &Closing) -> String {
    match closing {
        Closing::Repaired { repair } => format!("healed by {repair}"),
        Closing::SelfRecovered => "it recovered by itself".to_owned(),
        Closing::UpstreamRecovered { incident: Some(incident) } => {
            format!("it recovered when its cause was healed (incident {incident})")
        }
        Closing::UpstreamRecovered { incident: None } => "it recovered when its cause was gone".to_owned(),
        Closing::Cancelled { by } => format!("cancelled by {by}"),
        Closing::Optimised { gain: Gain::Helped, .. } => "the optimisation helped".to_owned(),
        Closing::Optimised { gain: Gain::NotHelped, .. } => "the optimisation did not help".to_owned(),
        Closing::Optimised { gain: Gain::Inconclusive, .. } => {
            "whether the optimisation helped is not known".to_owned()
        }
        Closing::Optimised { gain: Gain::Withdrawn, .. } => "the optimisation was not done".to_owned(),
        Closing::TargetGone => "its target is no longer part of the fleet".to_owned(),
        Closing::Disproved { by: Some(by) } => format!("not what held its victims back: {by} was repaired by itself"),
        Closing::Disproved { by: None } => "the policy no longer looks for shared causes".to_owned(),
    }
}
