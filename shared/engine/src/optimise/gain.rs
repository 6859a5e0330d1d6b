//! Did it bring what it promised? Measured on fresh evidence, after a time to settle.

use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::{Closing, Gain, IncidentState, Verdict};
use prunella_model::{IncidentId, Timestamp};

use super::Kind;
use crate::Engine;
use crate::cause::Cause;
use crate::choose::Lesson;
use crate::incident::{Case, Undoing};
use crate::key::{Key, at};
use crate::rules::{self, Judgement, Symptom};

/// What a new run stirs up at first is no fault of it.
const STIRRING: Duration = Duration::from_secs(10);

const fn word(gain: Gain) -> &'static str {
    match gain {
        Gain::Helped => "it helped",
        Gain::NotHelped => "it did not help",
        Gain::Inconclusive => "whether it helped is not known",
        Gain::Withdrawn => "not done",
    }
}

impl Engine {
    /// Whether an opportunity is still there, or must still be undone.
    pub(crate) fn judge_optimisation(&self, case: &Case, kind: &dyn Kind) -> Judgement {
        let symptom = |summary: &str| Symptom {
            since: case.it.fault.since,
            probe: case.it.fault.symptom.clone(),
            summary: summary.to_owned(),
        };
        let over = case.it.optimisation.as_ref().is_some_and(|it| it.gain.is_some());
        match (over, case.undoing()) {
            (true, Undoing::Nothing) => return Judgement::Absent(u32::MAX),
            (true, Undoing::Due(_) | Undoing::UnderWay | Undoing::Uncertain(..)) => {
                return Judgement::Present(symptom("it did not help, and is undone"));
            }
            (false, _) => {}
        }
        let part = case.it.fault.symptom.as_ref();
        match kind.find(self, case.key).into_iter().find(|found| found.part.as_ref() == part) {
            Some(found) => Judgement::Present(symptom(&found.summary)),
            None if kind.measure(self, case.key, part, Timestamp::ZERO).is_some() => Judgement::Absent(u32::MAX),
            None => Judgement::Unknown,
        }
    }

    /// A fault that the target has by any rule that judges targets.
    fn own_fault(&self, key: Key) -> Option<Symptom> {
        let custom = self.target_at(key).custom.keys().map(|rule| rules::RULES.len() + at(*rule));
        let shipped = (0..rules::RULES.len()).filter(|rule| !rules::RULES[*rule].about_agent());
        let own = shipped.chain(custom.filter(|rule| self.speaks(*rule)));
        own.filter_map(|rule| match self.judge(rule, key, Timestamp::ZERO) {
            Judgement::Present(symptom) => Some(symptom),
            Judgement::Absent(_) | Judgement::Unknown => None,
        })
        .next()
    }

    /// Measures what an optimisation promised, once it has settled.
    pub(crate) fn verify_gain(&mut self, id: IncidentId, kind: &dyn Kind, until: Timestamp) {
        let Some(case) = self.cases.get(&id) else { return };
        let (key, part) = (case.key, case.it.fault.symptom.clone());
        let began = case.since.unwrap_or_default();
        let settled = self.hosts[at(key.host)].clock.to_host(self.now).since(began) >= STIRRING;
        if let Some(fault) = self.own_fault(key).filter(|_| settled) {
            let why = format!("a fault of the same target came: {}", fault.summary);
            self.conclude_gain(id, kind, None, Gain::NotHelped, &why);
            self.review(key);
            return;
        }
        if self.now < until {
            self.look_again(id, until.since(self.now));
            return;
        }
        let since = self.hosts[at(key.host)].clock.to_host(until);
        let before = case_before(self.cases.get(&id));
        match (kind.measure(self, key, part.as_ref(), since), before) {
            (Some(after), Some(before)) => {
                let gain = if kind.helped(before, after) { Gain::Helped } else { Gain::NotHelped };
                let why = format!("{} was {} and is {}", kind.metric(), kind.text(before), kind.text(after));
                self.conclude_gain(id, kind, Some(after), gain, &why);
            }
            (_, _) if self.now >= until.after(self.policy.verification.deadline) => {
                self.conclude_gain(id, kind, None, Gain::Inconclusive, "no fresh measurement in time");
            }
            (_, _) => {
                self.probe(key);
                self.look_again(id, self.tick(key));
            }
        }
    }

