use std::time::Duration;

use prunella_model::{CauseName, RuleName, Timestamp};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn subject(kind: &str, class: &str) -> Subject {
    Subject {
        rule: RuleName::of("unresponsive"),
        kind: kind.to_owned(),
        class: class.to_owned(),
        symptom: None,
        cause: CauseName::of("hung"),
    }
}

fn restart() -> RepairName {
    RepairName::of("restart_service")
}

fn at(days: u64) -> Timestamp {
    Timestamp::from_secs(days * 86_400)
}

fn teach(book: &mut Book, about: &Subject, lesson: Lesson, times: u32, now: Timestamp) -> f64 {
    (0..times).map(|_| book.learn((about, &[]), &restart(), lesson, (0.5, 0.0), now).1).sum()
}

fn chance(book: &Book, about: &Subject, now: Timestamp) -> f64 {
    book.belief(about, &[], &restart(), 0.5, now).mean()
}

#[test]
fn what_is_known_of_a_fault_bears_on_others_the_less_the_less_alike_they_are() {
    let mut book = Book::default();
    let web = subject("web", "http+process");
    teach(&mut book, &web, Lesson::Healed(SECOND), 10, at(1));
    let (same, class, rule) = (
        chance(&book, &web, at(1)),
        chance(&book, &subject("api", "http+process"), at(1)),
        chance(&book, &subject("db", "tcp"), at(1)),
    );
    assert!(same > 0.9 && (same - 11.0 / 12.0).abs() < 1e-9, "ten of ten, and a prior worth two trials: {same}");
    assert!(
        (class - same).abs() < 1e-9 && (rule - same).abs() < 1e-9,
        "hints of others are all there is: {class} {rule}"
    );
    teach(&mut book, &subject("api", "http+process"), Lesson::Failed(SECOND), 4, at(1));
    let api = chance(&book, &subject("api", "http+process"), at(1));
    assert!((api - class / 3.0).abs() < 1e-9, "four of its own outweigh a hint worth two trials: {api}");
    let other = Subject { cause: CauseName::of("killed"), ..web };
    assert!((chance(&book, &other, at(1)) - 0.5).abs() < 1e-9, "another cause is another matter");
}

#[test]
fn evidence_ages_and_is_bounded() {
    let mut book = Book::default();
    let web = subject("web", "process");
    teach(&mut book, &web, Lesson::Failed(SECOND), 4, at(1));
    let (fresh, old) = (chance(&book, &web, at(1)), chance(&book, &web, at(31)));
    assert!((fresh - 1.0 / 6.0).abs() < 1e-9 && (old - 1.0 / 4.0).abs() < 1e-9, "{fresh} {old}");
    teach(&mut book, &web, Lesson::Failed(SECOND), 1_000, at(1));
    teach(&mut book, &web, Lesson::Healed(SECOND), 20, at(1));
    assert!(chance(&book, &web, at(1)) > 0.55, "what happened lately counts: {}", chance(&book, &web, at(1)));
}

#[test]
fn credit_is_shared_with_what_would_have_gone_away_and_taken_back_when_it_did_not_last() {
    let mut book = Book::default();
    let web = subject("web", "process");
    let (_, credit) = book.learn((&web, &[]), &restart(), Lesson::Healed(SECOND), (0.5, 1.0), at(1));
    assert!((credit - 0.5).abs() < 1e-9, "as likely by itself as by the repair: {credit}");
    teach(&mut book, &web, Lesson::Undone(credit), 1, at(1));
    teach(&mut book, &web, Lesson::Censored, 3, at(1));
    let record = book.knowledge().next().unwrap();
    assert_eq!((record.healed, record.failed, record.censored), (0.0, 1.0, 3));
}

#[test]
fn what_failed_in_an_incident_is_hardly_tried_again_and_what_helps_after_it_is_learned() {
    let mut book = Book::default();
    let (web, reload) = (subject("web", "process"), RepairName::of("reload"));
    let again = book.belief(&web, &[restart()], &restart(), 0.9, at(1)).mean();
    assert!((again - 0.09).abs() < 1e-9);
    let before = book.belief(&web, &[restart()], &reload, 0.3, at(1)).mean();
    book.learn((&web, &[restart()]), &reload, Lesson::Healed(SECOND), (0.3, 0.0), at(1));
    let after = book.belief(&web, &[restart()], &reload, 0.3, at(1)).mean();
    let first = book.belief(&web, &[], &reload, 0.3, at(1)).mean();
    assert!(after > first && first > before, "{after} {first} {before}");
}

