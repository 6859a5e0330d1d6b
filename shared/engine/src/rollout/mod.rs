//! A changed policy is not put in force everywhere at once: first it only shadows the one in force, then it decides for one
//! host, for 5 % of them, for 25 %, and at last for all. After each stage its effect is judged on fresh evidence. Worse, or no
//! verdict, ends it, and what it decided for goes back to the policy in force.

mod stage;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prunella_model::event::EventKind;
use prunella_model::incident::IncidentState;
use prunella_model::observation::Sha256;
use prunella_model::policy::{CustomRule, FleetPolicy, RolloutStage};
use prunella_model::record::{Change, RolloutRecord};
use prunella_model::{IncidentId, OperatorName};

use crate::Engine;
use crate::cause::Cause;
use crate::event::Reply;
use crate::key::{at, next};
use crate::plan::Plan;
use crate::restore;
use crate::rules::{self, Tuning};
use crate::timers::Timer;
use crate::view::RolloutView;

/// How many differing decisions are kept as examples.
const EXAMPLES: usize = 5;

/// How many decisions are compared at most; a fleet that decides more in one soak has been compared enough.
const COMPARED_MAX: usize = 10_000;

/// What happened on some hosts since a stage began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Incidents that were opened.
    pub(crate) opened: u32,
    /// Repairs that failed, and incidents that were left to a person.
    pub(crate) bad: u32,
}

/// A policy on its way.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    /// What is stored of it.
    pub(crate) record: RolloutRecord,
    /// Its policy; while something is decided for one of its hosts, the one in force.
    policy: Arc<FleetPolicy>,
    hash: Sha256,
    tuning: Vec<Tuning>,
    /// Whether the two have changed places.
    swapped: bool,
    /// The hosts that it decides for.
    pub(crate) hosts: BTreeSet<u32>,
    /// Whether its hosts were asked to look at everything for the verdict that is due.
    probing: bool,
    /// What happened on its hosts, and on the others.
    pub(crate) canary: Tally,
    pub(crate) control: Tally,
    /// The mean health of its hosts and of the others when the stage began; null when nothing was known.
    health: (Option<f64>, Option<f64>),
    /// What both would have decided, by incident.
    compared: BTreeMap<IncidentId, (String, String)>,
}

impl Rollout {
    /// `custom` are the operators' own rules of the policy in force. They go on as they are until the changed policy is in force
    /// everywhere: what they have matched and measured belongs to all hosts, and they can be tried in shadow by themselves.
    fn new(record: RolloutRecord, custom: &[CustomRule]) -> Self {
        let policy = Arc::new(FleetPolicy { custom: custom.to_vec(), ..record.policy.clone() });
        Self {
            hash: restore::digest(&record.policy),
            tuning: rules::tune(&policy),
            policy,
            record,
            swapped: false,
            hosts: BTreeSet::new(),
            probing: false,
            canary: Tally::default(),
            control: Tally::default(),
            health: (None, None),
            compared: BTreeMap::new(),
        }
    }
}

impl Engine {
    /// Begins to roll a policy out, or puts it in force at once where there is nothing that could be harmed.
    pub(crate) fn propose(&mut self, policy: Arc<FleetPolicy>, by: OperatorName) {
        if self.names.is_empty() || !self.policy.canary.enabled {
            self.change_policy(policy);
            return;
        }
        self.end_rollout("another one takes its place");
        let record = RolloutRecord {
            policy: FleetPolicy::clone(&policy),
            by: by.clone(),
            stage: RolloutStage::Shadow,
            since: self.now,
            hosts: Vec::new(),
        };
        self.rollout = Some(Rollout::new(record, &self.policy.custom));
        let detail = format!("version {} is rolled out by {by}, beginning in shadow", policy.version);
        self.audit_as(format!("operator/{by}"), "policy_proposed", "policy".to_owned(), None, detail.clone());
        self.announce(EventKind::PolicyRollout, None, None, detail);
        self.soak();
    }

