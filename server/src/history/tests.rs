use super::*;
use crate::store::repository::tests::incident;

fn ids(incidents: &[Incident]) -> Vec<u64> {
    incidents.iter().map(|it| it.id.0.counter).collect()
}

#[test]
fn incidents_are_found_by_id_and_paged_newest_first_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    history.append(&[incident(1), incident(2), incident(3)]).unwrap();
    // Moved again after a crash.
    history.append(&[incident(3), incident(4)]).unwrap();
    for history in [history, History::open(dir.path()).unwrap()] {
        assert_eq!(history.len(), 4);
        assert_eq!(history.get(incident(2).id).unwrap(), Some(incident(2)));
        assert_eq!(history.get(incident(9).id).unwrap(), None);
        let first = history.newest(None, 3).unwrap();
        assert_eq!(ids(&first), [4, 3, 2]);
        assert_eq!(ids(&history.newest(Some(first[2].id), 3).unwrap()), [1]);
        assert!(history.newest(Some(incident(9).id), 3).unwrap().is_empty());
    }
}

#[test]
fn the_oldest_are_forgotten_beyond_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 64 * 1024;
    let mut history = History::open_with(dir.path(), limit).unwrap();
    for n in 0..1_000 {
        history.append(&[incident(n)]).unwrap();
    }
    let size: u64 = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= limit + limit / 4, "{size} bytes");
    assert!(history.len() < 1_000 && !history.contains(incident(0).id));
    let reopened = History::open_with(dir.path(), limit).unwrap();
    assert_eq!(reopened.len(), history.len());
    assert_eq!(ids(&reopened.newest(None, 2).unwrap()), [999, 998]);
}

#[test]
fn a_torn_tail_is_cut_off_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path()).unwrap();
    history.append(&[incident(1), incident(2)]).unwrap();
    let path = dir.path().join("0000000001.history");
    let bytes = fs::read(&path).unwrap();
    for cut in 1..60 {
        fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let mut history = History::open(dir.path()).unwrap();
        assert_eq!(history.len(), 1);
        history.append(&[incident(2)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let mut damaged = bytes.clone();
    damaged[60] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(History::open(dir.path()), Err(HistoryError::Damaged { offset: 8, .. })));
}
