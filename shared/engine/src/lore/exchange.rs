//! Taking knowledge out, and taking in what other fleets have learned.

use std::fmt;
use std::time::Duration;

use prunella_model::knowledge::{Age, KnowledgeRecord, LORE_SCHEMA, Lore, PatternRecord, Subject};
use prunella_model::record::Change;
use prunella_model::{OperatorName, Timestamp};
use sha2::{Digest, Sha256};

use crate::Engine;
use crate::choose::alone::SPANS;
use crate::choose::book::RECENT;
use crate::event::Reply;
use crate::requests::refused;

/// The most records of one document.
pub const RECORDS_MAX: usize = 20_000;

/// The most records that a fleet keeps, its own included.
const KEPT_MAX: usize = 200_000;

/// The largest count, and the longest time in seconds, that a record may have.
const COUNT_MAX: f64 = 1e12;

/// The longest text in a record, in bytes. Names have a bound of their own.
const TEXT_MAX: usize = 256;

/// The most repairs that one record says had been tried before.
const AFTER_MAX: usize = 16;

/// How far the clock of another fleet may run ahead.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Why what somebody exported cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadLore {
    /// It is of another form.
    Schema {
        /// The form that it names.
        found: u32,
    },
    /// It has too many records.
    TooMany {
        /// How many it has.
        found: usize,
    },
    /// A record says what cannot be.
    Record {
        /// Which record, such as `knowledge[3]`.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for BadLore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema { found } => write!(
                f,
                "schema {found} is not {LORE_SCHEMA}, which this program reads: export it with a program of this version"
            ),
            Self::TooMany { found } => write!(f, "{found} records are more than {RECORDS_MAX}: export fewer of them"),
            Self::Record { place, what } => write!(f, "{place}: {what}"),
        }
    }
}

impl std::error::Error for BadLore {}

/// Whether what somebody else wrote can be believed at all: its form, its size, and every number.
///
/// # Errors
/// What is wrong, and where.
pub fn check(lore: &Lore, now: Timestamp) -> Result<(), BadLore> {
    if lore.schema != LORE_SCHEMA {
        return Err(BadLore::Schema { found: lore.schema });
    }
    let found = lore.knowledge.len().saturating_add(lore.patterns.len());
    if found > RECORDS_MAX {
        return Err(BadLore::TooMany { found });
    }
    for (place, it) in lore.knowledge.iter().enumerate() {
        knowledge(it, now).map_err(|what| BadLore::Record { place: format!("knowledge[{place}]"), what })?;
    }
    for (place, it) in lore.patterns.iter().enumerate() {
        pattern(it, now).map_err(|what| BadLore::Record { place: format!("patterns[{place}]"), what })?;
    }
    Ok(())
}

fn count(it: f64) -> bool {
    it.is_finite() && (0.0..=COUNT_MAX).contains(&it)
}

fn subject(subject: &Subject, updated_at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    let text = |it: &str| !it.is_empty() && it.len() <= TEXT_MAX && !it.chars().any(char::is_control);
    if !text(&subject.kind) || (!subject.class.is_empty() && !text(&subject.class)) {
        return Err("kind and class must be one line of at most 256 bytes");
    }
    if updated_at > now.after(AHEAD) {
        return Err("updated_at lies more than a day ahead: look at the clock of the fleet that exported it");
    }
    Ok(())
}

fn knowledge(it: &KnowledgeRecord, now: Timestamp) -> Result<(), &'static str> {
    subject(&it.subject, it.updated_at, now)?;
    if it.source.is_none() {
        return Err("source must name the fleet whose experience it is");
    }
    if !count(it.healed) || !count(it.failed) {
        return Err("healed and failed must be numbers from 0 to 1e12");
    }
    let time = |it: Option<Duration>| it.is_none_or(|it| count(it.as_secs_f64()));
    if !time(it.mean_time) || !time(it.mean_failure) {
        return Err("a mean time must be at most 1e12 seconds");
    }
    if it.after.len() > AFTER_MAX {
        return Err("after must name at most 16 repairs");
    }
    Ok(())
}

