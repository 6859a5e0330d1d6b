//! What a simulation says in the end.

use std::collections::BTreeMap;

use prunella_model::{RuleName, Timestamp};
use serde::Serialize;

use crate::checks::{Checks, Trace};
use crate::faults::{By, Fault};
use crate::judge::Judge;
use crate::options::Options;
use crate::scenario::{Expect, Kind};
use crate::score::{Scores, Tally};

/// How many texts of a sort are kept.
const TEXTS: usize = 20;

/// How it went with one kind of fault.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct KindReport {
    /// Whether it is no fault at all.
    pub control: bool,
    /// How often it was injected.
    pub faults: u64,
    /// Of those, how many an incident told of.
    pub detected: u64,
    /// Of those, how many ended, or lasted longer than a fault of that kind may, without an incident.
    pub missed: u64,
    /// Of those, how many were ended by a command.
    pub repaired: u64,
    /// Of those, how many went away by themselves.
    pub passed: u64,
    /// Of those, how many a person ended.
    pub by_person: u64,
    /// Of those, for how many a first diagnosis can be judged.
    pub diagnosed: u64,
    /// Of those, how many it was right for: cause and place.
    pub cause_right: u64,
    /// For how many a first decision can be judged: a repair, or a call for a person.
    pub decided: u64,
    /// Of those, how many it was right for.
    pub first_right: u64,
    /// Target-seconds without service, as users felt them, on the targets where it worked and on those that suffered.
    pub downtime_s: f64,
    /// The wrong first diagnoses, each with how often it was made.
    pub mistaken_for: BTreeMap<String, u64>,
    /// The same downtime with each of the baselines in the engine's place; empty without any.
    pub baselines_downtime_s: BTreeMap<&'static str, f64>,
    /// Incidents that were opened while it was there and should not have been, by rule.
    pub false_incidents: BTreeMap<String, u64>,
}

impl KindReport {
    /// Adds another run's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.control = other.control;
        self.faults += other.faults;
        self.detected += other.detected;
        self.missed += other.missed;
        self.repaired += other.repaired;
        self.passed += other.passed;
        self.by_person += other.by_person;
        self.diagnosed += other.diagnosed;
        self.cause_right += other.cause_right;
        self.decided += other.decided;
        self.first_right += other.first_right;
        self.downtime_s += other.downtime_s;
        for (said, times) in &other.mistaken_for {
            *self.mistaken_for.entry(said.clone()).or_insert(0) += times;
        }
        for (rule, times) in &other.false_incidents {
            *self.false_incidents.entry(rule.clone()).or_insert(0) += times;
        }
    }
}

