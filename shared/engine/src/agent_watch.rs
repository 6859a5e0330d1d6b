//! Watches the product's own agents: one that is heard need not do its work.
//!
//! Everything here is looked at when a host's silence timer rings, which it does once a heartbeat anyway.

use std::collections::VecDeque;
use std::time::Duration;

use prunella_model::host::BY_CHOICE;
use prunella_model::outcome::{Outcome, Refusal};
use prunella_model::{TargetName, Timestamp};

use crate::Engine;
use crate::host::Host;
use crate::key::{Key, at, next};
use crate::rules::{self, Judgement};
use crate::target::{Probe, REPEAT};

/// How many broken streams are remembered.
const BREAKS: usize = 32;

/// While probes are overdue they are asked to look this often.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What is known of how an agent works. Not stored: after a start it is learned anew.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentWatch {
    /// When its present or latest stream began; null before the first that this engine saw.
    pub(crate) since: Option<Timestamp>,
    /// When its probes were first and last asked to look because some were overdue; null while none is.
    pub(crate) asked: Option<(Timestamp, Timestamp)>,
    /// When its streams broke without a goodbye, newest last.
    pub(crate) breaks: VecDeque<Timestamp>,
    /// When its latest measurement was taken; null before the first.
    pub(crate) measured: Option<Timestamp>,
    /// Since when it only observes without its administrator wanting that; null while it acts.
    pub(crate) observes: Option<Timestamp>,
    /// How many commands in a row it refused for reasons that lie in itself; null before its first answer.
    pub(crate) refusals: Option<u32>,
    /// The latest of them: when, its code, and its text.
    pub(crate) refused: Option<(Timestamp, &'static str, String)>,
    /// Since when it has run with other files than are on its disk; null while it does not.
    pub(crate) drifted: Option<Timestamp>,
    /// Since when another host has a newer agent, and that one's version.
    pub(crate) behind: Option<(Timestamp, String)>,
}

/// A version that can be compared. Null for a text that is none.
pub(crate) fn version(text: &str) -> Option<(u64, u64, u64)> {
    let plain = text.split(['-', '+']).next()?;
    let mut parts = plain.split('.').map(str::parse::<u64>);
    let version = (parts.next()?.ok()?, parts.next().unwrap_or(Ok(0)).ok()?, parts.next().unwrap_or(Ok(0)).ok()?);
    parts.next().is_none().then_some(version)
}

/// Whether a refusal says something of the agent's standing in the fleet rather than of this command at this moment.
const fn lies_in_agent(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Oversized { .. }
        | Refusal::BadSignature { .. }
        | Refusal::WrongType { .. }
        | Refusal::Undecodable { .. }
        | Refusal::NewerSchema { .. }
        | Refusal::WrongFleet { .. }
        | Refusal::WrongHost { .. }
        | Refusal::WrongEnrolment { .. }
        | Refusal::NoDelegation { .. }
        | Refusal::OutsideDelegation { .. }
        | Refusal::WrongChallenge
        | Refusal::Expired { .. }
        | Refusal::StaleGeneration { .. }
        | Refusal::Replayed { .. }
        | Refusal::Understated { .. }
        | Refusal::StepCount { .. }
        | Refusal::NotNamed { .. }
        | Refusal::OutOfBounds { .. }
        | Refusal::NotPermitted { .. } => true,
        Refusal::AlreadyKnown
        | Refusal::Precondition { .. }
        | Refusal::NotApproved { .. }
        | Refusal::Dangerous
        | Refusal::Paused { .. }
        | Refusal::OverBudget { .. }
        | Refusal::ObserveOnly { .. }
        | Refusal::Other { .. } => false,
    }
}

/// Whether a probe should have looked again by now. Agents repeat an unchanged verdict at least once a minute.
fn overdue(probe: &Probe, since: Timestamp, now: Timestamp) -> bool {
    let patience = probe.window(REPEAT).max(REPEAT) + probe.report.timeout;
    let last = probe.last().map_or(since, |seen| seen.at);
    !probe.report.interval.is_zero() && now.since(last) > patience
}

impl Host {
    /// The probes that should have looked again by now, each with its target.
    pub(crate) fn overdue(&self, now: Timestamp) -> impl Iterator<Item = (&TargetName, &Probe)> {
        let since = self.agent.since.unwrap_or(now);
        let present = self.targets.iter().filter(|target| !target.gone);
        let probes = present.flat_map(|target| target.probes.iter().map(|probe| (&target.report.name, probe)));
        probes.filter(move |(_, probe)| overdue(probe, since, now))
    }
}

