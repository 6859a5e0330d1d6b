//! Opening incidents.

use prunella_model::event::EventKind;
use prunella_model::incident::{Fault, Incident, IncidentState, Optimisation, Response, Severity, Stage};
use prunella_model::{IncidentId, RuleName, Timestamp};

use super::Case;
use crate::Engine;
use crate::key::{Key, at};
use crate::knowledge::fingerprint;
use crate::rules::{self, Judgement, Symptom};
use crate::target::Life;
use crate::timers::Timer;

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
                    self.unmute(key, rule);
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

    /// A symptom that a person has taken over has been gone: what comes now is a new fault.
    fn unmute(&mut self, key: Key, rule: usize) {
        if self.target_at(key).muted.is_empty() {
            return;
        }
        let name = self.rule_name(rule).to_owned();
        let target = self.target_mut(key);
        let before = target.muted.len();
        target.muted.retain(|it| it.as_str() != name);
        if target.muted.len() != before {
            self.out.hosts.insert(key.host);
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
            None if rules::foresees(&fault.rule) => EventKind::FaultPredicted,
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
            reports: Vec::new(),
            response: Response::default(),
            recovered_at: None,
            closed_at: None,
            fault,
            also,
            optimisation,
            chain: None,
            link: None,
        };
        let mut case = Case::new(incident, key);
        let summary = case.it.fault.summary.clone();
        case.pass(Stage::Detect, self.now, health, &summary);
        case.enter(Stage::Classify, self.now, health, "");
        self.target_mut(key).incident = Some(id);
        self.hosts[at(key.host)].incidents.insert(id);
        self.cases.insert(id, case);
        self.timers.clear(&Timer::Confirm(key));
        self.joins_chain(id, key);
        self.set_response(id);
        self.enter_state(id, IncidentState::Diagnosing);
        self.tally(key.host, |it| it.opened += 1);
        self.audit("incident_opened", key, Some(id), summary.clone());
        self.announce(announced, Some(key), Some(id), summary);
        self.touched(id);
        self.woken.insert(id);
        id
    }
}
