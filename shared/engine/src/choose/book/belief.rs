//! What follows from the evidence for a fault at hand.

use std::time::Duration;

use prunella_model::incident::Fingerprint;
use prunella_model::knowledge::{Age, PatternRecord, Subject};
use prunella_model::{RepairName, Timestamp};

use super::super::ahead::FAILED_HERE;
use super::super::alone::{Ages, Rates, SPANS};
use super::tally::Both;
use super::{Book, fault, steps};

/// How many trials the coarser belief is worth in the finer one; the catalogue's prior is worth as many.
pub const STEP_TRIALS: f64 = 2.0;

/// How many recoveries, and how many seconds of watching, the coarser rate is worth in the finer one at most.
const STEP_RECOVERIES: f64 = 0.5;
const STEP_EXPOSURE: f64 = 60.0;

/// The most trials, or recoveries, that other fleets' experience counts as at one step: it hints, and one's own decides.
const FOREIGN_MOST: f64 = 8.0;

/// What is believed of one repair for the fault at hand: a Beta distribution of the chance that it helps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Successes, the prior's share included.
    pub heads: f64,
    /// Failures, the prior's share included.
    pub tails: f64,
    /// Trials against this very fault.
    pub trials: f64,
    /// The mean time until it helped, where that is known.
    pub helps_after: Option<Duration>,
    /// The mean time until it had not helped, where that is known.
    pub fails_after: Option<Duration>,
}

impl Belief {
    /// The expected chance.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.heads / (self.heads + self.tails).max(f64::MIN_POSITIVE)
    }
}

impl Book {
    /// What is believed of a repair, when those in `after` were tried in vain in the same incident. `prior` is the
    /// catalogue's chance.
    #[must_use]
    pub fn belief(
        &self,
        subject: &Subject,
        after: &[RepairName],
        repair: &RepairName,
        prior: f64,
        now: Timestamp,
    ) -> Belief {
        self.belief_in_doubt(&steps(subject, &[]), subject, after, repair, (prior, 1.0), now)
    }

    /// The same when the diagnosis is right with this confidence only, from 0 to 1. `steps_of` are the steps of the subject
    /// alone: each is a digest, and most of the work.
    ///
    /// What failed speaks against the diagnosis, too. So the other causes that this fault was diagnosed with gain weight, by
    /// Bayes' rule and by how common they are, and with them what helps against those.
    pub(in crate::choose) fn belief_in_doubt(
        &self,
        steps_of: &[Fingerprint; 3],
        subject: &Subject,
        after: &[RepairName],
        repair: &RepairName,
        (prior, confidence): (f64, f64),
        now: Timestamp,
    ) -> Belief {
        let first = self.first(steps_of, repair, prior, now);
        let mut tried: Vec<RepairName> = after.to_vec();
        tried.sort();
        tried.dedup();
        if tried.is_empty() {
            return first;
        }
        let mean = self.over_causes(subject, after, repair, (prior, confidence), now);
        let start = Belief { heads: mean * STEP_TRIALS, tails: (1.0 - mean) * STEP_TRIALS, ..first };
        self.refine(start, &steps(subject, &tried), repair, now)
    }

    /// What is believed of a repair as the first attempt.
    fn first(&self, steps_of: &[Fingerprint; 3], repair: &RepairName, prior: f64, now: Timestamp) -> Belief {
        let (heads, tails) = (prior * STEP_TRIALS, (1.0 - prior) * STEP_TRIALS);
        let start = Belief { heads, tails, trials: 0.0, helps_after: None, fails_after: None };
        self.refine(start, steps_of, repair, now)
    }

    /// The chance of a repair after these had failed, over the causes that the fault may have.
    fn over_causes(
        &self,
        subject: &Subject,
        after: &[RepairName],
        repair: &RepairName,
        (prior, confidence): (f64, f64),
        now: Timestamp,
    ) -> f64 {
        // What failed once in an incident rarely helps later in it.
        let chance = |about: &Subject, repair: &RepairName, before: &[RepairName]| {
            let failed = before.iter().filter(|it| *it == repair).count();
            (0..failed).fold(self.first(&steps(about, &[]), repair, prior, now).mean(), |mean, _| mean * FAILED_HERE)
        };
        let failed_all = |about: &Subject| {
            let each = after.iter().enumerate().map(|(number, it)| (it, after.get(..number).unwrap_or_default()));
            each.fold(1.0, |all, (repair, before)| all * (1.0 - chance(about, repair, before)))
        };
        let doubt = (1.0 - confidence).clamp(0.0, 1.0);
        let own = chance(subject, repair, after);
        let keys = self.causes.get(&fault(subject)).filter(|_| doubt > 0.0);
        let causes: Vec<&PatternRecord> =
            keys.into_iter().flatten().filter_map(|key| self.patterns.get(&(None, key.clone()))).collect();
        let incidents = |it: &&PatternRecord| f64::from(u32::try_from(it.incidents).unwrap_or(u32::MAX));
        let all: f64 = causes.iter().map(incidents).sum();
        if all <= 0.0 {
            return own;
        }
        let named = (1.0 - doubt) * failed_all(subject);
        let (mut weight, mut sum) = (named, named * own);
        for it in &causes {
            let share = doubt * incidents(it) / all * failed_all(&it.subject);
            weight += share;
            sum += share * chance(&it.subject, repair, after);
        }
        if weight > 0.0 { sum / weight } else { own }
    }

