//! From a cause to a repair that the brakes let through.

use std::cmp::Reverse;

use prunella_model::incident::{Diagnosis, IncidentState, Release, Stage};
use prunella_model::outcome::Outcome;
use prunella_model::{IncidentId, Timestamp};

use super::Undoing;
use super::consider::LOOK_AGAIN;
use crate::Engine;
use crate::brakes::{self, Answer, Ask, Reach};
use crate::cause::Cause;
use crate::harmless;
use crate::key::at;
use crate::plan::{self, Plan};
use crate::rollout;
use crate::timers::Timer;

impl Engine {
    /// Chooses a repair and asks the brakes for it.
    pub(super) fn seek_repair(&mut self, id: IncidentId, cause: Cause, diagnosis: &Diagnosis) {
        let Some(case) = self.cases.get(&id) else { return };
        let tried = case.it.attempts.iter().filter(|it| plan::counts(it)).count();
        let limit = at(self.policy.limits.attempts_per_incident);
        let undo = match case.undoing() {
            // A person who asks for a repair has seen what there is to be put back.
            _ if case.forced.is_some() => None,
            Undoing::Nothing => None,
            Undoing::Due(_) if !brakes::works("undo_first") => None,
            Undoing::Due(number) => self.plan_undo(case, number),
            Undoing::UnderWay => return,
            Undoing::Uncertain(number, what) => {
                self.not_undone(id, number, &what);
                return;
            }
        };
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

    /// If the person who was called has not mended it by then, it is tried again.
    fn again_at(&mut self, id: IncidentId, at: Timestamp) {
        if let Some(case) = self.cases.get_mut(&id) {
            case.again = Some(at);
            self.look_again(id, at.since(self.now));
        }
    }

    /// Tries again what a person was called to, if it is time for that.
    pub(super) fn tries_again(&mut self, id: IncidentId) -> bool {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return false };
        let due = matches!(case.it.state, IncidentState::NeedsHuman { .. }) && case.again.is_some_and(|at| at <= now);
        if due {
            case.again = None;
            self.see_again(id);
        }
        due
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

    /// Whether the service is lost in the meantime for longer than the next try is worth: a repair did not help in this
    /// incident, and only its cool-down holds it. A person is called now, then. The expected time to recovery is the wait
    /// plus what a person takes if the try fails, against what a person takes.
    fn person_sooner(
        &self,
        case: &super::Case,
        cause: Cause,
        plan: &Plan,
        answer: &Answer,
    ) -> Option<(String, Timestamp)> {
        let [(hold, _)] = answer.holds.as_slice() else { return None };
        let Release::At(until) = hold.release else { return None };
        // What may never have been done proves nothing.
        let in_vain = case.it.attempts.iter().any(|it| {
            let done = matches!(it.outcome, Some(Outcome::Done | Outcome::Failed { .. }));
            done && plan::failed(it.verdict) && it.repair == plan.repair
        });
        if hold.brake.as_str() != brakes::COOL_DOWN || !in_vain || self.serves(case.key) || case.forced.is_some() {
            return None;
        }
        let chance = self.chance(case, cause, &plan.repair)?;
        let (wait, person) = (until.since(self.now), self.policy.learning.person);
        let sooner = wait.as_secs_f64() > chance * person.as_secs_f64();
        let why = format!("{}, and then it is {:.0} % likely to help: a person is sooner", hold.why, chance * 100.0);
        sooner.then_some((why, until))
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
        if let Some((why, until)) = self.person_sooner(case, cause, &plan, &answer) {
            self.escalate(id, why);
            self.again_at(id, until);
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
