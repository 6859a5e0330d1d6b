//! Taking evidence in: from each trial, and from each incident's end.

use std::time::Duration;

use prunella_model::knowledge::{KnowledgeRecord, PatternRecord, Subject};
use prunella_model::{RepairName, Timestamp};

use super::super::alone::{self, Ages};
use super::tally::{ages_of, worth};
use super::{Book, key, steps};

/// The most trials that are remembered of one repair against one fault.
const MEMORY: f64 = 20.0;

/// What a trial after others that failed is worth for the repair as a first attempt.
const LATER: f64 = 0.5;

/// How many openings a pattern remembers.
pub const RECENT: usize = 32;

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

impl Book {
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
        // What was opened first may be closed last.
        record.recent.sort_unstable();
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
