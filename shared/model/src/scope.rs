//! What a pause, a mode, a maintenance or a blocker covers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{GroupName, HostId, OperatorName, TargetName};

/// What something covers, the widest first. Its text is a resource name: `fleet`, `groups/G`, `hosts/H`,
/// `hosts/H/targets/T`, `operators/O`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everything.
    Fleet,
    /// The members of one group.
    Group(GroupName),
    /// One host.
    Host(HostId),
    /// One target of one host.
    Target(HostId, TargetName),
    /// What one person may force. Only the engine itself makes such a pause, see the brake `override_abuse`.
    Operator(OperatorName),
}

impl Scope {
    /// The scope in a sentence.
    #[must_use]
    pub fn spoken(&self) -> String {
        match self {
            Self::Fleet => "the fleet".to_owned(),
            Self::Group(_) | Self::Host(_) | Self::Target(..) | Self::Operator(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => write!(f, "fleet"),
            Self::Group(group) => write!(f, "groups/{group}"),
            Self::Host(host) => write!(f, "hosts/{host}"),
            Self::Target(host, target) => write!(f, "hosts/{host}/targets/{target}"),
            Self::Operator(operator) => write!(f, "operators/{operator}"),
        }
    }
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no scope: {why}; write fleet, groups/G, hosts/H or hosts/H/targets/T")]
pub struct BadScope {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl FromStr for Scope {
    type Err = BadScope;
    fn from_str(text: &str) -> Result<Self, BadScope> {
        let bad = |why: String| BadScope { text: text.to_owned(), why };
        let name = |error: crate::id::BadName| bad(error.to_string());
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["fleet"] => Ok(Self::Fleet),
            ["groups", group] => Ok(Self::Group(GroupName::new(group).map_err(name)?)),
            ["hosts", host] => Ok(Self::Host(HostId::new(host).map_err(name)?)),
            ["hosts", host, "targets", target] => {
                Ok(Self::Target(HostId::new(host).map_err(name)?, TargetName::new(target).map_err(name)?))
            }
            ["operators", operator] => Ok(Self::Operator(OperatorName::new(operator).map_err(name)?)),
            _ => Err(bad("it names nothing".to_owned())),
        }
    }
}

/// Scopes in configuration files, as text: `#[serde(with = "prunella_model::scope::text")]`.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Scope;

    /// Writes a scope as its resource name.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(scope: &Scope, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(scope)
    }

    /// Reads a scope from its resource name.
    ///
    /// # Errors
    /// When the text names no scope.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scope, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_as_written() {
        for text in ["fleet", "groups/web", "hosts/h1", "hosts/h1/targets/db", "operators/ann"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in ["", "h1", "groups", "groups/A", "hosts/h1/targets", "fleet/x"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert!(Scope::Fleet < "groups/a".parse().unwrap(), "the widest comes first");
    }
}
