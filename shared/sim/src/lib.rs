//! A simulated fleet around the real engine and the real ward.
//!
//! Thousands of hosts with services that depend on each other, faults of all shipped kinds, a network that delays, loses
//! and cuts, agents and a server that end at any moment. Nothing here has a clock or draws from anywhere but the seed: the
//! same options lead to the same decisions, byte for byte. What must never happen is judged by what is really the case,
//! which the engine cannot see.

mod agent;
pub mod baselines;
mod checks;
mod faults;
mod felt;
mod fleet;
mod havoc;
mod judge;
mod link;
mod locks;
mod mend;
mod options;
mod person;
mod queue;
mod report;
mod rng;
pub mod scenario;
pub mod score;
mod serve;
mod server;
pub mod summary;
mod truth;
mod world;

pub use options::{FAULTS_PER_HOST_DAY, Options, Sabotage};
pub use report::{KindReport, Report};

/// Simulates a fleet; null when it has so many hosts that their names run out.
#[must_use]
pub fn simulate(options: &Options) -> Option<Report> {
    world::World::new(options).map(|world| world.run().0)
}

/// Simulates the same fleet with the same faults, repaired by a baseline in place of the engine; null when it has so many
/// hosts that their names run out.
#[must_use]
pub fn compare(options: &Options, baseline: baselines::Baseline) -> Option<Report> {
    world::World::with(options, Some(baseline.policy())).map(|world| world.run().0)
}

/// Simulates a fleet, and records what went into the engine until the server ended for the first time.
#[must_use]
pub fn record(options: &Options) -> Option<(Report, prunella_replay::Recording)> {
    let mut world = world::World::new(options)?;
    world.record();
    let (report, recording) = world.run();
    Some((report, recording?))
}
