//! Faults of the product's own agents: what can be told to an agent without a command, and what only a person can do.
//!
//! None of it touches the host, so nothing is signed: an agent is asked to look, to report, or to begin a new stream.

use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Hold, IncidentState, Stage};
use prunella_model::{HostId, IncidentId, RepairName};

use super::Case;
use crate::Engine;
use crate::brakes::{self, Ask};
use crate::cause::Cause;
use crate::event::Decision;
use crate::key::at;
use crate::rules;

/// How long an agent is given to do what it was told before the next thing is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent that is told to reconnect waits at least, so that its old stream has surely ended.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A clock that differs by more than this is itself the reason why an agent only observes.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// What an agent can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// Look at everything now.
    Look,
    /// Say everything again.
    Report,
    /// End the stream and begin a new one, with a new challenge and the present authority.
    Reconnect,
}

impl Tell {
    /// Its name as a repair; null for what repairs nothing.
    const fn repair(self) -> Option<&'static str> {
        match self {
            Self::Look => None,
            Self::Report => Some("report_fully"),
            Self::Reconnect => Some("reconnect_agent"),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Look => "its agent was asked to look at everything",
            Self::Report => "its agent was asked to look at everything and to report fully",
            Self::Reconnect => "its agent was told to begin a new stream",
        }
    }
}

/// What can be done about one cause.
struct Treatment {
    cause: Cause,
    /// What is told to the agent, gentlest first.
    ladder: &'static [Tell],
    /// What a person should do then; `{what}` and `{host}` are filled in.
    advice: &'static str,
}

const TREATMENTS: [Treatment; 7] = [
    Treatment {
        cause: Cause::AgentStalled,
        ladder: &[Tell::Report, Tell::Reconnect],
        advice: "{what}; a full report and a new stream did not help: restart it on {host} (systemctl restart \
                 prunella-agent), and look there for a check or a file system that hangs (journalctl -u prunella-agent)",
    },
    Treatment {
        cause: Cause::NoAuthority,
        ladder: &[Tell::Reconnect],
        advice: "{what}; a new stream did not help: compare agent.toml and the pinned keys of {host} with the fleet \
                 (prunella doctor there), or enrol it again",
    },
    Treatment {
        cause: Cause::ProbeBroken,
        ladder: &[Tell::Look],
        advice: "{what}; its target is not judged by it meanwhile: check what the probe names in agent.toml of {host} \
                 (path, address, unit, rights of the agent's user)",
    },
    Treatment {
        cause: Cause::AgentUnstable,
        ladder: &[],
        advice: "{what}: look at the network between {host} and the server, at the load of {host}, and at its agent's log \
                 (journalctl -u prunella-agent)",
    },
    Treatment {
        cause: Cause::ClockSkew,
        ladder: &[],
        advice: "{what}; the agent acts again by itself when the clocks agree",
    },
    Treatment {
        cause: Cause::AgentObserves,
        ladder: &[],
        advice: "{what}; nothing on {host} is repaired until that is mended (journalctl -u prunella-agent)",
    },
    Treatment {
        cause: Cause::AgentOutdated,
        ladder: &[],
        advice: "{what}: upgrade or restart it when {host} has a quiet hour",
    },
];

fn treatment(cause: Cause) -> Option<&'static Treatment> {
    TREATMENTS.iter().find(|it| it.cause == cause)
}

fn ladder(cause: Cause) -> &'static [Tell] {
    treatment(cause).map_or(&[], |it| it.ladder)
}

fn advice(cause: Cause, host: &HostId, what: &str) -> String {
    let text = treatment(cause).map_or("{what}", |it| it.advice);
    text.replace("{host}", host.as_str()).replace("{what}", what)
}

