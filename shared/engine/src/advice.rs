//! What a person who reads of an incident should do about it now, if anything.

use prunella_model::incident::{Closing, Incident, IncidentState, Release};
use prunella_model::outcome::{Outcome, Refusal};
use prunella_model::step::StepKind;

use crate::Engine;
use crate::brakes::{LOW_SEVERITY, class_of, maintained, pause_of};
use crate::cause::Cause;
use crate::incident::Case;
use crate::plan;
use crate::view::Class;

/// The kind of thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is over, or the cause is dealt with elsewhere.
    Nothing,
    /// It goes on by itself.
    Wait,
    /// Look somewhere else.
    Look,
    /// Ask for what is only done when a person wants it.
    Approve,
    /// Have the host's administrator permit a step in `agent.toml`.
    Permit,
    /// Let go of what a person holds.
    Release,
    /// Mend it by hand.
    Mend,
}

impl Action {
    /// The action's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::Look => "look",
            Self::Approve => "approve",
            Self::Permit => "permit",
            Self::Release => "release",
            Self::Mend => "mend",
        }
    }
}

/// What to do about an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The kind of thing.
    pub action: Action,
    /// What and why, in a sentence.
    pub text: String,
    /// What to type after `prunella`, where one command does it.
    pub command: Option<String>,
}

impl Advice {
    fn of(action: Action, text: impl Into<String>) -> Self {
        Self { action, text: text.into(), command: None }
    }

