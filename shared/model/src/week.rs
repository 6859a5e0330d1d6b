//! Hours of the week, and how much a host was used in each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;
use crate::window::Day;

/// Hours of a week.
pub const HOURS: usize = 168;

/// Seconds of an hour.
const HOUR: u64 = 3_600;

/// Hours of a day.
const A_DAY: usize = 24;

/// The epoch began on a Thursday, three days after a Monday.
const TO_MONDAY: u64 = 3 * 24;

/// The number of an hour since the Monday before the epoch, UTC.
#[must_use]
pub const fn hour_of(at: Timestamp) -> u64 {
    at.as_secs() / HOUR + TO_MONDAY
}

/// When the hour of that number began; the epoch for those before it.
#[must_use]
pub const fn hour_begins(hour: u64) -> Timestamp {
    Timestamp::from_secs(hour.saturating_sub(TO_MONDAY).saturating_mul(HOUR))
}

/// The place of an hour in its week, counted from Monday 00:00 UTC, below [`HOURS`].
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 168")]
pub const fn place_of(hour: u64) -> usize {
    (hour % HOURS as u64) as usize
}

/// Hours of the week, UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct WeekHours([bool; HOURS]);

/// Hours in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekSpan {
    /// The day on which they begin.
    pub day: Day,
    /// The hour of that day at which they begin, below 24.
    pub from: u8,
    /// How many there are: 1 to 168.
    pub hours: u8,
}

impl WeekHours {
    /// Those hours, counted from Monday 00:00.
    #[must_use]
    pub const fn of(hours: [bool; HOURS]) -> Self {
        Self(hours)
    }

    /// Whether the hour that `at` lies in is one of them.
    #[must_use]
    pub fn contain(&self, at: Timestamp) -> bool {
        self.has(hour_of(at))
    }

    fn has(&self, hour: u64) -> bool {
        self.0.get(place_of(hour)).copied().unwrap_or(false)
    }

    /// The first moment from `now` on that lies in them: now, if it does; null when there are none.
    #[must_use]
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        if self.contain(now) {
            return Some(now);
        }
        let hour = hour_of(now);
        (hour..=hour + HOURS as u64).find(|it| self.has(*it)).map(hour_begins)
    }

    /// The end of those in a row that `at` lies in; null when it lies in none, or when they never end.
    #[must_use]
    pub fn close(&self, at: Timestamp) -> Option<Timestamp> {
        let hour = hour_of(at);
        let end = (hour..=hour + HOURS as u64).find(|it| !self.has(*it))?;
        (end > hour).then(|| hour_begins(end))
    }

    /// The hours in a row that `at` lies in, or else the next ones; null when there are none.
    #[must_use]
    pub fn next(&self, at: Timestamp) -> Option<WeekSpan> {
        let opens = hour_of(self.opens(at)?);
        let begins = (0..HOURS as u64).take_while(|back| *back <= opens && self.has(opens - back)).last()?;
        let whole = |it: &WeekSpan| usize::from(it.hours) == HOURS;
        self.spans().into_iter().find(|it| whole(it) || it.begins() == place_of(opens - begins))
    }

    /// All of them, in order from Monday; what goes on over Sunday's midnight begins on its Sunday.
    #[must_use]
    pub fn spans(&self) -> Vec<WeekSpan> {
        if self.0.iter().all(|it| *it) {
            return WeekSpan::at(0, HOURS).into_iter().collect();
        }
        let is = |place: usize| self.0.get(place % HOURS).copied().unwrap_or(false);
        let begins = (0..HOURS).filter(|place| is(*place) && !is(place + HOURS - 1));
        begins.filter_map(|from| WeekSpan::at(from, (from..).take_while(|place| is(*place)).count())).collect()
    }
}

impl WeekSpan {
    fn at(from: usize, hours: usize) -> Option<Self> {
        let day = *Day::ALL.get(from / A_DAY)?;
        Some(Self { day, from: u8::try_from(from % A_DAY).ok()?, hours: u8::try_from(hours).ok()? })
    }

    /// Its first hour, counted from Monday 00:00.
    fn begins(self) -> usize {
        let day = Day::ALL.iter().position(|it| *it == self.day).unwrap_or_default();
        day * A_DAY + usize::from(self.from)
    }

    fn clock(self) -> String {
        let end = (usize::from(self.from) + usize::from(self.hours)) % A_DAY;
        match usize::from(self.hours) {
            HOURS => "at all times".to_owned(),
            A_DAY.. => format!("{:02}:00 for {} h", self.from, self.hours),
            _ => format!("{:02}:00–{end:02}:00", self.from),
        }
    }
}

/// `Sun 02:00–06:00 UTC`.
impl fmt::Display for WeekSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::from(self.hours) {
            HOURS => f.write_str(&self.clock()),
            _ => write!(f, "{} {} UTC", self.day.as_str(), self.clock()),
        }
    }
}

