//! What an incident teaches: of its repairs, and of how its fault comes and goes.

use prunella_model::RepairName;
use prunella_model::incident::{Attempt, Closing, Fault};
use prunella_model::knowledge::{Subject, WishRecord};
use prunella_model::record::Change;

use super::Case;
use crate::Engine;
use crate::cause::Cause;
use crate::choose::{Ending, Lesson};
use crate::key::Key;
use crate::plan::{DECLARED_CHANCE, NotPermitted, did_not_help};
use crate::{repairs, rules};

/// The catalogue's chance that a repair heals a cause; even odds when a person asked for it against something else.
pub(crate) fn prior(repair: &RepairName, cause: Cause) -> f64 {
    if cause == Cause::Declared {
        return DECLARED_CHANCE;
    }
    let known = repairs::by_name(repair.as_str());
    known.and_then(|it| it.treats().iter().find(|(it, _)| *it == cause)).map_or(0.5, |it| it.1)
}

/// How fast a cause goes away by itself before anything is known, per second, and how many recoveries that is worth.
pub(crate) fn alone(cause: Cause) -> (f64, f64) {
    (1.0 / cause.self_recovery().as_secs_f64().max(1.0), 0.01)
}

/// What was tried in vain among these attempts.
pub(crate) fn in_vain<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> Vec<RepairName> {
    let vain = attempts.into_iter().filter(|it| it.undoes.is_none() && did_not_help(it));
    vain.map(|it| it.repair.clone()).collect()
}

impl Engine {
    /// What a lesson about this fault would be about.
    pub(crate) fn subject_of(&self, key: Key, fault: &Fault, cause: Cause) -> Subject {
        let report = &self.target_at(key).report;
        let mut kinds: Vec<&str> = report.probes.iter().map(|probe| probe.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Subject {
            rule: fault.rule.clone(),
            kind: report.service.as_ref().map_or_else(|| report.name.to_string(), ToString::to_string),
            class: kinds.join("+"),
            symptom: fault.symptom.clone(),
            cause: cause.name(),
        }
    }

    /// Learns from one attempt of an incident. Returns the credit for a recovery.
    pub(crate) fn learn(&mut self, key: Key, case: &Case, attempt: &Attempt, cause: Cause, lesson: Lesson) -> f64 {
        let subject = self.subject_of(key, &case.it.fault, cause);
        let after = in_vain(case.it.attempts.iter().filter(|it| it.number < attempt.number));
        let took = match lesson {
            Lesson::Healed(took) | Lesson::Failed(took) => took.as_secs_f64(),
            Lesson::Undone(_) | Lesson::Censored => 0.0,
        };
        let age = attempt.decided_at.since(case.it.opened_at).as_secs_f64();
        let (rates, _) = self.book.rates(&subject, alone(cause), self.now);
        let (by_itself, _) = rates.gone(age, took);
        self.take_lesson(key, (&subject, &after), &attempt.repair, lesson, by_itself)
    }

    /// Learns a lesson about a subject, after what had failed before.
    pub(crate) fn take_lesson(
        &mut self,
        key: Key,
        about: (&Subject, &[RepairName]),
        repair: &RepairName,
        lesson: Lesson,
        by_itself: f64,
    ) -> f64 {
        let cause = Cause::of(&about.0.cause);
        let (records, credit) = self.book.learn(about, repair, lesson, (prior(repair, cause), by_itself), self.now);
        self.out.changes.extend(records.into_iter().map(|it| Change::PutKnowledge(Box::new(it))));
        let what = match lesson {
            Lesson::Healed(_) => "healed",
            Lesson::Failed(_) => "failed",
            Lesson::Undone(_) => "failed after all",
            Lesson::Censored => "no verdict",
        };
        self.audit("learned", key, None, format!("{repair} for {}: {what}", cause.as_str()));
        credit
    }

    /// Learns from a closed incident how its fault comes and goes.
    ///
    /// After a person was asked, or asked for something, nobody can tell what went away by itself; so it is only watched
    /// until then. What lies upstream, and what a person filed, says nothing of a fault of this target.
    pub(crate) fn learn_pattern(&mut self, case: &Case, closing: &Closing) {
        let Some(diagnosis) = case.it.diagnosis.as_ref() else { return };
        let cause = Cause::of(&diagnosis.cause);
        if cause == Cause::Upstream || case.common.is_some() || rules::index(&case.it.fault.rule).is_none() {
            return;
        }
        let touched = case.it.attempts.iter().any(crate::plan::counts);
        let (end, mut alone) = match closing {
            Closing::Repaired { .. } => (case.it.recovered_at.unwrap_or(self.now), 1.0 - case.credit),
            Closing::SelfRecovered => (self.now, 1.0),
            Closing::UpstreamRecovered { .. } | Closing::Disproved { .. } | Closing::Optimised { .. } => return,
            Closing::Cancelled { .. } | Closing::TargetGone => (self.now, 0.0),
        };
        if case.person.is_some_and(|person| person < end) {
            alone = 0.0;
        }
        let end = case.person.map_or(end, |person| person.min(end));
        let ending = Ending {
            opened: case.it.opened_at,
            watched: end.since(case.it.opened_at),
            alone,
            untouched: !touched && case.person.is_none() && *closing == Closing::SelfRecovered,
            escalated: case.person.is_some(),
        };
        let subject = self.subject_of(case.key, &case.it.fault, cause);
        let record = self.book.note(&subject, ending, self.now);
        self.out.changes.push(Change::PutPattern(Box::new(record)));
    }

    /// Notes that a repair would have been chosen, had it been permitted.
    pub(crate) fn wish(&mut self, key: Key, missing: &NotPermitted) {
        let target = self.reference(key);
        let step = missing.step.as_str().to_owned();
        let wish = self.wishes.entry((target.clone(), missing.repair.clone())).or_insert_with(|| WishRecord {
            target,
            repair: missing.repair.clone(),
            step: step.clone(),
            incidents: 0,
            updated_at: self.now,
        });
        wish.step = step;
        wish.incidents = wish.incidents.saturating_add(1);
        wish.updated_at = self.now;
        let wish = wish.clone();
        self.out.changes.push(Change::PutWish(Box::new(wish)));
    }
}
