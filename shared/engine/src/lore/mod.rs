//! What was learned, for people and for other fleets: insights, predictions, recommendations, and the exchange of knowledge.
//!
//! Views are made on request and never change anything. What is imported comes in as a request, like everything else.

mod advice;
mod exchange;
mod foresee;
mod rhythm;
#[cfg(test)]
mod tests;

pub use exchange::{BadLore, RECORDS_MAX, check};

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::incident::Fingerprint;
use prunella_model::knowledge::{KnowledgeRecord, PatternRecord, Subject};
use prunella_model::{TargetRef, Timestamp};

use crate::Engine;
use crate::brakes::hopeless;
use crate::cause::Cause;
use crate::choose::book::{self, aged_trials};
use crate::choose::draw::beta_quantile;
use crate::incident::learn::{alone, prior};
use crate::knowledge::fingerprint;
use crate::view::{HealthName, Help, Insight, SelfRecovery, TargetOutlook, place};

/// The probability that a bound is kept.
const SURE: f64 = 0.95;

/// Everything that is known of one subject.
struct Known<'a> {
    subject: &'a Subject,
    /// How it comes and goes here; null before the first closed incident.
    own: Option<&'a PatternRecord>,
    /// Closed incidents of other fleets.
    elsewhere: u64,
    /// What was tried, here and elsewhere.
    lessons: Vec<&'a KnowledgeRecord>,
}

impl Known<'_> {
    fn incidents(&self) -> u64 {
        self.own.map_or(0, |it| it.incidents)
    }
}

/// Both bounds of a share of which so many of so many were seen (Beta, with even odds for each share before).
fn bounds(hits: f64, all: f64) -> (f64, f64) {
    let (heads, tails) = (hits + 1.0, (all - hits).max(0.0) + 1.0);
    (beta_quantile(1.0 - SURE, heads, tails), beta_quantile(SURE, heads, tails))
}

