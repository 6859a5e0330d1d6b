//! What several probes need.

pub(super) mod command;
pub(super) mod http1;
pub(super) mod measures;
pub(super) mod secret;
pub(super) mod tls;