    fn conclude_gain(&mut self, id: IncidentId, kind: &dyn Kind, after: Option<f64>, gain: Gain, why: &str) {
        let (now, line) = (self.now, format!("{}: {why}", word(gain)));
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let subject = self.subject_of(key, &case.it.fault, kind.cause());
        let evidence = self.gain_evidence(case, why.to_owned());
        let health = self.health(key);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.leave(now, health, &line);
        if let Some(it) = &mut case.it.optimisation {
            (it.after, it.gain) = (after, Some(gain));
        }
        let Some(attempt) = case.it.attempts.last_mut() else { return };
        let (verdict, lesson) = match gain {
            Gain::Helped => (Verdict::Recovered, Lesson::Healed(now.since(attempt.decided_at))),
            Gain::NotHelped => (Verdict::Unchanged, Lesson::Failed(now.since(attempt.decided_at))),
            Gain::Inconclusive | Gain::Withdrawn => (Verdict::Inconclusive, Lesson::Censored),
        };
        (attempt.verdict, attempt.verdict_at) = (Some(verdict), Some(now));
        attempt.verdict_evidence.push(evidence);
        let (repair, number) = (attempt.repair.clone(), attempt.number);
        let undo = case.undoing() != Undoing::Nothing;
        self.touched(id);
        self.audit("verdict", key, Some(id), format!("attempt {number}, {repair}: {line}"));
        self.announce(EventKind::RepairVerified, Some(key), Some(id), format!("{repair}: {line}"));
        // Nothing that is well gets better by itself meanwhile, so all the credit is the repair's.
        self.take_lesson(key, (&subject, &[]), &repair, lesson, 0.0);
        if undo {
            self.enter_state(id, IncidentState::Diagnosing);
            self.woken.insert(id);
        } else {
            self.close(id, Closing::Optimised { repair: Some(repair), gain });
        }
    }

    /// Gives an optimisation up that was not done. False for a fault.
    pub(crate) fn withdraw_optimisation(&mut self, id: IncidentId, why: &str) -> bool {
        let health = self.cases.get(&id).and_then(|case| self.health(case.key));
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return false };
        let Some(it) = &mut case.it.optimisation else { return false };
        let gain = *it.gain.get_or_insert(Gain::Withdrawn);
        case.leave(now, health, &format!("{}: {why}", word(gain)));
        let key = case.key;
        let repair = case.it.attempts.last().map(|attempt| attempt.repair.clone());
        self.audit("optimisation_withdrawn", key, Some(id), why.to_owned());
        self.close(id, Closing::Optimised { repair, gain });
        true
    }

    /// A fault of a target comes before an optimisation of it. True when that one is over now.
    pub(crate) fn give_way(&mut self, id: IncidentId, fault: &Symptom) -> bool {
        let Some(case) = self.cases.get(&id) else { return false };
        if case.it.optimisation.is_none() {
            return false;
        }
        match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::Probation { .. }
            | IncidentState::NeedsHuman { .. } => {
                self.withdraw_optimisation(id, &format!("a fault of the same target came: {}", fault.summary))
            }
            // What was begun is ended, and what it did is judged first.
            IncidentState::Repairing { .. } | IncidentState::Verifying { .. } | IncidentState::Closed(_) => false,
        }
    }

    /// The cause that an opportunity's repair treats.
    pub(crate) fn optimisation_cause(case: &Case) -> Option<(Cause, f64)> {
        Self::kind_of(case).map(|kind| (kind.cause(), 0.9))
    }
}

fn case_before(case: Option<&Case>) -> Option<f64> {
    case?.it.optimisation.as_ref().map(|it| it.before)
}
