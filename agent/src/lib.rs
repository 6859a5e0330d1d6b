//! The host agent: probes, ledger, steps, uplink.
