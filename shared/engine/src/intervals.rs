//! How often probes look, where the fleet's policy has a wish and the host's administrator lets it have one.

use crate::Engine;
use crate::event::Decision;
use crate::key::at;

impl Engine {
    /// Asks a host to look as often as the policy wants, when it lets itself be asked and has not been asked for just that in
    /// this stream. The host keeps within its own bounds and reports what it has come to, from which freshness follows.
    pub(crate) fn ask_intervals(&mut self, index: u32) {
        let wanted: Vec<_> = self.policy.probes.iter().map(|(kind, it)| (*kind, it.interval)).collect();
        let it = &mut self.hosts[at(index)];
        let willing = it.stream && it.report.as_ref().is_some_and(|report| report.intervals.is_some());
        if !willing || it.intervals.as_ref() == Some(&wanted) {
            return;
        }
        it.intervals = Some(wanted.clone());
        let host = it.id.clone();
        self.out.acts.push(Decision::Intervals { host, intervals: wanted });
    }
}