    /// When a repair was last tried against this very fault here; null when it never was.
    #[must_use]
    pub fn last_trial(&self, subject: &Subject, repair: &RepairName) -> Option<Timestamp> {
        let own = self.knowledge.values().filter(|it| it.source.is_none());
        own.filter(|it| it.subject == *subject && it.repair == *repair).map(|it| it.updated_at).max()
    }

    fn refine(&self, start: Belief, steps: &[Fingerprint; 3], repair: &RepairName, now: Timestamp) -> Belief {
        let all = steps.each_ref().map(|step| {
            let both = self.tallies.get(&(step.clone(), repair.clone())).copied().unwrap_or_default();
            Both { own: both.own.aged(now), foreign: both.foreign.aged(now) }
        });
        let mut belief = start;
        let mean_time = |sum: f64, count: f64| (count > 0.5).then(|| Duration::from_secs_f64((sum / count).min(1e6)));
        for number in (0..all.len()).rev() {
            let finer = number.checked_sub(1).and_then(|it| all.get(it)).copied().unwrap_or_default();
            let here = all.get(number).copied().unwrap_or_default();
            let own = here.own.plus(finer.own, -1.0);
            let foreign = here.foreign.plus(finer.foreign, -1.0);
            let foreign = foreign.scaled((FOREIGN_MOST / foreign.trials().max(FOREIGN_MOST)).min(1.0));
            let sum = own.plus(foreign, 1.0);
            let mean = belief.mean();
            belief.heads = mean * STEP_TRIALS + sum.healed;
            belief.tails = (1.0 - mean) * STEP_TRIALS + sum.failed;
            belief.helps_after = mean_time(here.own.helping, here.own.healed).or(belief.helps_after);
            belief.fails_after = mean_time(here.own.failing, here.own.failed).or(belief.fails_after);
            if number == 0 {
                belief.trials += own.trials();
            }
        }
        belief
    }

    /// How fast the fault is expected to go away by itself, at each age.
    /// `prior` is the rate of a new fault before anything is known, worth `weight` recoveries; it fades with age. Also how many recoveries of this very
    /// fault that stands on.
    #[must_use]
    pub fn rates(&self, subject: &Subject, prior: (f64, f64), now: Timestamp) -> (Rates, f64) {
        self.rates_in(&steps(subject, &[]), prior, now)
    }

    /// The same, where the steps of the subject are known.
    pub(in crate::choose) fn rates_in(
        &self,
        steps: &[Fingerprint; 3],
        (prior, weight): (f64, f64),
        now: Timestamp,
    ) -> (Rates, f64) {
        let all = steps.each_ref().map(|step| {
            let both = self.ages.get(step).copied().unwrap_or_default();
            (both.own.aged(now), both.foreign.aged(now))
        });
        let Rates(mut rates) = Rates::fading(prior.max(1e-9));
        let mut shapes = [weight; SPANS];
        for number in (0..all.len()).rev() {
            let finer = number.checked_sub(1).and_then(|it| all.get(it)).copied().unwrap_or_default();
            let here = all.get(number).copied().unwrap_or_default();
            let foreign: f64 = here.1.iter().map(|it| it.recovered).sum();
            let hint = FOREIGN_MOST / foreign.max(FOREIGN_MOST);
            for (span, (rate, shape)) in rates.iter_mut().zip(&mut shapes).enumerate() {
                let left = |of: &(Ages, Ages), get: fn(&Age) -> f64| {
                    of.0.get(span).map_or(0.0, get) + of.1.get(span).map_or(0.0, get) * hint
                };
                let recovered = (left(&here, |it| it.recovered) - left(&finer, |it| it.recovered)).max(0.0);
                let exposure = (left(&here, |it| it.exposure) - left(&finer, |it| it.exposure)).max(0.0);
                let weight = shape.min(STEP_RECOVERIES).min(*rate * STEP_EXPOSURE);
                *rate = (weight + recovered) / (weight / *rate + exposure);
                *shape = weight + recovered;
            }
        }
        let known = all.first().map_or(0.0, |(own, _)| own.iter().map(|it| it.recovered).sum());
        (Rates(rates), known)
    }
}
