//! Ways to choose, all of one shape: what to do next in this incident, and what to learn from it.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_engine::choose::{Book, Draw, Ending, Lesson, Situation, rank};
use prunella_model::knowledge::Subject;
use prunella_model::{CauseName, RepairName, RuleName, Timestamp};

use super::world::{ATTEMPTS, CAUSES, CHANGES, Cause, FUTILE, Fault, Incident, PERSON, REPAIRS, arms};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    /// Make the repair of that number.
    Repair(usize),
    /// Do nothing for so many seconds.
    Wait(f64),
}

/// What happened in an incident so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    /// Seconds since the first decision.
    pub(super) time: f64,
    /// Each repair with the time at which it began and what came of it: seconds to recovery, or null.
    pub(super) tries: Vec<(usize, f64, Option<f64>)>,
    /// Whether it is over, without a person.
    pub(super) over: bool,
}

impl Story {
    pub(super) fn failures(&self, repair: usize) -> usize {
        self.tries.iter().filter(|it| it.0 == repair && it.2.is_none()).count()
    }
}

/// One way to choose.
pub(super) trait Policy {
    fn next(&mut self, incident: &Incident, faults: &[Fault], now: Timestamp, story: &Story) -> Act;
    fn learn(&mut self, _incident: &Incident, _faults: &[Fault], _now: Timestamp, _story: &Story) {}
}

/// Restarts until it helps.
pub(super) struct RestartLoop;

impl Policy for RestartLoop {
    fn next(&mut self, _: &Incident, _: &[Fault], _: Timestamp, _: &Story) -> Act {
        Act::Repair(1)
    }
}

/// One after the other, the gentlest first; from the start again when all have failed.
pub(super) struct Ladder;

impl Policy for Ladder {
    fn next(&mut self, _: &Incident, _: &[Fault], _: Timestamp, story: &Story) -> Act {
        Act::Repair(story.tries.len() % REPAIRS.len())
    }
}

/// The best share of successes, 0.5 without any history; not again what failed in this incident.
#[derive(Default)]
pub(super) struct Greedy(BTreeMap<(usize, usize, usize), (f64, f64)>);

impl Policy for Greedy {
    fn next(&mut self, it: &Incident, _: &[Fault], _: Timestamp, story: &Story) -> Act {
        let share = |repair: usize| match self.0.get(&(it.fault, it.named, repair)) {
            Some((helped, tried)) => helped / tried,
            None => 0.5,
        };
        let rank = |repair: usize| share(repair) * 0.1_f64.powi(i32::try_from(story.failures(repair)).unwrap_or(9));
        Act::Repair((0..REPAIRS.len()).rev().max_by(|a, b| rank(*a).total_cmp(&rank(*b))).unwrap_or(0))
    }

    fn learn(&mut self, it: &Incident, _: &[Fault], _: Timestamp, story: &Story) {
        for (repair, _, helped) in &story.tries {
            let known = self.0.entry((it.fault, it.named, *repair)).or_default();
            *known = (known.0 + f64::from(u8::from(helped.is_some())), known.1 + 1.0);
        }
    }
}

/// Draws each repair's chance from what its successes and failures leave open, and takes the largest.
pub(super) struct Thompson(pub(super) Draw, pub(super) BTreeMap<(usize, usize, usize), (f64, f64)>);

impl Policy for Thompson {
    fn next(&mut self, it: &Incident, _: &[Fault], _: Timestamp, story: &Story) -> Act {
        let mut best = (0, -1.0);
        for repair in 0..REPAIRS.len() {
            let (helped, failed) = self.1.get(&(it.fault, it.named, repair)).copied().unwrap_or_default();
            let drawn = self.0.beta(1.0 + helped, 1.0 + failed);
            let drawn = drawn * 0.1_f64.powi(i32::try_from(story.failures(repair)).unwrap_or(9));
            if drawn > best.1 {
                best = (repair, drawn);
            }
        }
        Act::Repair(best.0)
    }

    fn learn(&mut self, it: &Incident, _: &[Fault], _: Timestamp, story: &Story) {
        for (repair, _, helped) in &story.tries {
            let known = self.1.entry((it.fault, it.named, *repair)).or_default();
            let helped = f64::from(u8::from(helped.is_some()));
            *known = (known.0 + helped, known.1 + 1.0 - helped);
        }
    }
}

/// Knows what each incident is really caused by, how likely each repair is to help, and how fast it goes away; not how
/// the coins will fall. Under that it is the best there is: the plan is found by going back from the last attempt.
pub(super) struct Oracle;

