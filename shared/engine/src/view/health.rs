//! How well things are, for whoever asks.

use std::time::Duration;

use prunella_model::{HostId, ServiceName, TargetRef, Timestamp};

/// What has a health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthName {
    /// The fleet.
    Fleet,
    /// One of its six layers.
    Layer(String),
    /// A host.
    Host(HostId),
    /// A service that may span hosts.
    Service(ServiceName),
    /// A target.
    Target(TargetRef),
}

/// A health in a word. The best comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 90 and more.
    Excellent,
    /// 75 and more.
    Good,
    /// 60 and more.
    Fair,
    /// 40 and more.
    Poor,
    /// Less.
    Critical,
}

impl Level {
    /// The level of a score.
    #[must_use]
    pub fn of(score: f64) -> Self {
        match score {
            it if it >= 90.0 => Self::Excellent,
            it if it >= 75.0 => Self::Good,
            it if it >= 60.0 => Self::Fair,
            it if it >= 40.0 => Self::Poor,
            _ => Self::Critical,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Critical => "critical",
        }
    }
}

/// Where scores lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// Upwards.
    Improving,
    /// Nowhere.
    Stable,
    /// Downwards.
    Declining,
    /// Up and down, too much to tell.
    Volatile,
}

impl Course {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Stable => "stable",
            Self::Declining => "declining",
            Self::Volatile => "volatile",
        }
    }
}

/// The line of least squares through the latest scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrendView {
    /// Where they lead.
    pub course: Course,
    /// How many points an hour.
    pub slope_per_hour: f64,
    /// How much of their variance the line explains, 0 to 1.
    pub confidence: f64,
    /// The score that the line comes to `ahead` from the last one, 0 to 100.
    pub prediction: f64,
    /// How far ahead that is: as long as the scores go back, and at most an hour.
    pub ahead: Duration,
    /// How many scores it stands on.
    pub scores: usize,
}

/// How likely something is to be in trouble soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing speaks for it.
    Low,
    /// Something does.
    Medium,
    /// It is in trouble, or was again and again.
    High,
}

impl Risk {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One named score that a health is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct PartView {
    /// Its name.
    pub name: &'static str,
    /// 0 to 100; null without data, and then it is left out.
    pub score: Option<f64>,
    /// What it counts, with its figures.
    pub about: String,
}

/// The health of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthView {
    /// `fleet`, `layers/L`, `hosts/H`, `services/S` or `hosts/H/targets/T`.
    pub name: String,
    /// 0 to 100; null without fresh evidence.
    pub score: Option<f64>,
    /// The same in a word.
    pub level: Option<Level>,
    /// Where it leads; null while there are too few scores, and for targets, which keep none.
    pub trend: Option<TrendView>,
    /// What a layer weighs in the health of the fleet.
    pub weight: Option<f64>,
    /// What it is made of.
    pub parts: Vec<PartView>,
    /// How likely a host or a target is to be in trouble soon.
    pub risk: Option<Risk>,
    /// Why that likely.
    pub reasons: Vec<String>,
    /// The latest scores, at most 100, oldest first.
    pub history: Vec<(Timestamp, f64)>,
}
