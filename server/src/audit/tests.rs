use super::*;
use crate::store::repository::tests::{entry, id};

fn key() -> SecretKey {
    SecretKey::from_entropy(&[3; 32])
}

/// A log of two files with signed heads.
fn sample(dir: &Path) {
    for round in 0..2_u64 {
        let mut log = AuditLog::open(dir, Head::genesis(AUDIT_LOG)).unwrap();
        if round == 1 {
            // As if the file were full.
            log.bytes = SEGMENT_BYTES;
        }
        for n in 1..=5 {
            let entries = [entry("first", None), entry("second", Some(1))];
            log.append([(id(round * 5 + n), entries.as_slice())]).unwrap();
        }
        log.sign(&key()).unwrap().unwrap();
    }
}

fn check(dir: &Path) -> Report {
    verify(dir, &[key().public()], &[]).unwrap()
}

#[test]
fn an_untouched_log_verifies_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let report = check(dir.path());
    assert_eq!(report.findings, []);
    assert_eq!((report.ok, report.entries, report.covered, report.heads, report.files), (true, 20, 20, 2, 2));
}

#[test]
fn moving_a_parcel_twice_writes_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [entry("a", None), entry("b", None)];
    let mut log = AuditLog::open(dir.path(), Head::genesis(AUDIT_LOG)).unwrap();
    log.append([(id(1), entries.as_slice())]).unwrap();
    drop(log);
    let mut log = AuditLog::open(dir.path(), Head::genesis(AUDIT_LOG)).unwrap();
    log.append([(id(1), entries.as_slice()), (id(2), &entries[..1])]).unwrap();
    assert_eq!(log.head().sequence, 3);
    assert_eq!(log.sign(&key()).unwrap().is_some(), log.sign(&key()).unwrap().is_none());
}

#[test]
fn a_record_that_a_crash_left_incomplete_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let (_, path) = segments(dir.path()).unwrap().pop().unwrap();
    let entries = [entry("next", None)];
    let mut log = AuditLog::open(dir.path(), Head::genesis(AUDIT_LOG)).unwrap();
    log.append([(id(50), entries.as_slice())]).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    assert!(check(dir.path()).ok, "no head covers it");
    let mut log = AuditLog::open(dir.path(), Head::genesis(AUDIT_LOG)).unwrap();
    assert_eq!(log.head().sequence, 20);
    log.append([(id(50), entries.as_slice())]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn any_flipped_bit_and_any_cut_is_found() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let mut paths: Vec<PathBuf> = segments(dir.path()).unwrap().into_iter().map(|(_, path)| path).collect();
    paths.push(dir.path().join(HEADS));
    for path in &paths {
        let whole = fs::read(path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(path, &damaged).unwrap();
            let report = check(dir.path());
            if path.extension().is_some_and(|it| it == "log") {
                assert!(!report.ok, "a flip in byte {at} of {path:?} went unseen");
                fs::write(path, &whole[..at]).unwrap();
                assert!(!check(dir.path()).ok, "a cut at {at} of {path:?} went unseen");
            } else {
                // The entries are whole. A head that verifies no more covers nothing; its key's hint is not signed.
                assert!(report.covered <= 20 && report.entries == 20 && report.heads <= 2);
                assert!(report.heads == 2 || !report.ok || at + 7 >= whole.len());
            }
        }
        fs::write(path, &whole).unwrap();
    }
    assert!(check(dir.path()).ok);
}

#[test]
fn deleted_reordered_and_foreign_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let paths: Vec<PathBuf> = segments(dir.path()).unwrap().into_iter().map(|(_, path)| path).collect();
    let (first, second) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::remove_file(&paths[0]).unwrap();
    assert!(!check(dir.path()).ok);
    fs::write(&paths[0], &second).unwrap();
    fs::write(&paths[1], &first).unwrap();
    assert!(!check(dir.path()).ok);
    fs::write(&paths[0], &first).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    assert!(!check(dir.path()).ok, "the last file is covered by a head");
    fs::write(&paths[1], &second).unwrap();
    // Somebody cuts the end and the heads of it: only a head that was kept elsewhere tells.
    let mut log = AuditLog::open(dir.path(), Head::genesis(AUDIT_LOG)).unwrap();
    let kept = log.head();
    let heads = fs::read_to_string(dir.path().join(HEADS)).unwrap();
    let (one, _) = heads.split_once('\n').unwrap();
    fs::write(dir.path().join(HEADS), format!("{one}\n")).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    assert!(check(dir.path()).ok);
    assert!(!verify(dir.path(), &[key().public()], &[kept]).unwrap().ok);
    // A head signed by somebody else is none.
    assert!(log.sign(&SecretKey::from_entropy(&[4; 32])).unwrap().is_some());
    assert!(!check(dir.path()).ok);
}

#[test]
fn a_log_that_was_removed_or_cut_is_missed_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit");
    sample(&log);
    let mut running = AuditLog::open(&log, Head::genesis(AUDIT_LOG)).unwrap();
    let anchor = running.head();
    let found = |anchor| verify(&log, &[key().public()], &[anchor]).unwrap();
    assert!(found(anchor).ok);
    fs::remove_dir_all(&log).unwrap();
    assert!(!found(anchor).ok, "an empty log is not an intact one");
    let entries = [entry("next", None)];
    assert!(running.append([(id(50), entries.as_slice())]).is_err(), "nobody could ever read what goes there");
    let mut again = AuditLog::open(&log, anchor).unwrap();
    again.append([(id(50), entries.as_slice())]).unwrap();
    again.sign(&key()).unwrap().unwrap();
    assert_eq!(again.head().sequence, anchor.sequence + 1);
    let after = found(again.head());
    assert!(!after.ok && after.findings[0].what.contains("begins with entry 21"), "{after:?}");
    // The same for an end that was cut together with its heads.
    fs::remove_dir_all(&log).unwrap();
    sample(&log);
    let (_, last) = segments(&log).unwrap().pop().unwrap();
    fs::remove_file(last).unwrap();
    fs::remove_file(log.join(HEADS)).unwrap();
    let mut cut = AuditLog::open(&log, anchor).unwrap();
    cut.append([(id(51), entries.as_slice())]).unwrap();
    assert!(!found(cut.head()).ok);
}
