//! Judging an incident: is it still there, whose fault is it, and may it be repaired now?

use std::cmp::Reverse;
use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Diagnosis, Hold, IncidentState, Release, Stage, Verdict};
use prunella_model::policy::Profile;
use prunella_model::{IncidentId, Timestamp};

use super::REPORTED;
use super::verify::{TICK_LEAST, TICK_MOST};
use crate::Engine;
use crate::brakes::{self, Answer, Ask, Reach};
use crate::cause::Cause;
use crate::choose::Lesson;
use crate::diagnosis::{Insight, Presence};
use crate::harmless;
use crate::key::{Key, at};
use crate::plan::{self, Plan};
use crate::rollout;
use crate::rules::Symptom;
use crate::target::{Exit, Life};
use crate::timers::Timer;

/// Nothing waits longer than this without being looked at, even if no event says that it should be.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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

    /// Whether a target's own incident blames another one.
    fn is_victim(&self, key: Key) -> bool {
        let case = self.target_at(key).incident.and_then(|id| self.cases.get(&id));
        case.is_some_and(|case| matches!(case.it.state, IncidentState::Upstream { .. }))
    }

    /// Says in the incident of a cause whom it affects.
    fn note_victim(&mut self, cause: IncidentId, victim: Key) {
        let name = self.reference(victim);
        let Some(diagnosis) = self.cases.get_mut(&cause).and_then(|case| case.it.diagnosis.as_mut()) else { return };
        if let Err(place) = diagnosis.affected.binary_search(&name) {
            diagnosis.affected.insert(place, name);
            self.touched(cause);
        }
    }

    /// Leaves a victim alone.
    pub(crate) fn blame(&mut self, id: IncidentId, culprit: Key, diagnosis: Diagnosis) {
        let upstream = self.target_at(culprit).incident;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let news = case.blames != Some(culprit);
        case.blames = Some(culprit);
        (case.waiting, case.upstream_well) = (None, None);
        let mut watches = vec![culprit];
        watches.extend(self.upstream_watches(key));
        self.watch(id, watches);
        self.unqueue(id);
        self.hold(id, Vec::new());
        self.classify(id, Cause::Upstream, diagnosis);
        self.enter_state(id, IncidentState::Upstream { incident: upstream });
        self.look_again(id, LOOK_AGAIN);
        if let Some(upstream) = upstream {
            self.note_victim(upstream, key);
        }
        if news {
            let (victim, name) = (self.reference(key), self.reference(culprit));
            let line = format!("{victim} is left alone: the cause lies upstream, in {name}");
            self.audit("cause_upstream", key, Some(id), line.clone());
            self.announce(EventKind::CauseUpstream, Some(key), Some(id), line);
            self.woken.extend(upstream);
        }
    }

    /// What an incident's diagnosis stands on: the direct needs of its target.
    pub(crate) fn upstream_watches(&self, key: Key) -> Vec<Key> {
        let each = |need| match need {
            crate::topology::Need::One(other) => vec![other],
            crate::topology::Need::Any(members) => members,
            crate::topology::Need::Missing(_) => Vec::new(),
        };
        self.needs(key).into_iter().flat_map(each).collect()
    }

    /// Nothing is done before it is known that what the target depends on is well.
    fn wait_for(&mut self, id: IncidentId, keys: &[Key]) {
        let now = self.now;
        let deadline = self.policy.verification.deadline;
        let Some(case) = self.cases.get_mut(&id) else { return };
        let key = case.key;
        let since = *case.waiting.get_or_insert(now);
        let upstream = matches!(case.it.state, IncidentState::Upstream { .. });
        if !upstream && now.since(since) >= deadline {
            let names: Vec<String> = keys.iter().map(|key| self.reference(*key).to_string()).collect();
            self.escalate(id, format!("cannot tell whether {} is well: no fresh evidence of it", names.join(", ")));
            return;
        }
        let mut watches = self.upstream_watches(key);
        watches.extend_from_slice(keys);
        self.watch(id, watches);
        for other in keys {
            self.probe(*other);
        }
        if !upstream {
            self.unqueue(id);
            self.hold(id, Vec::new());
            self.enter_state(id, IncidentState::Diagnosing);
        }
        self.look_again(id, self.tick(key));
    }

    /// After the cause is healed its victims get some time to recover. False while that lasts.
    fn upstream_grace_over(&mut self, id: IncidentId) -> bool {
        let now = self.now;
        let grace = self.grace();
        let Some(case) = self.cases.get_mut(&id) else { return false };
        let key = case.key;
        let well = *case.upstream_well.get_or_insert(now);
        let left = grace.saturating_sub(now.since(well));
        if !left.is_zero() {
            self.probe(key);
            self.look_again(id, left.min(self.tick(key)));
            return false;
        }
        if let Some(case) = self.cases.get_mut(&id) {
            // From here on it is judged on what is seen from now on.
            case.afresh = now;
            (case.upstream_well, case.blames) = (None, None);
        }
        self.enter_state(id, IncidentState::Diagnosing);
        self.probe(key);
        self.look_again(id, self.tick(key));
        false
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
        self.target_mut(key).relapsed(now);
        // A kill from outside is not the repair's failure. It still calls for patience, except where pacing is lifted.
        if !outside || self.policy.profile == Profile::Standard {
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

    /// Chooses a repair and asks the brakes for it.
    fn seek_repair(&mut self, id: IncidentId, cause: Cause, diagnosis: &Diagnosis) {
        let Some(case) = self.cases.get(&id) else { return };
        let tried = case.it.attempts.iter().filter(|it| plan::counts(it)).count();
        let limit = at(self.policy.limits.attempts_per_incident);
        let undo = case.must_undo.and_then(|number| self.plan_undo(case, number));
        let plan = match undo {
            Some(plan) => plan,
            None if tried >= limit && case.forced.is_none() => {
                let tries: Vec<&str> =
                    case.it.attempts.iter().filter(|it| plan::counts(it)).map(|it| it.repair.as_str()).collect();
                self.escalate(id, format!("{tried} attempts did not heal it ({})", tries.join(", ")));
                return;
            }
            None => match self.plan(case, cause, diagnosis) {
                Ok(plan) => {
                    self.wish_once(id, plan.wish.as_ref());
                    plan
                }
                Err(none) => {
                    self.wish_once(id, none.wish.as_ref());
                    self.escalate(id, none.why);
                    return;
                }
            },
        };
        self.ask_brakes(id, cause, plan);
    }

    /// Notes once that another repair would have been chosen, had it been permitted.
    fn wish_once(&mut self, id: IncidentId, missing: Option<&plan::NotPermitted>) {
        let (Some(missing), Some(case)) = (missing, self.cases.get_mut(&id)) else { return };
        let key = case.key;
        if !std::mem::replace(&mut case.wished, true) {
            self.wish(key, missing);
        }
    }

    /// The plan that puts back what an attempt changed; null when nothing can be.
    fn plan_undo(&self, case: &super::Case, number: u32) -> Option<Plan> {
        let undone = case.it.attempts.iter().find(|it| it.number == number)?;
        Some(Plan {
            repair: undone.repair.clone(),
            steps: plan::on(&self.target_at(case.key).report.name, case.undo.clone()?),
            undo: None,
            because: format!("attempt {number} made it worse: put back what it changed"),
            alternatives: Vec::new(),
            undoes: Some(number),
            propensity: None,
            wish: None,
        })
    }

    /// What was held back may have healed meanwhile: nothing is done on what was seen before the hold ended.
    fn see_again(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.afresh = now;
        let key = case.key;
        self.enter_state(id, IncidentState::Diagnosing);
        self.probe_now(key);
        self.look_again(id, self.tick(key));
    }

    /// What the brakes say to a plan, and when they have nothing to say, the do-no-harm rules.
    pub(crate) fn all_say(&self, case: &super::Case, cause: Cause, plan: &Plan) -> Answer {
        let ask = Ask {
            engine: self,
            case,
            key: case.key,
            repair: &plan.repair,
            cause,
            severity: case.severity(),
            plan: Some(plan),
            rollback: plan.undoes.is_some(),
        };
        let answer = brakes::ask(&ask);
        if answer.holds.is_empty() && answer.person.is_none() { harmless::ask(&ask) } else { answer }
    }

    fn ask_brakes(&mut self, id: IncidentId, cause: Cause, plan: Plan) {
        let Some(case) = self.cases.get(&id) else { return };
        let (key, severity) = (case.key, case.severity());
        let answer = self.all_say(case, cause, &plan);
        let ours = rollout::decided(&plan, &answer);
        self.compare(id, cause, &plan, &ours);
        let Some(case) = self.cases.get(&id) else { return };
        if let Some((brake, why)) = answer.person {
            self.count_hold(brake);
            self.escalate(id, why);
            return;
        }
        if answer.holds.is_empty() {
            let held = matches!(case.it.state, IncidentState::Held);
            self.unqueue(id);
            self.hold(id, Vec::new());
            if held {
                self.see_again(id);
            } else {
                self.dispatch(id, cause, plan);
            }
            return;
        }
        let release = |reach: Reach| {
            answer.holds.iter().filter(move |it| it.1 == reach).filter_map(|(hold, _)| match hold.release {
                Release::At(at) => Some(at),
                Release::When(_) => None,
            })
        };
        let local = release(Reach::Local).min();
        let fleet = release(Reach::Fleet).min();
        let queue = answer.holds.iter().any(|(_, reach)| *reach == Reach::Fleet);
        let again = local.unwrap_or(self.now.after(LOOK_AGAIN)).min(self.now.after(LOOK_AGAIN * 10));
        if queue {
            if let Some(at) = fleet {
                self.timers.sooner(Timer::Fleet, at, self.now);
            }
            if let Some(case) = self.cases.get_mut(&id)
                && !std::mem::replace(&mut case.queued, true)
            {
                self.queue.insert((Reverse(severity), id));
                self.queued(id);
            }
        } else {
            self.unqueue(id);
        }
        // What queues for the fleet is woken by the queue; a look of its own would cost every held incident one.
        if !queue || local.is_some() {
            self.timers.set(Timer::Incident(id), again, self.now);
        }
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id)
            && case.stage() != Some(Stage::Prepare)
        {
            let name = answer.holds.first().map_or_else(String::new, |(hold, _)| hold.brake.to_string());
            case.enter(Stage::Prepare, self.now, health, &format!("held back by {name}"));
        }
        self.hold(id, answer.holds.into_iter().map(|(hold, _)| hold).collect());
        self.enter_state(id, IncidentState::Held);
    }
}
