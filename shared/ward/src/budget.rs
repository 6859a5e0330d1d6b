//! The host's own budgets: what was done in the last hour.

use std::time::Duration;

use prunella_model::TargetName;
use prunella_model::step::{StepKind, TargetStep};

const HOUR: Duration = Duration::from_secs(3600);

/// One command that acted.
#[derive(Debug, Clone)]
struct Spent {
    at: Duration,
    steps: Vec<(StepKind, TargetName)>,
}

/// The commands that acted in the last hour of the boot clock, which nobody can set back or forth.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    spent: Vec<Spent>,
}

impl Budget {
    pub(crate) fn spend(&mut self, at: Duration, steps: &[TargetStep]) {
        self.spent.retain(|it| at.saturating_sub(it.at) < HOUR);
        let steps = steps.iter().map(|it| (it.step.kind(), it.target.clone())).collect();
        self.spent.push(Spent { at, steps });
    }

    /// How many commands acted in the hour before `now`.
    pub(crate) fn commands(&self, now: Duration) -> u32 {
        count(self.within(now))
    }

    /// How many steps of this kind this target saw in the hour before `now`.
    pub(crate) fn steps(&self, now: Duration, kind: StepKind, target: &TargetName) -> u32 {
        count(self.within(now).flat_map(|it| &it.steps).filter(|(k, t)| *k == kind && t == target))
    }

    fn within(&self, now: Duration) -> impl Iterator<Item = &Spent> {
        self.spent.iter().filter(move |it| now.saturating_sub(it.at) < HOUR)
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
