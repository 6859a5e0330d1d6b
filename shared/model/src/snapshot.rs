//! Snapshots: contents that an agent keeps so that they can be put back, as it tells of them.

use serde::{Deserialize, Serialize};

use crate::observation::Sha256;
use crate::{PartName, TargetName, Timestamp};

/// What a snapshot was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// The target was verified healthy with this content.
    KnownGood,
    /// A repair replaced this content.
    PreRepair,
    /// A person asked for it.
    Manual,
    /// Before the host was locked down, shut down or restarted, or because a person wanted it at once.
    Emergency,
    /// The administrator wants one every so often.
    Scheduled,
    /// Not a content, but the names of what a cleaning was about to remove.
    Listing,
}

impl SnapshotKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::KnownGood, Self::PreRepair, Self::Manual, Self::Emergency, Self::Scheduled, Self::Listing];

    /// The kind's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KnownGood => "known_good",
            Self::PreRepair => "pre_repair",
            Self::Manual => "manual",
            Self::Emergency => "emergency",
            Self::Scheduled => "scheduled",
            Self::Listing => "listing",
        }
    }
}

/// One snapshot of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// Its number on its host, never given out twice.
    pub id: u64,
    /// The target.
    pub target: TargetName,
    /// The file, or the directory of a listing.
    pub part: PartName,
    /// What it was taken for.
    pub kind: SnapshotKind,
    /// The digest of the content.
    pub sha256: Sha256,
    /// How long the content is, in bytes.
    pub bytes: u64,
    /// When it was taken, by the host's clock.
    pub taken_at: Timestamp,
    /// Whether it is kept however many there are: the current known-good content, and what an incident may still need.
    pub held: bool,
    /// Whether the stored content has that digest; null when nobody looked.
    pub intact: Option<bool>,
}

/// What a server may ask of an agent's snapshots. None of it changes anything outside the agent's own store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotAsk {
    /// All of them.
    List,
    /// Take one of each file of a target; of every target when it is null.
    Take {
        /// The target.
        target: Option<TargetName>,
        /// [`SnapshotKind::Manual`] or [`SnapshotKind::Emergency`].
        kind: SnapshotKind,
    },
    /// Read contents again and compare their digests; all of them when it is null.
    Verify {
        /// The number of the snapshot.
        id: Option<u64>,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotAnswer {
    /// Those that there are, that were taken or that were verified; oldest first.
    Snapshots(Vec<SnapshotReport>),
    /// It could not be done.
    Failed {
        /// Why, for a person.
        why: String,
    },
}
