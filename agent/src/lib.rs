//! The host agent: probes, ledger, steps, uplink.

pub mod authority;
mod board;
pub mod clock;
pub mod config;
pub mod enrol;
pub mod ledger;
pub mod pause;
mod probes;
pub mod senses;
pub mod services;
pub mod snapshot;
pub mod spool;
pub mod state_dir;
pub mod steps;
mod tree;
pub mod uplink;
