//! The evidence: what helped against what, how faults go away by themselves, and what follows for a fault at hand.
//!
//! What is seen of one fault bears on others like it, the less the less alike they are. So a belief begins with the
//! catalogue's prior and takes in, one after the other, what is known of the same rule and cause on any target, on targets
//! of the same class, and of this very fault. Each step counts what it starts from as [`STEP_TRIALS`] trials, and leaves
//! out what the finer steps will count themselves.

mod belief;
mod learn;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::incident::Fingerprint;
use prunella_model::knowledge::{KnowledgeRecord, PatternRecord, Subject};
use prunella_model::{FleetName, RepairName};

pub use belief::{Belief, STEP_TRIALS};
pub use learn::{Ending, Lesson, RECENT};
pub use tally::{HALF_LIFE, aged_trials};

use crate::knowledge::fingerprint;
use tally::{Aged, Both, Tally, ages_of};

/// The key of a fault, whatever its cause.
fn fault(subject: &Subject) -> Fingerprint {
    fingerprint(subject.rule.as_str(), &subject.kind, subject.symptom.as_ref().map(|it| it.as_str()))
}

/// The keys of what is known of a subject, the finest first: this fault, its class of targets, its rule and cause.
pub(super) fn steps(subject: &Subject, after: &[RepairName]) -> [Fingerprint; 3] {
    let cause = after.iter().fold(subject.cause.to_string(), |it, repair| format!("{it} after {repair}"));
    [
        fingerprint("lesson", &fault(subject).0, Some(&cause)),
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

/// Where the sums of a step are kept: its key, and the repair.
type Place = (Fingerprint, RepairName);

/// All evidence.
#[derive(Debug, Clone, Default)]
pub struct Book {
    knowledge: BTreeMap<Lookup, KnowledgeRecord>,
    members: BTreeMap<Place, BTreeSet<Lookup>>,
    tallies: BTreeMap<Place, Both<Tally>>,
    patterns: BTreeMap<PatternLookup, PatternRecord>,
    alike: BTreeMap<Fingerprint, BTreeSet<PatternLookup>>,
    ages: BTreeMap<Fingerprint, Both<Aged>>,
    /// The keys of one's own patterns, by fault: the causes that it was diagnosed with.
    causes: BTreeMap<Fingerprint, BTreeSet<Fingerprint>>,
}

impl Book {
    /// Goes on from what is stored.
    #[must_use]
    pub fn load(knowledge: Vec<KnowledgeRecord>, patterns: Vec<PatternRecord>) -> Self {
        let mut book = Self::default();
        let mut places = BTreeSet::new();
        for record in knowledge {
            places.extend(book.keep(record));
        }
        places.into_iter().for_each(|place| book.sum_up(place));
        let mut steps = BTreeSet::new();
        for record in patterns {
            steps.extend(book.keep_pattern(record));
        }
        steps.into_iter().for_each(|step| book.sum_up_ages(step));
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

    /// Replaces what is known of one repair.
    pub fn put(&mut self, record: KnowledgeRecord) {
        self.keep(record).into_iter().for_each(|place| self.sum_up(place));
    }

    /// Replaces what is known of how a fault comes and goes.
    pub fn put_pattern(&mut self, record: PatternRecord) {
        self.keep_pattern(record).into_iter().for_each(|step| self.sum_up_ages(step));
    }

    /// Takes in what was exported, this fleet's own experience as well as that of others, and gives back what is new.
    ///
    /// Of two records of another fleet the newer one stays. One's own record is only restored where there is none: what
    /// this fleet knows itself is never overwritten.
    pub fn merge(
        &mut self,
        knowledge: Vec<KnowledgeRecord>,
        patterns: Vec<PatternRecord>,
    ) -> (Vec<KnowledgeRecord>, Vec<PatternRecord>) {
        let mut places = BTreeSet::new();
        let mut news = Vec::new();
        for mut record in knowledge {
            record.after.sort();
            record.after.dedup();
            record.fingerprint = key(&record.subject, &record.after);
            let old = self.knowledge.get(&lookup(&record));
            if old.is_none_or(|old| record.source.is_some() && old.updated_at < record.updated_at) {
                places.extend(self.keep(record.clone()));
                news.push(record);
            }
        }
        places.into_iter().for_each(|place| self.sum_up(place));
        let mut steps = BTreeSet::new();
        let mut new_patterns = Vec::new();
        for mut record in patterns {
            record.fingerprint = key(&record.subject, &[]);
            let old = self.patterns.get(&(record.source.clone(), record.fingerprint.clone()));
            if old.is_none_or(|old| record.source.is_some() && old.updated_at < record.updated_at) {
                steps.extend(self.keep_pattern(record.clone()));
                new_patterns.push(record);
            }
        }
        steps.into_iter().for_each(|step| self.sum_up_ages(step));
        (news, new_patterns)
    }

    /// Keeps a record. The places whose sums have changed.
    fn keep(&mut self, record: KnowledgeRecord) -> [Place; 3] {
        let lookup = lookup(&record);
        let places = steps(&record.subject, &record.after).map(|step| (step, record.repair.clone()));
        for place in &places {
            self.members.entry(place.clone()).or_default().insert(lookup.clone());
        }
        self.knowledge.insert(lookup, record);
        places
    }

    /// Sums up. Always from the records and in their order, so that an engine that was restarted sums up the same.
    fn sum_up(&mut self, place: Place) {
        let mut sums = Both::<Tally>::default();
        let members = self.members.get(&place).into_iter().flatten();
        for it in members.filter_map(|it| self.knowledge.get(it)) {
            let sum = if it.source.is_none() { &mut sums.own } else { &mut sums.foreign };
            *sum = sum.plus(Tally::of(it), 1.0);
        }
        self.tallies.insert(place, sums);
    }

    fn keep_pattern(&mut self, record: PatternRecord) -> [Fingerprint; 3] {
        let lookup = (record.source.clone(), record.fingerprint.clone());
        let steps = steps(&record.subject, &[]);
        for step in &steps {
            self.alike.entry(step.clone()).or_default().insert(lookup.clone());
        }
        if record.source.is_none() {
            self.causes.entry(fault(&record.subject)).or_default().insert(record.fingerprint.clone());
        }
        self.patterns.insert(lookup, record);
        steps
    }

    fn sum_up_ages(&mut self, step: Fingerprint) {
        let mut sums = Both::<Aged>::default();
        let members = self.alike.get(&step).into_iter().flatten();
        for it in members.filter_map(|it| self.patterns.get(it)) {
            let sum = if it.source.is_none() { &mut sums.own } else { &mut sums.foreign };
            *sum = sum.plus(ages_of(it));
        }
        self.ages.insert(step, sums);
    }
}

fn lookup(record: &KnowledgeRecord) -> Lookup {
    (record.source.clone(), record.fingerprint.clone(), record.repair.clone())
}

#[cfg(test)]
mod tests;