/// How a simulation went. Times are simulated ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// True when nothing happened that must never happen.
    pub ok: bool,
    /// How many hosts.
    pub hosts: u32,
    /// For how many hours.
    pub hours: u32,
    /// The seed.
    pub seed: u64,
    /// How well it was done.
    #[serde(flatten)]
    pub scores: Scores,
    /// Faults that were injected, controls not counted.
    pub faults: u64,
    /// Faults that were drawn for a place where something was wrong already, and not injected.
    pub skipped: u64,
    /// Of the faults, how many an incident was opened for.
    pub detected: u64,
    /// Of those, how many were ended by a command.
    pub repaired: u64,
    /// Of those, how many went away by themselves.
    pub passed: u64,
    /// Of those, how many a person ended.
    pub by_person: u64,
    /// Of the faults, how many were never told of, though they lasted longer than their kind may and their host was in
    /// reach.
    pub missed: u64,
    /// Incidents of targets with nothing wrong with them or with what they need.
    pub false_incidents: u64,
    /// The first of those: rule, control if there was one, and what was said.
    pub false_told: Vec<String>,
    /// Repairs of targets with nothing wrong with them.
    pub false_repairs: u64,
    /// Repairs of targets that only suffered from what they need.
    pub collateral_repairs: u64,
    /// Commands that were carried out.
    pub commands: u64,
    /// Commands that agents refused.
    pub refused: u64,
    /// Runs of standing orders, by agents that reached no server.
    pub alone: u64,
    /// The same for each kind.
    pub kinds: BTreeMap<String, KindReport>,
    /// The mean time from the beginning of a fault to its end by a command; null when there was none.
    pub mean_seconds_to_repair: Option<f64>,
    /// The median of those times.
    pub median_seconds_to_repair: Option<f64>,
    /// How often the server was killed.
    pub server_kills: u64,
    /// How often an agent was killed.
    pub agent_kills: u64,
    /// How often a link was cut.
    pub cuts: u64,
    /// How often something happened that must never happen.
    pub violations: u64,
    /// The first of those.
    pub told: Vec<String>,
    /// Things that happened in the simulated world.
    pub events: u64,
    /// Steps of the engine.
    pub steps: u64,
    /// A hash of everything that was decided and when, in hexadecimal.
    pub trace: String,
    /// The command that repeats this run.
    pub command: String,
    /// What the scores are made of, to be added up over runs.
    #[serde(skip)]
    pub tally: Tally,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            ok: false,
            hosts: options.hosts,
            hours: options.hours,
            seed: options.seed,
            scores: Scores::default(),
            faults: 0,
            skipped: 0,
            detected: 0,
            repaired: 0,
            passed: 0,
            by_person: 0,
            missed: 0,
            false_incidents: 0,
            false_told: Vec::new(),
            false_repairs: 0,
            collateral_repairs: 0,
            commands: 0,
            refused: 0,
            alone: 0,
            kinds: BTreeMap::new(),
            mean_seconds_to_repair: None,
            median_seconds_to_repair: None,
            server_kills: 0,
            agent_kills: 0,
            cuts: 0,
            violations: 0,
            told: Vec::new(),
            events: 0,
            steps: 0,
            trace: String::new(),
            command: options.command(),
            tally: Tally::default(),
        }
    }

    fn of(&mut self, kind: &Kind) -> &mut KindReport {
        let it = self.kinds.entry(kind.name.clone()).or_default();
        it.control = kind.control;
        it
    }

    /// A fault begins.
    pub(crate) fn begun(&mut self, kind: &Kind) {
        self.of(kind).faults += 1;
        self.faults += u64::from(!kind.control);
    }

    /// A fault is over.
    pub(crate) fn over(&mut self, kind: &Kind, fault: &Fault, by: By, now: Timestamp) {
        let of_kind = self.of(kind);
        match by {
            By::Command => of_kind.repaired += 1,
            By::Itself => of_kind.passed += 1,
            By::Person => of_kind.by_person += 1,
        }
        if kind.control {
            return;
        }
        match by {
            By::Command => {
                self.repaired += 1;
                self.tally.repair_seconds.push(now.since(fault.since).as_secs_f64());
            }
            By::Itself => self.passed += 1,
            By::Person => self.by_person += 1,
        }
    }

    /// How long a kind was felt.
    pub(crate) fn felt(&mut self, kind: &Kind, seconds: f64) {
        self.of(kind).downtime_s += seconds;
        if !kind.control && !kind.cures.is_empty() {
            self.tally.curable_downtime += seconds;
        }
    }

    /// An incident that should not be.
    pub(crate) fn false_alarm(&mut self, rule: &RuleName, during: Option<String>, what: &str) {
        let control = during.clone().unwrap_or_else(|| "nothing".to_owned());
        if self.false_told.len() < TEXTS {
            self.false_told.push(format!("{rule} during {control}: {what}"));
        }
        if let Some(of_kind) = during.and_then(|name| self.kinds.get_mut(&name)) {
            *of_kind.false_incidents.entry(rule.to_string()).or_insert(0) += 1;
        }
    }

    /// A wrong first diagnosis.
    pub(crate) fn mistaken(&mut self, kind: &str, said: String) {
        if let Some(of_kind) = self.kinds.get_mut(kind) {
            *of_kind.mistaken_for.entry(said).or_insert(0) += 1;
        }
    }

    /// Judges one fault at the end of the run.
    pub(crate) fn judged(&mut self, kind: &Kind, fault: &Fault, now: Timestamp) {
        let of_kind = self.of(kind);
        let (ended, judged) = (fault.ended.map(|(at, _)| at), fault.judged);
        let detected = judged.detected.is_some();
        of_kind.detected += u64::from(detected);
        of_kind.diagnosed += u64::from(judged.cause_right.is_some());
        of_kind.cause_right += u64::from(judged.cause_right == Some(true));
        of_kind.decided += u64::from(judged.repair_right.is_some());
        of_kind.first_right += u64::from(judged.repair_right == Some(true));
        // What has only just begun may still be noticed.
        let counts = detected || ended.is_some() || now.since(fault.since) > kind.patience;
        if kind.expect == Expect::Incident && counts {
            of_kind.missed += u64::from(!detected);
            self.tally.expected += 1;
            self.tally.detected += u64::from(detected);
        }
        if kind.control {
            return;
        }
        self.detected += u64::from(detected);
        self.tally.diagnosed += u64::from(judged.cause_right.is_some());
        self.tally.cause_right += u64::from(judged.cause_right == Some(true));
        self.tally.decided += u64::from(judged.repair_right.is_some());
        self.tally.first_right += u64::from(judged.repair_right == Some(true));
    }

    pub(crate) fn close(&mut self, checks: &Checks, trace: &Trace, judge: &Judge) {
        self.false_incidents = self.tally.false_incidents;
        (self.tally.attempts, self.tally.attempted) = {
            let (attempts, attempted) = judge.attempts();
            (self.tally.attempts + attempts, self.tally.attempted + attempted)
        };
        self.tally.collateral += self.false_repairs + self.collateral_repairs;
        self.tally.repair_seconds.sort_by(f64::total_cmp);
        self.scores = self.tally.scores();
        self.mean_seconds_to_repair = self.scores.mttr_s;
        self.median_seconds_to_repair = self.scores.mttr_median_s;
        self.violations = checks.count;
        self.told.clone_from(&checks.told);
        self.trace = format!("{:016x}", trace.value());
        self.ok = checks.count == 0;
    }
}
