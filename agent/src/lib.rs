//! The host agent: probes, ledger, steps, uplink.

pub mod config;
