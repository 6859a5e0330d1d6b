//! Recovered, and watched for a relapse.

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, IncidentState, Stage, Verdict};
use prunella_model::{IncidentId, Timestamp};

use super::verify::{TICK_MOST, cause_of};
use crate::Engine;
use crate::choose::Lesson;
use crate::diagnosis::Presence;
use crate::key::{Key, at};
use crate::rules::Symptom;
use crate::target::{Exit, Life};

impl Engine {
    pub(super) fn stabilize(&mut self, id: IncidentId, key: Key) {
        let now = self.now;
        let until = now.after(self.policy.verification.probation);
        let health = self.health(key);
        let dependents = self.dependents(key);
        let ill = dependents.iter().filter(|it| self.ailing(**it)).count();
        if let Some(case) = self.cases.get_mut(&id) {
            case.it.recovered_at = Some(now);
            case.forced = None;
            // A late verdict has no mark of its own: what is seen from now on is what counts.
            case.since.get_or_insert(self.hosts[at(key.host)].clock.to_host(now));
            let whole = match (dependents.len(), ill) {
                (0, _) => "all its probes are well".to_owned(),
                (all, 0) => format!("all its probes are well, and so is what depends on it ({all})"),
                (all, ill) => format!("all its probes are well; of what depends on it, {ill} of {all} not yet"),
            };
            case.pass(Stage::HealthCheck, now, health, &whole);
            case.enter(Stage::Stabilize, now, health, "watched for a relapse");
        }
        self.unqueue(id);
        self.hold(id, Vec::new());
        self.enter_state(id, IncidentState::Probation { until });
        self.look_again(id, until.since(now));
        self.tell_canary(id, true);
        self.wake_watchers(key);
    }

    /// Watches a healed target for a relapse.
    pub(crate) fn probation(&mut self, id: IncidentId, until: Timestamp) {
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let since = case.since.unwrap_or_default();
        match self.presence(case, since) {
            Presence::Present(present) => self.relapse(id, key, &present),
            Presence::Gone(_) if self.now >= until => self.held(id),
            Presence::Unknown if self.now >= until => {
                // Silence is no recovery: it stays on probation until it has been seen.
                if self.hosts[at(key.host)].online() {
                    self.probe(key);
                }
                self.look_again(id, TICK_MOST);
            }
            Presence::Gone(_) | Presence::Unknown => self.look_again(id, until.since(self.now)),
        }
    }

    /// The repair held: credit it and close.
    fn held(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        let (key, cause) = (case.key, cause_of(case));
        let recovered = case.it.recovered_at.unwrap_or(now);
        let healer = case.it.attempts.iter().rev().find(|it| it.verdict == Some(Verdict::Recovered)).cloned();
        let Some(healer) = healer else {
            // What seemed to have healed it turned out not to have been done.
            self.close(id, Closing::SelfRecovered);
            return;
        };
        let (snapshot, repair) = (case.clone(), healer.repair.clone());
        let credit = self.learn(key, &snapshot, &healer, cause, Lesson::Healed(recovered.since(healer.decided_at)));
        let after = super::learn::in_vain(snapshot.it.attempts.iter().filter(|it| it.number < healer.number));
        self.target_mut(key).credited(&repair, credit, after);
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.credit = credit;
            case.leave(now, health, "no relapse");
            case.pass(Stage::Learn, now, health, &format!("{repair} healed {}", cause.as_str()));
        }
        self.close(id, Closing::Repaired { repair });
    }

    /// It is broken again.
    fn relapse(&mut self, id: IncidentId, key: Key, present: &[(String, Symptom)]) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        let cause = cause_of(case);
        let process = &self.target_at(key).process;
        let outside = process.life == Life::Ended && process.exits.back().is_some_and(Exit::came_from_outside);
        if outside {
            // Killed again from outside: the repair had held, and this is a new fault.
            self.held(id);
            self.review(key);
            return;
        }
        let seen = present.first().map_or_else(String::new, |(_, symptom)| symptom.summary.clone());
        let snapshot = case.clone();
        let healer = case.it.attempts.iter().rev().find(|it| it.verdict == Some(Verdict::Recovered)).cloned();
        let health = self.health(key);
        if let Some(case) = self.cases.get_mut(&id) {
            case.leave(now, health, &format!("relapsed: {seen}"));
            case.relapsed = true;
            case.recurrence = true;
            // What did not last did not help: nothing else may be learned from it, nor tried on the strength of it.
            let healer = case.it.attempts.iter_mut().rev().find(|it| it.verdict == Some(Verdict::Recovered));
            if let Some(attempt) = healer {
                attempt.verdict = Some(Verdict::Unchanged);
                // The target was well with what it changed, so that stays.
                attempt.undo.clear();
                attempt.verdict_at = Some(now);
            }
            case.it.recovered_at = None;
            case.since = None;
        }
        self.target_mut(key).relapsed(now);
        if let Some(healer) = healer {
            self.target_mut(key).did_not_hold(&healer.repair);
            self.learn(key, &snapshot, &healer, cause, Lesson::Failed(now.since(healer.decided_at)));
        }
        self.tell_canary(id, false);
        self.audit("relapsed", key, Some(id), seen.clone());
        self.announce(EventKind::Relapsed, Some(key), Some(id), format!("broken again: {seen}"));
        self.enter_state(id, IncidentState::Diagnosing);
        self.woken.insert(id);
    }
}
