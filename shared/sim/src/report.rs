//! What is asked of a simulation, and what it says in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::policy::FleetPolicy;
use serde::Serialize;

use crate::checks::{Checks, Trace};

/// How many faults each host meets in a day unless something else is asked for: far more than any real one.
pub const FAULTS_PER_HOST_DAY: f64 = 4.0;

/// Defects of what is around the engine. Each must be found: a simulator that finds nothing proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Agents say that a healthy service does not answer.
    LyingProbes,
    /// Agents forget their ledger when they start again.
    ForgottenLedger,
    /// The store loses an incident that was committed when the server ends.
    LostIncident,
    /// The store loses a command that was committed when the server ends.
    LostCommand,
    /// A server starts in the epoch of the one before.
    RepeatedEpoch,
    /// A pause is confirmed that the engine never heard of.
    UnheardPause,
}

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many hosts; at least 1.
    pub hosts: u32,
    /// For how many hours.
    pub hours: u32,
    /// What the chances are drawn from. The same options always lead to the same run.
    pub seed: u64,
    /// How many faults each host meets in a day, on average.
    pub faults_per_host_day: f64,
    /// Whether the control plane itself meets trouble: cut links, ended agents, a killed server, pauses.
    pub trouble: bool,
    /// The policy of the fleet.
    pub policy: FleetPolicy,
    /// A defect that is built in on purpose, to see that the simulator finds it.
    pub sabotage: Option<Sabotage>,
    /// Whether the engine's own invariants are checked after every single step, or only after those that decided
    /// something.
    pub check_every_step: bool,
}

impl Options {
    /// The options of a named run: everything that can go wrong does.
    #[must_use]
    pub fn new(hosts: u32, hours: u32, seed: u64) -> Self {
        // Agents of the simulation speak once a minute, so silence takes longer to see.
        let policy = FleetPolicy { heartbeat: Duration::from_secs(150), ..FleetPolicy::default() };
        Self {
            hosts: hosts.max(1),
            hours,
            seed,
            faults_per_host_day: FAULTS_PER_HOST_DAY,
            trouble: true,
            policy,
            sabotage: None,
            check_every_step: false,
        }
    }

    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs(u64::from(self.hours) * 3600)
    }

    /// The command that repeats this run.
    #[must_use]
    pub fn command(&self) -> String {
        let mut command =
            format!("prunella simulate --hosts {} --hours {} --seed {}", self.hosts, self.hours, self.seed);
        if self.faults_per_host_day != FAULTS_PER_HOST_DAY {
            command.push_str(&format!(" --faults {}", self.faults_per_host_day));
        }
        if !self.trouble {
            command.push_str(" --no-trouble");
        }
        command
    }
}

/// How it went with one kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KindReport {
    /// Faults that were injected.
    pub faults: u64,
    /// Of those, how many were ended by a command.
    pub repaired: u64,
    /// Of those, how many a person ended.
    pub by_person: u64,
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
    /// Faults that were injected.
    pub faults: u64,
    /// Of those, how many an incident was opened for.
    pub detected: u64,
    /// Of those, how many were ended by a command.
    pub repaired: u64,
    /// Of those, how many went away by themselves.
    pub passed: u64,
    /// Of those, how many a person ended.
    pub by_person: u64,
    /// Of those, how many nobody has noticed for a quarter of an hour, with their host in reach.
    pub missed: u64,
    /// Incidents of targets with nothing wrong with them or with what they need.
    pub false_incidents: u64,
    /// Repairs of targets with nothing wrong with them.
    pub false_repairs: u64,
    /// Repairs of targets that only suffered from what they need.
    pub collateral_repairs: u64,
    /// Commands that were carried out.
    pub commands: u64,
    /// Commands that agents refused.
    pub refused: u64,
    /// The same for each kind of fault.
    pub by_kind: BTreeMap<&'static str, KindReport>,
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
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            ok: false,
            hosts: options.hosts,
            hours: options.hours,
            seed: options.seed,
            faults: 0,
            detected: 0,
            repaired: 0,
            passed: 0,
            by_person: 0,
            missed: 0,
            false_incidents: 0,
            false_repairs: 0,
            collateral_repairs: 0,
            commands: 0,
            refused: 0,
            by_kind: BTreeMap::new(),
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
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no simulation has 2^52 repairs")]
    pub(crate) fn close(&mut self, checks: &Checks, trace: &Trace, times: &mut [f64]) {
        times.sort_by(f64::total_cmp);
        self.median_seconds_to_repair = times.get(times.len() / 2).copied();
        self.mean_seconds_to_repair = (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64);
        self.violations = checks.count;
        self.told.clone_from(&checks.told);
        self.trace = format!("{:016x}", trace.value());
        self.ok = checks.count == 0;
    }
}
