use std::time::Duration;

use prunella_model::knowledge::{Lore, Subject, WishRecord};
use prunella_model::record::Stored;
use prunella_model::{
    CauseName, FleetName, HostId, OperatorName, RepairName, RuleName, TargetName, TargetRef, Timestamp,
};

use super::*;
use crate::choose::{Ending, Lesson};
use crate::event::{Decision, Event, Reply, Request};
use crate::view::Advice;

const SECOND: Duration = Duration::from_secs(1);

fn at(hours: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + hours * 3_600)
}

fn subject(rule: &'static str, kind: &str) -> Subject {
    let (class, cause) = ("http+process".to_owned(), CauseName::of("hung"));
    Subject { rule: RuleName::of(rule), kind: kind.to_owned(), class, symptom: None, cause }
}

fn fleet(name: &'static str) -> Engine {
    Engine::new(FleetName::of(name), 1, at(0), Stored::default())
}

fn restart() -> RepairName {
    RepairName::of("restart_service")
}

/// Lets a fleet learn: an incident each `every` hours, repaired, or gone by itself.
fn live(engine: &mut Engine, about: &Subject, incidents: u64, every: u64, alone: bool) {
    for number in 1..=incidents {
        let now = at(number * every);
        engine.now = now;
        if !alone {
            let lesson = if number % 4 == 0 { Lesson::Failed(SECOND) } else { Lesson::Healed(SECOND) };
            engine.book.learn((about, &[]), &restart(), lesson, (0.7, 0.0), now);
        }
        let alone_chance = if alone { 1.0 } else { 0.0 };
        let ending = Ending {
            opened: now,
            watched: SECOND,
            alone: alone_chance,
            untouched: alone,
            escalated: number % 4 == 0 && !alone,
        };
        engine.book.note(about, ending, now);
    }
}

/// Imports what was exported; the reply, and what is stored by it.
fn import(engine: &mut Engine, lore: Lore) -> (Reply, Stored) {
    let request = Request::Import { lore: Box::new(lore) };
    let by = OperatorName::of("ann");
    let (mut stored, mut answer) = (Stored::default(), None);
    for decision in engine.step(engine.now, Event::Request { token: 1, by, request }) {
        match decision {
            Decision::Store(change) => stored.apply(change),
            Decision::Reply { reply, .. } => answer = Some(reply),
            _ => {}
        }
    }
    (answer.expect("an answer"), stored)
}

fn learned(new: usize, restored: usize, known: usize) -> Reply {
    Reply::Learned { new, restored, known }
}

#[test]
fn what_another_fleet_learned_is_taken_in_once_and_stored() {
    let (mut away, mut home) = (fleet("away"), fleet("home"));
    live(&mut away, &subject("unresponsive", "web"), 12, 6, false);
    live(&mut home, &subject("unresponsive", "db"), 3, 6, false);
    home.now = at(100);
    let (reply, stored) = import(&mut home, away.lore());
    assert_eq!(reply, learned(2, 0, 0));
    assert_eq!((stored.knowledge.len(), stored.patterns.len()), (1, 1));
    let (before, insights) = (home.lore(), home.insights(at(100), None, 100));
    let (reply, stored) = import(&mut home, away.lore());
    assert_eq!((reply, stored), (learned(0, 0, 2), Stored::default()), "the same again is no news");
    assert_eq!((home.lore(), home.insights(at(100), None, 100)), (before.clone(), insights.clone()));
    // And it goes on: what comes back by way of others is neither new nor counted twice.
    let id = away.lore().id;
    assert_eq!(import(&mut away, home.lore()).0, learned(2, 0, 2));
    assert_eq!(import(&mut home, away.lore()).0, learned(0, 0, 4));
    assert_eq!((away.lore().id, away.lore().knowledge), (before.id.clone(), before.knowledge.clone()));
    assert_ne!(id, before.id);
    // A server that starts from what is stored knows the same.
    let stored = Stored {
        knowledge: home.book.knowledge().cloned().collect(),
        patterns: home.book.patterns().cloned().collect(),
        ..Stored::default()
    };
    let again = Engine::new(FleetName::of("home"), 2, at(100), stored);
    assert_eq!((again.lore(), again.insights(at(100), None, 100)), (before, insights));
    let web = again.insights(at(100), None, 100).into_iter().find(|it| it.subject.kind == "web").expect("it is known");
    assert_eq!((web.incidents, web.elsewhere, web.last), (0, 12, None));
    let help = web.helps.first().expect("a repair");
    assert!(help.elsewhere > 11.0 && help.healed == 0.0 && help.low < help.chance, "{help:?}");
}

#[test]
fn a_fleet_that_lost_its_knowledge_restores_it_and_never_overwrites_what_it_has() {
    let mut home = fleet("home");
    live(&mut home, &subject("unresponsive", "web"), 8, 6, false);
    let (saved, insights) = (home.lore(), home.insights(at(60), None, 9));
    live(&mut home, &subject("unresponsive", "web"), 12, 6, false);
    let later = home.lore();
    assert_eq!(import(&mut home, saved.clone()).0, learned(0, 0, 2), "it knows better by now");
    assert_eq!(home.lore(), later);
    let mut lost = fleet("home");
    lost.now = at(60);
    assert_eq!(import(&mut lost, saved.clone()).0, learned(0, 2, 0));
    assert_eq!(import(&mut lost, saved.clone()).0, learned(0, 0, 2));
    assert_eq!((lost.insights(at(60), None, 9), lost.lore().id), (insights, saved.id));
}

