//! What operators ask for.

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, IncidentState, Severity};
use prunella_model::observation::Sha256;
use prunella_model::record::MaintenanceRecord;
use prunella_model::{CommandId, IncidentId, OperatorName, PartName, RepairName, RuleName, TargetRef, Timestamp};

use crate::Engine;
use crate::diagnosis::{Insight, Presence};
use crate::event::{Decision, Reply, Request};
use crate::incident::{Case, Forced, REPORTED, Undoing};
use crate::key::Key;
use crate::repairs;
use crate::reports::Said;

/// The name that faults carry on which a person wants a repair though no rule sees one.
pub(crate) const REQUESTED: &str = "requested";

pub(crate) fn refused(reason: &str, message: impl Into<String>) -> Reply {
    Reply::Refused { reason: reason.to_owned(), message: message.into() }
}

/// What is left of a repair that is given up, for the person who gives it up.
fn left_behind(case: &Case) -> String {
    let stopped = match &case.it.state {
        IncidentState::Repairing { command } => format!("; command {command} is told to stop before its next step"),
        IncidentState::Diagnosing
        | IncidentState::Upstream { .. }
        | IncidentState::Held
        | IncidentState::Verifying { .. }
        | IncidentState::Probation { .. }
        | IncidentState::NeedsHuman { .. }
        | IncidentState::Closed(_) => String::new(),
    };
    let changed = match case.undoing() {
        Undoing::Nothing => return stopped,
        Undoing::Due(number) => format!("what attempt {number} changed is not put back"),
        Undoing::UnderWay => "what was being put back may be put back in part".to_owned(),
        Undoing::Uncertain(number, _) => format!("whether what attempt {number} changed was put back is not known"),
    };
    format!("{stopped}; {changed}: see to it")
}

impl Engine {
    /// Answers a request.
    pub(crate) fn request(&mut self, token: u64, by: &OperatorName, request: Request) {
        let reply = match request {
            Request::Pause { scope, why, until } => self.pause(by, scope, why, until),
            Request::Resume { scope } => self.resume(by, &scope),
            Request::SetMode { scope, mode, why } => self.set_mode(by, scope, mode, why),
            Request::Maintain { name, scope, why, from, until } => {
                self.maintain(MaintenanceRecord { name, scope, by: by.clone(), why, from, until })
            }
            Request::StopRollout { why } => self.stop_rollout(by, &why),
            Request::EndMaintenance { name } => self.end_maintenance(by, &name),
            Request::Repair { target, repair, why, dry_run, chain } => {
                let forced = Forced { by: by.clone(), why, repair, restore: None };
                self.ask_repair(&target, forced, dry_run, chain)
            }
            Request::Restore { target, file, snapshot, why, dry_run } => {
                self.ask_restore(by, &target, (file, snapshot), why, dry_run)
            }
            Request::Optimise { opportunity, why, dry_run } => self.optimise(by, &opportunity, &why, dry_run),
            Request::Cancel { incident, why } => self.cancel(by, incident, &why),
            Request::Diagnose { scope } => self.ask_sweep(by, scope),
            Request::Report { target, id, severity, summary, dry_run } => {
                self.report(by, &target, Said { id, severity, summary }, dry_run)
            }
            Request::Withdraw { target, id, why, dry_run } => self.withdraw_report(by, &target, &id, &why, dry_run),
            Request::Import { lore } => self.import(by, *lore),
        };
        self.out.replies.push(Decision::Reply { token, reply });
    }

    /// Asks an agent to stop a command. False when that has been asked before.
    pub(crate) fn cancel_command(&mut self, command: CommandId) -> bool {
        let Some(record) = self.commands.get_mut(&command).filter(|it| it.report.is_none() && !it.cancelled) else {
            return false;
        };
        record.cancelled = true;
        let host = record.intent.host.clone();
        self.out.commands.insert(command);
        self.out.acts.push(Decision::Cancel { host, command });
        true
    }

    fn cancel(&mut self, by: &OperatorName, id: IncidentId, why: &str) -> Reply {
        let Some(case) = self.cases.get(&id) else {
            return Reply::NotFound { what: format!("open incident {id}") };
        };
        let key = case.key;
        let left = left_behind(case);
        let faults = std::iter::once(&case.it.fault).chain(&case.it.also);
        let rules: Vec<RuleName> = faults.map(|fault| fault.rule.clone()).collect();
        // The symptom is still there. The person has it now, so it must not open the next incident at once.
        self.target_mut(key).muted.extend(rules);
        self.out.hosts.insert(key.host);
        let subject = self.subject(key);
        self.audit_as(format!("operator/{by}"), "cancelled", subject, Some(id), why.to_owned());
        self.announce(EventKind::RepairCancelled, Some(key), Some(id), format!("cancelled by {by}: {why}"));
        self.close(id, Closing::Cancelled { by: by.clone() });
        let message = format!("incident {id} is closed; its symptom opens no other one until it has been gone{left}");
        Reply::Done { incident: Some(id), message }
    }

    fn ask_repair(&mut self, target: &TargetRef, forced: Forced, dry_run: bool, chain: bool) -> Reply {
        let Some(key) = self.find(target) else { return Reply::NotFound { what: format!("target {target}") } };
        let repair = forced.repair.as_ref();
        if let Some(name) = repair.filter(|name| repairs::by_name(name.as_str()).is_none()) {
            let known: Vec<&str> = repairs::REPAIRS.iter().map(|it| it.name()).collect();
            return Reply::NotFound { what: format!("repair {name}; there are {}", known.join(", ")) };
        }
        if let Some(command) = self.in_flight.get(&key) {
            return refused(
                "IN_FLIGHT",
                format!("command {command} is under way for {target}: wait for it, or cancel its incident"),
            );
        }
        let gentle = repair.and_then(|name| repairs::by_name(name.as_str())).is_some_and(|it| it.gentle());
        if !gentle && !self.is_being_healed(key) && !self.ailing(key) && (repair.is_none() || self.serves(key)) {
            let why = "is healthy by its own probes: report what you see first, if it is something that they do not";
            return refused("HEALTHY", format!("{target} {why}"));
        }
        if chain {
            return self.ask_chain(key, forced, dry_run);
        }
        if dry_run {
            return self.rehearse(key, forced, REQUESTED);
        }
        self.take_request(key, forced, REQUESTED)
    }

