//! The evidence: what helped against what, how faults go away by themselves, and what follows for a fault at hand.
//!
//! What is seen of one fault bears on others like it, the less the less alike they are. So a belief begins with the
//! catalogue's prior and takes in, one after the other, what is known of the same rule and cause on any target, on targets
//! of the same class, and of this very fault. Each step counts what it starts from as [`STEP_TRIALS`] trials, and leaves
//! out what the finer steps will count themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prunella_model::incident::Fingerprint;
use prunella_model::knowledge::{KnowledgeRecord, PatternRecord, Subject};
use prunella_model::{FleetName, RepairName, Timestamp};

use super::ahead::FAILED_HERE;
use super::alone::{self, Ages, Rates, SPANS};
use crate::knowledge::fingerprint;

/// How many trials the coarser belief is worth in the finer one; the catalogue's prior is worth as many.
pub const STEP_TRIALS: f64 = 2.0;

/// How many recoveries, and how many seconds of watching, the coarser rate is worth in the finer one at most.
const STEP_RECOVERIES: f64 = 0.5;
const STEP_EXPOSURE: f64 = 60.0;

/// The most trials, or recoveries, that other fleets' experience counts as at one step: it hints, and one's own decides.
const FOREIGN_MOST: f64 = 8.0;

/// After this long a trial is worth half: programs change, and so does what helps them.
pub const HALF_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The most trials that are remembered of one repair against one fault.
const MEMORY: f64 = 20.0;

/// What a trial after others that failed is worth for the repair as a first attempt.
const LATER: f64 = 0.5;

/// How many openings a pattern remembers.
const RECENT: usize = 32;

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lesson {
    /// Verified to have recovered and stayed so, after this time.
    Healed(Duration),
    /// Verified not to have helped, after this time.
    Failed(Duration),
    /// What had counted as healed, with this credit, did not last.
    Undone(f64),
    /// No verdict could be reached.
    Censored,
}

/// How an incident ended, for what is known of faults that go away by themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    /// When it was opened.
    pub opened: Timestamp,
    /// For how long it was watched without a person's doing.
    pub watched: Duration,
    /// How likely it is to have gone away by itself at the end of that time.
    pub alone: f64,
    /// Whether it went away before any repair.
    pub untouched: bool,
    /// Whether it was handed to a person.
    pub escalated: bool,
}

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

/// Counts of one step, as of `at`.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    healed: f64,
    failed: f64,
    /// Seconds until it helped, summed over `healed`; and until it had not, over `failed`.
    helping: f64,
    failing: f64,
    at: Timestamp,
}

/// The worth that evidence of `then` has now.
fn worth(then: Timestamp, now: Timestamp) -> f64 {
    libm::exp2(-now.since(then).as_secs_f64() / HALF_LIFE.as_secs_f64())
}

impl Tally {
    fn of(record: &KnowledgeRecord) -> Self {
        let seconds = |it: Option<Duration>| it.map_or(0.0, |it| it.as_secs_f64());
        Self {
            healed: record.healed,
            failed: record.failed,
            helping: seconds(record.mean_time) * record.healed,
            failing: seconds(record.mean_failure) * record.failed,
            at: record.updated_at,
        }
    }

    fn scaled(self, by: f64) -> Self {
        let Self { healed, failed, helping, failing, at } = self;
        Self { healed: healed * by, failed: failed * by, helping: helping * by, failing: failing * by, at }
    }

    fn aged(self, now: Timestamp) -> Self {
        Self { at: self.at.max(now), ..self.scaled(worth(self.at, now)) }
    }

    fn trials(self) -> f64 {
        self.healed + self.failed
    }

    /// Adds `other` `times`; both as of the later of their times.
    fn plus(self, other: Self, times: f64) -> Self {
        let at = self.at.max(other.at);
        let (a, b) = (self.aged(at), other.aged(at));
        Self {
            healed: (a.healed + b.healed * times).max(0.0),
            failed: (a.failed + b.failed * times).max(0.0),
            helping: (a.helping + b.helping * times).max(0.0),
            failing: (a.failing + b.failing * times).max(0.0),
            at,
        }
    }
}

/// One's own evidence, and that of other fleets.
#[derive(Debug, Clone, Copy, Default)]
struct Both<T> {
    own: T,
    foreign: T,
}