impl Engine {
    /// A stream of an agent began.
    pub(crate) fn agent_came(&mut self, index: u32) {
        let now = self.now;
        let agent = &mut self.hosts[at(index)].agent;
        agent.since = Some(now);
        // A stream by itself is no proof that probes look again, and it gets its time to show that.
        agent.asked = agent.asked.map(|_| (now, Timestamp::ZERO));
    }

    /// A stream of an agent ended, or was taken over, without a goodbye.
    pub(crate) fn agent_broke(&mut self, index: u32) {
        let now = self.now;
        let agent = &mut self.hosts[at(index)].agent;
        if agent.breaks.len() == BREAKS {
            agent.breaks.pop_front();
        }
        agent.breaks.push_back(now);
    }

    /// An agent said whether it may act, and which version it is.
    pub(crate) fn agent_declared(&mut self, index: u32) {
        let now = self.now;
        let it = &mut self.hosts[at(index)];
        let why = it.report.as_ref().and_then(|report| report.observe_only.as_deref()).filter(|why| *why != BY_CHOICE);
        it.agent.observes = why.map(|_| it.agent.observes.unwrap_or(now));
        let drift = it.report.as_ref().and_then(|report| report.drift.as_ref());
        it.agent.drifted = drift.map(|_| it.agent.drifted.unwrap_or(now));
        let own = it.report.as_ref().map(|report| report.agent_version.clone());
        if let Some((number, text)) = own.and_then(|text| Some((version(&text)?, text)))
            && self.newest_agent.as_ref().is_none_or(|(newest, _)| *newest < number)
        {
            self.newest_agent = Some((number, text));
        }
    }

    /// A host left the fleet, and the newest version may have left with it.
    pub(crate) fn agent_forgotten(&mut self) {
        let known = self.names.values().filter_map(|index| self.hosts[at(*index)].report.as_ref());
        let versions = known.filter_map(|it| Some((version(&it.agent_version)?, it.agent_version.clone())));
        self.newest_agent = versions.max();
    }

    /// An agent answered a command.
    pub(crate) fn agent_answered(&mut self, index: u32, outcome: &Outcome) {
        let now = self.now;
        let agent = &mut self.hosts[at(index)].agent;
        match outcome {
            Outcome::Refused(refusal) if lies_in_agent(refusal) => {
                agent.refusals = Some(agent.refusals.unwrap_or(0).saturating_add(1));
                agent.refused = Some((now, refusal.code(), refusal.to_string()));
            }
            // Neither says whether it would carry out another one.
            Outcome::Refused(_) | Outcome::Lost => {}
            Outcome::Done | Outcome::Failed { .. } | Outcome::Unknown { .. } | Outcome::Cancelled { .. } => {
                (agent.refusals, agent.refused) = (Some(0), None);
            }
        }
        self.watch_agent(index);
    }

    /// Looks after an agent that is heard.
    pub(crate) fn watch_agent(&mut self, index: u32) {
        let now = self.now;
        let newest = self.newest_agent.clone();
        let it = &mut self.hosts[at(index)];
        if !it.online() || !it.reported {
            return;
        }
        if it.overdue(now).next().is_none() {
            it.agent.asked = None;
        } else {
            let (first, last) = it.agent.asked.unwrap_or((now, Timestamp::ZERO));
            let due = now.since(last) >= ASK_AGAIN;
            it.agent.asked = Some((first, if due { now } else { last }));
            if due {
                self.out.probes.insert((index, None));
            }
        }
        let own = it.report.as_ref().and_then(|report| version(&report.agent_version));
        it.agent.behind = match (own, newest) {
            (Some(own), Some((newest, text))) if own < newest => {
                let since = it.agent.behind.as_ref().map_or(now, |(since, _)| *since);
                Some((since, text))
            }
            (Some(_) | None, _) => None,
        };
        let key = Key { host: index, target: it.ensure(&TargetName::host()) };
        let open = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        let concerned = open.is_some_and(|case| case.faults().any(|fault| rules::about_agent(&fault.rule)));
        let ill = |rule: usize| matches!(self.judge(rule, key, Timestamp::ZERO), Judgement::Present(_));
        if concerned || (0..rules::RULES.len()).filter(|rule| rules::RULES[*rule].about_agent()).any(ill) {
            self.review(key);
        }
    }

    /// Whether a command is under way for anything on this host.
    pub(crate) fn host_busy(&self, index: u32) -> bool {
        let first = Key { host: index, target: 0 };
        let last = Key { host: index, target: next(usize::MAX) };
        self.in_flight.range(first..=last).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version("0.10.0") > version("0.9.3"));
        assert_eq!(version("1.2.3-rc.1"), version("1.2.3+build"));
        assert_eq!(version("1"), Some((1, 0, 0)));
        for none in ["", "dev", "1.x", "1.2.3.4", "-1.0.0"] {
            assert_eq!(version(none), None, "{none}");
        }
    }
}
