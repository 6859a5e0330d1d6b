//! What a host's week looks like: how much it is used in each hour, and whether one week tells the next.
//!
//! Each of three measures has 168 decayed means. They are compared only as shares of their own mean, so that processors,
//! load and network count alike, and a host that has little to do has quiet hours just as one that has much.
//! Before an hour is learned it is foretold; the correlation of what was foretold with what came (over about a week) says
//! whether there is a rhythm at all, and it falls as soon as the rhythm moves.

use prunella_model::week::{HOURS, Hex, UseRecord, WeekHours, place_of};

/// Processors, load, network.
pub(crate) const MEASURES: usize = 3;

/// The weight of one week's hour, so that decayed weights fit a byte: their sum stays below 6.3.
const ONCE: u8 = 40;

/// What was seen counts half after so many weeks.
const HALF_LIFE: f64 = 4.0;

/// How far the memory of what was foretold reaches: half of it is a week old.
const FADE: f64 = 0.995_882_6;

/// Fewer hours than this, decayed, do not tell whether one week tells the next.
const FORETOLD_LEAST: f64 = 60.0;

/// Weeks whose hours correlate less than this have no rhythm.
const ALIKE: f64 = 0.5;

/// Logarithms of use that vary less than this, as a variance, are those of a host that is used alike at all times: a fifth
/// more or less of the mean.
const STEADY: f64 = 0.01;

/// Hours that are used more than this, as a share of the mean, are not quiet, however much busier others are.
const QUIET_MOST: f64 = 0.75;

/// So many hours of the week must be known.
const KNOWN_LEAST: usize = 126;

/// One measure by the hours of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Profile {
    /// Its decayed means: the upper halves of `f32`s, which is exact to one in 256.
    means: [u16; HOURS],
    /// How much each stands on; 0 is nothing.
    weights: [u8; HOURS],
}

impl Profile {
    const NOTHING: Self = Self { means: [0; HOURS], weights: [0; HOURS] };

    fn get(&self, place: usize) -> Option<f64> {
        let known = *self.weights.get(place)? > 0;
        self.means.get(place).filter(|_| known).map(|it| f64::from(f32::from_bits(u32::from(*it) << 16)))
    }

    fn add(&mut self, place: usize, value: f64) {
        let before = self.get(place).unwrap_or(value);
        let (Some(mean), Some(weight)) = (self.means.get_mut(place), self.weights.get_mut(place)) else { return };
        *weight = weight.saturating_add(ONCE);
        *mean = short(before + (value - before) * f64::from(ONCE) / f64::from(*weight));
    }

    /// The mean over the hours that are known; null when none is, or when it is never used.
    fn level(&self) -> Option<f64> {
        let known = (0..HOURS).filter_map(|place| self.get(place));
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), it| (sum + it, count + 1.0));
        (sum > 0.0).then(|| sum / count)
    }
}

/// The upper half of the nearest `f32`.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for; what is too large becomes infinite")]
fn short(value: f64) -> u16 {
    let bits = (value as f32).to_bits();
    (bits.saturating_add(0x8000) >> 16) as u16
}

/// How well the weeks before foretold each hour: decayed sums.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Skill([f64; 6]);

impl Skill {
    fn add(&mut self, foretold: f64, came: f64) {
        // Roots of shares would do as well; the logarithm keeps one huge hour from deciding.
        let (x, y) = (libm::log1p(foretold), libm::log1p(came));
        for (sum, new) in self.0.iter_mut().zip([1.0, x, y, x * x, y * y, x * y]) {
            *sum = *sum * FADE + new;
        }
    }

    /// Whether the hours that came were all used about alike.
    fn steady(&self) -> bool {
        let [count, _, y, _, yy, _] = self.0;
        count >= FORETOLD_LEAST && yy / count - y * y / (count * count) <= STEADY
    }

    /// The correlation, -1 to 1. Null while too little is known, and when nothing varies.
    fn alike(&self) -> Option<f64> {
        let [count, x, y, xx, yy, xy] = self.0;
        if count < FORETOLD_LEAST {
            return None;
        }
        let (vx, vy) = (xx / count - x * x / (count * count), yy / count - y * y / (count * count));
        let spread = libm::sqrt(vx * vy);
        (vx > 1e-9 && vy > 1e-9 && spread.is_finite()).then(|| (xy / count - x * y / (count * count)) / spread)
    }
}

/// The week of one host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Week {
    /// The week of the latest hour that was counted.
    latest: u64,
    /// How many hours were counted.
    pub(crate) hours: u32,
    skill: Skill,
    profiles: [Profile; MEASURES],
}

/// What a week, or those of several hosts, tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// Too little is known of it.
    TooLittle,
    /// Every hour is used about alike.
    Flat,
    /// One week does not tell the next; with the correlation, where there is one.
    Irregular(Option<f64>),
    /// These hours are the quiet ones.
    Quiet {
        /// Which.
        hours: WeekHours,
        /// The mean use in them, as a share of the mean of the week.
        share: f64,
        /// The correlation of one week with the next.
        alike: f64,
    },
}

const fn week_of(hour: u64) -> u64 {
    hour / HOURS as u64
}

impl Week {
    pub(crate) fn new(hour: u64) -> Self {
        let profiles = [Profile::NOTHING; MEASURES];
        Self { latest: week_of(hour), hours: 0, skill: Skill::default(), profiles }
    }

