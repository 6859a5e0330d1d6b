//! People: how long it takes until somebody has mended what they were told of, whoever called them.
//!
//! The figures are assumed, not measured. What matters is that they are the same for the engine, for the baselines and for
//! users who call by themselves, and that a call which names the cause is worth more than one which names a victim.

use std::time::Duration;

use prunella_model::incident::{Incident, IncidentState};
use prunella_model::{CauseName, IncidentId};

use crate::baselines::Seen;
use crate::faults::{By, Spot};
use crate::rng::Rng;
use crate::scenario::{Kind, Spread};
use crate::truth::Process;
use crate::world::{Item, World};

/// How long a person takes to come and to mend what they know.
const MENDS: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(1_800));

/// How long they look on top for the cause, at the place where it is.
const LOOKS: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(900));

/// How long they look on top for the cause when they were called to another place, which only suffers.
const SEARCHES: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(1_800));

/// What a call tells of the fault that is to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// A place where it does not work.
    Elsewhere,
    /// A place where it works, and a wrong cause or none.
    Place,
    /// A place where it works, and its cause.
    Cause,
}

impl Told {
    /// How long a person takes. The same fault takes the same time to mend, whoever called.
    fn takes(self, mut rng: Rng) -> Duration {
        let (mends, looks, searches) =
            (rng.between(MENDS.0, MENDS.1), rng.between(LOOKS.0, LOOKS.1), rng.between(SEARCHES.0, SEARCHES.1));
        mends
            + match self {
                Self::Cause => Duration::ZERO,
                Self::Place => looks,
                Self::Elsewhere => searches,
            }
    }
}

/// What a call says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Says<'a> {
    /// The place of the cause; null when it names none of its own, such as for what many hosts share.
    pub(crate) place: Option<Spot>,
    /// The cause, by the engine's names; null when it names none.
    pub(crate) cause: Option<&'a CauseName>,
}

impl World {
    /// What of what a call says is true of a fault.
    pub(crate) fn told(&self, fault: usize, says: Says<'_>) -> Told {
        let kind = self.kind_of(fault);
        // What many places share has no place of its own.
        let shared = says.place.is_none() && kind.spread != Spread::One;
        let there = shared || says.place.is_some_and(|place| self.faults.all[fault].spots.contains(&place));
        match says.cause {
            _ if !there => Told::Elsewhere,
            Some(cause) if kind.causes.contains(cause) => Told::Cause,
            Some(_) | None => Told::Place,
        }
    }

    /// Somebody is called to a spot, about an incident of the engine or not, and mends what is wrong there after a while.
    pub(crate) fn call_person(&mut self, spot: Spot, incident: Option<IncidentId>, says: Says<'_>) {
        let now = self.now;
        let faults = self.faults_of(spot);
        let told = faults.iter().map(|fault| (self.told(*fault, says), *fault)).max_by_key(|(told, _)| *told);
        let after = match told {
            Some((told, fault)) => told.takes(self.faults.all[fault].rng.clone()),
            None => MENDS.0,
        };
        self.queue.push(now.after(after), Item::Person { spot, incident });
    }

    /// Somebody is called by the engine.
    pub(crate) fn call_about(&mut self, spot: Spot, incident: &Incident) {
        let diagnosis = incident.diagnosis.as_ref();
        let place = match diagnosis {
            Some(it) => self.spot_of(&it.cause_target),
            None => Some(spot),
        };
        let says = Says { place, cause: diagnosis.map(|it| &it.cause) };
        self.call_person(spot, Some(incident.id), says);
    }

    /// Somebody is called by a baseline. It knows no causes; what its probes saw is taken for the cause that it speaks for.
    pub(crate) fn call_seen(&mut self, spot: Spot, seen: Option<Seen>) {
        let cause = match (spot, seen) {
            (Spot::Host(_), _) => CauseName::of("overload"),
            (Spot::Target(_), Some(seen)) if seen.ended => CauseName::of("killed"),
            (Spot::Target(_), Some(seen)) if seen.full => CauseName::of("directory_full"),
            (Spot::Target((host, target)), Some(seen)) if !seen.answers => {
                let it = &self.hosts[host].targets[target];
                CauseName::of(if it.answers_wrongly() { "bad_answers" } else { "hung" })
            }
            (Spot::Target(_), _) => CauseName::of("unknown"),
        };
        self.call_person(spot, None, Says { place: Some(spot), cause: Some(&cause) });
    }

    /// A person mends a target by hand, if its incident is still theirs, or if others called them.
    pub(crate) fn person(&mut self, spot: Spot, incident: Option<IncidentId>) {
        let theirs = incident.is_none_or(|incident| {
            let open = self.server.committed.incidents.get(&incident);
            // Somebody who was called stays when the engine tries again meanwhile, unless it helped.
            open.is_some_and(|it| !matches!(it.state, IncidentState::Probation { .. } | IncidentState::Closed(_)))
        });
        if theirs {
            self.mends(spot);
        }
    }

    /// What is wrong at a spot, or else what it suffers from. Controls are not.
    fn faults_of(&self, spot: Spot) -> Vec<usize> {
        let mut faults = self.concerned(spot);
        if let (true, Spot::Target(place)) = (faults.is_empty(), spot) {
            faults = self.behind(place).into_iter().flat_map(|it| self.concerned(it)).collect();
        }
        let real = |fault: &usize| {
            let kind: &Kind = self.kind_of(*fault);
            !kind.control
        };
        faults.retain(real);
        faults
    }

    /// A person mends what is wrong at a spot, or else what it suffers from.
    fn mends(&mut self, spot: Spot) {
        for fault in self.faults_of(spot) {
            self.end_fault(fault, By::Person);
        }
        if let Spot::Target(place) = spot
            && matches!(self.hosts[place.0].targets[place.1].process, Process::Ended { .. })
        {
            self.run_again(place);
            self.changed(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_names_the_cause_is_answered_soonest() {
        for seed in 0..100 {
            let takes = |told: Told| told.takes(Rng::new(seed, "fault"));
            assert!(takes(Told::Cause) < takes(Told::Place) && takes(Told::Place) > takes(Told::Cause));
            assert!(takes(Told::Elsewhere) >= takes(Told::Cause) + SEARCHES.0);
            assert!(takes(Told::Cause) >= MENDS.0 && takes(Told::Elsewhere) <= MENDS.1 + SEARCHES.1);
        }
    }
}