    /// Goes on with a roll-out after a restart: its stage begins again.
    pub(crate) fn restore_rollout(&mut self, mut record: RolloutRecord) {
        record.since = self.now;
        let hosts: BTreeSet<u32> = record.hosts.iter().filter_map(|host| self.names.get(host).copied()).collect();
        self.rollout = Some(Rollout::new(record, &self.policy.custom));
        self.take_over(&hosts);
        self.soak();
    }

    /// A person ends a roll-out.
    pub(crate) fn stop_rollout(&mut self, by: &OperatorName, why: &str) -> Reply {
        let Some(rollout) = &self.rollout else { return Reply::NotFound { what: "roll-out of a policy".to_owned() } };
        let message = format!(
            "policy version {} is given up; version {} stays",
            rollout.record.policy.version, self.policy.version
        );
        self.audit_as(format!("operator/{by}"), "policy_rollout_stopped", "policy".to_owned(), None, why.to_owned());
        self.end_rollout(&format!("stopped by {by}: {why}"));
        Reply::Done { incident: None, message }
    }

    /// Ends a roll-out, if there is one: its hosts go back to the policy in force.
    pub(crate) fn end_rollout(&mut self, why: &str) {
        let Some(rollout) = &self.rollout else { return };
        let (version, stage) = (rollout.record.policy.version, rollout.record.stage);
        self.give_back();
        self.rollout = None;
        self.timers.clear(&Timer::Rollout);
        self.out.changes.push(Change::DropRollout);
        let detail = format!("version {version} is not rolled out any further ({}): {why}", stage.as_str());
        self.audit_as("engine".to_owned(), "policy_rollout_ended", "policy".to_owned(), None, detail.clone());
        self.announce(EventKind::PolicyRollout, None, None, detail.clone());
        self.last_rollout = Some(detail);
    }

    /// Does something under the policy that decides for a host.
    pub(crate) fn under_policy_of(&mut self, host: Option<u32>, work: impl FnOnce(&mut Self)) {
        let of_canary = |it: &Rollout| !it.swapped && host.is_some_and(|host| it.hosts.contains(&host));
        let swap = self.rollout.as_ref().is_some_and(of_canary);
        if swap {
            self.swap_policies();
        }
        work(self);
        if swap {
            self.swap_policies();
        }
    }

    fn swap_policies(&mut self) {
        if let Some(rollout) = &mut self.rollout {
            std::mem::swap(&mut self.policy, &mut rollout.policy);
            std::mem::swap(&mut self.policy_hash, &mut rollout.hash);
            std::mem::swap(&mut self.tuning, &mut rollout.tuning);
            rollout.swapped = !rollout.swapped;
        }
    }

    /// The policy begins to decide for these hosts.
    fn take_over(&mut self, hosts: &BTreeSet<u32>) {
        let new: Vec<u32> = match &self.rollout {
            Some(rollout) => hosts.difference(&rollout.hosts).copied().collect(),
            None => return,
        };
        for host in new {
            self.unlink(host);
            if let Some(rollout) = &mut self.rollout {
                rollout.hosts.insert(host);
            }
            self.under_policy_of(Some(host), |engine| {
                engine.link(host);
                engine.judge_anew(host);
            });
        }
    }

    /// Another policy is about to be in force everywhere.
    pub(crate) fn rollout_over(&mut self) {
        self.give_back();
        if self.rollout.take().is_some() {
            self.timers.clear(&Timer::Rollout);
            self.out.changes.push(Change::DropRollout);
        }
    }

    /// The policy in force decides for all hosts again.
    fn give_back(&mut self) {
        let hosts = self.rollout.as_ref().map(|it| it.hosts.clone()).unwrap_or_default();
        for host in hosts {
            self.under_policy_of(Some(host), |engine| engine.unlink(host));
            if let Some(rollout) = &mut self.rollout {
                rollout.hosts.remove(&host);
            }
            self.link(host);
            self.judge_anew(host);
            self.ask_no_more(host);
        }
    }