    /// Takes one hour in: the mean of each measure, null where it was not measured for long enough.
    pub(crate) fn learn(&mut self, hour: u64, seen: [Option<f64>; MEASURES]) {
        if seen.iter().all(Option::is_none) || week_of(hour) < self.latest {
            return;
        }
        self.age(week_of(hour));
        let place = place_of(hour);
        let shares = self.profiles.iter().zip(&seen).filter_map(|(profile, value)| {
            let level = profile.level()?;
            Some((profile.get(place)? / level, (*value)? / level))
        });
        let (foretold, came, count) =
            shares.fold((0.0, 0.0, 0.0), |(x, y, count), it| (x + it.0, y + it.1, count + 1.0));
        if count > 0.0 {
            self.skill.add(foretold / count, came / count);
        }
        for (profile, value) in self.profiles.iter_mut().zip(seen) {
            if let Some(value) = value {
                profile.add(place, value);
            }
        }
        self.hours = self.hours.saturating_add(1);
    }

    /// Lets what is known count less as weeks pass. What did not foretell the present counts as one week at most, so that
    /// a rhythm that has moved is learned anew within weeks instead of months.
    fn age(&mut self, week: u64) {
        let passed = week.saturating_sub(self.latest);
        self.latest = week;
        if passed == 0 {
            return;
        }
        let most = if self.skill.alike().is_some_and(|it| it < ALIKE) { ONCE } else { u8::MAX };
        #[expect(clippy::cast_precision_loss, reason = "a number of weeks")]
        let rate = libm::pow(0.5, passed as f64 / HALF_LIFE);
        for weight in self.profiles.iter_mut().flat_map(|it| &mut it.weights) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a byte")]
            let left = (f64::from((*weight).min(most)) * rate) as u8;
            *weight = left;
        }
    }

    /// The use of each hour, as a share of the mean of the week; null where it is not known.
    fn shares(&self) -> [Option<f64>; HOURS] {
        let levels: [Option<f64>; MEASURES] = std::array::from_fn(|it| self.profiles.get(it).and_then(Profile::level));
        std::array::from_fn(|place| {
            let known = self.profiles.iter().zip(&levels).filter_map(|(it, level)| Some(it.get(place)? / (*level)?));
            let (sum, count) = known.fold((0.0, 0.0), |(sum, count), it| (sum + it, count + 1.0));
            (count > 0.0).then(|| sum / count)
        })
    }

    /// As it is stored.
    pub(crate) fn record(&self) -> UseRecord {
        let means = self.profiles.iter().flat_map(|it| it.means).flat_map(u16::to_le_bytes);
        let bytes = means.chain(self.profiles.iter().flat_map(|it| it.weights)).collect();
        UseRecord { week: self.latest, hours: self.hours, skill: self.skill.0, table: Hex(bytes) }
    }

    /// From what is stored; null when that is not what this version stores.
    pub(crate) fn of(record: &UseRecord) -> Option<Self> {
        let (means, weights) = record.table.0.split_at_checked(MEASURES * HOURS * 2)?;
        if weights.len() != MEASURES * HOURS || !record.skill.iter().all(|it| it.is_finite()) {
            return None;
        }
        let mut it = Self::new(0);
        (it.latest, it.hours, it.skill) = (record.week, record.hours, Skill(record.skill));
        let places = it.profiles.iter_mut().flat_map(|it| &mut it.means);
        for (place, pair) in places.zip(means.chunks_exact(2)) {
            *place = pair.iter().rev().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
        }
        let places = it.profiles.iter_mut().flat_map(|it| &mut it.weights);
        places.zip(weights).for_each(|(place, byte)| *place = *byte);
        let sound = (0..HOURS).all(|place| it.profiles.iter().all(|it| it.get(place).is_none_or(f64::is_finite)));
        sound.then_some(it)
    }
}

/// What weeks tell together: those of one host, or of all hosts of a service, each of which counts alike.
///
/// `percent` of the hours are the quiet ones, and `least` hours must have been counted of each.
pub(crate) fn told(weeks: &[&Week], percent: u32, least: u32) -> Told {
    if weeks.is_empty() || weeks.iter().any(|it| it.hours < least) {
        return Told::TooLittle;
    }
    let all: Vec<[Option<f64>; HOURS]> = weeks.iter().map(|it| it.shares()).collect();
    let mut together = [None; HOURS];
    for (place, sum) in together.iter_mut().enumerate() {
        *sum = all.iter().try_fold(0.0, |sum, it| Some(sum + it.get(place).copied().flatten()?));
    }
    let Some((hours, share)) = quietest(&together, percent) else { return Told::TooLittle };
    // What hardly varies is no riddle, whether its small ups and downs come again or not.
    let mut alike = f64::INFINITY;
    for skill in weeks.iter().map(|it| it.skill).filter(|it| !it.steady()) {
        match skill.alike() {
            Some(it) if it >= ALIKE => alike = alike.min(it),
            other => return Told::Irregular(other),
        }
    }
    if share <= QUIET_MOST && alike.is_finite() { Told::Quiet { hours, share, alike } } else { Told::Flat }
}

/// The least used hours, and their mean as a share of that of all. Null while too few are known.
fn quietest(shares: &[Option<f64>; HOURS], percent: u32) -> Option<(WeekHours, f64)> {
    let mut known: Vec<f64> = shares.iter().copied().flatten().collect();
    if known.len() < KNOWN_LEAST {
        return None;
    }
    known.sort_unstable_by(f64::total_cmp);
    let count = (known.len() * usize::try_from(percent).unwrap_or(0) / 100).max(1);
    let limit = *known.get(count - 1)?;
    let mean = |all: &[f64]| all.iter().sum::<f64>() / f64::from(crate::key::next(all.len()));
    let quiet: Vec<f64> = known.iter().copied().filter(|it| *it <= limit).collect();
    let whole = mean(&known);
    let hours = WeekHours::of(shares.map(|it| it.is_some_and(|it| it <= limit)));
    // A host that is never used is used alike at all times.
    Some((hours, if whole > 0.0 { mean(&quiet) / whole } else { 1.0 }))
}
