//! What the host's administrator permits. It is never written by the server.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::host::{Permit, TargetReport};
use prunella_model::part::{PartKind, PartReport};
use prunella_model::step::{Risk, StepKind};
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
    /// The other declared parts that may be acted on.
    pub parts: BTreeMap<(PartKind, PartName), PartPolicy>,
    /// The probes that verification and preconditions may name.
    pub probes: BTreeSet<ProbeName>,
}

/// What may be done with one declared part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPolicy {
    /// What its declaration makes possible.
    pub acts: BTreeSet<StepKind>,
    /// The risk that was declared for it: a command must not state less.
    pub risk: Risk,
    /// The least and the most that it may be set to; none when there is nothing to set.
    pub bounds: Option<(i64, i64)>,
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
            parts: target.parts.iter().map(|it| ((it.kind, it.name.clone()), PartPolicy::of_part(it))).collect(),
            probes: target.probes.iter().map(|it| it.name.clone()).collect(),
        }
    }
}

impl PartPolicy {
    fn of_part(it: &PartReport) -> Self {
        let bounds = it.setting.map(|setting| (setting.least, setting.most));
        Self { acts: it.acts.iter().copied().collect(), risk: it.risk, bounds }
    }
}
