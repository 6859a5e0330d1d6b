//! Names that people choose and ids that the engine counts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a DNS label, so that a host's name always fits.
pub const NAME_MAX: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The text is empty.
    #[error("a {what} must not be empty")]
    Empty {
        /// Which kind of name was expected.
        what: &'static str,
    },
    /// The text is longer than [`NAME_MAX`] bytes.
    #[error("{what} is {len} bytes long; at most {NAME_MAX} are allowed")]
    TooLong {
        /// Which kind of name was expected.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A character is not allowed where it stands.
    #[error("{what} {name:?} has {bad:?}; use a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit")]
    BadCharacter {
        /// Which kind of name was expected.
        what: &'static str,
        /// The text.
        name: String,
        /// The first character that is not allowed.
        bad: char,
    },
}

fn check_name(what: &'static str, text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty { what });
    }
    if text.len() > NAME_MAX {
        return Err(BadName::TooLong { what, len: text.len() });
    }
    let last = text.chars().count() - 1;
    for (i, c) in text.chars().enumerate() {
        let inner = matches!(c, '-' | '_' | '.') && i != 0 && i != last;
        if !(c.is_ascii_lowercase() || c.is_ascii_digit() || inner) {
            return Err(BadName::BadCharacter { what, name: text.to_owned(), bad: c });
        }
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// Lower-case letters, digits, `-`, `_` and `.`; at most [`NAME_MAX`] bytes. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes a name of it.
            ///
            /// # Errors
            /// [`BadName`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, BadName> {
                check_name($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// Makes a name of a text that the program itself contains. A malformed one is a defect, which debug builds
            /// report.
            #[must_use]
            pub fn of(text: &'static str) -> Self {
                debug_assert!(check_name($what, text).is_ok(), "{text:?} is not a {}", $what);
                Self(Arc::from(text))
            }

            /// The text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}

names! {
    /// The name of a fleet: the trust domain of its certificates.
    FleetName = "fleet name";
    /// The name of one host in the fleet; unique there.
    HostId = "host name";
    /// The name of a watched thing on one host; unique on that host.
    TargetName = "target name";
    /// The name of a service that may span hosts.
    ServiceName = "service name";
    /// The name of one probe of a target; unique in that target.
    ProbeName = "probe name";
    /// The name of a directory or a file that belongs to a target, as the host's administrator named it.
    PartName = "part name";
    /// The name of a group of targets that are repaired with regard to each other.
    GroupName = "group name";
    /// The name of a maintenance: a time in which a person wants nothing to be repaired.
    MaintenanceName = "maintenance name";
    /// The name of a cause, for example `config_corrupted`.
    CauseName = "cause name";
    /// The name of a brake, for example `per_host`.
    BrakeName = "brake name";
    /// The name of a measured quantity, for example `cpu.used_percent`.
    MetricName = "metric name";
    /// The name of a rule, for example `process_down`.
    RuleName = "rule name";
    /// The name of a repair, for example `restart_service`.
    RepairName = "repair name";
    /// The name of a person or program that may operate the fleet.
    OperatorName = "operator name";
}

impl TargetName {
    /// The target that stands for the host itself: its processor, memory, disks and network.
    #[must_use]
    pub fn host() -> Self {
        Self(Arc::from("host"))
    }

    /// Whether this is the target that stands for the host itself.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.as_str() == "host"
    }
}

/// One target of one host: `hosts/{host}/targets/{target}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetRef {
    /// The host.
    pub host: HostId,
    /// The target on it.
    pub target: TargetName,
}

impl TargetRef {
    /// The target `target` of the host `host`.
    #[must_use]
    pub fn new(host: HostId, target: TargetName) -> Self {
        Self { host, target }
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.target)
    }
}

impl fmt::Debug for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id; ids look like 6740e3a0-17")]
pub struct BadId {
    /// The text.
    pub text: String,
}

/// A number that is never given out twice: the epoch of the decider that made it, then a counter.
///
/// The epoch rises at every start, restore and election, so a restored backup cannot repeat an id.
/// Written `{epoch in hex}-{counter}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id {
    /// Rises whenever a decider starts.
    pub epoch: u64,
    /// Rises with each id in an epoch; the first is 1.
    pub counter: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:x}-{}", self.epoch, self.counter))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Id {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.to_owned() };
        let (epoch, counter) = text.split_once('-').ok_or_else(bad)?;
        // `from_str_radix` takes a sign; an id has none.
        if epoch.starts_with('+') || counter.starts_with('+') {
            return Err(bad());
        }
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| bad())?,
            counter: counter.parse().map_err(|_| bad())?,
        })
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub Id);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// The id of an incident.
    IncidentId;
    /// The id of a command.
    CommandId;
    /// How recent a decision is: an agent refuses a command whose generation is below the highest that it has accepted.
    Generation;
}
