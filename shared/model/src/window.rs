//! Times of the week that come again: maintenance windows.
//!
//! Local time arrives as data: a window names its offset from UTC. Nothing here knows time zones or their changes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::policy::Scope;

/// Minutes of a day and of a week.
const DAY: u64 = 24 * 60;
const WEEK: u64 = 7 * DAY;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All days, from Monday.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// Its first three letters: `Mon`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "Mon",
            Self::Tue => "Tue",
            Self::Wed => "Wed",
            Self::Thu => "Thu",
            Self::Fri => "Fri",
            Self::Sat => "Sat",
            Self::Sun => "Sun",
        }
    }
}

/// A time of day, written `22:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime {
    /// Minutes since midnight, below 1440.
    minutes: u16,
}

/// A part of each day, UTC, written `02:00-05:00`. It may pass midnight; equal ends mean the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayHours {
    /// Where it begins.
    from: ClockTime,
    /// Where it ends.
    to: ClockTime,
}

impl DayHours {
    /// Whether a time lies in it.
    #[must_use]
    pub fn contain(self, at: Timestamp) -> bool {
        let minute = at.as_micros() / 60_000_000 % DAY;
        let (from, to) = (u64::from(self.from.minutes), u64::from(self.to.minutes));
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }

    /// The first moment from `now` on that lies in it.
    #[must_use]
    pub fn opens(self, now: Timestamp) -> Timestamp {
        if self.contain(now) {
            return now;
        }
        let (minute, from) = (now.as_secs() / 60, u64::from(self.from.minutes));
        let left = (from + DAY - minute % DAY) % DAY;
        Timestamp::from_secs((minute + left) * 60)
    }
}

impl TryFrom<String> for DayHours {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (from, to) =
            text.split_once('-').ok_or_else(|| format!("{text:?} is no part of a day; write it like 02:00-05:00"))?;
        Ok(Self { from: from.to_owned().try_into()?, to: to.to_owned().try_into()? })
    }
}

impl From<DayHours> for String {
    fn from(it: DayHours) -> Self {
        format!("{}-{}", it.from, it.to)
    }
}

/// An offset of local time from UTC, written `+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UtcOffset {
    /// Minutes to add to UTC; within a day either way.
    minutes: i16,
}

fn hours_and_minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 || !text.bytes().all(|it| it == b':' || it.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

impl TryFrom<String> for ClockTime {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let minutes = hours_and_minutes(&text);
        minutes
            .map(|minutes| Self { minutes })
            .ok_or_else(|| format!("{text:?} is no time of day; write it like 22:00"))
    }
}

impl From<ClockTime> for String {
    fn from(it: ClockTime) -> Self {
        it.to_string()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl TryFrom<String> for UtcOffset {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("{text:?} is no offset from UTC; write it like +02:00 or -05:30");
        let (sign, rest) = match text.split_at_checked(1) {
            Some(("+", rest)) => (1, rest),
            Some(("-", rest)) => (-1, rest),
            Some(_) | None => return Err(bad()),
        };
        let minutes = hours_and_minutes(rest).and_then(|it| i16::try_from(it).ok()).ok_or_else(bad)?;
        Ok(Self { minutes: sign * minutes })
    }
}

impl From<UtcOffset> for String {
    fn from(it: UtcOffset) -> Self {
        let sign = if it.minutes < 0 { '-' } else { '+' };
        let minutes = it.minutes.unsigned_abs();
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// A time of the week in which nothing is repaired: people are at work there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// What it covers.
    #[serde(with = "crate::scope::text", default = "fleet")]
    pub scope: Scope,
    /// The days on which it begins; none means every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it begins, local time.
    pub from: ClockTime,
    /// When it ends, local time; not after `from` means on the next day.
    pub until: ClockTime,
    /// The offset of that local time from UTC.
    #[serde(default)]
    pub utc_offset: UtcOffset,
    /// Why, for whoever finds a repair held.
    #[serde(default)]
    pub why: String,
}

const fn fleet() -> Scope {
    Scope::Fleet
}

impl Window {
    /// When the window that is open at `now` ends; null while none is open.
    #[must_use]
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let local = self.local(now);
        let (from, until) = (u64::from(self.from.minutes), u64::from(self.until.minutes));
        let length = if until > from { until - from } else { until + DAY - from };
        let passed = self.begins().map(|index| (local + WEEK - index * DAY - from) % WEEK).filter(|it| *it < length);
        let left = length - passed.min()?;
        let minute = Timestamp::from_secs(now.as_secs() / 60 * 60);
        Some(minute.after(Duration::from_secs(left * 60)))
    }

    /// The minute of its own local week.
    fn local(&self, now: Timestamp) -> u64 {
        let offset = i64::from(self.utc_offset.minutes).rem_euclid(1440).unsigned_abs();
        // The epoch was a Thursday; a day's offset more or less is the same time of another week's day.
        let shift = if self.utc_offset.minutes < 0 { WEEK - DAY } else { 0 };
        (now.as_secs() / 60 + 3 * DAY + offset + shift) % WEEK
    }

