use super::*;

/// A log of `count` records and where each begins and the last ends.
fn log(count: u8) -> (Vec<u8>, Vec<usize>, Vec<Head>) {
    let mut head = Head::genesis("test");
    let (mut bytes, mut starts, mut heads) = (Vec::new(), vec![0], vec![head]);
    for i in 1..=count {
        append(&mut head, &vec![i; usize::from(i) * 7], &mut bytes).unwrap();
        starts.push(bytes.len());
        heads.push(head);
    }
    (bytes, starts, heads)
}

fn read(bytes: &[u8]) -> (usize, Option<Break>) {
    let mut count = 0;
    for record in Records::new(bytes, Head::genesis("test")) {
        match record {
            Ok(record) => {
                count += 1;
                assert_eq!(record.sequence, count as u64);
            }
            Err(broken) => return (count, Some(broken)),
        }
    }
    (count, None)
}

#[test]
fn a_log_reads_back_and_zeros_are_its_clean_end() {
    let (mut bytes, ..) = log(5);
    assert_eq!(read(&bytes), (5, None));
    bytes.resize(bytes.len() + 4096, 0);
    assert_eq!(read(&bytes), (5, None));
    assert_eq!(read(&[]), (0, None));
}

#[test]
fn a_log_cut_anywhere_is_torn_there_with_or_without_preallocation() {
    let (bytes, starts, _) = log(4);
    for cut in 0..bytes.len() {
        let whole = starts.iter().filter(|start| **start != 0 && **start <= cut).count();
        let clean = starts.contains(&cut);
        let mut zeroed = bytes[..cut].to_vec();
        zeroed.resize(bytes.len() + 100, 0);
        for log in [&bytes[..cut], &zeroed] {
            let (count, broken) = read(log);
            assert_eq!(count, whole, "cut at {cut}");
            let expected = (!clean).then_some(Break::Torn { at: starts[whole] });
            assert_eq!(broken, expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_lost_sector_of_the_last_record_is_torn() {
    let mut head = Head::genesis("test");
    let mut bytes = Vec::new();
    append(&mut head, b"first", &mut bytes).unwrap();
    let start = bytes.len();
    append(&mut head, &[7; 4096], &mut bytes).unwrap();
    for at in [start, start + 100, start + 1500] {
        let mut lost = bytes.clone();
        lost[at..at + 512].fill(0);
        assert_eq!(read(&lost), (1, Some(Break::Torn { at: start })), "sector at {at}");
    }
}

#[test]
fn every_flipped_bit_is_an_edit_never_a_torn_tail() {
    let (bytes, starts, _) = log(3);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let whole = starts.iter().filter(|start| **start != 0 && **start <= bit / 8).count();
        let (count, broken) = read(&bad);
        assert_eq!(count, whole, "bit {bit}");
        assert!(matches!(broken, Some(Break::Damaged { damage: Damage::Edited, .. })), "bit {bit}: {broken:?}");
    }
}

#[test]
fn deletion_reordering_and_foreign_records_are_told_apart() {
    let (bytes, starts, _) = log(4);
    let record = |i: usize| &bytes[starts[i - 1]..starts[i]];
    let damage = |log: Vec<u8>| match read(&log).1 {
        Some(Break::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    let deleted = [record(1), record(3), record(4)].concat();
    assert_eq!(damage(deleted), Damage::Deleted { expected: 2, found: 3 });
    let repeated = [record(1), record(2), record(1), record(3)].concat();
    assert_eq!(damage(repeated), Damage::Reordered { expected: 3, found: 1 });
    let mut other = Head::genesis("another log");
    let mut foreign = Vec::new();
    append(&mut other, b"x", &mut foreign).unwrap();
    assert_eq!(damage(foreign), Damage::Relinked { sequence: 1 });
}

#[test]
fn a_signed_head_shows_truncation_and_rewriting() {
    let key = SecretKey::from_entropy(&[3; 32]);
    let (bytes, starts, heads) = log(4);
    let envelope = sign_head("audit", &heads[3], &key);
    let head = verify_head("audit", &envelope, &[key.public()]).unwrap();
    let start = Head::genesis("test");
    assert_eq!(check_log(&bytes, start, &[head]), Ok(heads[4]));
    assert_eq!(check_log(&bytes[..starts[2]], start, &[head]), Err(WitnessError::Truncated { last: 2, witnessed: 3 }));
    // Cut inside the witnessed record: by itself it looks torn, but it was once whole.
    assert!(matches!(check_log(&bytes[..starts[3] - 1], start, &[head]), Err(WitnessError::Truncated { .. })));
    let (mut rewritten, mut other) = (Vec::new(), start);
    for _ in 0..4 {
        append(&mut other, b"nothing happened", &mut rewritten).unwrap();
    }
    assert_eq!(check_log(&rewritten, start, &[head]), Err(WitnessError::Rewritten { sequence: 3 }));
    assert!(verify_head("ledger", &envelope, &[key.public()]).is_err(), "a head is good for its own log only");
}

#[test]
fn a_body_too_long_is_refused_and_changes_nothing() {
    let mut head = Head::genesis("test");
    let mut out = Vec::new();
    assert!(append(&mut head, &vec![0; BODY_MAX + 1], &mut out).is_err());
    assert_eq!((head, out.len()), (Head::genesis("test"), 0));
}
