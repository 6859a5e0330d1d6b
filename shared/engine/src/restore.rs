//! Going on from what is stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::incident::{Incident, IncidentState};
use prunella_model::observation::Sha256;
use prunella_model::policy::FleetPolicy;
use prunella_model::record::{CommandRecord, HostRecord, Stored};
use prunella_model::{FleetName, TargetRef, Timestamp};
use sha2::Digest;

use crate::cause::Cause;
use crate::choose::Book;
use crate::custom::{Compiler, NoCompiler, compile};
use crate::host::Host;
use crate::incident::Case;
use crate::key::{Key, at, next};
use crate::out::Out;
use crate::plan::plain;
use crate::quiet::week::Week;
use crate::timers::{Timer, Timers};
use crate::topology::Topology;
use crate::{Cold, Engine, rules};

/// After a start, agents get this long to report what became of commands whose deadline passed meanwhile.
const REPORT_GRACE: Duration = Duration::from_secs(30);

/// The digest of a policy: of its text as the program itself writes it, which names every field.
pub(crate) fn digest(policy: &FleetPolicy) -> Sha256 {
    Sha256(sha2::Sha256::digest(format!("{policy:?}").as_bytes()).into())
}

/// Nine tenths of the known hosts, rounded up.
pub(crate) const fn most(known: u32) -> u32 {
    (known / 10) * 9 + ((known % 10) * 9).div_ceil(10)
}

impl Engine {
    /// A decider that goes on from what is stored.
    ///
    /// `epoch` is above every epoch that any decider of this fleet has used. When `stored` knows hosts, the engine
    /// starts cold: it repairs nothing new until they are back, and first finishes the commands that were committed.
    #[must_use]
    pub fn new(fleet: FleetName, epoch: u64, now: Timestamp, stored: Stored) -> Self {
        let policy = Arc::new(stored.policy.unwrap_or_default());
        let mut engine = Self {
            fleet,
            epoch,
            now,
            started: now,
            policy_hash: digest(&policy),
            policy_since: None,
            tuning: rules::tune(&policy),
            compiler: Arc::new(NoCompiler),
            custom: compile(&policy, &NoCompiler),
            records: crate::health::Records::default(),
            tally: crate::health::Tally::default(),
            policy,
            hosts: Vec::new(),
            names: BTreeMap::new(),
            topology: Topology::default(),
            structure: crate::structure::Structure::default(),
            cases: BTreeMap::new(),
            commands: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            book: Book::load(stored.knowledge, stored.patterns),
            wishes: stored.wishes.into_iter().map(|it| ((it.target.clone(), it.repair.clone()), it)).collect(),
            faults: crate::correlate::Faults::default(),
            pauses: stored.pauses.into_iter().map(|pause| (pause.scope.clone(), pause)).collect(),
            modes: stored.modes.into_iter().map(|mode| (mode.scope.clone(), mode)).collect(),
            maintenances: stored.maintenances.into_iter().map(|it| (it.name.clone(), it)).collect(),
            overrides: BTreeMap::new(),
            rollout: None,
            last_rollout: None,
            timers: Timers::default(),
            queue: BTreeSet::new(),
            queue_watch: crate::queue::QueueWatch::default(),
            standing: crate::standing::Standing::default(),
            diagnostics: crate::diagnostics::Diagnostics::load(stored.diagnostics),
            defects: BTreeSet::new(),
            decided: VecDeque::new(),
            outages: VecDeque::new(),
            troubled: 0,
            cold: None,
            newest_agent: None,
            held_back: BTreeMap::new(),
            repaired: 0,
            repair_time: Duration::ZERO,
            incidents_made: 0,
            commands_made: 0,
            runs_made: 0,
            events_made: 0,
            woken: BTreeSet::new(),
            chains: BTreeSet::new(),
            chained: BTreeSet::new(),
            freed: false,
            out: Out::default(),
        };
        crate::health::first_sample(&mut engine, now);
        engine.restore_hosts(stored.hosts);
        for record in stored.commands {
            engine.restore_command(record);
        }
        for incident in stored.incidents {
            engine.restore_incident(incident);
        }
        engine.restore_chains();
        let ends: Vec<_> = engine.pauses.values().filter_map(|it| Some((it.scope.clone(), it.until?))).collect();
        for (scope, until) in ends {
            engine.timers.set(Timer::Pause(scope), until, now);
        }
        for it in engine.maintenances.values() {
            let due = if it.from > now { Some(it.from) } else { it.until };
            if let Some(due) = due {
                engine.timers.set(Timer::Maintenance(it.name.clone()), due, now);
            }
        }
        engine.plan_optimising();
        engine.plan_diagnostics();
        if let Some(record) = stored.rollout {
            engine.restore_rollout(record);
        }
        engine.out = Out::default();
        engine
    }

    /// Gives the engine the language that custom rules are written in, and compiles those of its policy.
    #[must_use]
    pub fn with_compiler(mut self, compiler: Arc<dyn Compiler>) -> Self {
        self.custom = compile(&self.policy, compiler.as_ref());
        self.compiler = compiler;
        for index in 0..next(self.hosts.len()) {
            self.match_custom(index, &|_| None);
        }
        self
    }