#[test]
fn a_newer_record_of_another_fleet_replaces_the_older_one() {
    let (mut away, mut home) = (fleet("away"), fleet("home"));
    live(&mut away, &subject("unresponsive", "web"), 4, 6, false);
    let old = away.lore();
    live(&mut away, &subject("unresponsive", "web"), 9, 6, false);
    home.now = at(80);
    import(&mut home, old.clone());
    assert_eq!(import(&mut home, away.lore()).0, learned(2, 0, 0));
    assert_eq!(import(&mut home, old).0, learned(0, 0, 2));
    assert_eq!(home.insights(at(80), None, 9).first().map(|it| it.elsewhere), Some(13));
}

/// Makes a document say what cannot be.
type Spoil = fn(&mut Lore);

#[test]
fn nothing_that_cannot_be_is_taken_in() {
    let (mut away, mut home) = (fleet("away"), fleet("home"));
    live(&mut away, &subject("unresponsive", "web"), 4, 6, false);
    home.now = at(60);
    let bad: [(&str, Spoil); 12] = [
        ("schema 2 is not 1", |it| it.schema = 2),
        ("healed and failed", |it| it.knowledge[0].healed = f64::NAN),
        ("healed and failed", |it| it.knowledge[0].failed = -1.0),
        ("healed and failed", |it| it.knowledge[0].healed = 1e13),
        ("a mean time", |it| it.knowledge[0].mean_time = Some(Duration::MAX)),
        ("source must name", |it| it.knowledge[0].source = None),
        ("a day ahead", |it| it.patterns[0].updated_at = at(1_000)),
        ("kind and class", |it| it.patterns[0].subject.kind = "x\u{1b}[2J".to_owned()),
        ("ages must be", |it| it.patterns[0].ages[2].exposure = f64::INFINITY),
        ("ages must be", |it| it.patterns[0].ages.extend([prunella_model::knowledge::Age::default(); 9])),
        ("oldest first", |it| it.patterns[0].recent.reverse()),
        ("not be more than incidents", |it| it.patterns[0].self_recovered = 99),
    ];
    for (why, spoil) in bad {
        let mut lore = away.lore();
        spoil(&mut lore);
        let (reply, stored) = import(&mut home, lore);
        let Reply::Refused { reason, message } = reply else { panic!("{why}: {reply:?}") };
        assert!(reason == "BAD_KNOWLEDGE" && message.contains(why), "{why}: {message}");
        assert_eq!(stored, Stored::default());
    }
    let mut large = away.lore();
    large.knowledge = vec![large.knowledge[0].clone(); RECORDS_MAX + 1];
    assert!(matches!(import(&mut home, large).0, Reply::Refused { .. }));
    assert_eq!(home.lore().knowledge, Vec::new());
}

#[test]
fn insights_come_in_pages_the_most_frequent_first() {
    let mut home = fleet("home");
    for (kind, incidents) in [("a", 2), ("b", 7), ("c", 2), ("d", 1)] {
        live(&mut home, &subject("unresponsive", kind), incidents, 6, false);
    }
    let all = home.insights(at(60), None, 10);
    assert_eq!(all.iter().map(|it| it.incidents).collect::<Vec<u64>>(), [7, 2, 2, 1]);
    let (mut pages, mut after) = (Vec::new(), None);
    while let Some(it) = home.insights(at(60), after.as_deref(), 1).pop() {
        after = Some(it.place());
        pages.push(it);
    }
    assert_eq!(pages, all);
    let it = all.first().expect("the most frequent");
    assert_eq!((it.escalated, it.every, it.last), (1, Some(6 * 3_600 * SECOND), Some(at(42))));
    let help = it.helps.first().expect("a repair");
    assert!(help.healed > 5.0 && help.failed > 0.9 && (0.5..0.9).contains(&help.chance), "{help:?}");
    assert!(help.low < help.chance && help.chance < help.high && !help.shadow, "{help:?}");
}

#[test]
fn what_a_person_might_do_stands_on_evidence() {
    let mut home = fleet("home");
    assert_eq!(home.recommendations(at(0)), Vec::new());
    let kinds = |engine: &Engine, now| engine.recommendations(now).iter().map(|it| it.kind).collect::<Vec<Advice>>();
    live(&mut home, &subject("unresponsive", "web"), 40, 2, true);
    assert_eq!(kinds(&home, at(80)), [Advice::ShadowRule]);
    // One that is repaired ends that.
    live(&mut home, &subject("unresponsive", "db"), 9, 2, false);
    assert_eq!(kinds(&home, at(80)), [Advice::Recurring]);
    let vain = subject("crash_loop", "api");
    for _ in 0..8 {
        home.book.learn((&vain, &[]), &restart(), Lesson::Failed(SECOND), (0.5, 0.0), at(80));
    }
    assert_eq!(kinds(&home, at(80)), [Advice::Recurring], "it was never closed, so it may be no habit");
    let ending = Ending { opened: at(80), watched: SECOND, alone: 0.0, untouched: false, escalated: true };
    (0..4).for_each(|_| drop(home.book.note(&vain, ending, at(80))));
    assert_eq!(kinds(&home, at(80)), [Advice::Recurring, Advice::Escalates, Advice::RepairInShadow]);
    assert_eq!(kinds(&home, at(80 + 31 * 24)), [], "a month later it is history");
    // What is wished for on a target that is gone is not recommended.
    let target = TargetRef::new(HostId::of("h1"), TargetName::of("web"));
    let (repair, step) = (restart(), "restart_service".to_owned());
    let wish = WishRecord { target: target.clone(), repair: repair.clone(), step, incidents: 3, updated_at: at(80) };
    home.wishes.insert((target, repair), wish);
    assert_eq!(kinds(&home, at(80 + 31 * 24)), []);
}
