//! Judging an incident: is it still there, whose fault is it, and may it be repaired now?

use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Diagnosis, Hold, IncidentState, Stage, Verdict};
use prunella_model::policy::Profile;
use prunella_model::{IncidentId, Timestamp};

use super::REPORTED;
use super::verify::{TICK_LEAST, TICK_MOST};
use crate::Engine;
use crate::brakes::{self, Ask};
use crate::cause::Cause;
use crate::choose::Lesson;
use crate::diagnosis::{Insight, Presence};
use crate::key::{Key, at};
use crate::plan;
use crate::rules::Symptom;
use crate::target::{Exit, Life};
use crate::timers::Timer;

/// Nothing waits longer than this without being looked at, even if no event says that it should be.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A run that lasted less than this part of the cool-down was ended at once.
const AT_ONCE: u32 = 10;

/// A recurrence within a day tells that a repair did not hold.
const DAY: Duration = Duration::from_secs(86_400);

impl Engine {
    /// Looks at an incident because something that it may wait for has happened.
    pub(crate) fn advance(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        if case.common.is_some() {
            self.review_shared(id);
            return;
        }
        match case.it.state.clone() {
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::NeedsHuman { .. } => self.consider(id),
            IncidentState::Verifying { until } => self.verify(id, until),
            IncidentState::Probation { until } => self.probation(id, until),
            IncidentState::Repairing { .. } | IncidentState::Closed(_) => {}
        }
    }

    /// Looks at an incident again after a while.
    pub(crate) fn look_again(&mut self, id: IncidentId, after: Duration) {
        self.timers.set(Timer::Incident(id), self.now.after(after), self.now);
    }

    /// How long until a probe that was asked for has surely answered.
    pub(crate) fn tick(&self, key: Key) -> Duration {
        let target = self.target_at(key);
        let shortest = target.probes.iter().map(|probe| probe.report.interval).filter(|it| !it.is_zero()).min();
        shortest.unwrap_or(TICK_MOST).clamp(TICK_LEAST, TICK_MOST)
    }

    /// From when on an incident's symptoms count, by the host's clock.
    pub(crate) fn since_of(&self, case: &super::Case) -> Timestamp {
        if case.afresh == Timestamp::ZERO {
            return case.afresh;
        }
        self.hosts[at(case.key.host)].clock.to_host(case.afresh)
    }

    fn consider(&mut self, id: IncidentId) {
        if self.tries_again(id) {
            return;
        }
        let Some(case) = self.cases.get(&id) else { return };
        match self.presence(case, self.since_of(case)) {
            Presence::Gone(row) => self.gone(id, row),
            Presence::Unknown => self.unclear(id),
            Presence::Present(present) => self.present(id, &present),
        }
    }

