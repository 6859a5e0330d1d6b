//! The vocabulary of Prunella: plain values that every other crate shares.
//!
//! Nothing here does I/O, reads a clock or draws a random number. Values are valid by type: a name
//! that exists is a well-formed name, so nothing inside has to doubt it again.

pub mod change;
pub mod command;
pub mod diagnostics;
pub mod event;
pub mod host;
pub mod id;
pub mod incident;
pub mod knowledge;
pub mod link;
pub mod observation;
pub mod outcome;
pub mod part;
pub mod policy;
pub mod question;
pub mod record;
pub mod scope;
pub mod snapshot;
pub mod standing;
pub mod step;
pub mod time;
pub mod week;
pub mod window;

pub use id::{
    BrakeName, CauseName, FleetName, GroupName, HostId, MaintenanceName, MetricName, OperatorName, PartName, ProbeName,
    RepairName, RuleName,
};
pub use id::{CommandId, Generation, Id, IncidentId};
pub use id::{ServiceName, TargetName, TargetRef};
pub use time::Timestamp;
