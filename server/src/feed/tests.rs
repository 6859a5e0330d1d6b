use prunella_model::Timestamp;
use prunella_model::event::EventKind;

use super::*;

fn id(counter: u64) -> Id {
    Id { epoch: 7, counter }
}

fn event_of(epoch: u64, counter: u64) -> FleetEvent {
    FleetEvent {
        id: Id { epoch, counter },
        at: Timestamp::from_secs(counter),
        kind: EventKind::HostConnected,
        host: None,
        target: None,
        incident: None,
        message: String::new(),
    }
}

fn event(counter: u64) -> FleetEvent {
    event_of(7, counter)
}

fn latest(feed: &Feed, most: usize) -> Vec<u64> {
    feed.latest(None, most, |_| true).iter().map(|it| it.id.counter).collect()
}

/// What a reader that resumes gets: the events, with a mark where some may be missing.
fn resumed(feed: &Feed, from: Id) -> String {
    let it = feed.subscribe(Some(from));
    let first = it.gap.map(|_| "…".to_owned());
    let rest = it.backlog.iter().map(|it| format!("{}{}", if it.gap { "…" } else { "" }, it.event.id));
    first.into_iter().chain(rest).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let feed = Feed::default();
    (1..=5).for_each(|n| feed.announce(event(n)));
    assert_eq!(latest(&feed, 2), [5, 4]);
    let older = feed.latest(Some(id(4)), 2, |it| it.id.counter != 3);
    assert_eq!(older.iter().map(|it| it.id.counter).collect::<Vec<_>>(), [2, 1]);
    let mut it = feed.subscribe(Some(id(3)));
    assert_eq!((it.backlog.len(), &it.gap), (2, &None));
    feed.announce(event(6));
    assert_eq!(it.live.try_recv().unwrap().id, id(6));
    assert!(feed.subscribe(None).backlog.is_empty());
}

#[test]
fn a_reader_hears_of_what_is_no_longer_kept() {
    let feed = Feed::default();
    (1..=KEPT as u64 + 10).for_each(|n| feed.announce(event(n)));
    let said = feed.subscribe(Some(id(3))).gap.unwrap();
    assert!(said.contains("7-11"), "it says from where on they are kept: {said}");
    assert_eq!(feed.subscribe(Some(id(10))).gap, None, "the one right before the oldest");
    assert_eq!(feed.subscribe(Some(id(20))).gap, None);
    assert!(feed.subscribe(Some(Id { epoch: 6, counter: 1 })).gap.is_some(), "an earlier run of the server");
    assert!(feed.subscribe(Some(Id { epoch: 9, counter: 1 })).gap.is_some(), "an event that nobody knows");
    let mut slow = feed.subscribe(None).live;
    (1..=LAG_MAX as u64 + 1).for_each(|n| feed.announce(event(10_000 + n)));
    assert!(matches!(slow.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
}

#[test]
fn a_reader_goes_on_after_a_restart_and_is_told_of_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let first = Feed::open(dir.path(), 7).unwrap();
    (1..=3).for_each(|n| first.announce(event(n)));
    first.end();
    let second = Feed::open(dir.path(), 8).unwrap();
    (1..=2).for_each(|n| second.announce(event_of(8, n)));
    assert_eq!(resumed(&second, id(2)), "7-3 8-1 8-2");
    // A crash: what waits is written, and nothing says that it was the end.
    second.shared().writer.as_mut().unwrap().crash();
    let third = Feed::open(dir.path(), 9).unwrap();
    third.announce(event_of(9, 1));
    assert_eq!(resumed(&third, id(3)), "8-1 8-2 …9-1");
    assert_eq!(resumed(&third, Id { epoch: 8, counter: 9 }), "… 9-1", "the reader had heard what the disk had not");
    assert_eq!(resumed(&third, Id { epoch: 9, counter: 1 }), "");
}

#[test]
fn the_files_are_bounded_and_a_torn_line_loses_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), 7).unwrap();
    let all = KEPT as u64 * 3;
    (1..=all).for_each(|n| {
        // As fast as the disk takes them: what is lost to a full channel is another test's matter.
        if n % 4_000 == 0 {
            feed.shared().writer.as_mut().unwrap().settle();
        }
        feed.announce(event(n));
    });
    feed.end();
    let size: u64 = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 2_000_000, "{size} bytes");
    let newest = dir.path().join("events.jsonl");
    let text = std::fs::read_to_string(&newest).unwrap();
    std::fs::write(&newest, &text[..text.len() - 60]).unwrap();
    let again = Feed::open(dir.path(), 8).unwrap();
    again.announce(event_of(8, 1));
    assert_eq!(latest(&again, 2), [1, all - 1], "the last line is torn");
    assert_eq!(resumed(&again, id(all - 1)), "…8-1");
}
