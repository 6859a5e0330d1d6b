//! Knows every figure of the world but which cause an incident has: what anybody could reach with these diagnoses.

use prunella_model::Timestamp;

use super::policies::{Act, Policy, Story};
use super::world::{ATTEMPTS, CHANGES, Cause, FUTILE, Fault, Incident, PERSON, REPAIRS};

/// How many steps it looks ahead.
const AHEAD: usize = 4;

/// For how long it may wait, in seconds.
const WAITS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// Keeps the chance of each cause by Bayes' rule, and plans with it.
pub(super) struct Informed {
    /// The share of diagnoses that name any cause.
    pub(super) wrong: f64,
}

/// The mean time that is lost within `span`, and the chance that the fault lasts longer.
fn lost(cause: &Cause, span: f64) -> (f64, f64) {
    let stays = (-cause.alone * span).exp();
    ((1.0 - stays) / cause.alone, stays)
}

/// The chance that a repair helps against a cause; `failed` when it has failed in this incident.
fn helps(cause: &Cause, repair: usize, failed: bool) -> f64 {
    cause.helps[repair] * if failed { CHANGES } else { 1.0 }
}

/// The least cost from here on, and what to do, when the causes have these chances, the repairs in `failed` have failed,
/// and so many repairs and steps are left.
fn plan(causes: &[Cause], chances: &[f64], failed: usize, left: usize, ahead: usize) -> (f64, Act) {
    let person: f64 = causes.iter().zip(chances).map(|(cause, chance)| chance * lost(cause, PERSON).0).sum();
    if left == 0 || ahead == 0 {
        return (person, Act::Wait(0.0));
    }
    let mut best = (f64::INFINITY, Act::Wait(0.0));
    for (repair, (_, takes, harm)) in REPAIRS.iter().enumerate() {
        let again = failed & (1 << repair) != 0;
        let mut cost = *harm * chances.iter().sum::<f64>();
        let mut rest = Vec::with_capacity(chances.len());
        for (cause, chance) in causes.iter().zip(chances) {
            let helps = helps(cause, repair, again);
            let (futile, lasts) = lost(cause, takes + FUTILE);
            cost += chance * (helps * lost(cause, *takes).0 + (1.0 - helps) * futile);
            rest.push(chance * (1.0 - helps) * lasts);
        }
        cost += plan(causes, &rest, failed | (1 << repair), left - 1, ahead - 1).0;
        if cost < best.0 {
            best = (cost, Act::Repair(repair));
        }
    }
    // Waiting comes before the first repair or not at all.
    for span in WAITS.iter().filter(|_| failed == 0 && ahead + 1 >= AHEAD) {
        let ends = causes.iter().zip(chances).map(|(cause, chance)| (chance, lost(cause, *span)));
        let (waited, rest): (Vec<f64>, Vec<f64>) = ends.map(|(it, (lost, stays))| (it * lost, it * stays)).unzip();
        let cost = waited.iter().sum::<f64>() + plan(causes, &rest, failed, left, ahead - 1).0;
        if cost < best.0 {
            best = (cost, Act::Wait(*span));
        }
    }
    best
}

impl Policy for Informed {
    fn next(&mut self, it: &Incident, faults: &[Fault], _: Timestamp, story: &Story) -> Act {
        let fault = &faults[it.fault];
        let any = self.wrong / fault.causes.len() as f64;
        let chance = |(number, (cause, share)): (usize, (&Cause, &f64))| {
            let named = any + if number == it.named { 1.0 - self.wrong } else { 0.0 };
            let mut chance = share * named * lost(cause, story.time).1;
            for (place, (repair, ..)) in story.tries.iter().enumerate() {
                let before = story.tries.iter().take(place).any(|it| it.0 == *repair);
                chance *= 1.0 - helps(cause, *repair, before);
            }
            chance
        };
        let chances: Vec<f64> = fault.causes.iter().zip(&fault.shares).enumerate().map(chance).collect();
        let failed = (0..REPAIRS.len()).filter(|repair| story.failures(*repair) > 0).map(|repair| 1 << repair).sum();
        plan(&fault.causes, &chances, failed, ATTEMPTS - story.tries.len(), AHEAD).1
    }
}
