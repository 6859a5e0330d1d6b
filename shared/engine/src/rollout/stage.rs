//! From stage to stage: which hosts, for how long, and what follows from a verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::policy::RolloutStage;
use prunella_model::record::Change;
use sha2::{Digest, Sha256};

use super::Tally;
use super::verdict::Verdict;
use crate::Engine;
use crate::key::{at, next};
use crate::timers::Timer;

/// How long hosts get to look at everything before a verdict.
const LOOK: Duration = Duration::from_secs(5);

/// How many hosts a policy decides for in a stage.
fn wanted(stage: RolloutStage, hosts: u32) -> u32 {
    match stage {
        RolloutStage::Shadow => 0,
        RolloutStage::One => hosts.min(1),
        RolloutStage::Few => hosts.saturating_mul(5).div_ceil(100),
        RolloutStage::Quarter => hosts.div_ceil(4),
        RolloutStage::All => hosts,
    }
}

impl Engine {
    /// A stage begins: its hosts are asked to look, and its verdict is due after the soak.
    pub(super) fn soak(&mut self) {
        let health = (self.mean_health(true), self.mean_health(false));
        let Some(rollout) = &mut self.rollout else { return };
        (rollout.canary, rollout.control, rollout.probing) = (Tally::default(), Tally::default(), false);
        rollout.health = health;
        let due = rollout.record.since.after(self.policy.canary.span(rollout.record.stage));
        self.timers.set(Timer::Rollout, due, self.now);
        self.out.changes.push(Change::PutRollout(Box::new(rollout.record.clone())));
        let hosts: Vec<u32> = rollout.hosts.iter().copied().collect();
        self.out.probes.extend(hosts.into_iter().map(|host| (host, None)));
    }

    /// A stage has lasted long enough.
    pub(crate) fn rollout_due(&mut self) {
        let Some(rollout) = &mut self.rollout else { return };
        if !std::mem::replace(&mut rollout.probing, true) {
            // The verdict stands on what is seen now, not on what was seen when the stage began.
            let shadow = rollout.record.stage == RolloutStage::Shadow;
            let hosts: Vec<u32> =
                if shadow { self.names.values().copied().collect() } else { rollout.hosts.iter().copied().collect() };
            self.out.probes.extend(hosts.into_iter().map(|host| (host, None)));
            self.timers.set(Timer::Rollout, self.now.after(LOOK), self.now);
            return;
        }
        let stage = rollout.record.stage;
        let verdict = if stage == RolloutStage::Shadow { self.judge_shadow() } else { self.judge_canary() };
        match verdict {
            Verdict::Fine(why) => self.promote(stage, &why),
            Verdict::Worse(why) => self.end_rollout(&format!("it does worse: {why}")),
            Verdict::None(why) => self.end_rollout(&format!("there is no verdict: {why}")),
        }
    }

    /// The next stage that means more hosts than this one.
    fn promote(&mut self, from: RolloutStage, why: &str) {
        let known = next(self.names.len());
        let mut to = from.next();
        while to != RolloutStage::All && wanted(to, known) <= wanted(from, known) {
            to = to.next();
        }
        if to != RolloutStage::All && wanted(to, known) >= known {
            to = RolloutStage::All;
        }
        let Some(rollout) = &self.rollout else { return };
        let policy = std::sync::Arc::new(rollout.record.policy.clone());
        let line = format!("version {} goes from {} to {}: {why}", policy.version, from.as_str(), to.as_str());
        self.audit_as("engine".to_owned(), "policy_promoted", "policy".to_owned(), None, line.clone());
        self.announce(EventKind::PolicyRollout, None, None, line);
        if to == RolloutStage::All {
            self.change_policy(policy);
            return;
        }
        let hosts = self.canary_hosts(policy.version, wanted(to, known));
        let names = hosts.iter().map(|host| self.hosts[at(*host)].id.clone()).collect();
        if let Some(rollout) = &mut self.rollout {
            (rollout.record.stage, rollout.record.since, rollout.record.hosts) = (to, self.now, names);
        }
        self.take_over(&hosts);
        self.soak();
    }

    /// The hosts of a stage: those that it decides for already, then others by a hash of their names and the version, so that
    /// it is not the same host each time. Those that talk to the server come first.
    fn canary_hosts(&self, version: u64, count: u32) -> BTreeSet<u32> {
        let own = self.rollout.as_ref().map(|it| it.hosts.clone()).unwrap_or_default();
        let mut order: Vec<(bool, bool, [u8; 32], u32)> = Vec::new();
        for (name, host) in &self.names {
            let hash = Sha256::new().chain_update(version.to_be_bytes()).chain_update(name.as_str());
            let away = !self.hosts[at(*host)].online();
            order.push((!own.contains(host), away, hash.finalize().into(), *host));
        }
        order.sort_unstable();
        order.into_iter().take(at(count)).map(|it| it.3).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_means_at_least_as_many_hosts() {
        for hosts in [0, 1, 2, 3, 10, 24, 100, 10_000] {
            let mut stage = RolloutStage::Shadow;
            assert_eq!(wanted(stage, hosts), 0);
            while stage != RolloutStage::All {
                assert!(wanted(stage.next(), hosts) >= wanted(stage, hosts), "{hosts} hosts");
                stage = stage.next();
            }
        }
        let counts = [RolloutStage::One, RolloutStage::Few, RolloutStage::Quarter].map(|it| wanted(it, 1_000));
        assert_eq!(counts, [1, 50, 250]);
    }
}
