//! Nothing is done on evidence that is old, missing, or to the contrary.

use prunella_model::step::Risk;

use crate::brakes::{Ask, Brake, Class, Stop};
use crate::diagnosis::Presence;
use crate::incident::REPORTED;
use crate::key::at;
use crate::rules;

/// Never on stale or missing evidence.
pub(super) struct NeverStale;

impl Brake for NeverStale {
    fn name(&self) -> &'static str {
        "never_stale"
    }

    fn about(&self) -> &'static str {
        "Never act on stale or missing evidence: the agent was heard lately, and a probe of the target or the symptom's own \
         measurement is fresh. Releases when there is fresh evidence."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let host = &engine.hosts[at(ask.key.host)];
        let fresh = engine.policy.verification.fresh;
        let heard = host.contact().is_some_and(|contact| engine.now.since(contact) <= fresh);
        let target = engine.target_at(ask.key);
        let probed = target.probes.iter().any(|probe| probe.fresh(engine.now, host.contact(), fresh).is_some());
        let measured = target.series.iter().any(|number| {
            host.series.get(at(*number)).and_then(Option::as_ref).is_some_and(|series| series.value.is_some())
        });
        let why = if !host.reported || !heard {
            format!("nothing was heard of {} lately", host.id)
        } else if !(probed || measured) {
            "no probe and no measurement of it is fresh".to_owned()
        } else if matches!(engine.presence(ask.case, engine.since_of(ask.case)), Presence::Unknown) {
            "there is no fresh evidence of its symptom".to_owned()
        } else {
            return None;
        };
        Stop::when("there is fresh evidence", why)
    }
}

/// Never on a target that is healthy by its own probe.
pub(super) struct NeverHealthy;

impl Brake for NeverHealthy {
    fn name(&self) -> &'static str {
        "never_healthy"
    }

    fn about(&self) -> &'static str {
        "Never act on a target that is healthy by its own probes, unless a rule sees a symptom of it, a person has reported \
         what the probes do not see, an opportunity of it is measured, or a person asks for what takes nothing away (steps of \
         risk low alone). Releases when one of these is so."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let engine = ask.engine;
        let faults = || std::iter::once(&ask.case.it.fault).chain(&ask.case.it.also);
        let reported = faults().any(|fault| fault.rule.as_str() == REPORTED);
        if reported || !engine.serves(ask.key) || engine.ailing(ask.key) {
            return None;
        }
        // What can only add takes nothing from whoever is well, and a person wants it.
        let adds = ask.plan.is_some_and(|plan| plan.steps.iter().all(|it| it.step.risk() == Risk::Low));
        if adds && ask.case.forced.is_some() {
            return None;
        }
        let since = engine.since_of(ask.case);
        let seen = match engine.presence(ask.case, since) {
            // An opportunity is of what is well; its own measurement must show it.
            Presence::Present(_) if ask.case.it.optimisation.is_some() => true,
            Presence::Present(present) => {
                present.iter().any(|(rule, _)| rules::index_of(rule).is_some() || engine.custom_index(rule).is_some())
            }
            Presence::Gone(_) | Presence::Unknown => false,
        };
        if seen {
            return None;
        }
        let why = "it is healthy by its own probes: report what you see first, if it is something that they do not";
        Some(Stop::Person { why: why.to_owned() })
    }
}