impl Oracle {
    /// The least cost from here on, and what to do: when the repairs in `failed` have failed and so many may be made.
    fn plan(cause: &Cause, failed: usize, left: usize, known: &mut BTreeMap<(usize, usize), (f64, Act)>) -> (f64, Act) {
        if let Some(known) = known.get(&(failed, left)) {
            return *known;
        }
        // The mean time that is lost within `span`, and the chance that the fault lasts longer.
        let lost = |span: f64| ((1.0 - (-cause.alone * span).exp()) / cause.alone, (-cause.alone * span).exp());
        let mut best = (1.0 / cause.alone, Act::Wait(1e6));
        for (repair, (_, takes, harm)) in REPAIRS.iter().enumerate().filter(|_| left > 0) {
            let again = failed & (1 << repair) != 0;
            let helps = cause.helps[repair] * if again { CHANGES } else { 1.0 };
            let (futile, lasts) = lost(takes + FUTILE);
            let (rest, _) = Self::plan(cause, failed | (1 << repair), left - 1, known);
            let cost = harm + helps * lost(*takes).0 + (1.0 - helps) * (futile + lasts * rest);
            if cost < best.0 {
                best = (cost, Act::Repair(repair));
            }
        }
        if left == 0 {
            best = (lost(PERSON).0, Act::Wait(0.0));
        }
        known.insert((failed, left), best);
        best
    }
}

impl Policy for Oracle {
    fn next(&mut self, it: &Incident, faults: &[Fault], _: Timestamp, story: &Story) -> Act {
        let failed = (0..REPAIRS.len()).filter(|repair| story.failures(*repair) > 0).map(|repair| 1 << repair).sum();
        let cause = &faults[it.fault].causes[it.cause];
        Self::plan(cause, failed, ATTEMPTS - story.tries.len(), &mut BTreeMap::new()).1
    }
}

/// The engine's own way.
pub(super) struct Engine {
    pub(super) book: Book,
    /// Whether chances are drawn.
    pub(super) draws: bool,
    pub(super) seed: u64,
    /// Whether it may be waited at all.
    pub(super) waits: bool,
    /// How likely its diagnoses are right, as they say themselves.
    pub(super) confidence: f64,
}

/// The longest that one incident may be waited for, as in the default policy.
const WAIT_MOST: f64 = 60.0;

impl Engine {
    fn subject(it: &Incident, faults: &[Fault]) -> Subject {
        const NAMES: [&str; CAUSES] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        Subject {
            rule: RuleName::of("broken"),
            kind: format!("fault-{}", it.fault),
            class: "process".to_owned(),
            symptom: None,
            cause: CauseName::of(NAMES[faults[it.fault].causes[it.named].number]),
        }
    }

    fn tried(story: &Story, before: f64) -> Vec<RepairName> {
        let vain = story.tries.iter().filter(|it| it.2.is_none() && it.1 < before);
        vain.map(|it| RepairName::of(REPAIRS[it.0].0)).collect()
    }

    fn prior(it: &Incident, faults: &[Fault]) -> (f64, f64) {
        (faults[it.fault].causes[it.named].prior_alone, 0.1)
    }
}

impl Policy for Engine {
    fn next(&mut self, it: &Incident, faults: &[Fault], now: Timestamp, story: &Story) -> Act {
        let subject = Self::subject(it, faults);
        let attempt = story.tries.len().to_string();
        let mut draw = Draw::keyed(self.seed, &[&now.as_micros().to_be_bytes(), attempt.as_bytes()]);
        let situation = Situation {
            now,
            age: Duration::from_secs_f64(story.time),
            tried: &Self::tried(story, f64::INFINITY),
            confidence: self.confidence,
            alone: Self::prior(it, faults),
            left: u32::try_from(ATTEMPTS - story.tries.len()).unwrap_or(1),
            person: Duration::from_secs_f64(PERSON),
            wait_most: Duration::from_secs_f64(WAIT_MOST),
        };
        let arms = arms(&faults[it.fault].causes[it.named]);
        let ranking = rank(&self.book, &subject, &situation, &arms, self.draws.then_some(&mut draw));
        let waited = story.tries.first().map_or(story.time, |it| it.1);
        if self.waits && story.tries.is_empty() && waited < WAIT_MOST && ranking.waits(false) {
            return Act::Wait(ranking.wait.span.as_secs_f64().min(WAIT_MOST - waited).max(0.1));
        }
        Act::Repair(ranking.arms.first().map_or(0, |it| it.arm))
    }

    fn learn(&mut self, it: &Incident, faults: &[Fault], now: Timestamp, story: &Story) {
        let subject = Self::subject(it, faults);
        let mut alone = 1.0;
        for (repair, began, helped) in &story.tries {
            let name = RepairName::of(REPAIRS[*repair].0);
            let took = helped.unwrap_or(REPAIRS[*repair].1 + FUTILE);
            let span = Duration::from_secs_f64(took);
            let lesson = if helped.is_some() { Lesson::Healed(span) } else { Lesson::Failed(span) };
            let (rates, _) = self.book.rates(&subject, Self::prior(it, faults), now);
            let by_itself = rates.gone(*began, took).0;
            let prior = faults[it.fault].causes[it.named].prior_helps[*repair];
            let after = Self::tried(story, *began);
            let (_, credit) = self.book.learn((&subject, &after), &name, lesson, (prior, by_itself), now);
            if helped.is_some() {
                alone = 1.0 - credit;
            }
        }
        let ending = Ending {
            opened: now,
            watched: Duration::from_secs_f64(story.time),
            alone: if story.over { alone } else { 0.0 },
            untouched: story.tries.is_empty(),
            escalated: !story.over,
        };
        self.book.note(&subject, ending, now);
    }
}
