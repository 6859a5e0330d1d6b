//! Looks ahead: what a choice now costs in the end, when the best is done thereafter.
//!
//! An incident allows few attempts, and after them a person must come, who takes long. So the last attempts are worth
//! more than their own recovery, and a repair is judged by the service that is lost until recovery when it is done now
//! and the best of what is left thereafter: dynamic programming (Bellman, 1957) over what has failed by then.

use std::collections::BTreeMap;

use super::alone::Rates;

/// What having failed in the same incident leaves of a repair's chance.
pub(super) const FAILED_HERE: f64 = 0.1;

/// The most repairs that are looked ahead to. The others are only judged as the next one.
const ARMS_MOST: usize = 8;

/// The most attempts that are looked ahead to. Beyond, each changes little.
const ATTEMPTS_MOST: u32 = 4;

/// One repair, in figures. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// The chance that it helps.
    pub(super) chance: f64,
    /// Until it has helped.
    pub(super) helps_after: f64,
    /// Until it is known not to have helped.
    pub(super) fails_after: f64,
    /// The service that it takes away, as a time of full loss.
    pub(super) harm: f64,
}

/// The repairs at hand and how the fault goes on without them.
#[derive(Debug)]
pub(super) struct Ahead<'a> {
    all: &'a [Figures],
    considered: Vec<usize>,
    rates: &'a Rates,
    person: f64,
    known: BTreeMap<(u32, u32), f64>,
}

impl<'a> Ahead<'a> {
    /// Looks ahead over these repairs. A person takes `person` seconds.
    pub(super) fn new(all: &'a [Figures], rates: &'a Rates, person: f64) -> Self {
        let mut considered: Vec<usize> = (0..all.len()).collect();
        let worth = |it: &usize| all.get(*it).map_or(0.0, |it| it.chance / (it.helps_after + it.harm));
        considered.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        considered.truncate(ARMS_MOST);
        Self { all, considered, rates, person, known: BTreeMap::new() }
    }

    /// The service that is lost, in seconds, when this repair is made at this age and the best thereafter; `left` attempts
    /// are left with this one.
    pub(super) fn repair(&mut self, arm: usize, age: f64, left: u32) -> f64 {
        self.try_it(arm, 0, age, left.min(ATTEMPTS_MOST))
    }

    /// The service that is lost when it is waited for `wait` seconds first.
    pub(super) fn wait(&mut self, wait: f64, age: f64, left: u32) -> f64 {
        let (gone, waited) = self.rates.gone(age, wait);
        // What is known was worked out for the age now.
        let known = std::mem::take(&mut self.known);
        let rest = self.best(0, age + wait, left.min(ATTEMPTS_MOST));
        self.known = known;
        waited + (1.0 - gone) * rest
    }

    /// The service that is lost when a person is called now.
    pub(super) fn give_up(&self, age: f64) -> f64 {
        self.rates.gone(age, self.person).1
    }

    fn try_it(&mut self, arm: usize, failed: u32, age: f64, left: u32) -> f64 {
        let Some(it) = self.all.get(arm).copied() else { return self.give_up(age) };
        let place = self.considered.iter().position(|considered| *considered == arm);
        let bit = place.map_or(0, |place| 1 << place);
        let chance = if failed & bit == 0 { it.chance } else { it.chance * FAILED_HERE };
        let (gone, futile) = self.rates.gone(age, it.fails_after);
        let helped = self.rates.gone(age, it.helps_after).1;
        let rest = self.best(failed | bit, age + it.fails_after, left.saturating_sub(1));
        it.harm + chance * helped + (1.0 - chance) * (futile + (1.0 - gone) * rest)
    }

    fn best(&mut self, failed: u32, age: f64, left: u32) -> f64 {
        if let Some(known) = self.known.get(&(failed, left)) {
            return *known;
        }
        let mut best = self.give_up(age);
        if left > 0 {
            for place in 0..self.considered.len() {
                let Some(arm) = self.considered.get(place).copied() else { continue };
                best = best.min(self.try_it(arm, failed, age, left));
            }
        }
        self.known.insert((failed, left), best);
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn figures(chance: f64, takes: f64, harm: f64) -> Figures {
        Figures { chance, helps_after: takes, fails_after: takes, harm }
    }

    #[test]
    fn a_repair_that_may_be_tried_without_end_costs_what_it_takes_for_each_success() {
        let rates = Rates::constant(1e-9);
        let all = [figures(0.5, 4.0, 1.0)];
        let mut ahead = Ahead::new(&all, &rates, 1e3);
        // Once, and then a person: its own cost, and half of the time the person's.
        assert!((ahead.repair(0, 0.0, 1) - (1.0 + 4.0 + 0.5 * 1e3)).abs() < 0.01);
    }

    #[test]
    fn with_one_attempt_left_the_surer_repair_is_better_and_with_many_the_cheaper_one() {
        let rates = Rates::constant(1e-9);
        let all = [figures(0.5, 2.0, 0.0), figures(0.95, 60.0, 0.0)];
        let mut ahead = Ahead::new(&all, &rates, 1800.0);
        assert!(ahead.repair(1, 0.0, 1) < ahead.repair(0, 0.0, 1));
        let mut ahead = Ahead::new(&all, &rates, 1800.0);
        assert!(ahead.repair(0, 0.0, 2) < ahead.repair(1, 0.0, 2));
    }

    #[test]
    fn what_goes_away_soon_is_waited_for_and_what_never_does_is_not() {
        let all = [figures(0.9, 10.0, 5.0)];
        for (rate, waits) in [(0.5, true), (0.001, false)] {
            let rates = Rates::constant(rate);
            let mut ahead = Ahead::new(&all, &rates, 1800.0);
            assert_eq!(ahead.wait(8.0, 0.0, 3) < ahead.repair(0, 0.0, 3), waits, "{rate}");
        }
    }
}