/// A count as a number to reckon with; exact far beyond any count that occurs.
#[expect(clippy::cast_precision_loss, reason = "counts of incidents are far below 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// The median time between openings.
fn every(recent: &[Timestamp]) -> Option<Duration> {
    let mut gaps: Vec<Duration> = recent.windows(2).filter_map(|it| Some(it.last()?.since(*it.first()?))).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

/// A subject in a few words: `process_down of api from killed`.
fn in_words(it: &Subject) -> String {
    format!("{} of {} from {}", it.rule, it.kind, it.cause)
}

impl Engine {
    /// Everything that is known, by subject.
    fn known(&self) -> BTreeMap<Fingerprint, Known<'_>> {
        let mut all: BTreeMap<Fingerprint, Known<'_>> = BTreeMap::new();
        for it in self.book.patterns() {
            let new = Known { subject: &it.subject, own: None, elsewhere: 0, lessons: Vec::new() };
            let known = all.entry(it.fingerprint.clone()).or_insert(new);
            match it.source {
                None => (known.subject, known.own) = (&it.subject, Some(it)),
                Some(_) => known.elsewhere = known.elsewhere.saturating_add(it.incidents),
            }
        }
        for it in self.book.knowledge() {
            let id = if it.after.is_empty() { it.fingerprint.clone() } else { book::key(&it.subject, &[]) };
            let new = Known { subject: &it.subject, own: None, elsewhere: 0, lessons: Vec::new() };
            all.entry(id).or_insert(new).lessons.push(it);
        }
        all
    }

    /// What is known of every fault that was seen, the most frequent first: at most `most`, those after the place `after`.
    #[must_use]
    pub fn insights(&self, now: Timestamp, after: Option<&str>, most: usize) -> Vec<Insight> {
        let known = self.known();
        let mut places: Vec<(String, &Fingerprint)> =
            known.iter().map(|(id, it)| (place(it.incidents(), it.elsewhere, &id.0), id)).collect();
        places.retain(|(place, _)| after.is_none_or(|after| place.as_str() > after));
        places.sort_unstable();
        let found = places.into_iter().take(most).filter_map(|(_, id)| Some((id, known.get(id)?)));
        found.map(|(id, it)| self.insight(id, it, now)).collect()
    }

    fn insight(&self, id: &Fingerprint, it: &Known<'_>, now: Timestamp) -> Insight {
        let subject = it.subject;
        let recent = it.own.map_or(&[][..], |own| &own.recent);
        Insight {
            id: id.0.clone(),
            fingerprint: fingerprint(
                subject.rule.as_str(),
                &subject.kind,
                subject.symptom.as_ref().map(|it| it.as_str()),
            ),
            subject: subject.clone(),
            incidents: it.incidents(),
            elsewhere: it.elsewhere,
            escalated: it.own.map_or(0, |own| own.escalated),
            last: recent.last().copied(),
            every: every(recent),
            self_recovery: self.self_recovery(it, now),
            helps: self.helps(it, now),
        }
    }

    fn self_recovery(&self, it: &Known<'_>, now: Timestamp) -> SelfRecovery {
        let within = self.policy.learning.wait_most;
        let (rates, known) = self.book.rates(it.subject, alone(Cause::of(&it.subject.cause)), now);
        let share = it.own.filter(|own| own.incidents > 0);
        let share = share.map(|own| bounds(number(own.self_recovered), number(own.incidents)));
        SelfRecovery {
            incidents: it.own.map_or(0, |own| own.self_recovered),
            low: share.map(|(low, _)| low),
            high: share.map(|(_, high)| high),
            chance: rates.gone(0.0, within.as_secs_f64()).0,
            within,
            known,
        }
    }

    fn helps(&self, it: &Known<'_>, now: Timestamp) -> Vec<Help> {
        let mut all: Vec<Help> = Vec::new();
        for lesson in &it.lessons {
            let place = all.iter().position(|help| help.repair == lesson.repair && help.after == lesson.after);
            let help = match place.and_then(|place| all.get_mut(place)) {
                Some(help) => help,
                None => {
                    let help = self.help(it.subject, lesson, now);
                    all.push(help);
                    let Some(help) = all.last_mut() else { continue };
                    help
                }
            };
            let (healed, failed) = aged_trials(lesson, now);
            help.last = help.last.max(lesson.updated_at);
            if lesson.source.is_some() {
                help.elsewhere += healed + failed;
            } else {
                (help.healed, help.failed, help.censored) = (healed, failed, lesson.censored);
            }
        }
        all.sort_by(|a, b| a.after.len().cmp(&b.after.len()).then_with(|| b.chance.total_cmp(&a.chance)));
        all
    }

    /// What is believed of the repair of a lesson, without its counts.
    fn help(&self, subject: &Subject, lesson: &KnowledgeRecord, now: Timestamp) -> Help {
        let cause = Cause::of(&subject.cause);
        let repair = &lesson.repair;
        let belief = self.book.belief(subject, &lesson.after, repair, prior(repair, cause), now);
        let deadline = self.policy.verification.deadline;
        // Half a trial each way more (Jeffreys), so that a good name alone never looks like certainty.
        let bound = |p| beta_quantile(p, belief.heads + 0.5, belief.tails + 0.5);
        Help {
            repair: repair.clone(),
            after: lesson.after.clone(),
            chance: belief.mean(),
            low: bound(1.0 - SURE).min(belief.mean()),
            high: bound(SURE).max(belief.mean()),
            healed: 0.0,
            failed: 0.0,
            censored: 0,
            elsewhere: 0.0,
            mean_time: belief.helps_after,
            mean_failure: belief.fails_after,
            last: lesson.updated_at,
            shadow: hopeless(&belief, cause, deadline).is_some(),
        }
    }

    /// One target: how well it is, what is known of faults of its kind, and what is expected. Null when it is not known.
    #[must_use]
    pub fn outlook(&self, target: &TargetRef, now: Timestamp) -> Option<TargetOutlook> {
        let health = self.health_of(&HealthName::Target(target.clone()))?;
        let report = &self.target_at(self.find(target)?).report;
        let kind = report.service.as_ref().map_or(report.name.as_str(), |it| it.as_str());
        let known = self.known();
        let mine = known.iter().filter(|(_, it)| it.subject.kind == kind);
        let mut insights: Vec<Insight> = mine.map(|(id, it)| self.insight(id, it, now)).collect();
        insights.sort_by_cached_key(Insight::place);
        let mut predictions = self.predictions(now);
        predictions.retain(|it| {
            it.name.as_ref() == Some(&health.name) || it.subject.as_ref().is_some_and(|subject| subject.kind == kind)
        });
        Some(TargetOutlook { health, insights, predictions })
    }
}
