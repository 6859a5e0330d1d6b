//! The mind: one deterministic state machine that detects, diagnoses, chooses, brakes, verifies and learns.
//!
//! No I/O, no clock, no randomness, no locks, no async. The same code runs in the server, in the simulator and in
//! replay, and the same events always lead to the same decisions.

pub mod event;
pub mod view;

use std::sync::Arc;

use prunella_model::incident::Incident;
use prunella_model::policy::FleetPolicy;
use prunella_model::record::{CommandRecord, KnowledgeRecord, Stored};
use prunella_model::{CommandId, FleetName, HostId, IncidentId, TargetRef, Timestamp};

pub use event::{Decision, Decisions, Event, Reply, Request};
use view::{BrakeView, FleetView, HostView, TargetView};

/// The state machine.
#[derive(Debug, Clone)]
pub struct Engine {
    policy: Arc<FleetPolicy>,
}

impl Engine {
    /// A decider that goes on from what is stored.
    ///
    /// `epoch` is above every epoch that any decider of this fleet has used. When `stored` knows hosts, the engine
    /// starts cold: it repairs nothing new until they are back, and first finishes the commands that were committed.
    #[must_use]
    pub fn new(_fleet: FleetName, _epoch: u64, _now: Timestamp, stored: Stored) -> Self {
        Self { policy: Arc::new(stored.policy.unwrap_or_default()) }
    }

    /// Takes one event in and says what to do. Total: it never fails and never panics, whatever the event says.
    ///
    /// `now` must not be before that of the step before; if it is, the later one counts.
    pub fn step(&mut self, _now: Timestamp, _event: Event) -> Decisions {
        Vec::new()
    }

    /// When to call [`Engine::step`] with [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<FleetPolicy> {
        &self.policy
    }

    /// The fleet in one look.
    #[must_use]
    pub fn fleet(&self, now: Timestamp) -> FleetView {
        FleetView {
            at: now,
            mode: self.policy.mode,
            policy_version: self.policy.version,
            online: 0,
            left: 0,
            silent: 0,
            targets: 0,
            open: 0,
            needs_human: 0,
            held: 0,
            repaired: 0,
            mean_time_to_repair: None,
            pauses: Vec::new(),
            cold_until: None,
        }
    }

    /// Every host, by name.
    #[must_use]
    pub fn hosts(&self, _now: Timestamp) -> Vec<HostView> {
        Vec::new()
    }

    /// One host.
    #[must_use]
    pub fn host(&self, _now: Timestamp, _host: &HostId) -> Option<HostView> {
        None
    }

    /// The targets of a host, by name.
    #[must_use]
    pub fn targets(&self, _now: Timestamp, _host: &HostId) -> Vec<TargetView> {
        Vec::new()
    }

    /// One target.
    #[must_use]
    pub fn target(&self, _now: Timestamp, _target: &TargetRef) -> Option<TargetView> {
        None
    }

    /// Open incidents, oldest first.
    #[must_use]
    pub fn incidents(&self) -> Vec<&Incident> {
        Vec::new()
    }

    /// One open incident.
    #[must_use]
    pub fn incident(&self, _id: IncidentId) -> Option<&Incident> {
        None
    }

    /// Commands that have no acknowledged outcome, oldest first. After a restart the driver sends those again that
    /// have not been accepted.
    #[must_use]
    pub fn commands(&self) -> Vec<&CommandRecord> {
        Vec::new()
    }

    /// One command that is not dropped.
    #[must_use]
    pub fn command(&self, _id: CommandId) -> Option<&CommandRecord> {
        None
    }

    /// Every brake and what it holds back.
    #[must_use]
    pub fn brakes(&self, _now: Timestamp) -> Vec<BrakeView> {
        Vec::new()
    }

    /// What has been learned.
    #[must_use]
    pub fn knowledge(&self) -> Vec<KnowledgeRecord> {
        Vec::new()
    }

    /// Names of invariants that do not hold, each with what is wrong. Empty unless the engine has a defect.
    #[must_use]
    pub fn check_invariants(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
