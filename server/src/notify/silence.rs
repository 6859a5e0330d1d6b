//! Silences: about what nobody is told for a while.

use prunella_model::policy::Scope;
use prunella_model::{OperatorName, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::Message;

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// About what: the fleet, a host or a target.
    #[serde(with = "prunella_model::scope::text")]
    pub scope: Scope,
    /// Why.
    pub why: String,
    /// Who made it.
    pub by: OperatorName,
    /// When it began.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

impl Silence {
    /// Whether it covers what a message is about. Who was told of the beginning is told of the end all the same.
    #[must_use]
    pub fn covers(&self, message: &Message, now: Timestamp) -> bool {
        if now >= self.until {
            return false;
        }
        match &self.scope {
            Scope::Fleet => true,
            Scope::Host(host) => message.host == host.as_str(),
            Scope::Target(host, target) => message.target == format!("{host}/{target}"),
            Scope::Group(_) | Scope::Operator(_) => false,
        }
    }
}
