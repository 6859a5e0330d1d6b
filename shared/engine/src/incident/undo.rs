//! No regression: what a repair changed that did not help is put back before anything else is tried.
//!
//! Otherwise the second repair would work on what the first one left, and nobody could tell which of them did what
//! (as in STRATUS, 2025: undo and retry). Where the undoing stands follows from the record alone, so that it survives a
//! restart of the server. While it is not known whether something was put back, nothing else is tried.

use prunella_model::IncidentId;
use prunella_model::event::EventKind;
use prunella_model::incident::{Attempt, Verdict};
use prunella_model::outcome::Outcome;

use super::{Case, outcome};
use crate::Engine;
use crate::key::Key;
use crate::plan::{self, Plan, counts, failed};

/// Where the undoing of the latest repair stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undoing {
    /// There is nothing to put back, or it has been put back.
    Nothing,
    /// What this attempt changed must be put back first.
    Due(u32),
    /// It is being put back.
    UnderWay,
    /// Whether what this attempt changed was put back is not known, or it surely was not; with what became of it.
    Uncertain(u32, String),
}

/// Whether something was, or may have been, changed by an attempt.
fn touched(attempt: &Attempt) -> bool {
    match &attempt.outcome {
        None | Some(Outcome::Refused(_) | Outcome::Failed { step: 0, .. } | Outcome::Cancelled { done: 0 }) => false,
        Some(
            Outcome::Done
            | Outcome::Failed { .. }
            | Outcome::Unknown { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Lost,
        ) => true,
    }
}

impl Case {
    /// Where the undoing of the latest repair stands.
    pub(crate) fn undoing(&self) -> Undoing {
        let Some(latest) = self.it.attempts.iter().rev().find(|it| counts(it)) else { return Undoing::Nothing };
        if latest.undo.is_empty() || !failed(latest.verdict) || !touched(latest) {
            return Undoing::Nothing;
        }
        let number = latest.number;
        let Some(undo) = self.it.attempts.iter().rev().find(|it| it.undoes == Some(number)) else {
            return Undoing::Due(number);
        };
        match &undo.outcome {
            None => Undoing::UnderWay,
            Some(Outcome::Done) => Undoing::Nothing,
            Some(Outcome::Refused(_) | Outcome::Cancelled { done: 0 }) => Undoing::Due(number),
            Some(
                other @ (Outcome::Failed { .. } | Outcome::Unknown { .. } | Outcome::Cancelled { .. } | Outcome::Lost),
            ) => Undoing::Uncertain(number, outcome::text(other)),
        }
    }
}

impl Engine {
    /// The plan that puts back what an attempt changed; null when nothing can be.
    pub(super) fn plan_undo(&self, case: &Case, number: u32) -> Option<Plan> {
        let undone = case.it.attempts.iter().find(|it| it.number == number)?;
        let because = match undone.verdict {
            Some(Verdict::Worse) => format!("attempt {number} made it worse: put back what it changed"),
            Some(Verdict::Unchanged | Verdict::Recovered | Verdict::Inconclusive) | None => {
                format!("attempt {number} did not help: put back what it changed before anything else is tried")
            }
        };
        Some(Plan {
            repair: undone.repair.clone(),
            steps: undone.undo.clone(),
            undo: None,
            because,
            alternatives: Vec::new(),
            undoes: Some(number),
            propensity: None,
            wish: None,
        })
    }

    /// An undoing has ended: only when it is known to be done does the incident go on.
    pub(super) fn undo_ended(&mut self, id: IncidentId, key: Key) {
        let Some(case) = self.cases.get(&id) else { return };
        match case.undoing() {
            Undoing::Uncertain(number, what) => self.not_undone(id, number, &what),
            Undoing::Nothing | Undoing::Due(_) | Undoing::UnderWay => {
                let number = case.it.attempts.iter().rev().find_map(|it| it.undoes);
                let which = number.map_or_else(String::new, |number| format!(" attempt {number}"));
                let line = format!("what{which} had changed is as it was before");
                self.announce(EventKind::RolledBack, Some(key), Some(id), line);
                self.afresh(id);
            }
        }
    }

    /// What a repair changed may still be there: that is for a person to see to.
    pub(super) fn not_undone(&mut self, id: IncidentId, number: u32, what: &str) {
        let steps = self.cases.get(&id).and_then(|case| case.it.attempts.iter().find(|it| it.number == number));
        let steps = steps.map_or_else(String::new, |it| plan::names(&it.undo));
        let why = format!(
            "it is not certain that what attempt {number} changed is as it was before ({steps}: {what}): nothing else is \
             tried on top of it"
        );
        self.escalate(id, why);
    }
}