    /// What the policy on its way left to a person is judged by the one in force.
    fn ask_no_more(&mut self, host: u32) {
        for id in self.hosts[at(host)].incidents.clone() {
            let state = self.cases.get(&id).map(|case| &case.it.state);
            if matches!(state, Some(IncidentState::NeedsHuman { .. })) {
                self.afresh(id);
            }
        }
    }

    fn judge_anew(&mut self, host: u32) {
        for target in 0..next(self.hosts[at(host)].targets.len()) {
            self.review(crate::key::Key { host, target });
        }
        self.woken.extend(self.hosts[at(host)].incidents.iter().copied());
    }

    /// Notes something that tells whether hosts fare worse.
    pub(crate) fn tally(&mut self, host: u32, note: impl FnOnce(&mut Tally)) {
        if let Some(rollout) = &mut self.rollout {
            note(if rollout.hosts.contains(&host) { &mut rollout.canary } else { &mut rollout.control });
        }
    }

    /// Compares what the policy on its way would have decided with what was decided.
    pub(crate) fn compare(&mut self, id: IncidentId, cause: Cause, plan: &Plan, ours: &str) {
        let Some(host) = self.cases.get(&id).map(|case| case.key.host) else { return };
        let wanted = self.rollout.as_ref().is_some_and(|it| {
            !it.swapped
                && !it.hosts.contains(&host)
                && (it.compared.len() < COMPARED_MAX || it.compared.contains_key(&id))
        });
        if !wanted {
            return;
        }
        self.swap_policies();
        let theirs = match self.cases.get(&id) {
            None => String::new(),
            Some(case) => {
                let diagnosis = case.it.diagnosis.clone();
                let other = match diagnosis.filter(|_| plan.undoes.is_none()) {
                    Some(diagnosis) => self.plan(case, cause, &diagnosis),
                    None => Ok(plan.clone()),
                };
                match other {
                    Ok(other) => decided(&other, &self.all_say(case, cause, &other)),
                    Err(none) => format!("a person: {}", none.why),
                }
            }
        };
        self.swap_policies();
        if let Some(rollout) = &mut self.rollout {
            rollout.compared.insert(id, (ours.to_owned(), theirs));
        }
    }

    /// How a policy's roll-out stands; null when none is under way.
    #[must_use]
    pub fn rollout(&self, _now: prunella_model::Timestamp) -> Option<RolloutView> {
        let it = self.rollout.as_ref()?;
        let differ = || it.compared.iter().filter(|(_, (ours, theirs))| ours != theirs);
        let example =
            |(id, (ours, theirs)): (&IncidentId, &(String, String))| format!("incident {id}: {ours}; it: {theirs}");
        Some(RolloutView {
            version: it.record.policy.version,
            by: it.record.by.clone(),
            stage: it.record.stage,
            since: it.record.since,
            until: it.record.since.after(self.policy.canary.span(it.record.stage)),
            hosts: it.record.hosts.clone(),
            compared: next(it.compared.len()),
            different: next(differ().count()),
            examples: differ().take(EXAMPLES).map(example).collect(),
        })
    }

    /// How the last roll-out ended since the server's start; null when none has.
    #[must_use]
    pub fn last_rollout(&self) -> Option<&str> {
        self.last_rollout.as_deref()
    }
}

/// A decision in a few words.
pub(crate) fn decided(plan: &Plan, answer: &crate::brakes::Answer) -> String {
    match (&answer.person, answer.holds.first()) {
        (Some((brake, _)), _) => format!("{} left to a person by {brake}", plan.repair),
        (None, Some((hold, _))) => format!("{} held by {}", plan.repair, hold.brake),
        (None, None) => plan.repair.to_string(),
    }
}