#[derive(Debug, Clone, Copy, Default)]
struct Aged {
    ages: Ages,
    at: Timestamp,
}

impl Aged {
    fn aged(self, now: Timestamp) -> Ages {
        let worth = worth(self.at, now);
        self.ages
            .map(|it| prunella_model::knowledge::Age { recovered: it.recovered * worth, exposure: it.exposure * worth })
    }

    fn plus(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        let (mut ages, more) = (self.aged(at), other.aged(at));
        for (it, more) in ages.iter_mut().zip(more) {
            it.recovered += more.recovered;
            it.exposure += more.exposure;
        }
        Self { ages, at }
    }
}

fn ages_of(record: &PatternRecord) -> Aged {
    let mut ages = Ages::default();
    for (it, stored) in ages.iter_mut().zip(&record.ages) {
        *it = *stored;
    }
    Aged { ages, at: record.updated_at }
}

/// The keys of what is known of a subject, the finest first: this fault, its class of targets, its rule and cause.
fn steps(subject: &Subject, after: &[RepairName]) -> [Fingerprint; 3] {
    let cause = after.iter().fold(subject.cause.to_string(), |it, repair| format!("{it} after {repair}"));
    let fault = fingerprint(subject.rule.as_str(), &subject.kind, subject.symptom.as_ref().map(|it| it.as_str()));
    [
        fingerprint("lesson", &fault.0, Some(&cause)),
        fingerprint("lesson of class", &format!("{} {}", subject.rule, subject.class), Some(&cause)),
        fingerprint("lesson of rule", subject.rule.as_str(), Some(&cause)),
    ]
}

/// The key by which the records of a subject are found, after these had been tried in vain.
#[must_use]
pub fn key(subject: &Subject, after: &[RepairName]) -> Fingerprint {
    let [key, _, _] = steps(subject, after);
    key
}

type Lookup = (Option<FleetName>, Fingerprint, RepairName);
type PatternLookup = (Option<FleetName>, Fingerprint);

/// All evidence.
#[derive(Debug, Clone, Default)]
pub struct Book {
    knowledge: BTreeMap<Lookup, KnowledgeRecord>,
    members: BTreeMap<(Fingerprint, RepairName), BTreeSet<Lookup>>,
    tallies: BTreeMap<(Fingerprint, RepairName), Both<Tally>>,
    patterns: BTreeMap<PatternLookup, PatternRecord>,
    alike: BTreeMap<Fingerprint, BTreeSet<PatternLookup>>,
    ages: BTreeMap<Fingerprint, Both<Aged>>,
}

impl Book {
    /// Goes on from what is stored.
    #[must_use]
    pub fn load(knowledge: Vec<KnowledgeRecord>, patterns: Vec<PatternRecord>) -> Self {
        let mut book = Self::default();
        for record in knowledge {
            book.put(record);
        }
        for record in patterns {
            book.put_pattern(record);
        }
        book
    }

    /// What is known of repairs, by source.
    pub fn knowledge(&self) -> impl Iterator<Item = &KnowledgeRecord> {
        self.knowledge.values()
    }

    /// What is known of how faults come and go, by source.
    pub fn patterns(&self) -> impl Iterator<Item = &PatternRecord> {
        self.patterns.values()
    }

    /// Replaces what is known of one repair. False, and nothing changes, when the record that is here is as new.
    pub fn put(&mut self, record: KnowledgeRecord) -> bool {
        let lookup = (record.source.clone(), record.fingerprint.clone(), record.repair.clone());
        let old = self.knowledge.get(&lookup);
        if old.is_some_and(|old| old.updated_at >= record.updated_at && record.source.is_some()) {
            return false;
        }
        let steps = steps(&record.subject, &record.after);
        self.knowledge.insert(lookup.clone(), record);
        for step in steps {
            let place = (step, lookup.2.clone());
            let members = self.members.entry(place.clone()).or_default();
            members.insert(lookup.clone());
            let records = members.iter().filter_map(|it| self.knowledge.get(it));
            // Always from the records and in their order, so that an engine that was restarted sums up the same.
            let mut sums = Both::<Tally>::default();
            for it in records {
                let sum = if it.source.is_none() { &mut sums.own } else { &mut sums.foreign };
                *sum = sum.plus(Tally::of(it), 1.0);
            }
            self.tallies.insert(place, sums);
        }
        true
    }

