//! What is known to have changed on a host: evidence for whoever looks for the cause of a fault.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::observation::Sha256;
use crate::{ProbeName, RepairName, TargetName, Timestamp};

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Changed {
    /// The label `version`: a deploy, or its taking back. Null where there is no label.
    Version {
        /// Before.
        from: Option<String>,
        /// Since then.
        to: Option<String>,
    },
    /// The version of the agent itself.
    Agent {
        /// Before.
        from: String,
        /// Since then.
        to: String,
    },
    /// The content of a watched file.
    File {
        /// The file, by the name of its probe.
        file: ProbeName,
        /// The digest of its content since then; null when it is missing.
        to: Option<Sha256>,
    },
    /// A repair of this fleet was carried out.
    Repaired {
        /// The repair.
        repair: RepairName,
    },
}

/// How much of a digest a person is shown.
const DIGEST_SHOWN: usize = 8;

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".to_owned());
        match self {
            Self::Version { from, to } => write!(f, "version {} → {}", or_none(from), or_none(to)),
            Self::Agent { from, to } => write!(f, "agent {from} → {to}"),
            Self::File { file, to: Some(to) } => {
                let digest: String = to.to_string().chars().take(DIGEST_SHOWN).collect();
                write!(f, "file {file} → {digest}")
            }
            Self::File { file, to: None } => write!(f, "file {file} is missing"),
            Self::Repaired { repair } => write!(f, "repaired by {repair}"),
        }
    }
}

/// One change, with its place and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSeen {
    /// When it was seen, by the server's clock: never before it happened.
    pub at: Timestamp,
    /// The target of its host.
    pub target: TargetName,
    /// What.
    pub what: Changed,
}
