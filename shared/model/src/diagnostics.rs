//! What a sweep through the fleet found: every probe of every host in its scope, looked at afresh.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scope::Scope;
use crate::{Id, OperatorName, ProbeName, TargetRef, Timestamp};

/// What was found of one thing, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagnostic {
    /// It is well, on evidence of this sweep.
    Ok,
    /// Nobody could tell: a probe could not look, or did not answer in time. Evidence of neither.
    Unknown,
    /// Its host cannot be reached.
    Unreachable,
    /// It is broken, on evidence of this sweep.
    Broken,
}

impl Diagnostic {
    /// All of them, from the best to the worst.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Unreachable, Self::Broken];

    /// Its name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
        }
    }
}

/// How many things were found in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Well.
    pub ok: u32,
    /// Nobody could tell.
    pub unknown: u32,
    /// Out of reach.
    pub unreachable: u32,
    /// Broken.
    pub broken: u32,
}

impl Tally {
    /// Counts one more.
    pub const fn add(&mut self, found: Diagnostic) {
        let count = match found {
            Diagnostic::Ok => &mut self.ok,
            Diagnostic::Unknown => &mut self.unknown,
            Diagnostic::Unreachable => &mut self.unreachable,
            Diagnostic::Broken => &mut self.broken,
        };
        *count = count.saturating_add(1);
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeDiagnostic {
    /// The probe.
    pub probe: ProbeName,
    /// What it found.
    pub found: Diagnostic,
    /// How old its latest verdict was at the end of the sweep; null when it never gave one.
    pub age: Option<Duration>,
    /// Why nobody could tell, in a line; empty otherwise.
    pub why: String,
}

/// What was found of one target: the worst of its probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDiagnostic {
    /// The target.
    pub target: TargetRef,
    /// The worst of its probes.
    pub found: Diagnostic,
    /// Its probes.
    pub probes: Vec<ProbeDiagnostic>,
}

/// What was found of a part of the control plane itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDiagnostic {
    /// Its name: `signing`, `policy`, `telemetry` or `inventory`.
    pub layer: String,
    /// What was found.
    pub found: Diagnostic,
    /// With its figures, in a line.
    pub text: String,
}

/// The report of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticsReport {
    /// Its id.
    pub id: Id,
    /// What was swept.
    pub scope: Scope,
    /// Who asked; null for one that was due.
    pub by: Option<OperatorName>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many hosts were in its scope.
    pub hosts: u32,
    /// How many targets were found in each state.
    pub targets: Tally,
    /// The control plane's own parts.
    pub layers: Vec<LayerDiagnostic>,
    /// Targets, the worst first; not all of a large scope.
    pub found: Vec<TargetDiagnostic>,
    /// How many more there were.
    pub omitted: u32,
}
