//! How a changed policy comes into force, and what is thought sound of those who change it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::span;

/// What is thought sound of the people who govern the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GovernancePolicy {
    /// Repairs that one person may force, and pauses that they may lift, in any hour.
    pub overrides_per_hour: u32,
}

impl Default for GovernancePolicy {
    fn default() -> Self {
        Self { overrides_per_hour: 10 }
    }
}

/// How a changed policy is rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CanaryPolicy {
    /// False puts a changed policy in force at once.
    pub enabled: bool,
    /// How long it only shadows the one in force.
    #[serde(with = "span")]
    pub shadow: Duration,
    /// How long each stage lasts before its verdict: one host, 5 % of them, 25 %.
    #[serde(with = "span")]
    pub soak: Duration,
}

impl Default for CanaryPolicy {
    fn default() -> Self {
        Self { enabled: true, shadow: Duration::from_secs(600), soak: Duration::from_secs(600) }
    }
}

impl CanaryPolicy {
    /// How long a stage lasts.
    #[must_use]
    pub const fn span(&self, stage: RolloutStage) -> Duration {
        match stage {
            RolloutStage::Shadow => self.shadow,
            RolloutStage::One | RolloutStage::Few | RolloutStage::Quarter => self.soak,
            RolloutStage::All => Duration::ZERO,
        }
    }
}

/// How far a changed policy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutStage {
    /// It decides for nobody; what it would decide is compared.
    Shadow,
    /// It decides for one host.
    One,
    /// It decides for 5 % of the hosts.
    Few,
    /// It decides for 25 % of the hosts.
    Quarter,
    /// It is in force.
    All,
}

impl RolloutStage {
    /// The stage's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::One => "one host",
            Self::Few => "5 % of the hosts",
            Self::Quarter => "25 % of the hosts",
            Self::All => "all hosts",
        }
    }

    /// The stage after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Shadow => Self::One,
            Self::One => Self::Few,
            Self::Few => Self::Quarter,
            Self::Quarter | Self::All => Self::All,
        }
    }
}