#[test]
fn other_fleets_hint_and_ones_own_experience_decides() {
    let mut home = Book::default();
    let web = subject("web", "process");
    let mut away = Book::default();
    teach(&mut away, &web, Lesson::Healed(SECOND), 20, at(1));
    let foreign = |updated_at| KnowledgeRecord {
        source: Some(FleetName::of("away")),
        updated_at,
        ..away.knowledge().next().unwrap().clone()
    };
    let take = |home: &mut Book, record| home.merge(vec![record], Vec::new()).0.len();
    assert_eq!(take(&mut home, foreign(at(1))), 1);
    let hinted = chance(&home, &web, at(1));
    assert!((hinted - 9.0 / 10.0).abs() < 1e-9, "20 trials elsewhere count as 8: {hinted}");
    assert_eq!(take(&mut home, foreign(at(1))), 0, "the same again is no news");
    assert_eq!(take(&mut home, foreign(at(0))), 0, "nor is what is older");
    assert!((chance(&home, &web, at(1)) - hinted).abs() < 1e-12);
    teach(&mut home, &web, Lesson::Failed(SECOND), 20, at(1));
    assert!(chance(&home, &web, at(1)) < 0.35);
}

#[test]
fn a_book_that_was_stored_and_loaded_believes_the_same_to_the_last_bit() {
    let mut book = Book::default();
    for day in 1..20 {
        for kind in ["web", "api", "db"] {
            let lesson = if day % 3 == 0 { Lesson::Failed(SECOND) } else { Lesson::Healed(SECOND) };
            book.learn((&subject(kind, "process"), &[]), &restart(), lesson, (0.5, 0.3), at(day));
        }
    }
    let loaded = Book::load(book.knowledge().cloned().collect(), Vec::new());
    let (a, b) = (chance(&book, &subject("x", "process"), at(30)), chance(&loaded, &subject("x", "process"), at(30)));
    assert_eq!(a.to_bits(), b.to_bits());
}

#[test]
fn it_is_learned_at_which_age_a_fault_goes_away_by_itself() {
    let mut book = Book::default();
    let web = subject("web", "process");
    for _ in 0..10 {
        let soon = Ending { opened: at(1), watched: SECOND, alone: 1.0, untouched: true, escalated: false };
        book.note(&web, soon, at(1));
        let never = Ending { watched: SECOND * 200, alone: 0.0, untouched: false, escalated: true, ..soon };
        book.note(&web, never, at(1));
    }
    let (rates, known) = book.rates(&web, (1.0 / 600.0, 0.01), at(1));
    assert!((known - 10.0).abs() < 1e-9);
    assert!(rates.gone(0.0, 1.0).0 > 0.3 && rates.gone(2.0, 60.0).0 < 0.01, "{rates:?}");
    let pattern = book.patterns().next().unwrap();
    assert_eq!((pattern.incidents, pattern.self_recovered, pattern.escalated, pattern.recent.len()), (20, 10, 10, 20));
}

#[test]
fn what_failed_speaks_against_the_diagnosis_and_for_what_helps_against_the_other_causes() {
    let mut book = Book::default();
    let named = subject("web", "process");
    let other = Subject { cause: CauseName::of("config_corrupted"), ..named.clone() };
    let (restart, restore) = (restart(), RepairName::of("restore_config"));
    let ending = |at| Ending { opened: at, watched: SECOND, alone: 0.0, untouched: false, escalated: false };
    for day in 1..=10 {
        book.learn((&named, &[]), &restart, Lesson::Healed(SECOND), (0.5, 0.0), at(day));
        book.learn((&named, &[]), &restore, Lesson::Failed(SECOND), (0.5, 0.0), at(day));
        book.note(&named, ending(at(day)), at(day));
        book.learn((&other, &[]), &restart, Lesson::Failed(SECOND), (0.5, 0.0), at(day));
        book.learn((&other, &[]), &restore, Lesson::Healed(SECOND), (0.5, 0.0), at(day));
        book.note(&other, ending(at(day)), at(day));
    }
    let chance = |after: &[RepairName], repair: &RepairName, confidence| {
        book.belief_in_doubt(&steps(&named, &[]), &named, after, repair, (0.5, confidence), at(10)).mean()
    };
    let after = [restart.clone()];
    let (sure, doubtful) = (chance(&after, &restore, 1.0), chance(&after, &restore, 0.9));
    assert!(sure < 0.15 && doubtful > 0.25, "a restart that failed makes the other cause likely: {sure} {doubtful}");
    assert!(chance(&after, &restart, 0.9) < chance(&after, &restart, 1.0), "and another restart hopeless");
    assert!(
        (chance(&[], &restore, 0.9) - chance(&[], &restore, 1.0)).abs() < 1e-12,
        "the first attempt is for the diagnosis"
    );
}
