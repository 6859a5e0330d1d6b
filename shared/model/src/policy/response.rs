//! How soon a fault must be responded to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::optional_span;
use crate::incident::Severity;
use crate::time::span;

/// How soon a repair must have begun, or a person have taken it, by the severity of the fault. A deadline that is missed is
/// announced once. A critical, high or medium fault that no repair treats is for a person at once; one of low severity waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponsePolicy {
    /// For critical faults.
    #[serde(with = "span")]
    pub critical: Duration,
    /// For high ones.
    #[serde(with = "span")]
    pub high: Duration,
    /// For medium ones.
    #[serde(with = "span")]
    pub medium: Duration,
    /// For low ones; null means in the next maintenance window that covers the target, without one in the next quiet hours
    /// of its host or service, and while those are not known, whenever somebody looks.
    #[serde(with = "optional_span")]
    pub low: Option<Duration>,
}

impl ResponsePolicy {
    /// How soon a fault of that severity must be responded to; null when there is no such time.
    #[must_use]
    pub const fn within(&self, severity: Severity) -> Option<Duration> {
        match severity {
            Severity::Critical => Some(self.critical),
            Severity::High => Some(self.high),
            Severity::Medium => Some(self.medium),
            Severity::Low => self.low,
            Severity::Info => None,
        }
    }
}

impl Default for ResponsePolicy {
    fn default() -> Self {
        Self {
            critical: Duration::from_secs(60),
            high: Duration::from_secs(300),
            medium: Duration::from_secs(3_600),
            low: None,
        }
    }
}
