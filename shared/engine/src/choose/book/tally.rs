//! Counts of what was seen, and how they age.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::knowledge::{Age, KnowledgeRecord, PatternRecord};

use super::super::alone::Ages;

/// After this long a trial is worth half: programs change, and so does what helps them.
pub const HALF_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// Counts of one step, as of `at`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) healed: f64,
    pub(super) failed: f64,
    /// Seconds until it helped, summed over `healed`; and until it had not, over `failed`.
    pub(super) helping: f64,
    pub(super) failing: f64,
    pub(super) at: Timestamp,
}

/// The worth that evidence of `then` has now.
pub(super) fn worth(then: Timestamp, now: Timestamp) -> f64 {
    libm::exp2(-now.since(then).as_secs_f64() / HALF_LIFE.as_secs_f64())
}

/// How often a repair has healed and has failed by a record, as much as that is worth now.
#[must_use]
pub fn aged_trials(record: &KnowledgeRecord, now: Timestamp) -> (f64, f64) {
    let it = Tally::of(record).aged(now);
    (it.healed, it.failed)
}

impl Tally {
    pub(super) fn of(record: &KnowledgeRecord) -> Self {
        let seconds = |it: Option<Duration>| it.map_or(0.0, |it| it.as_secs_f64());
        Self {
            healed: record.healed,
            failed: record.failed,
            helping: seconds(record.mean_time) * record.healed,
            failing: seconds(record.mean_failure) * record.failed,
            at: record.updated_at,
        }
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        let Self { healed, failed, helping, failing, at } = self;
        Self { healed: healed * by, failed: failed * by, helping: helping * by, failing: failing * by, at }
    }

    pub(super) fn aged(self, now: Timestamp) -> Self {
        Self { at: self.at.max(now), ..self.scaled(worth(self.at, now)) }
    }

    pub(super) fn trials(self) -> f64 {
        self.healed + self.failed
    }

    /// Adds `other` `times`; both as of the later of their times.
    pub(super) fn plus(self, other: Self, times: f64) -> Self {
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
pub(super) struct Both<T> {
    pub(super) own: T,
    pub(super) foreign: T,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aged {
    pub(super) ages: Ages,
    pub(super) at: Timestamp,
}

impl Aged {
    pub(super) fn aged(self, now: Timestamp) -> Ages {
        let worth = worth(self.at, now);
        self.ages.map(|it| Age { recovered: it.recovered * worth, exposure: it.exposure * worth })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        let (mut ages, more) = (self.aged(at), other.aged(at));
        for (it, more) in ages.iter_mut().zip(more) {
            it.recovered += more.recovered;
            it.exposure += more.exposure;
        }
        Self { ages, at }
    }
}

pub(super) fn ages_of(record: &PatternRecord) -> Aged {
    let mut ages = Ages::default();
    for (it, stored) in ages.iter_mut().zip(&record.ages) {
        *it = *stored;
    }
    Aged { ages, at: record.updated_at }
}
