//! Ordered repair along the dependency graph: what a person asked for, and how far it has come.

use serde::{Deserialize, Serialize};

use crate::{IncidentId, OperatorName, RepairName, TargetRef, Timestamp};

/// A repair of a target and of everything broken that it needs, one after the other: what is needed comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Who asked for it.
    pub by: OperatorName,
    /// Why.
    pub why: String,
    /// The repair of the last link, which is the target that was named; null lets the engine choose.
    pub repair: Option<RepairName>,
    /// What is repaired, in that order. It is made once and never changes.
    pub links: Vec<ChainLink>,
    /// How it ended; null while it goes on.
    pub end: Option<ChainEnd>,
}

impl Chain {
    /// The link that the chain has come to; null when all are over.
    #[must_use]
    pub fn current(&self) -> Option<usize> {
        self.links.iter().position(|link| !link.state.is_over())
    }
}

/// One target of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// The target.
    pub target: TargetRef,
    /// Its incident; null while it has none.
    pub incident: Option<IncidentId>,
    /// How far it is.
    pub state: LinkState,
}

/// How far a link of a chain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// The links before it come first.
    Waiting,
    /// Its repair was asked for in its incident.
    UnderWay {
        /// When.
        since: Timestamp,
    },
    /// It was repaired, and that was verified.
    Healed,
    /// It needed no repair of the chain any more.
    Skipped {
        /// Why.
        why: String,
    },
    /// It was not healed: the chain stops here.
    Failed {
        /// Why.
        why: String,
    },
    /// The chain ended before it was healed.
    Dropped {
        /// How far it was.
        why: String,
    },
}

impl LinkState {
    /// Whether the chain has nothing more to do here.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Waiting | Self::UnderWay { .. } => false,
            Self::Healed | Self::Skipped { .. } | Self::Failed { .. } | Self::Dropped { .. } => true,
        }
    }

    /// Its name in output.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::UnderWay { .. } => "under_way",
            Self::Healed => "healed",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// Why it is so, where that is not plain.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Waiting | Self::UnderWay { .. } | Self::Healed => None,
            Self::Skipped { why } | Self::Failed { why } | Self::Dropped { why } => Some(why),
        }
    }
}

/// How a chain ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainEnd {
    /// Every link was healed, or needed no repair any more.
    Done,
    /// A link was not healed, so nothing after it was begun.
    Stopped {
        /// Which, and why.
        why: String,
    },
    /// A person gave it up.
    Cancelled {
        /// Who.
        by: OperatorName,
    },
}

/// Which link of which chain an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPlace {
    /// The incident of the target that the chain was asked for; it keeps the chain.
    pub head: IncidentId,
    /// From 1.
    pub position: u32,
    /// How many links there are.
    pub length: u32,
}