    fn restore_hosts(&mut self, records: Vec<HostRecord>) {
        let known = next(records.len());
        let mut decided: Vec<Timestamp> = Vec::new();
        let mut outages: Vec<Timestamp> = Vec::new();
        for record in records {
            let index = next(self.hosts.len());
            let mut host = Host::new(record.host.clone(), record.enrolment, record.first_seen);
            host.last_seen = record.last_seen;
            host.repairs = record.repairs.into();
            host.rollbacks = record.rollbacks.into();
            host.outages = record.outages.into();
            host.critical = record.critical.into();
            host.order_runs = record.order_runs.into();
            host.usage.week = record.usage.as_deref().and_then(Week::of).map(Box::new);
            outages.extend(host.outages.iter().copied());
            decided.extend(host.repairs.iter().map(|(at, _)| *at));
            self.hosts.push(host);
            self.names.insert(record.host, index);
            if let Some(report) = record.report {
                self.declare(index, *report);
            }
            for (target, rule) in record.muted {
                let target = self.hosts[at(index)].ensure(&target);
                self.hosts[at(index)].targets[at(target)].muted.insert(rule);
            }
            self.restore_changes(index, record.changes);
            self.timers.set(Timer::Silence(index), self.now.after(self.policy.limits.cold_start), self.now);
        }
        decided.sort_unstable();
        self.decided = decided.into();
        outages.sort_unstable();
        self.outages = outages.into();
        if known > 0 {
            let until = self.now.after(self.policy.limits.cold_start);
            self.cold = Some(Cold { until, known, needed: most(known), back: 0 });
            self.timers.set(Timer::Fleet, until, self.now);
        }
    }

    fn restore_command(&mut self, mut record: CommandRecord) {
        let id = record.intent.id;
        if record.report.is_none() {
            if let Some(target) = record.intent.steps.first().map(|step| step.target.clone()) {
                let key = self.place(&TargetRef::new(record.intent.host.clone(), target));
                self.in_flight.insert(key, id);
            }
            let due = record.deadline.max(self.now.after(REPORT_GRACE));
            self.timers.set(Timer::Command(id), due, self.now);
            // This decider stands behind it now; an agent that has heard from it would refuse the older generation.
            record.generation = self.generation();
        }
        self.commands.insert(id, record);
    }

    /// Where a target stands; makes a place for one that no report names, so that its incident is not lost.
    fn place(&mut self, target: &TargetRef) -> Key {
        let host = match self.names.get(&target.host) {
            Some(index) => *index,
            None => {
                let index = next(self.hosts.len());
                self.hosts.push(Host::new(target.host.clone(), 0, self.now));
                self.names.insert(target.host.clone(), index);
                index
            }
        };
        Key { host, target: self.hosts[at(host)].ensure(&target.target) }
    }

    fn restore_incident(&mut self, incident: Incident) {
        let id = incident.id;
        let key = match incident.shared {
            Some(_) => self.fleet_place(&incident.fault.target.target),
            None => self.place(&incident.fault.target),
        };
        let mut case = Case::new(incident, key);
        self.restore_shared(&mut case);
        case.relapsed = case.it.attempts.iter().any(|it| it.verdict.is_some()) && case.it.recovered_at.is_none();
        // What was diagnosed before was compared with the past before.
        case.recurrence = case.it.diagnosis.is_some();
        let cause = case.it.diagnosis.as_ref().map_or(Cause::Unknown, |it| Cause::of(&it.cause));
        let ended = case.it.attempts.last().and_then(|it| self.commands.get(&it.command)?.report.as_ref());
        let ended = ended.map(|report| report.ended_at);
        let mut state = case.it.state.clone();
        match &mut state {
            IncidentState::Verifying { until } => {
                // While the server was down nobody could look.
                case.since = ended;
                *until = (*until).max(self.now.after(self.policy.verification.deadline));
            }
            IncidentState::Probation { until } => {
                case.since = ended;
                *until = (*until).max(self.now);
            }
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Closed(_) => {}
        }
        // When a person was asked is not recorded; nothing is learned of what happened since it was opened.
        case.person = matches!(state, IncidentState::NeedsHuman { .. }).then_some(case.it.opened_at);
        let attempts: Vec<_> = case
            .it
            .attempts
            .iter()
            .map(|it| (it.decided_at, it.repair.clone(), it.verdict, plain(&it.steps)))
            .collect();
        for (decided, repair, verdict, steps) in attempts {
            let target = self.target_mut(key);
            target.remember(decided, repair.clone(), cause, steps);
            if crate::plan::failed(verdict) {
                target.did_not_hold(&repair);
            }
        }
        self.hosts[at(key.host)].incidents.insert(id);
        self.target_mut(key).incident = Some(id);
        case.it.state = IncidentState::Diagnosing;
        self.cases.insert(id, case);
        self.enter_state(id, state);
        match self.cases.get(&id).and_then(|case| case.it.response.due_at) {
            Some(due) => self.timers.set(Timer::Response(id), due, self.now),
            None => self.set_response(id),
        }
        self.timers.set(Timer::Incident(id), self.now.after(crate::incident::FIRST_LOOK), self.now);
    }
}