fn pattern(it: &PatternRecord, now: Timestamp) -> Result<(), &'static str> {
    subject(&it.subject, it.updated_at, now)?;
    if it.source.is_none() {
        return Err("source must name the fleet whose experience it is");
    }
    let age = |it: &Age| count(it.recovered) && count(it.exposure);
    if it.ages.len() > SPANS || !it.ages.iter().all(age) {
        return Err("ages must be at most 12 pairs of numbers from 0 to 1e12");
    }
    let last = it.recent.last().copied().unwrap_or_default();
    if it.recent.len() > RECENT || !it.recent.is_sorted() || last > now.after(AHEAD) {
        return Err("recent must be at most 32 times, oldest first, none ahead");
    }
    if it.self_recovered > it.incidents || it.escalated > it.incidents {
        return Err("self_recovered and escalated must not be more than incidents");
    }
    Ok(())
}

impl Engine {
    /// Everything that was learned here and elsewhere, to take along: at most [`RECORDS_MAX`] records, the newest.
    #[must_use]
    pub fn lore(&self) -> Lore {
        let mut knowledge: Vec<KnowledgeRecord> = self.book.knowledge().cloned().collect();
        let mut patterns: Vec<PatternRecord> = self.book.patterns().cloned().collect();
        let mut times: Vec<Timestamp> = knowledge.iter().map(|it| it.updated_at).collect();
        times.extend(patterns.iter().map(|it| it.updated_at));
        times.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(oldest) = times.get(RECORDS_MAX).copied() {
            knowledge.retain(|it| it.updated_at > oldest);
            patterns.retain(|it| it.updated_at > oldest);
        }
        knowledge.iter_mut().for_each(|it| it.source = it.source.take().or_else(|| Some(self.fleet.clone())));
        patterns.iter_mut().for_each(|it| it.source = it.source.take().or_else(|| Some(self.fleet.clone())));
        // Whose it is must not decide the order: the same knowledge has the same id in every fleet.
        knowledge.sort_by(|a, b| (&a.source, &a.fingerprint, &a.repair).cmp(&(&b.source, &b.fingerprint, &b.repair)));
        patterns.sort_by(|a, b| (&a.source, &a.fingerprint).cmp(&(&b.source, &b.fingerprint)));
        let digest = Sha256::digest(format!("{knowledge:?}{patterns:?}").as_bytes());
        let id = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Lore { schema: LORE_SCHEMA, fleet: self.fleet.clone(), id, knowledge, patterns }
    }

    /// Takes in what a fleet has learned. The same twice changes nothing.
    pub(crate) fn import(&mut self, by: &OperatorName, lore: Lore) -> Reply {
        if let Err(why) = check(&lore, self.now) {
            return refused("BAD_KNOWLEDGE", why.to_string());
        }
        let offered = lore.knowledge.len().saturating_add(lore.patterns.len());
        let kept = self.book.knowledge().count().saturating_add(self.book.patterns().count());
        if kept.saturating_add(offered) > KEPT_MAX {
            let why = format!("{kept} records are known, and {offered} more may be: at most {KEPT_MAX} are kept");
            return refused("TOO_MUCH_KNOWLEDGE", why);
        }
        let (mut knowledge, mut patterns) = (lore.knowledge, lore.patterns);
        knowledge.iter_mut().for_each(|it| it.source = it.source.take().filter(|it| *it != self.fleet));
        patterns.iter_mut().for_each(|it| it.source = it.source.take().filter(|it| *it != self.fleet));
        let (knowledge, patterns) = self.book.merge(knowledge, patterns);
        let restored = knowledge.iter().filter(|it| it.source.is_none()).count()
            + patterns.iter().filter(|it| it.source.is_none()).count();
        let new = knowledge.len() + patterns.len() - restored;
        let known = offered.saturating_sub(new + restored);
        self.out.changes.extend(knowledge.into_iter().map(|it| Change::PutKnowledge(Box::new(it))));
        self.out.changes.extend(patterns.into_iter().map(|it| Change::PutPattern(Box::new(it))));
        let detail = format!(
            "{offered} records of export {} of {}: {new} new, {restored} of this fleet restored, {known} known",
            lore.id, lore.fleet
        );
        self.audit_as(format!("operator/{by}"), "knowledge_imported", "knowledge".to_owned(), None, detail);
        Reply::Learned { new, restored, known }
    }
}
