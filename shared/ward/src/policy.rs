//! What the host's administrator permits. It is never written by the server.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::host::{Permit, TargetReport};
use prunella_model::step::StepKind;
use prunella_model::{PartName, ProbeName, TargetName};

/// What may be done to one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetPolicy {
    /// The kinds of step, each with its own limits. A kind that is missing is not permitted.
    pub permits: BTreeMap<StepKind, Permit>,
    /// The directories that may be cleaned.
    pub directories: BTreeSet<PartName>,
    /// The files that may be put back.
    pub files: BTreeSet<PartName>,
    /// The probes that verification and preconditions may name.
    pub probes: BTreeSet<ProbeName>,
}

/// What may ever be done on this host. What is not named is not permitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalPolicy {
    /// The targets.
    pub targets: BTreeMap<TargetName, TargetPolicy>,
    /// True when the administrator wants to be watched, not repaired.
    pub observe_only: bool,
    /// The most commands that may act in any hour, whatever the targets permit.
    pub per_hour: u32,
}

impl LocalPolicy {
    /// The policy that a list of targets, as reported to the server, stands for.
    ///
    /// Agent and server read the same list, so that the planner never proposes what would be refused. When a kind is
    /// permitted twice, the stricter permit counts.
    #[must_use]
    pub fn of_targets(targets: &[TargetReport], observe_only: bool, per_hour: u32) -> Self {
        let targets = targets.iter().map(|it| (it.name.clone(), TargetPolicy::of_target(it))).collect();
        Self { targets, observe_only, per_hour }
    }
}

impl TargetPolicy {
    fn of_target(target: &TargetReport) -> Self {
        let mut permits: BTreeMap<StepKind, Permit> = BTreeMap::new();
        for permit in &target.permits {
            let kept = permits.entry(permit.step).or_insert(*permit);
            kept.per_hour = kept.per_hour.min(permit.per_hour);
            kept.approvals = kept.approvals.max(permit.approvals);
        }
        Self {
            permits,
            directories: target.directories.iter().map(|it| it.name.clone()).collect(),
            files: target.files.iter().map(|it| it.name.clone()).collect(),
            probes: target.probes.iter().map(|it| it.name.clone()).collect(),
        }
    }
}