    /// The days on which it begins, counted from Monday.
    fn begins(&self) -> impl Iterator<Item = u64> {
        let days = Day::ALL.iter().zip(0u64..);
        days.filter(|(day, _)| self.days.is_empty() || self.days.contains(day)).map(|(_, index)| index)
    }

    /// When it opens next: now, when it is open.
    #[must_use]
    pub fn opens(&self, now: Timestamp) -> Timestamp {
        if self.open_until(now).is_some() {
            return now;
        }
        let (local, from) = (self.local(now), u64::from(self.from.minutes));
        let left = self.begins().map(|index| (index * DAY + from + WEEK - local) % WEEK).min().unwrap_or(0);
        Timestamp::from_secs(now.as_secs() / 60 * 60).after(Duration::from_secs(left * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1970-01-05 was a Monday.
    fn monday(hour: u64, minute: u64) -> Timestamp {
        Timestamp::from_secs(4 * 86_400 + hour * 3_600 + minute * 60)
    }

    fn window(days: &[Day], from: &str, until: &str, offset: &str) -> Window {
        Window {
            scope: Scope::Fleet,
            days: days.to_vec(),
            from: from.to_owned().try_into().unwrap(),
            until: until.to_owned().try_into().unwrap(),
            utc_offset: offset.to_owned().try_into().unwrap(),
            why: String::new(),
        }
    }

    #[test]
    fn a_window_is_open_from_its_beginning_to_its_end() {
        let it = window(&[Day::Mon], "10:00", "12:00", "+00:00");
        assert_eq!(it.open_until(monday(9, 59)), None);
        assert_eq!(it.open_until(monday(10, 0)), Some(monday(12, 0)));
        assert_eq!(it.open_until(monday(11, 59)), Some(monday(12, 0)));
        assert_eq!(it.open_until(monday(12, 0)), None);
        assert_eq!(it.open_until(monday(24 + 10, 30)), None, "not on Tuesday");
    }

    #[test]
    fn a_window_may_reach_into_the_next_day_and_the_next_week() {
        let it = window(&[Day::Sun], "22:00", "06:00", "+00:00");
        assert_eq!(it.open_until(monday(5, 59)), Some(monday(6, 0)));
        assert_eq!(it.open_until(monday(6, 0)), None);
        let daily = window(&[], "22:00", "06:00", "+00:00");
        assert_eq!(daily.open_until(monday(24 + 3, 0)), Some(monday(24 + 6, 0)));
    }

    #[test]
    fn it_is_known_when_a_window_opens_next() {
        let it = window(&[Day::Mon], "10:00", "12:00", "+00:00");
        assert_eq!(it.opens(monday(9, 30)), monday(10, 0));
        assert_eq!(it.opens(monday(11, 0)), monday(11, 0));
        assert_eq!(it.opens(monday(12, 0)), monday(7 * 24 + 10, 0));
    }

    #[test]
    fn local_time_is_utc_and_the_offset() {
        let east = window(&[Day::Mon], "01:00", "02:00", "+02:00");
        assert_eq!(east.open_until(monday(0, 0).before(Duration::from_secs(1_800))), Some(monday(0, 0)));
        let west = window(&[Day::Mon], "22:00", "23:00", "-05:00");
        assert_eq!(west.open_until(monday(27, 30)), Some(monday(28, 0)));
        assert_eq!(west.open_until(monday(22, 30)), None);
    }

    #[test]
    fn times_and_offsets_read_back_as_written() {
        let it: ClockTime = "07:05".to_owned().try_into().unwrap();
        assert_eq!(String::from(it), "07:05");
        let offset: UtcOffset = "-05:30".to_owned().try_into().unwrap();
        assert_eq!(String::from(offset), "-05:30");
        for bad in ["7:05", "24:00", "12:60", "12", "", "é:00"] {
            assert!(ClockTime::try_from(bad.to_owned()).is_err(), "{bad}");
            assert!(UtcOffset::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn hours_of_the_day_may_pass_midnight() {
        let hours = |text: &str| DayHours::try_from(text.to_owned());
        let at = |hour: u64| Timestamp::from_secs(1_000 * 86_400 + hour * 3_600);
        let within = |text: &str, hour: u64| hours(text).is_ok_and(|it| it.contain(at(hour)));
        assert!(within("02:00-05:00", 2) && within("02:00-05:00", 4));
        assert!(!within("02:00-05:00", 5) && !within("02:00-05:00", 1));
        assert!(within("22:00-01:00", 23) && within("22:00-01:00", 0) && !within("22:00-01:00", 12));
        assert!(within("00:00-00:00", 17), "the whole day");
        assert_eq!(hours("02:00-05:00").map(String::from), Ok("02:00-05:00".to_owned()));
        let night = hours("02:00-05:00").unwrap();
        assert_eq!([1, 3, 6].map(|hour| night.opens(at(hour))), [at(2), at(3), at(26)]);
        for wrong in ["", "02:00", "2:00-5:00", "24:00-05:00", "02:00-05:60"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
