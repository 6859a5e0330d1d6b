//! What is asked of a simulation.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::policy::FleetPolicy;

use crate::scenario::Scenario;

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
    /// What may go wrong.
    pub scenario: Arc<Scenario>,
    /// The file that it was read from, for the command that repeats the run; none for the shipped one.
    pub scenario_file: Option<String>,
    /// The kinds that were picked from it; none for all.
    pub kinds: Vec<String>,
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
            scenario: Arc::new(Scenario::shipped()),
            scenario_file: None,
            kinds: Vec::new(),
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
        if let Some(file) = &self.scenario_file {
            command.push_str(&format!(" --scenario {file}"));
        }
        if !self.kinds.is_empty() {
            command.push_str(&format!(" --kinds {}", self.kinds.join(",")));
        }
        command
    }
}