/// `Mon Tue 02:00–06:00, Sun 01:00–07:00 UTC`: days with the same hours together.
impl fmt::Display for WeekHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self.spans();
        if spans.iter().any(|it| usize::from(it.hours) == HOURS) {
            return f.write_str("at all times");
        }
        let mut days: BTreeMap<(u8, u8), (Day, Vec<WeekSpan>)> = BTreeMap::new();
        for it in &spans {
            days.entry((it.from, it.hours)).or_insert((it.day, Vec::new())).1.push(*it);
        }
        let mut rows: Vec<Vec<WeekSpan>> = days.into_values().map(|(_, spans)| spans).collect();
        rows.sort_by_key(|spans| spans.first().map(|it| it.begins()));
        for (number, row) in rows.iter().enumerate() {
            let names: Vec<&str> = row.iter().map(|it| it.day.as_str()).collect();
            let days = if names.len() == Day::ALL.len() { "every day".to_owned() } else { names.join(" ") };
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{days} {}", row.first().map_or_else(String::new, |it| it.clock()))?;
        }
        f.write_str(if rows.is_empty() { "never" } else { " UTC" })
    }
}

impl fmt::Debug for WeekHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Bytes, written as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            for half in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(half), 16));
            }
        }
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Self).ok_or_else(|| de::Error::custom("expected an even number of hexadecimal digits"))
    }
}

/// How much a host was used in each hour of the week, as the engine keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UseRecord {
    /// The week of the latest hour that was counted, since the Monday before the epoch.
    pub week: u64,
    /// How many hours were counted in all.
    pub hours: u32,
    /// Decayed sums that tell how well the weeks before foretold each hour: count, x, y, x², y², xy.
    pub skill: [f64; 6],
    /// For each measure and each hour of the week its decayed mean (two bytes, little-endian, the upper half of an `f32`);
    /// then for each the weight of what it stands on (one byte).
    pub table: Hex,
}

/// The time until `then` from `now` on, as a person reads it: `5 h`, `2 d`.
#[must_use]
pub fn ahead(now: Timestamp, then: Timestamp) -> String {
    let left: Duration = then.since(now);
    let minutes = left.as_secs().div_ceil(60);
    match minutes {
        0 => "now".to_owned(),
        1..90 => format!("in {minutes} min"),
        90..2_880 => format!("in {} h", (minutes + 30) / 60),
        _ => format!("in {} d", (minutes + 720) / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour of a week long after the epoch.
    fn at(place: u64) -> Timestamp {
        hour_begins(168 * 1_000 + place)
    }

    fn hours(places: &[usize]) -> WeekHours {
        let mut it = [false; HOURS];
        places.iter().for_each(|place| it[*place] = true);
        WeekHours::of(it)
    }

    #[test]
    fn the_week_begins_on_monday() {
        // 1970-01-05 was a Monday.
        assert_eq!(place_of(hour_of(Timestamp::from_secs(4 * 86_400))), 0);
        assert_eq!(place_of(hour_of(Timestamp::from_secs(4 * 86_400 - 1))), 167);
        assert_eq!(hour_begins(hour_of(Timestamp::from_secs(7_200))), Timestamp::from_secs(7_200));
    }

    #[test]
    fn hours_in_a_row_are_one_window_and_may_pass_the_end_of_the_week() {
        let it = hours(&[167, 0, 1, 50]);
        assert_eq!(it.to_string(), "Wed 02:00–03:00, Sun 23:00–02:00 UTC");
        let sunday = WeekSpan { day: Day::Sun, from: 23, hours: 3 };
        assert_eq!((it.next(at(1)), it.next(at(60))), (Some(sunday), Some(sunday)));
        assert_eq!(sunday.to_string(), "Sun 23:00–02:00 UTC");
        assert_eq!((it.opens(at(1)), it.close(at(1))), (Some(at(1)), Some(at(2))));
        assert_eq!((it.opens(at(2)), it.close(at(2))), (Some(at(50)), None));
        assert_eq!(it.opens(at(51)), Some(at(167)));
        let daily: Vec<usize> = (0..7).flat_map(|day| [day * 24 + 2, day * 24 + 3]).collect();
        assert_eq!(hours(&daily).to_string(), "every day 02:00–04:00 UTC");
    }

    #[test]
    fn none_and_all_are_said() {
        let none = hours(&[]);
        assert_eq!((none.to_string().as_str(), none.opens(at(0)), none.next(at(0))), ("never", None, None));
        let all = WeekHours::of([true; HOURS]);
        assert_eq!((all.to_string().as_str(), all.close(at(7)), all.opens(at(7))), ("at all times", None, Some(at(7))));
    }

    #[test]
    fn a_time_ahead_is_about_as_long_as_it_is() {
        let said = |secs| ahead(Timestamp::ZERO, Timestamp::from_secs(secs));
        assert_eq!(
            ["now", "in 1 min", "in 89 min", "in 2 h", "in 5 h", "in 3 d"].map(str::to_owned),
            [said(0), said(3), said(89 * 60), said(90 * 60), said(5 * 3_600), said(3 * 86_400)]
        );
    }
}