    /// Replaces what is known of how a fault comes and goes. False when the record that is here is as new.
    pub fn put_pattern(&mut self, record: PatternRecord) -> bool {
        let lookup = (record.source.clone(), record.fingerprint.clone());
        let old = self.patterns.get(&lookup);
        if old.is_some_and(|old| old.updated_at >= record.updated_at && record.source.is_some()) {
            return false;
        }
        let steps = steps(&record.subject, &[]);
        self.patterns.insert(lookup.clone(), record);
        for step in steps {
            let members = self.alike.entry(step.clone()).or_default();
            members.insert(lookup.clone());
            let mut sums = Both::<Aged>::default();
            for it in members.iter().filter_map(|it| self.patterns.get(it)) {
                let sum = if it.source.is_none() { &mut sums.own } else { &mut sums.foreign };
                *sum = sum.plus(ages_of(it));
            }
            self.ages.insert(step, sums);
        }
        true
    }

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
        let start = Belief {
            heads: prior * STEP_TRIALS,
            tails: (1.0 - prior) * STEP_TRIALS,
            trials: 0.0,
            helps_after: None,
            fails_after: None,
        };
        let first = self.refine(start, subject, &[], repair, now);
        let mut tried: Vec<RepairName> = after.to_vec();
        tried.sort();
        tried.dedup();
        if tried.is_empty() {
            return first;
        }
        let failed = after.iter().filter(|it| *it == repair).count();
        let mean = (0..failed).fold(first.mean(), |mean, _| mean * FAILED_HERE);
        let start = Belief { heads: mean * STEP_TRIALS, tails: (1.0 - mean) * STEP_TRIALS, ..first };
        self.refine(start, subject, &tried, repair, now)
    }

    /// When a repair was last tried against this very fault here; null when it never was.
    #[must_use]
    pub fn last_trial(&self, subject: &Subject, repair: &RepairName) -> Option<Timestamp> {
        let own = self.knowledge.values().filter(|it| it.source.is_none());
        own.filter(|it| it.subject == *subject && it.repair == *repair).map(|it| it.updated_at).max()
    }

    fn refine(
        &self,
        start: Belief,
        subject: &Subject,
        after: &[RepairName],
        repair: &RepairName,
        now: Timestamp,
    ) -> Belief {
        let all = steps(subject, after).map(|step| {
            let both = self.tallies.get(&(step, repair.clone())).copied().unwrap_or_default();
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
    /// `prior` is the rate before anything is known, worth `weight` recoveries. Also how many recoveries of this very
    /// fault that stands on.
    #[must_use]
    pub fn rates(&self, subject: &Subject, (prior, weight): (f64, f64), now: Timestamp) -> (Rates, f64) {
        let all = steps(subject, &[]).map(|step| {
            let both = self.ages.get(&step).copied().unwrap_or_default();
            (both.own.aged(now), both.foreign.aged(now))
        });
        let mut rates = [prior.max(1e-9); SPANS];
        let mut shapes = [weight; SPANS];
        for number in (0..all.len()).rev() {
            let finer = number.checked_sub(1).and_then(|it| all.get(it)).copied().unwrap_or_default();
            let here = all.get(number).copied().unwrap_or_default();
            let foreign: f64 = here.1.iter().map(|it| it.recovered).sum();
            let hint = FOREIGN_MOST / foreign.max(FOREIGN_MOST);
            for (span, (rate, shape)) in rates.iter_mut().zip(&mut shapes).enumerate() {
                let left = |of: &(Ages, Ages), get: fn(&prunella_model::knowledge::Age) -> f64| {
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

    /// Learns from a trial. Returns what to store, and the credit for a recovery.
    ///
    /// `by_itself` is the chance that the fault would have gone away meanwhile: credit is shared with it. `prior` is the
    /// catalogue's chance. `after` is what had been tried in vain before. Such a trial counts in part for the repair as a
    /// first attempt too: otherwise what always helps in the end would never be tried first.
    pub fn learn(
        &mut self,
        (subject, after): (&Subject, &[RepairName]),
        repair: &RepairName,
        lesson: Lesson,
        (prior, by_itself): (f64, f64),
        now: Timestamp,
    ) -> (Vec<KnowledgeRecord>, f64) {
        let mut tried = after.to_vec();
        tried.sort();
        tried.dedup();
        let chance = self.belief(subject, after, repair, prior, now).mean();
        let credit = match lesson {
            Lesson::Healed(_) => {
                (chance / (chance + by_itself * (1.0 - chance)).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
            }
            Lesson::Failed(_) | Lesson::Undone(_) | Lesson::Censored => 0.0,
        };
        let mut changed = Vec::new();
        if !tried.is_empty() && !tried.contains(repair) {
            changed.push(self.record(subject, Vec::new(), repair, (lesson, credit, LATER), now));
        }
        changed.push(self.record(subject, tried, repair, (lesson, credit, 1.0), now));
        (changed, credit)
    }

    /// Writes a trial, of this weight, into one record.
    fn record(
        &mut self,
        subject: &Subject,
        after: Vec<RepairName>,
        repair: &RepairName,
        (lesson, credit, weight): (Lesson, f64, f64),
        now: Timestamp,
    ) -> KnowledgeRecord {
        let [key, _, _] = steps(subject, &after);
        let mut record =
            self.knowledge.get(&(None, key.clone(), repair.clone())).cloned().unwrap_or_else(|| KnowledgeRecord {
                source: None,
                fingerprint: key,
                subject: subject.clone(),
                after,
                repair: repair.clone(),
                healed: 0.0,
                failed: 0.0,
                censored: 0,
                mean_time: None,
                mean_failure: None,
                updated_at: now,
            });
        // The newest trials count most: what helped a hundred times may have stopped helping yesterday.
        let worth = worth(record.updated_at, now) * (MEMORY / (record.healed + record.failed + 1.0)).min(1.0);
        record.healed *= worth;
        record.failed *= worth;
        record.updated_at = record.updated_at.max(now);
        match lesson {
            Lesson::Healed(took) => {
                record.mean_time = Some(mean(record.mean_time, record.healed, took, credit * weight));
                record.healed += credit * weight;
            }
            Lesson::Failed(took) => {
                record.mean_failure = Some(mean(record.mean_failure, record.failed, took, weight));
                record.failed += weight;
            }
            Lesson::Undone(credit) => {
                record.healed = (record.healed - credit * weight).max(0.0);
                record.failed += weight;
            }
            Lesson::Censored => record.censored = record.censored.saturating_add(u64::from(weight >= 1.0)),
        }
        self.put(record.clone());
        record
    }

    /// Learns from an incident's end how its fault comes and goes. Returns what to store.
    pub fn note(&mut self, subject: &Subject, ending: Ending, now: Timestamp) -> PatternRecord {
        let key = key(subject, &[]);
        let known = self.patterns.get(&(None, key.clone())).cloned();
        let mut record = known.unwrap_or_else(|| PatternRecord {
            source: None,
            fingerprint: key,
            subject: subject.clone(),
            incidents: 0,
            self_recovered: 0,
            escalated: 0,
            recent: Vec::new(),
            ages: Ages::default().to_vec(),
            updated_at: now,
        });
        let mut ages = ages_of(&record).aged(now);
        alone::watched(&mut ages, ending.watched, ending.alone);
        record.ages = ages.to_vec();
        record.updated_at = record.updated_at.max(now);
        record.incidents = record.incidents.saturating_add(1);
        record.self_recovered = record.self_recovered.saturating_add(u64::from(ending.untouched));
        record.escalated = record.escalated.saturating_add(u64::from(ending.escalated));
        record.recent.push(ending.opened);
        let surplus = record.recent.len().saturating_sub(RECENT);
        record.recent.drain(..surplus);
        self.put_pattern(record.clone());
        record
    }
}

fn mean(known: Option<Duration>, worth: f64, new: Duration, weight: f64) -> Duration {
    let Some(known) = known.filter(|_| worth + weight > 0.0) else { return new };
    let seconds = (known.as_secs_f64() * worth + new.as_secs_f64() * weight) / (worth + weight);
    Duration::from_secs_f64(seconds.clamp(0.0, 1e9))
}

#[cfg(test)]
mod tests;
