//! Does the policy on its way do worse? On fresh evidence, or there is no verdict.

use std::collections::BTreeSet;

use prunella_model::Timestamp;

use super::Tally;
use crate::Engine;
use crate::key::{Key, at, next};
use crate::rules::{Judgement, RULES};

/// A policy that would find faults on more than this share of the hosts that are well now is not put in force, in percent.
const STORM_PERCENT: u32 = 20;

/// The mean health, 0 to 100, may fall by so much for other reasons.
const HEALTH_NOISE: f64 = 5.0;

/// Opened incidents are only told from chance from so many on.
const OPENED_LEAST: u32 = 3;

/// What a stage comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against going on.
    Fine(String),
    /// It does worse.
    Worse(String),
    /// Nothing can be said, which is not good enough.
    None(String),
}

/// Whether `canary` of so many hosts is more than twice as often as `control` of so many.
fn oftener(canary: u32, of: u32, control: u32, others: u32) -> bool {
    u64::from(canary) * u64::from(others.max(1)) > 2 * u64::from(control) * u64::from(of.max(1))
}

impl Engine {
    /// The rules that speak about a target now, under the policy in force. Null without fresh evidence of it.
    fn speaking(&self, key: Key) -> Option<Vec<usize>> {
        self.health(key)?;
        let present = |rule: &usize| matches!(self.judge(*rule, key, Timestamp::ZERO), Judgement::Present(_));
        Some((0..RULES.len()).filter(present).collect())
    }

    /// Compares what both policies see now, over the whole fleet.
    pub(super) fn judge_shadow(&mut self) -> Verdict {
        let all: Vec<Key> = self
            .names
            .values()
            .flat_map(|host| (0..next(self.hosts[at(*host)].targets.len())).map(|target| Key { host: *host, target }))
            .filter(|key| !self.target_at(*key).gone)
            .collect();
        let now: Vec<Option<Vec<usize>>> = all.iter().map(|key| self.speaking(*key)).collect();
        self.swap_policies();
        let then: Vec<Option<Vec<usize>>> = all.iter().map(|key| self.speaking(*key)).collect();
        self.swap_policies();
        let (mut seen, mut ill) = (BTreeSet::new(), BTreeSet::new());
        for ((key, now), then) in all.iter().zip(&now).zip(&then) {
            let (Some(now), Some(then)) = (now, then) else { continue };
            seen.insert(key.host);
            if then.iter().any(|rule| !now.contains(rule)) {
                ill.insert(key.host);
            }
        }
        let (seen, ill) = (next(seen.len()), next(ill.len()));
        if seen == 0 {
            return Verdict::None("no host has fresh evidence".to_owned());
        }
        if ill > 1 && ill.saturating_mul(100) > seen.saturating_mul(STORM_PERCENT) {
            return Verdict::Worse(format!("it would find new faults on {ill} of {seen} hosts at once"));
        }
        Verdict::Fine(format!("compared on {seen} hosts, new faults on {ill}"))
    }

    /// Compares the hosts that it decides for with the others and with themselves before.
    pub(super) fn judge_canary(&self) -> Verdict {
        let Some(rollout) = &self.rollout else { return Verdict::None("there is no roll-out".to_owned()) };
        let hosts = next(rollout.hosts.len());
        let heard = rollout.hosts.iter().filter(|host| self.worst_health(**host).is_some()).count();
        if heard == 0 || next(heard).saturating_mul(2) < hosts {
            return Verdict::None(format!("only {heard} of its {hosts} hosts have fresh evidence"));
        }
        let others = next(self.names.len()).saturating_sub(hosts);
        let (Tally { opened, bad }, control) = (rollout.canary, rollout.control);
        if bad > 0 && oftener(bad, hosts, control.bad, others) {
            return Verdict::Worse(format!("{bad} failed repairs or calls for a person on its {hosts} hosts"));
        }
        if opened >= OPENED_LEAST && oftener(opened, hosts, control.opened, others) {
            return Verdict::Worse(format!("{opened} new incidents on its {hosts} hosts"));
        }
        let Some(after) = self.mean_health(true) else {
            return Verdict::None("the health of its hosts is not known".to_owned());
        };
        // What befell all hosts alike is not its doing.
        let fell = |before: Option<f64>, after: Option<f64>| before.zip(after).map_or(0.0, |(it, after)| it - after);
        let (own, other) = rollout.health;
        let (own, other) = (fell(own, Some(after)), fell(other, self.mean_health(false)).max(0.0));
        if own > other + HEALTH_NOISE {
            return Verdict::Worse(format!("the health of its hosts fell by {own:.0}, of the others by {other:.0}"));
        }
        Verdict::Fine(format!("its {hosts} hosts are well, health {after:.0}"))
    }

    fn worst_health(&self, host: u32) -> Option<f64> {
        let targets = (0..next(self.hosts[at(host)].targets.len())).map(|target| Key { host, target });
        let known = targets.filter(|key| !self.target_at(*key).gone).filter_map(|key| self.health(key));
        known.reduce(f64::min)
    }

    /// The mean health of the hosts that it decides for, or of the others; null when none is known.
    pub(super) fn mean_health(&self, own: bool) -> Option<f64> {
        let rollout = self.rollout.as_ref()?;
        let hosts = self.names.values().filter(|host| rollout.hosts.contains(host) == own);
        let known: Vec<f64> = hosts.filter_map(|host| self.worst_health(*host)).collect();
        let count = next(known.len());
        (count > 0).then(|| known.iter().sum::<f64>() / f64::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::oftener;

    #[test]
    fn rates_are_compared_not_counts() {
        assert!(oftener(1, 1, 3, 99), "1 of 1 is more than twice 3 of 99");
        assert!(!oftener(1, 1, 3, 3) && !oftener(2, 10, 1, 10));
        assert!(oftener(1, 10, 0, 90) && oftener(1, 1, 0, 0), "where nothing fails elsewhere, one is one too many");
    }
}
