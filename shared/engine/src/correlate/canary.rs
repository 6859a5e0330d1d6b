//! The first of a flock are repaired before anybody can know that they are one. How that goes tells what the others need.
//!
//! Where such a repair is verified, the same helps the others: they are released, as many at a time as have been verified
//! before them. Where one does not help, or does not last, they are left alone, and a person is called.

use prunella_model::IncidentId;
use prunella_model::incident::{IncidentState, SharedKind};

use super::Common;
use crate::Engine;
use crate::brakes::works;
use crate::plan::failed;

impl Common {
    /// Whether repairs of some tell what the others need.
    ///
    /// Not for a shared dependency: when that comes back its victims do so by themselves, and a repair at that moment looks
    /// as if it had helped.
    pub(super) fn heeds_canaries(&self) -> bool {
        (!self.in_vain || !works("canaries_in_vain")) && self.attribute.kind != SharedKind::Dependency
    }
}

impl Engine {
    /// A repair of a fault was verified, or turned out not to have helped: that tells of those that share its cause.
    pub(crate) fn tell_canary(&mut self, id: IncidentId, well: bool) {
        for shared in self.stands_for(id) {
            if let Some(common) = self.cases.get_mut(&shared).and_then(|case| case.common.as_mut()) {
                common.well += usize::from(well);
                common.in_vain |= !well;
            }
            self.woken.insert(shared);
        }
    }

    /// The open shared incidents that a fault is one of the victims of.
    pub(super) fn stands_for(&self, id: IncidentId) -> Vec<IncidentId> {
        let Some(case) = self.cases.get(&id) else { return Vec::new() };
        let (key, opened, Some(cause)) = (case.key, case.it.opened_at, case.noted) else { return Vec::new() };
        let one_of = |shared: &&IncidentId| {
            let common = self.cases.get(shared).and_then(|case| case.common.as_ref());
            common.is_some_and(|it| it.cause == cause && self.shares(key, opened, &it.attribute))
        };
        self.faults.open.iter().filter(one_of).copied().collect()
    }

    /// Takes in how it went with the members that were repaired before a shared incident was opened.
    pub(super) fn first_canaries(&mut self, id: IncidentId, members: &[IncidentId]) {
        let cases = || members.iter().filter_map(|member| self.cases.get(member));
        let well = cases().filter(|case| matches!(case.it.state, IncidentState::Probation { .. })).count();
        let in_vain = cases().any(|case| case.it.attempts.iter().any(|it| failed(it.verdict)));
        if let Some(common) = self.cases.get_mut(&id).and_then(|case| case.common.as_mut()) {
            (common.well, common.in_vain) = (well, in_vain);
        }
    }

    /// How many more victims may be repaired now because others of them were, and are well.
    pub(super) fn released_by_canaries(&self, common: &Common) -> usize {
        if !common.heeds_canaries() {
            return 0;
        }
        let undecided = common.trials.iter().filter_map(|trial| self.cases.get(trial)).filter(|case| {
            !matches!(case.it.state, IncidentState::Probation { .. } | IncidentState::NeedsHuman { .. })
        });
        common.well.saturating_sub(undecided.count())
    }

    /// Whether a repair of one of them is under way or being verified, so that one may still wait for what it tells.
    pub(super) fn canaries_under_way(&self, common: &Common) -> bool {
        let members = self.members(common.cause, &common.attribute);
        members.iter().filter_map(|id| self.cases.get(id)).any(crate::incident::Case::under_repair)
    }
}