    /// A person wants a file back as it was. Naming the content is a report of what no probe sees.
    fn ask_restore(
        &mut self,
        by: &OperatorName,
        target: &TargetRef,
        (file, snapshot): (PartName, Sha256),
        why: String,
        dry_run: bool,
    ) -> Reply {
        let Some(key) = self.find(target) else { return Reply::NotFound { what: format!("target {target}") } };
        if !self.target_at(key).report.files.iter().any(|it| it.name == file) {
            return Reply::NotFound {
                what: format!("file {file} of {target}: its agent.toml names none of that name now"),
            };
        }
        if let Some(command) = self.in_flight.get(&key) {
            return refused("IN_FLIGHT", format!("command {command} is under way for {target}: wait for it"));
        }
        let repair = Some(RepairName::of(repairs::RESTORE));
        let forced = Forced { by: by.clone(), why, repair, restore: Some((file, snapshot)) };
        if dry_run {
            return self.rehearse(key, forced, REPORTED);
        }
        self.take_request(key, forced, REPORTED)
    }

    /// Opens an incident for what a person asked for, or adds it to the one that is open.
    pub(crate) fn take_request(&mut self, key: Key, forced: Forced, rule: &'static str) -> Reply {
        let Forced { by, why, .. } = forced.clone();
        let id = match self.target_at(key).incident {
            Some(id) => id,
            None => self.open_requested(key, &forced, rule),
        };
        self.note_override(&by);
        if let Some(case) = self.cases.get_mut(&id) {
            case.forced = Some(forced);
            case.person.get_or_insert(self.now);
        }
        if let Some(IncidentState::Probation { .. } | IncidentState::Verifying { .. }) =
            self.cases.get(&id).map(|case| case.it.state.clone())
        {
            self.enter_state(id, IncidentState::Diagnosing);
        }
        self.responded(id);
        self.woken.insert(id);
        let subject = self.subject(key);
        self.audit_as(format!("operator/{by}"), "repair_asked", subject, Some(id), why);
        Reply::Done { incident: Some(id), message: format!("asked for; see incident {id}") }
    }

    /// Opens an incident for what a person asked for where no rule sees anything.
    pub(crate) fn open_requested(&mut self, key: Key, forced: &Forced, rule: &'static str) -> IncidentId {
        let summary = format!("repair asked for by {}: {}", forced.by, forced.why);
        let fault = self.filed(key, rule, Severity::Medium, summary);
        self.open(key, fault, Vec::new())
    }

    /// Whether an incident of the target still waits for its symptom to go away. One that only watches for a relapse does
    /// not: to begin anew would end the watch and find nothing to repair.
    pub(crate) fn is_being_healed(&self, key: Key) -> bool {
        let open = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        open.is_some_and(|case| !matches!(case.it.state, IncidentState::Probation { .. }))
    }

    /// Decides and checks everything, and does nothing.
    pub(crate) fn rehearse(&self, key: Key, forced: Forced, rule: &'static str) -> Reply {
        let rehearsal = self.target_at(key).incident.and_then(|id| self.cases.get(&id)).cloned();
        let mut case = rehearsal.unwrap_or_else(|| {
            let fault = self.filed(key, rule, Severity::Medium, "a rehearsal".to_owned());
            crate::incident::Case::new(crate::views::blank(fault, self.now), key)
        });
        case.forced = Some(forced);
        let present = match self.presence(&case, Timestamp::ZERO) {
            Presence::Present(present) => present,
            Presence::Gone(_) | Presence::Unknown => Vec::new(),
        };
        let (cause, diagnosis) = match self.diagnose(&case, &present) {
            Insight::Here(cause, diagnosis) => (cause, diagnosis),
            Insight::Upstream(culprit, _) => {
                let culprit = self.reference(culprit);
                return refused("UPSTREAM", format!("the cause lies in {culprit}: repair that one"));
            }
            Insight::Settling(_) => {
                return refused("SETTLING", "what it depends on has just recovered: it is given time to follow");
            }
            Insight::Wait(keys) => {
                let names: Vec<String> = keys.iter().map(|key| self.reference(*key).to_string()).collect();
                return refused(
                    "NO_EVIDENCE",
                    format!("there is no fresh evidence of {}: try again shortly", names.join(", ")),
                );
            }
        };
        let plan = match self.plan(&case, cause, &diagnosis) {
            Ok(plan) => plan,
            Err(none) => return refused("NO_REPAIR", none.why),
        };
        let answer = self.all_say(&case, cause, &plan);
        let mut said: Vec<String> =
            answer.holds.iter().map(|(hold, _)| format!("{} would hold it: {}", hold.brake, hold.why)).collect();
        said.extend(answer.person.map(|(brake, why)| format!("{brake} would leave it to a person: {why}")));
        let steps = crate::plan::names(&plan.steps);
        let brakes = if said.is_empty() { "no brake would hold it".to_owned() } else { said.join("; ") };
        let message = format!("would run {} ({steps}); {brakes}; nothing was done", plan.repair);
        let host = self.reference(key).host;
        Reply::Rehearsed { incident: self.target_at(key).incident, message, host, steps: plan.steps }
    }
}
