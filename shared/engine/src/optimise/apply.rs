//! Taking an opportunity: because a person asks for it, or unasked in a quiet hour.

use std::time::Duration;

use prunella_model::incident::{Diagnosis, Evidence, Fault, Optimisation, Severity};
use prunella_model::week::ahead;
use prunella_model::{IncidentId, OperatorName, RuleName, Timestamp};

use super::{Place, id_of};
use crate::Engine;
use crate::brakes::{self, Answer, Ask};
use crate::cause::Cause;
use crate::diagnosis::Insight;
use crate::event::Reply;
use crate::incident::{Case, Forced};
use crate::key::Key;
use crate::plan::Plan;
use crate::quiet::Opening;
use crate::rules::Symptom;
use crate::timers::Timer;

/// How often it is looked for something worth doing unasked.
const LOOK: Duration = Duration::from_secs(600);

/// What scores less than this is not worth a command that nobody asked for.
const SCORE_LEAST: f64 = 0.2;

impl Engine {
    /// An incident as an opportunity would open it.
    pub(super) fn opportunity_case(&self, place: &Place) -> Case {
        let (kind, found) = (place.kind, &place.found);
        let fault = Fault {
            rule: RuleName::of(kind.name()),
            target: self.reference(place.key),
            symptom: found.part.clone(),
            severity: Severity::Low,
            fingerprint: self.opportunity_print(kind.name(), place.key, found.part.as_ref()),
            since: found.evidence.first().map_or(Timestamp::ZERO, |seen| seen.at),
            summary: found.summary.clone(),
        };
        let mut it = crate::views::blank(fault, self.now);
        it.optimisation = Some(Optimisation {
            metric: kind.metric().to_owned(),
            before: found.now,
            expected: found.expected,
            after: None,
            gain: None,
        });
        Case::new(it, place.key)
    }

    /// The diagnosis that it would get.
    pub(super) fn opportunity_diagnosis(&self, case: &Case) -> Option<(Cause, Diagnosis)> {
        let symptom = Symptom {
            since: case.it.fault.since,
            probe: case.it.fault.symptom.clone(),
            summary: case.it.fault.summary.clone(),
        };
        match self.diagnose(case, &[(case.it.fault.rule.to_string(), symptom)]) {
            Insight::Here(cause, diagnosis) => Some((cause, diagnosis)),
            Insight::Upstream(..) | Insight::Wait(_) | Insight::Settling(_) => None,
        }
    }

    /// What would be done, and what the brakes say to it.
    fn rehearse_opportunity(&self, case: &Case) -> Result<(Plan, Answer), String> {
        let Some((cause, diagnosis)) = self.opportunity_diagnosis(case) else {
            return Err("what it depends on is not known to be well".to_owned());
        };
        let plan = self.plan(case, cause, &diagnosis).map_err(|none| none.why)?;
        let (key, severity) = (case.key, case.severity());
        let ask =
            Ask { engine: self, case, key, repair: &plan.repair, cause, severity, rollback: false, plan: Some(&plan) };
        let answer = brakes::ask(&ask);
        Ok((plan, answer))
    }

    /// A person asks for an opportunity to be taken.
    pub(crate) fn optimise(&mut self, by: &OperatorName, id: &str, why: &str, dry_run: bool) -> Reply {
        let named = |it: &Place| id_of(it.kind.name(), &self.reference(it.key), it.found.part.as_ref()) == id;
        let Some(place) = self.places().into_iter().find(named) else {
            return Reply::NotFound {
                what: format!("opportunity {id}; prunella optimize list shows what there is now"),
            };
        };
        let forced = Forced { by: by.clone(), why: why.to_owned(), repair: None, restore: None };
        let mut case = self.opportunity_case(&place);
        case.forced = Some(forced.clone());
        let (plan, answer) = match self.rehearse_opportunity(&case) {
            Ok(rehearsed) => rehearsed,
            Err(message) => return Reply::Refused { reason: "NO_REPAIR".to_owned(), message },
        };
        if dry_run {
            let mut said: Vec<String> =
                answer.holds.iter().map(|(hold, _)| format!("{} would hold it: {}", hold.brake, hold.why)).collect();
            said.extend(answer.person.map(|(_, why)| why));
            let brakes = if said.is_empty() { "no brake would hold it".to_owned() } else { said.join("; ") };
            let steps: Vec<&str> = plan.steps.iter().map(|it| it.step.kind().as_str()).collect();
            let message = format!("would run {} ({}); {brakes}; nothing was done", plan.repair, steps.join(", "));
            return Reply::Done { incident: None, message };
        }
        let incident = self.take_opportunity(&place, Some(forced), None);
        let subject = self.subject(place.key);
        self.audit_as(format!("operator/{by}"), "optimisation_asked", subject, Some(incident), why.to_owned());
        Reply::Done { incident: Some(incident), message: format!("asked for; see incident {incident}") }
    }

