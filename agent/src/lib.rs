//! The host agent: probes, ledger, steps, uplink.

pub mod authority;
pub mod clock;
pub mod config;
pub mod enrol;
pub mod pause;
pub mod spool;
pub mod state_dir;
pub mod uplink;
