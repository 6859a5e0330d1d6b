//! The ward: accepts or refuses a command under the host's own policy. The agent runs it, and the simulator too.
//!
//! Pure: times and facts are arguments. Each check has its own refusal, and they come in one fixed order, so that the
//! reason a person reads is the first that applies. Marks move only after every check has passed.
//!
//! Signatures, type and decoding come before ([`prunella_seal::Trust::open_command`]); writing the intent to the
//! ledger comes after.

mod budget;
mod checks;
mod facts;
mod policy;
mod standing;
mod ward;

pub use facts::{Facts, Moment};
pub use policy::{LocalPolicy, PartPolicy, TargetPolicy};
pub use standing::{OpenedOrders, Standing, Watch};
pub use ward::{Accepted, Own, Ward};

/// The crate that opens what the ward judges, for those who otherwise need nothing of it.
pub use prunella_seal as seal;

#[cfg(test)]
mod tests;
