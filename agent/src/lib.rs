//! The host agent: probes, ledger, steps, uplink.

pub mod authority;
mod board;
pub mod bounded;
pub mod check;
pub mod clock;
pub mod config;
mod driver;
pub mod enrol;
pub mod execute;
#[cfg(test)]
mod fixture;
mod helper;
mod keep;
mod keeper;
pub mod ledger;
mod own_files;
mod parts;
pub mod pause;
mod probes;
mod run;
mod safe_dir;
pub mod senses;
pub mod services;
pub mod snapshot;
pub mod spool;
mod standing;
pub mod state_dir;
pub mod steps;
mod stop;
mod tree;
pub mod uplink;

pub use helper::{DoorError, HelperArgs, run_helper, user_id};
pub use run::{RunArgs, run, run_with, start_logging};
