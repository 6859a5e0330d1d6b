use prunella_model::week::{UseRecord, hour_begins};

use super::week::{Told, Week, told};

/// Two weeks.
const LEAST: u32 = 336;

/// A Monday long after the epoch.
const MONDAY: u64 = 168 * 2_900;

/// Noise between -1 and 1 that is the same each time.
fn noise(hour: u64) -> f64 {
    libm::sin(hour as f64 * 12.9898) * 0.7 + libm::sin(hour as f64 * 78.233) * 0.3
}

/// Takes in the hours of some weeks, each with what the processors did.
fn live(it: &mut Week, weeks: std::ops::Range<u64>, processor: impl Fn(u64) -> f64) {
    for hour in MONDAY + weeks.start * 168..MONDAY + weeks.end * 168 {
        let value = processor(hour);
        it.learn(hour, [Some(value), Some(value / 25.0), None]);
    }
}

/// Office hours from Monday to Friday.
fn office(hour: u64) -> f64 {
    let (day, hour_of_day) = (hour % 168 / 24, hour % 24);
    if day < 5 && (8..18).contains(&hour_of_day) { 60.0 } else { 20.0 }
}

/// Used less and less towards 03:00 each night, with some noise.
fn nightly(hour: u64) -> f64 {
    50.0 - 40.0 * libm::cos((hour % 24) as f64 / 24.0 * std::f64::consts::TAU - 0.8) + 3.0 * noise(hour)
}

fn week(weeks: u64, processor: impl Fn(u64) -> f64) -> Week {
    let mut it = Week::new(MONDAY);
    live(&mut it, 0..weeks, processor);
    it
}

fn hours(it: &Told) -> String {
    match it {
        Told::Quiet { hours, .. } => hours.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_quarter_of_the_week_that_is_used_least_is_quiet() {
    let it = told(&[&week(3, nightly)], 25, LEAST);
    let Told::Quiet { hours, share, alike } = &it else { panic!("{it:?}") };
    let at = |place: u64| hour_begins(MONDAY + place);
    for day in 0..7 {
        assert!(hours.contain(at(day * 24 + 3)) && !hours.contain(at(day * 24 + 15)), "{hours}");
    }
    assert_eq!((0..168).filter(|place| hours.contain(at(*place))).count(), 42, "{hours}");
    assert!(*share < 0.4 && *alike > 0.95, "{share} {alike}");
}

#[test]
fn what_was_seen_for_less_than_the_history_that_is_wanted_is_not_known() {
    let mut it = week(2, nightly);
    assert_ne!(told(&[&it], 25, LEAST), Told::TooLittle);
    assert_eq!(told(&[&it], 25, LEAST + 1), Told::TooLittle);
    it = Week::new(MONDAY);
    // Only by day: the nights may be quiet or not, nobody has seen them.
    (0..4).for_each(|week| {
        for hour in (MONDAY + week * 168..MONDAY + (week + 1) * 168).filter(|hour| hour % 24 >= 8) {
            it.learn(hour, [Some(office(hour)), None, None]);
        }
    });
    assert!(it.hours > LEAST);
    assert_eq!(told(&[&it], 25, LEAST), Told::TooLittle);
    assert_eq!(told(&[], 25, LEAST), Told::TooLittle);
}

#[test]
fn a_host_that_is_used_alike_at_all_times_has_no_quiet_hours() {
    assert_eq!(told(&[&week(4, |_| 40.0)], 25, LEAST), Told::Flat);
    assert_eq!(told(&[&week(4, |hour| 40.0 + 4.0 * noise(hour))], 25, LEAST), Told::Flat);
    assert_eq!(told(&[&week(4, |_| 0.0)], 25, LEAST), Told::TooLittle, "of nothing nothing can be learned");
}

#[test]
fn what_goes_up_and_down_without_a_rhythm_has_no_quiet_hours() {
    let wild = week(6, |hour| 50.0 + 45.0 * noise(hour * hour));
    assert!(matches!(told(&[&wild], 25, LEAST), Told::Irregular(_)), "{:?}", told(&[&wild], 25, LEAST));
}

#[test]
fn a_rhythm_that_moves_is_unlearned_within_days_and_learned_anew_within_weeks() {
    let mut it = week(8, nightly);
    let moved = |hour: u64| nightly(hour + 12);
    let before = hours(&told(&[&it], 25, LEAST));
    assert!(before.contains("UTC"), "{before}");
    live(&mut it, 8..9, moved);
    assert!(
        matches!(told(&[&it], 25, LEAST), Told::Irregular(_)),
        "after a week the old hours are not offered any more"
    );
    live(&mut it, 9..14, moved);
    let now = told(&[&it], 25, LEAST);
    let Told::Quiet { hours: after, .. } = &now else { panic!("{now:?}") };
    let at = |place: u64| hour_begins(MONDAY + place);
    assert!((0..7).all(|day| after.contain(at(day * 24 + 15)) && !after.contain(at(day * 24 + 3))), "{after}");
}

#[test]
fn hosts_of_a_service_are_quiet_together_or_not_at_all() {
    let (night, flat) = (week(3, nightly), week(3, |_| 40.0));
    let alone = hours(&told(&[&night], 25, LEAST));
    assert_eq!(hours(&told(&[&night, &flat], 25, LEAST)), alone, "what is flat does not matter");
    let day = week(3, |hour| nightly(hour + 12));
    assert_eq!(told(&[&night, &day], 25, LEAST), Told::Flat, "one sleeps while the other works");
    assert_eq!(told(&[&night, &week(1, nightly)], 25, LEAST), Told::TooLittle);
    let mut moved = week(3, nightly);
    live(&mut moved, 3..4, |hour| nightly(hour + 12));
    assert!(
        matches!(told(&[&night, &moved], 25, LEAST), Told::Irregular(_)),
        "nobody knows what one of them does next"
    );
}

#[test]
fn what_is_stored_reads_back_and_what_is_damaged_is_refused() {
    let it = week(3, nightly);
    let record = it.record();
    assert_eq!(record.table.0.len(), 3 * 168 * 3, "a kilobyte and a half");
    assert_eq!(Week::of(&record), Some(it));
    let cut = UseRecord { table: prunella_model::week::Hex(record.table.0[1..].to_vec()), ..record.clone() };
    assert_eq!(Week::of(&cut), None);
    assert_eq!(Week::of(&UseRecord { skill: [f64::NAN; 6], ..record }), None);
}