    fn by(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

/// What closes an incident that is mended by hand.
const CLOSES: &str = "the incident closes by itself once its probes have seen that it is well";

impl Engine {
    /// What a person should do about an incident now.
    #[must_use]
    pub fn advice(&self, it: &Incident) -> Advice {
        match &it.state {
            IncidentState::Closed(closing) => over(closing),
            IncidentState::Diagnosing => Advice::of(Action::Wait, "it is looked at again until the cause is clear"),
            IncidentState::Upstream { incident: Some(id) } => {
                Advice::of(Action::Look, format!("look at incident {id}: this one ends with it"))
                    .by(format!("explain {id}"))
            }
            IncidentState::Upstream { incident: None } => {
                let place = it.diagnosis.as_ref().map_or(&it.fault.target, |it| &it.cause_target);
                Advice::of(Action::Look, format!("look at {place}: this one ends when that is well"))
                    .by(format!("targets {place}"))
            }
            IncidentState::Held => self.held_advice(it),
            IncidentState::Repairing { .. } => {
                Advice::of(Action::Wait, "a repair is under way; it can be stopped before its next step")
                    .by(format!("repair cancel {}", it.id))
            }
            IncidentState::Verifying { .. } => Advice::of(
                Action::Wait,
                "whether the repair helped is being looked at; without help the next one is tried",
            ),
            IncidentState::Probation { .. } => Advice::of(Action::Wait, "it is well again, and watched for a relapse"),
            IncidentState::NeedsHuman { .. } => self.person_advice(it),
        }
    }

    fn held_advice(&self, it: &Incident) -> Advice {
        let key = self.cases.get(&it.id).map(|case| case.key);
        if let Some(pause) = key.and_then(|key| pause_of(self, key)) {
            let text = format!("{} holds it by a pause ({}): ask them to let go, or wait", pause.by, pause.why);
            return Advice::of(Action::Release, text).by(format!("resume {}", pause.scope));
        }
        if let Some((why, _)) = key.and_then(|key| maintained(self, key)) {
            return Advice::of(Action::Release, format!("{why}: it is repaired once that is over"))
                .by("maintenance list");
        }
        if it.holds.iter().any(|hold| hold.brake.as_str() == LOW_SEVERITY) {
            let text = format!("mend it by hand when there is time, for it is of low severity; {CLOSES}");
            return Advice::of(Action::Mend, text);
        }
        let holds = || it.holds.iter().map(|hold| (hold, class_of(hold.brake.as_str())));
        // What nobody passes comes first: asking for a repair would not help against it.
        let strict = holds().find(|(_, class)| matches!(class, Some(Class::Safety | Class::DoNoHarm) | None));
        let Some((hold, class)) = strict.or_else(|| holds().next()) else {
            return Advice::of(Action::Wait, "it is let through at the next look");
        };
        let brake = &hold.brake;
        let release = match &hold.release {
            Release::At(at) => format!("in {}", crate::text::span(at.since(self.now))),
            Release::When(what) => format!("when {what}"),
        };
        match class {
            Some(Class::Pacing) => Advice::of(
                Action::Wait,
                format!("{brake} lets it through {release}; a person's request passes it at once"),
            )
            .by(ask_for(it, None)),
            Some(Class::Consent) => {
                Advice::of(Action::Approve, format!("{brake} leaves it to a person: ask for the repair if it is right"))
                    .by(ask_for(it, None))
            }
            Some(Class::Safety | Class::DoNoHarm) | None => Advice::of(
                Action::Wait,
                format!("{brake} lets it through {release}; nobody passes it, for it prevents harm"),
            ),
        }
    }

    /// Why a person is needed, found again from the facts: the text of the escalation is for reading alone.
    fn person_advice(&self, it: &Incident) -> Advice {
        if let Some(advice) = it.attempts.last().and_then(|attempt| after_outcome(it, attempt.outcome.as_ref())) {
            return advice;
        }
        let tried = it.attempts.iter().filter(|attempt| plan::counts(attempt)).count();
        if tried >= crate::key::at(self.policy.limits.attempts_per_incident) {
            return Advice::of(Action::Mend, format!("mend it by hand, for {tried} repairs did not help; {CLOSES}"));
        }
        let mend = || Advice::of(Action::Mend, format!("mend it by hand; {CLOSES}"));
        let (Some(case), Some(diagnosis)) = (self.cases.get(&it.id), &it.diagnosis) else { return mend() };
        let cause = Cause::of(&diagnosis.cause);
        match self.plan(case, cause, diagnosis) {
            Ok(plan) => self.person_brake(it, case, cause, &plan).unwrap_or_else(mend),
            Err(none) => match none.wish {
                Some(wish) => permit(it, wish.step),
                None => mend(),
            },
        }
    }

    /// The brake that leaves a repair to a person.
    fn person_brake(&self, it: &Incident, case: &Case, cause: Cause, plan: &plan::Plan) -> Option<Advice> {
        let (name, _) = self.all_say(case, cause, plan).person?;
        let consent = class_of(name) == Some(Class::Consent);
        Some(if consent {
            let text = format!(
                "look at the evidence, and ask for {} if it is right: {name} leaves that to a person",
                plan.repair
            );
            Advice::of(Action::Approve, text).by(ask_for(it, Some(plan.repair.as_str())))
        } else {
            Advice::of(Action::Mend, format!("mend it by hand, for {name} lets no repair through; {CLOSES}"))
        })
    }
}

fn over(closing: &Closing) -> Advice {
    match closing {
        Closing::Repaired { .. } => {
            Advice::of(Action::Nothing, "it was healed, and did not come back while it was watched")
        }
        Closing::SelfRecovered => Advice::of(Action::Nothing, "it went away by itself"),
        Closing::UpstreamRecovered { .. } => Advice::of(Action::Nothing, "it ended with its cause"),
        Closing::Cancelled { by } => {
            Advice::of(Action::Look, format!("{by} gave it up, which heals nothing: look whether it is well"))
        }
        Closing::TargetGone => Advice::of(Action::Nothing, "its target is no longer part of the fleet"),
        Closing::Disproved { .. } => Advice::of(Action::Nothing, "its victims have incidents of their own"),
        Closing::Optimised { .. } => Advice::of(Action::Nothing, "nothing was broken"),
    }
}

fn ask_for(it: &Incident, repair: Option<&str>) -> String {
    let repair = repair.map(|it| format!(" {it}")).unwrap_or_default();
    format!("repair run {}{repair} --why TEXT", it.fault.target)
}

fn permit(it: &Incident, step: StepKind) -> Advice {
    let (host, target) = (&it.fault.target.host, &it.fault.target.target);
    Advice::of(
        Action::Permit,
        format!(
            "have the administrator of {host} permit {:?} for target {target} in agent.toml, or mend it by hand; {CLOSES}",
            step.as_str()
        ),
    )
}

/// What the outcome of the last attempt asks of a person.
fn after_outcome(it: &Incident, outcome: Option<&Outcome>) -> Option<Advice> {
    match outcome? {
        Outcome::Refused(Refusal::NotPermitted { step, .. }) => Some(permit(it, *step)),
        Outcome::Refused(Refusal::NotNamed { what }) => {
            let host = &it.fault.target.host;
            Some(Advice::of(
                Action::Permit,
                format!("have the administrator of {host} declare {what} in agent.toml, or mend it by hand; {CLOSES}"),
            ))
        }
        Outcome::Refused(refusal) => {
            let text = format!("find out why the agent refuses ({}), or mend it by hand; {CLOSES}", refusal.code());
            Some(Advice::of(Action::Mend, text))
        }
        Outcome::Unknown { .. } => {
            let text = "look on the host whether it was carried out: nobody knows, so it is never repeated unasked";
            Some(Advice::of(Action::Look, text).by(ask_for(it, None)))
        }
        Outcome::Done | Outcome::Failed { .. } | Outcome::Cancelled { .. } | Outcome::Lost => None,
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::OperatorName;

    use super::*;

    #[test]
    fn what_is_over_asks_for_nothing_unless_it_was_only_given_up() {
        assert_eq!(over(&Closing::SelfRecovered).action, Action::Nothing);
        let given_up = over(&Closing::Cancelled { by: OperatorName::of("ann") });
        assert_eq!(given_up.action, Action::Look);
        assert!(given_up.text.contains("ann"));
    }
}