impl Engine {
    /// The cause in an incident that has nothing but agent faults, and how sure it is.
    pub(crate) fn agent_cause(&self, case: &Case, has: impl Fn(&str) -> bool) -> (Cause, f64) {
        let apart = self.hosts[at(case.key.host)].clock.apart();
        if has(rules::AGENT_REFUSES) {
            (Cause::NoAuthority, 0.85)
        } else if has(rules::AGENT_OBSERVES) {
            match apart.is_some_and(|apart| apart > CLOCKS_APART) {
                true => (Cause::ClockSkew, 0.95),
                false => (Cause::AgentObserves, 0.9),
            }
        } else if has(rules::AGENT_STALLED) || has(rules::METRICS_ABSENT) {
            (Cause::AgentStalled, 0.8)
        } else if has(rules::AGENT_FLAPPING) {
            (Cause::AgentUnstable, 0.7)
        } else if has(rules::PROBE_BROKEN) {
            (Cause::ProbeBroken, 0.9)
        } else {
            (Cause::AgentOutdated, 0.95)
        }
    }

    /// Tells an agent the next thing that may mend it, or hands it to a person.
    pub(crate) fn tend_agent(&mut self, id: IncidentId, cause: Cause, what: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        let (key, told) = (case.key, case.told);
        if let Some((_, last)) = told
            && let Some(left) = PATIENCE.checked_sub(self.now.since(last)).filter(|left| !left.is_zero())
        {
            self.look_again(id, left);
            return;
        }
        let host = self.hosts[at(key.host)].id.clone();
        let count = told.map_or(0, |(count, _)| count);
        let Some(tell) = ladder(cause).get(at(count)).copied() else {
            self.escalate(id, advice(cause, &host, what));
            return;
        };
        match tell {
            Tell::Look => {}
            Tell::Report => self.out.acts.push(Decision::ReportFully { host }),
            Tell::Reconnect => {
                let holds = self.holds_reconnect(id, cause);
                if !holds.is_empty() {
                    self.hold(id, holds);
                    self.enter_state(id, IncidentState::Held);
                    self.look_again(id, PATIENCE);
                    return;
                }
                if self.host_busy(key.host) {
                    // A report under way must not be lost for this.
                    self.look_again(id, PATIENCE);
                    return;
                }
                let reason = format!("{what}; told so by incident {id}");
                self.out.acts.push(Decision::Reconnect { host, after: RECONNECT_AFTER, reason });
            }
        }
        self.out.probes.insert((key.host, None));
        let (now, health) = (self.now, self.health(key));
        self.hold(id, Vec::new());
        if let Some(case) = self.cases.get_mut(&id) {
            case.told = Some((count + 1, now));
            case.pass(Stage::ExecuteRepair, now, health, tell.text());
        }
        self.enter_state(id, IncidentState::Diagnosing);
        self.responded(id);
        self.touched(id);
        self.audit("agent_told", key, Some(id), tell.text().to_owned());
        if tell.repair().is_some() {
            self.announce(EventKind::RepairStarted, Some(key), Some(id), tell.text().to_owned());
        }
        self.look_again(id, PATIENCE);
    }

    fn holds_reconnect(&self, id: IncidentId, cause: Cause) -> Vec<Hold> {
        let Some(case) = self.cases.get(&id) else { return Vec::new() };
        let repair = RepairName::of("reconnect_agent");
        let (key, severity) = (case.key, case.severity());
        let answer = brakes::ask(&Ask {
            engine: self,
            case,
            key,
            repair: &repair,
            cause,
            severity,
            plan: None,
            rollback: false,
        });
        answer.holds.into_iter().map(|(hold, _)| hold).filter(|hold| hold.brake.as_str() != "observe_only").collect()
    }

    /// How an incident ends that has nothing but agent faults: by what the agent was told last, if it was told anything.
    pub(crate) fn agent_closing(case: &Case) -> Closing {
        if matches!(case.it.state, IncidentState::NeedsHuman { .. }) {
            // What was told had not helped by then.
            return Closing::SelfRecovered;
        }
        let cause = case.it.diagnosis.as_ref().map_or(Cause::Unknown, |it| Cause::of(&it.cause));
        let last = case.told.and_then(|(count, _)| ladder(cause).get(at(count.saturating_sub(1))));
        match last.and_then(|tell| tell.repair()) {
            Some(repair) => Closing::Repaired { repair: RepairName::of(repair) },
            None => Closing::SelfRecovered,
        }
    }
}