    fn take_opportunity(&mut self, place: &Place, forced: Option<Forced>, unasked: Option<&str>) -> IncidentId {
        let mut blank = self.opportunity_case(place).it;
        if let Some(when) = unasked {
            blank.fault.summary = format!("{}; taken unasked in {when}", blank.fault.summary);
        }
        let id = self.open_as(place.key, blank.fault, Vec::new(), blank.optimisation);
        if let Some(case) = self.cases.get_mut(&id) {
            case.forced = forced;
            // What was done a while ago for the same end was no repair that did not hold.
            case.recurrence = true;
        }
        id
    }

    /// Sets the timer for opportunities that are taken unasked, where the policy wants that.
    pub(crate) fn plan_optimising(&mut self) {
        if self.policy.optimise.automatic {
            self.timers.ensure(Timer::Optimise, self.now.after(LOOK), self.now);
        } else {
            self.timers.clear(&Timer::Optimise);
        }
    }

    /// When a safe opportunity is taken unasked, and what it waits for until then. Both null where the policy wants nothing
    /// unasked.
    pub(super) fn unasked(&self, key: Key) -> (Option<Timestamp>, Option<String>) {
        if !self.policy.optimise.automatic {
            return (None, None);
        }
        match self.unasked_opening(key) {
            Opening::Now(_) => (Some(self.now), None),
            Opening::At(opens, what) => (Some(opens), Some(format!("waits for {what}, {}", ahead(self.now, opens)))),
            Opening::Unknown(why) => (None, Some(why)),
        }
    }

    /// Takes the best opportunity that is safe, if this is a quiet hour for it and no brake would hold it.
    pub(crate) fn optimise_unasked(&mut self) {
        self.plan_optimising();
        let busy = self.cases.values().any(|case| case.it.optimisation.is_some());
        if !self.policy.optimise.automatic
            || self.policy.optimise.hours.is_some_and(|hours| !hours.contain(self.now))
            || busy
            || self.cold.is_some()
        {
            return;
        }
        let mut best: Option<(f64, Place, String)> = None;
        for place in self.places() {
            let Opening::Now(when) = self.unasked_opening(place.key) else { continue };
            let Some(opportunity) = self.opportunity(&place).filter(|it| it.safe && it.score >= SCORE_LEAST) else {
                continue;
            };
            let better = best.as_ref().is_none_or(|(score, _, _)| opportunity.score > *score);
            let free = |(_, answer): (Plan, Answer)| answer.holds.is_empty() && answer.person.is_none();
            if better && self.rehearse_opportunity(&self.opportunity_case(&place)).is_ok_and(free) {
                best = Some((opportunity.score, place, when));
            }
        }
        if let Some((_, place, when)) = best {
            self.take_opportunity(&place, None, Some(&when));
        }
    }

    /// One piece of evidence for what a measurement was before and is after.
    pub(super) fn gain_evidence(&self, case: &Case, text: String) -> Evidence {
        Evidence {
            at: self.hosts[crate::key::at(case.key.host)].clock.to_host(self.now),
            target: self.reference(case.key),
            probe: case.it.fault.symptom.clone(),
            status: None,
            text,
        }
    }
}