    /// The symptoms are gone.
    fn gone(&mut self, id: IncidentId, row: u32) {
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        if row < self.policy.verification.successes {
            self.probe_now(key);
            self.look_again(id, self.tick(key));
            return;
        }
        let last = case.it.attempts.last();
        if last.is_some_and(|it| it.verdict == Some(Verdict::Inconclusive) && plan::counts(it)) {
            // What could not be verified in time is verified now.
            self.conclude(id, Verdict::Recovered, "the symptom is gone, on evidence that came late");
            return;
        }
        if case.it.optimisation.is_some() {
            self.withdraw_optimisation(id, "the opportunity has passed");
            return;
        }
        if case.only_agent() {
            self.close(id, Self::agent_closing(case));
            return;
        }
        let closing = match &case.it.state {
            IncidentState::Upstream { incident } => Closing::UpstreamRecovered { incident: *incident },
            IncidentState::Diagnosing
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. }
            | IncidentState::Probation { .. }
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Closed(_) => Closing::SelfRecovered,
        };
        self.close(id, closing);
    }

    /// There is no fresh evidence, which proves nothing: ask for some, and do nothing.
    fn unclear(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let online = self.hosts[at(key.host)].online();
        match case.it.state {
            IncidentState::NeedsHuman { .. } => return,
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. }
            | IncidentState::Probation { .. }
            | IncidentState::Closed(_) => {}
        }
        if case.it.holds.iter().any(|hold| hold.brake.as_str() == brakes::LOW_SEVERITY) {
            // It waits for a person who has time, whatever is heard meanwhile.
            return;
        }
        if online {
            self.probe(key);
            self.look_again(id, self.tick(key));
            return;
        }
        let cause = case.it.diagnosis.as_ref().map_or(Cause::Unknown, |diagnosis| Cause::of(&diagnosis.cause));
        let none = prunella_model::RepairName::of("none");
        let answer = brakes::ask(&Ask {
            engine: self,
            case,
            key,
            repair: &none,
            cause,
            severity: case.severity(),
            plan: None,
            rollback: false,
        });
        let offline: Vec<Hold> =
            answer.holds.into_iter().map(|(hold, _)| hold).filter(|hold| hold.brake.as_str() == "offline").collect();
        self.unqueue(id);
        self.hold(id, offline);
        self.enter_state(id, IncidentState::Held);
        self.look_again(id, LOOK_AGAIN);
    }

    /// The symptoms are there.
    fn present(&mut self, id: IncidentId, present: &[(String, Symptom)]) {
        let Some(case) = self.cases.get(&id) else { return };
        let (key, state, forced) = (case.key, case.it.state.clone(), case.forced.is_some());
        if matches!(state, IncidentState::NeedsHuman { .. }) && !forced {
            return;
        }
        match self.diagnose(case, present) {
            Insight::Upstream(culprit, diagnosis) => {
                if matches!(state, IncidentState::Upstream { .. }) && self.is_victim(culprit) {
                    // What it blamed is well again, and what stands between has not recovered yet.
                    self.look_again(id, LOOK_AGAIN);
                    return;
                }
                self.blame(id, culprit, diagnosis);
            }
            Insight::Wait(keys) => self.wait_for(id, &keys),
            Insight::Settling(left) => {
                self.probe(key);
                self.look_again(id, left.min(self.tick(key)));
                if !matches!(state, IncidentState::Upstream { .. }) {
                    self.unqueue(id);
                    self.hold(id, Vec::new());
                    self.enter_state(id, IncidentState::Diagnosing);
                }
            }
            Insight::Here(cause, diagnosis) => {
                if let Some(shared) = self.shared_with(id, cause) {
                    self.blame_shared(id, shared, diagnosis);
                    return;
                }
                if matches!(state, IncidentState::Upstream { .. }) && !self.upstream_grace_over(id) {
                    return;
                }
                if let Some(case) = self.cases.get_mut(&id) {
                    (case.waiting, case.blames) = (None, None);
                }
                self.watch(id, Vec::new());
                self.classify(id, cause, diagnosis.clone());
                self.note_recurrence(id, cause);
                if cause == Cause::OutOfReach {
                    let host = self.hosts[at(key.host)].id.clone();
                    self.escalate(
                        id,
                        format!("{host} is out of reach; that is no proof of a fault, so nothing is done to it"),
                    );
                    return;
                }
                if !forced && present.iter().all(|(rule, _)| rule == REPORTED) && !self.ailing(key) {
                    let why =
                        "a person reported it, and its own probes are well: ask for a repair if one is to be made";
                    self.escalate(id, why.to_owned());
                    return;
                }
                if !forced && self.cases.get(&id).is_some_and(super::Case::only_agent) {
                    let what: Vec<&str> = present.iter().map(|(_, symptom)| symptom.summary.as_str()).collect();
                    self.tend_agent(id, cause, &what.join("; "));
                    return;
                }
                self.seek_repair(id, cause, &diagnosis);
            }
        }
    }

    /// Notes a diagnosis, and says so when it is a new one.
    pub(crate) fn classify(&mut self, id: IncidentId, cause: Cause, diagnosis: Diagnosis) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let health = self.health(key);
        let same = case.it.diagnosis.as_ref().is_some_and(|old| {
            old.cause == diagnosis.cause
                && old.cause_target == diagnosis.cause_target
                && old.affected == diagnosis.affected
        });
        if same {
            return;
        }
        let old = case.it.diagnosis.as_ref().map(|old| (old.cause.clone(), old.cause_target.clone()));
        let news = old != Some((diagnosis.cause.clone(), diagnosis.cause_target.clone()));
        let text =
            format!("{} in {}, {:.0} % sure", cause.as_str(), diagnosis.cause_target, diagnosis.confidence * 100.0);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.it.diagnosis = Some(diagnosis);
        if news {
            match case.stage() {
                Some(Stage::Classify) => case.leave(now, health, &text),
                _ => case.pass(Stage::Classify, now, health, &text),
            }
        }
        self.touched(id);
        if news {
            self.audit("diagnosed", key, Some(id), text.clone());
            self.announce(EventKind::FaultClassified, Some(key), Some(id), text);
        }
    }

    /// The same fault from the same cause again within a day: the last repair did not hold.
    fn note_recurrence(&mut self, id: IncidentId, cause: Cause) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        if std::mem::replace(&mut case.recurrence, true) || !case.it.attempts.is_empty() {
            return;
        }
        let key = case.key;
        let fault = case.it.fault.clone();
        let target = self.target_at(key);
        let last = target.past.iter().rev().find(|past| past.cause == cause && now.since(past.at) < DAY);
        let Some(past) = last.cloned() else { return };
        let outside = cause == Cause::Killed
            && target.process.life == Life::Ended
            && target.process.exits.back().is_some_and(Exit::came_from_outside);
        let ran = target.process.exits.back().and_then(|exit| exit.ran);
        let at_once = ran.is_none_or(|ran| ran < self.policy.limits.cool_down / AT_ONCE);
        self.target_mut(key).relapsed(now);
        // A kill from outside is not the repair's failure. One that comes at once still calls for patience, except where
        // pacing is lifted.
        if !outside || (at_once && self.policy.profile == Profile::Standard) {
            self.target_mut(key).did_not_hold(&past.repair);
        }
        if !outside
            && past.held
            && let Some((credit, after)) = past.credit
        {
            let subject = self.subject_of(key, &fault, cause);
            self.take_lesson(key, (&subject, &after), &past.repair, Lesson::Undone(credit), 0.0);
        }
    }
}
